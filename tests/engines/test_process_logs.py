"""A task's output on its way into the log file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchyard.core.model.reports import Exited
from batchyard.engines.base import CUT_MARK, MAX_LOG_LINE_BYTES, log_path
from batchyard.engines.log_file import LogFile
from batchyard.engines.process import ProcessSettings
from tests.engines.conformance import launch_of, run_to_end, wait_for_end
from tests.engines.process_harness import ProcessHarness


def test_a_silent_task_has_no_log_file(process: ProcessHarness) -> None:
    final = run_to_end(process, process.exits(0))
    assert not log_path(process.logs_dir, final.attempt_id).exists()


def test_the_runtime_directory_does_not_fill_up(process: ProcessHarness) -> None:
    """A FIFO is used again, but not by a task of another owner or after one that left something behind."""
    for _ in range(5):
        run_to_end(process, process.exits(0))
    run_to_end(process, process.shell("setsid sleep 1000 &"))
    run_to_end(process, process.missing())
    assert len(list(process.runtime_dir.glob("output-*"))) <= 2
    process.run(process.engine.close(kill=True))
    assert list(process.runtime_dir.iterdir()) == []


def test_lines_are_there_while_the_task_runs_with_the_time_they_were_read(process: ProcessHarness) -> None:
    gate = process.root / "gate"
    launch = launch_of(process.shell(f"echo early; until [ -e {gate} ]; do sleep 0.02; done; echo late"))
    process.engine.launch([launch])
    path = log_path(process.logs_dir, launch.attempt_id)
    process.until(lambda: path.exists() and process.words(launch.attempt_id) == ["early"])
    before_ms = time.time_ns() // 1_000_000
    gate.touch()
    wait_for_end(process, launch.attempt_id)
    (early_ms, _), (late_ms, word) = process.log(launch.attempt_id)
    assert word == "late"
    assert early_ms <= before_ms <= late_ms


def test_opening_the_standard_streams_again_cuts_nothing(process: ProcessHarness) -> None:
    final = run_to_end(
        process, process.shell("echo a; echo b > /dev/stderr; echo c > /dev/stdout; echo d >> /dev/stderr; echo e")
    )
    assert process.words(final.attempt_id) == ["a", "b", "c", "d", "e"]


def test_bytes_that_are_no_utf8_are_replaced(process: ProcessHarness) -> None:
    final = run_to_end(
        process, process.shell(r"printf 'gr\303\274n \377\376 x\n\303'; sleep 0.05; printf '\274\n\303'")
    )
    assert process.words(final.attempt_id) == ["grün \ufffd\ufffd x", "ü", "\ufffd"]


def test_a_very_long_line_is_cut_into_several(process: ProcessHarness) -> None:
    final = run_to_end(process, process.shell("head -c 1000000 /dev/zero | tr '\\0' x; echo; echo end"))
    words = process.words(final.attempt_id)
    assert words[-1] == "end"
    assert "".join(words[:-1]) == "x" * 1000000
    assert [len(word) for word in words[:-2]] == [MAX_LOG_LINE_BYTES] * 3


def test_a_flood_is_slowed_and_neither_lost_nor_in_the_way(process: ProcessHarness) -> None:
    """A task that writes without end keeps no other's end from being seen; its pipe holds it back."""
    flood = launch_of(process.shell("yes flood"))
    process.engine.launch([flood])
    path = log_path(process.logs_dir, flood.attempt_id)
    process.until(lambda: path.exists() and path.stat().st_size > 1_000_000)
    for _ in range(5):
        assert isinstance(run_to_end(process, process.exits(0)), Exited)
    process.engine.stop(flood.attempt_node, 10)
    wait_for_end(process, flood.attempt_id)
    words = process.words(flood.attempt_id)
    assert set(words[:-1]) <= {"flood", CUT_MARK}


@pytest.fixture
def small(tmp_path: Path) -> Iterator[ProcessHarness]:
    harness = ProcessHarness(tmp_path, ProcessSettings(log_limit_bytes=400_000))
    yield harness
    harness.close()


def test_past_the_limit_head_and_tail_are_kept_and_the_cut_is_marked(small: ProcessHarness) -> None:
    final = run_to_end(small, small.program("seq", "100000"))
    words = small.words(final.attempt_id)
    cut = words.index(CUT_MARK)
    head, tail = words[:cut], words[cut + 1 :]
    assert head == [str(n) for n in range(1, len(head) + 1)]
    assert tail == [str(n) for n in range(100001 - len(tail), 100001)]
    assert len(head) > 1000
    assert len(tail) > 1000
    path = log_path(small.logs_dir, final.attempt_id)
    assert path.stat().st_size < 600_000
    assert list(path.parent.iterdir()) == [path]


def test_just_past_the_head_nothing_is_dropped(small: ProcessHarness) -> None:
    final = run_to_end(small, small.program("seq", "11000"))
    assert small.words(final.attempt_id) == [str(n) for n in range(1, 11001)]


def test_a_log_goes_on_where_an_earlier_writer_died(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    whole = LogFile(tmp_path / "whole.log", 4000)
    writer = LogFile(path, 4000)
    for number in range(1000):
        text = b"number %d\nhalf %d " % (number, number)
        whole.write(text, 5)
        writer.write(text, 5)
        if number % 7 == 0:  # dropped as by a kill: only the file remains
            writer = LogFile(path, 4000)
            writer.resume()
    whole.finish(6)
    writer.finish(6)
    assert path.read_bytes() == (tmp_path / "whole.log").read_bytes()
    assert CUT_MARK.encode() in path.read_bytes()


def test_a_death_while_joining_head_and_tail_is_made_good(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    writer = LogFile(path, 4000)
    for number in range(1000):
        writer.write(b"number %d\n" % number, 5)
    head = path.read_bytes()
    segments = {segment: segment.read_bytes() for segment in tmp_path.glob("x.log.tail.*")}
    writer.finish(6)
    joined = path.read_bytes()
    path.write_bytes(head + joined[len(head) :][:100])
    for segment, data in segments.items():
        segment.write_bytes(data)
    again = LogFile(path, 4000)
    again.resume()
    again.finish(6)
    assert path.read_bytes() == joined


def test_a_full_disk_is_marked_when_there_is_room_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = LogFile(tmp_path / "x.log")
    log.write(b"one\ntw", 5)
    real = LogFile._append

    def full(self: LogFile, body: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LogFile, "_append", full)
    log.write(b"o\nthree\n", 6)
    monkeypatch.setattr(LogFile, "_append", real)
    log.write(b"four\n", 7)
    log.finish(8)
    lines = (tmp_path / "x.log").read_text().splitlines()
    assert lines == ["5\tone", "5\ttw", f"7\t{CUT_MARK}", "7\tfour"]
