"""Output of containers: live, complete, in order, once."""

from __future__ import annotations

import contextlib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.model.reports import Exited
from batchyard.engines.base import CUT_MARK, MAX_LOG_LINE_BYTES, Recovery, log_path
from batchyard.engines.docker.engine import DockerSettings
from batchyard.engines.docker.logs import Lines, Remainder, last_lines
from batchyard.engines.log_file import LogFile
from tests.engines.conformance import launch_of, run_to_end, wait_for_end
from tests.engines.docker_harness import DockerHarness
from tests.engines.dockerd import Dockerd
from tests.waiting import until


def frame(output: int, at_ns: int, text: bytes) -> bytes:
    second, rest = divmod(at_ns, 1_000_000_000)
    payload = b"1970-01-01T00:%02d:%02d.%09dZ " % (second // 60, second % 60, rest) + text
    return bytes([output, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


# -- frames --


@given(st.lists(st.tuples(st.integers(1, 2), st.integers(0, 10**10), st.binary(max_size=20))), st.integers(1, 9))
def test_frames_are_read_however_they_arrive(story: list[tuple[int, int, bytes]], size: int) -> None:
    story = [(output, at, text.replace(b"\n", b"") + b"\n") for output, at, text in story]
    data = b"".join(frame(*entry) for entry in story)
    whole = list(Lines(0).feed(data))
    pieces = Lines(0)
    assert [line for at in range(0, len(data), size) for line in pieces.feed(data[at : at + size])] == whole
    assert [text for _, text in whole] == [t[:-1].decode("utf-8", "replace").encode() for _, _, t in story]
    times = [at for at, _ in whole]
    assert times == sorted(times)


def test_a_long_line_comes_in_pieces_between_others() -> None:
    lines = Lines(0)
    data = frame(1, 0, b"long ") + frame(2, 10**6, b"other\n") + frame(1, 0, b"line\n") + frame(1, 2 * 10**6, b"end")
    assert list(lines.feed(data)) == [(1, b"other"), (1, b"long line")]
    assert list(lines.flush()) == [(2, b"end")]


def test_a_line_beyond_the_limit_is_cut_between_characters() -> None:
    lines = Lines(0)
    text = "é".encode() * MAX_LOG_LINE_BYTES
    found = list(lines.feed(frame(1, 0, b"x" + text[:-2]))) + list(lines.feed(frame(1, 0, b"z\n")))
    assert b"".join(piece for _, piece in found) == b"x" + text[:-2] + b"z"
    assert all(len(piece) <= MAX_LOG_LINE_BYTES and piece.decode() for _, piece in found)


# -- going on --


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([b"a", b"b", b"", b"\xc3\xa9"])), max_size=30), st.data())
def test_whoever_goes_on_writes_each_line_once(story: list[tuple[int, bytes]], data: st.DataObject) -> None:
    """Times in disorder, many lines of one time, a stop anywhere: what was written and what is written then is all."""
    frames = [frame(1, at * 10**6, text + b"\n") for at, text in story]
    everything = list(Lines(2).feed(b"".join(frames)))
    stop = data.draw(st.integers(0, len(everything)))
    written = everything[:stop]
    last_ms = written[-1][0] if written else 0
    remainder = Remainder(last_ms, [text for at, text in written if at == last_ms] if written else [])
    again = Lines(2).feed(b"".join(frames))
    assert written + [new for line in again for new in remainder.take(line)] == everything


def test_what_docker_threw_away_is_marked() -> None:
    remainder = Remainder(5, [b"known"])
    assert list(remainder.take((7, b"later"))) == [(7, CUT_MARK.encode()), (7, b"later")]
    assert list(remainder.take((7, b"more"))) == [(7, b"more")]


