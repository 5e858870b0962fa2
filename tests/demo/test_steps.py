"""The demo's programs: made for the demo, but real, so tested like any other."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from demo.access_log import DATE, write_log
from demo.check import count_in_one_process, differences, read_table
from demo.pipeline import STEPS
from demo.service import DemoError, Service, refuse_if_served
from demo.steps import aggregate, ingest, transform
from tests.waiting import until

LINE = '203.0.113.9 - - [09/Jun/2026:00:00:01 +0000] "GET {} HTTP/1.1" {} {}'


def test_the_log_is_the_same_each_time(tmp_path: Path) -> None:
    digests = set()
    for name in ("a", "b"):
        write_log(tmp_path / name, 500)
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    write_log(tmp_path / "other", 500, seed=1)
    assert len(digests) == 1
    assert hashlib.sha256((tmp_path / "other").read_bytes()).hexdigest() not in digests
    assert (tmp_path / "a").read_text().count("\n") == 500


@pytest.mark.parametrize("parts", [1, 7, 50, 400])
def test_parts_are_whole_lines_and_together_the_log(tmp_path: Path, parts: int) -> None:
    log = tmp_path / "log"
    write_log(log, 200)
    sizes = ingest.split(log, parts, tmp_path / "parts")
    pieces = [(tmp_path / "parts" / f"part-{index:03}.log").read_bytes() for index in range(parts)]
    assert b"".join(pieces) == log.read_bytes()
    assert all(not piece or piece.endswith(b"\n") for piece in pieces)
    assert sizes == [len(piece) for piece in pieces]


def test_requests_are_counted_by_path_and_status() -> None:
    lines = [LINE.format("/a", 200, 10), LINE.format("/a", 200, 5), LINE.format("/a", 404, "-"), "203.0.113.9 - - [09"]
    assert transform.count(lines) == ([("/a", "200", 2, 15), ("/a", "404", 1, 0)], 1)


def test_counts_are_added_up(tmp_path: Path) -> None:
    for index, rows in enumerate([[["/a", "200", 1, 10]], [["/a", "200", 2, 5], ["/b", "404", 4, 0]]]):
        (tmp_path / f"count-{index:03}.json").write_text(json.dumps({"rows": rows, "broken": index}))
    table, broken = aggregate.merge(tmp_path, 2)
    assert table == {("/a", "200"): (3, 15), ("/b", "404"): (4, 0)}
    assert broken == 1
    with pytest.raises(FileNotFoundError):
        aggregate.merge(tmp_path, 3)


def test_the_programs_find_their_work_in_the_environment(tmp_path: Path) -> None:
    log = tmp_path / f"access-{DATE}.log"
    write_log(log, 300)
    common = {"PATH": os.environ["PATH"], "WORK": str(tmp_path), "PARTS": "3", "DATE": DATE}
    said = [run("ingest.py", common)]
    for index in range(3):
        said.append(
            run("transform.py", common | {"AWS_BATCH_JOB_ARRAY_INDEX": str(index), "AWS_BATCH_JOB_ARRAY_SIZE": "3"})
        )
    said.append(run("aggregate.py", common))
    assert "wrote 3 parts" in said[0]
    assert said[2].startswith("part 2 of 3: ")
    assert said[4].startswith("merged 3 parts: ")
    assert differences(read_table(tmp_path / "table.tsv"), count_in_one_process(log)) == []


def run(program: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, STEPS / program], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_a_wrong_row_is_found() -> None:
    right = {("/a", "200"): (3, 15), ("/b", "404"): (4, 0)}
    assert differences(right, right) == []
    assert differences({("/a", "200"): (3, 16)}, right) == [
        "/a 200: (3, 16) instead of (3, 15)",
        "/b 404: None instead of (4, 0)",
    ]


def test_a_service_that_does_not_start_is_told(tmp_path: Path) -> None:
    program = tmp_path / "batchyard"
    program.write_text("#!/bin/sh\necho no disk today\nexit 4\n")
    program.chmod(0o755)
    service = Service(program, tmp_path)
    with pytest.raises(DemoError, match="exit code 4"):
        service.start()
    assert service.log_tail() == "no disk today"
    assert service.stop() == {}


def test_the_data_of_a_running_service_is_left_alone(tmp_path: Path) -> None:
    refuse_if_served(Path("batchyard"), tmp_path)
    program = [sys.executable, "-c", "input()", "batchyard"]
    with subprocess.Popen(program, stdin=subprocess.PIPE) as served:
        until(Path(f"/proc/{served.pid}/cmdline").read_bytes)  # empty until the program is in place
        (tmp_path / "server.json").write_text(json.dumps({"address": "http://127.0.0.1:1", "pid": served.pid}))
        with pytest.raises(DemoError, match=f"process {served.pid}.*down --kill --data-dir"):
            refuse_if_served(Path("batchyard"), tmp_path)
        served.communicate(b"\n")
    refuse_if_served(Path("batchyard"), tmp_path)