def test_the_end_of_a_file_is_found_in_any_block(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert last_lines(path) == (0, [])
    long = b"x" * 100_000
    path.write_bytes(b"1\ta\n" + b"2\t" + long + b"\n" + b"3\tb\n3\t\n3\t" + long + b"\n3\ttorn")
    assert last_lines(path) == (3, [b"b", b"", long])
    path.write_bytes(b"7\tonly\n")
    assert last_lines(path) == (7, [b"only"])


def test_a_file_in_segments_ends_in_its_newest(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "log", 4000)
    for number in range(300):
        file.write(b"line %d\n" % number, 1000 + number)
    again = LogFile(tmp_path / "log", 4000)
    again.resume()
    assert last_lines(again.current_path()) == (1299, [b"line 299"])


# -- on a real daemon --


def test_output_is_there_while_the_job_runs(docker: DockerHarness) -> None:
    launch = launch_of(docker.shell("echo early; exec sleep 1000"))
    docker.engine.launch([launch])
    path = log_path(docker.logs_dir, launch.attempt_id)
    docker.until(lambda: path.exists() and path.read_bytes().endswith(b"\tearly\n"))


def test_a_server_that_comes_later_goes_on_where_the_first_was(docker: DockerHarness) -> None:
    script = (
        "i=0; while [ ! -e /trace/enough ]; do i=$((i+1)); echo $i; [ $((i % 2)) = 0 ] && echo e$i >&2; sleep 0.004;"
        " done; echo $i > /trace/count"
    )
    launch = launch_of(docker.shell(script, mounts=docker.traces()))
    docker.engine.launch([launch])
    path = log_path(docker.logs_dir, launch.attempt_id)
    for epoch in range(2, 7):
        size = path.stat().st_size if path.exists() else 0
        docker.until(lambda size=size: path.exists() and path.stat().st_size > size + 300)  # type: ignore[misc]
        docker.drop()
        docker.connect(epoch)
        docker.engine.recover([Recovery(launch, may_launch=False, known_started=True)])
    (docker.trace_dir / "enough").touch()
    assert isinstance(wait_for_end(docker, launch.attempt_id), Exited)
    after = int((docker.trace_dir / "count").read_text()) + 1
    words = docker.words(launch.attempt_id)
    assert [w for w in words if not w.startswith("e")] == [str(i) for i in range(1, after)]
    assert [w for w in words if w.startswith("e")] == [f"e{i}" for i in range(2, after, 2)]
    times = [at for at, _ in docker.log(launch.attempt_id)]
    assert times == sorted(times)


def test_lines_written_while_no_server_lived_are_there(docker: DockerHarness) -> None:
    launch = launch_of(
        docker.shell("echo before; while [ ! -e /trace/go ]; do sleep 0.02; done; echo after", mounts=docker.traces())
    )
    docker.engine.launch([launch])
    wait_for_started(docker, launch.attempt_id)
    docker.drop()
    (docker.trace_dir / "go").touch()
    name = f"batchyard-{launch.attempt_id}"
    until(lambda: not docker.inspect(name)["State"]["Running"])
    docker.connect(2)
    docker.engine.recover([Recovery(launch, may_launch=False, known_started=True)])
    wait_for_end(docker, launch.attempt_id)
    assert docker.words(launch.attempt_id) == ["before", "after"]


def wait_for_started(docker: DockerHarness, attempt_id: str) -> None:
    docker.until(lambda: any(report.attempt_id == attempt_id for report in docker.reports))


def test_long_lines_and_bad_bytes(docker: DockerHarness) -> None:
    final = run_to_end(
        docker, docker.shell(r"head -c 50000 /dev/zero | tr '\0' x; echo; printf 'a\377b\n'; printf end")
    )
    assert docker.words(final.attempt_id) == ["x" * 50000, "a�b", "end"]


def test_a_flood_keeps_its_head_and_its_tail(tmp_path: Path, dockerd: Dockerd) -> None:
    limit = 1024 * 1024
    with contextlib.closing(DockerHarness(tmp_path, dockerd, DockerSettings(limit, {}))) as docker:
        final = run_to_end(docker, docker.shell("seq 1 70000; sleep 0.2; seq 70001 120000"))
        words = docker.words(final.attempt_id)
        size = log_path(docker.logs_dir, final.attempt_id).stat().st_size
    assert words[:3] == ["1", "2", "3"]
    assert words[-1] == "120000"
    assert CUT_MARK in words
    assert size <= limit * 1.1


def test_without_output_there_is_no_file(docker: DockerHarness) -> None:
    final = run_to_end(docker, docker.shell("true"))
    assert not log_path(docker.logs_dir, final.attempt_id).exists()
