"""A copy made while jobs come and go; a data directory made of it, which starts nothing that may have run."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchyard import failpoints
from tests.kill.traces import read_traces
from tests.kill.yard import Yard
from tests.server.running import command
from tests.waiting import until


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    (tmp_path / "first").mkdir()
    with Yard(tmp_path / "first") as yard:
        yard.register()
        yield yard


def test_a_restored_copy_knows_everything_and_starts_nothing_twice(yard: Yard, tmp_path: Path) -> None:
    gate = str(tmp_path / "gate")
    done = yard.submit("done")
    until(lambda: yard.status(done) == "SUCCEEDED")
    running, retried = yard.submit("running", nap=gate), yard.submit("retried", "0 0", nap=gate)
    blocked = yard.submit("blocked", after=running)
    array = yard.submit("array", size=3, nap=gate)
    until(lambda: all(yard.status(one) == "RUNNING" for one in (running, retried, f"{array}:2")))
    copy = tmp_path / "copy.db"
    made = command(tmp_path, "backup", str(copy), "--data-dir", str(yard.data_dir))
    assert made.returncode == 0, made.stderr
    assert [line.split()[1] for line in made.stdout.splitlines()] == [
        f"{copy},",
        f"{copy}.logs,",
        f"{copy}.metrics,",
    ]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    again = command(tmp_path, "backup", str(copy), "--data-dir", str(yard.data_dir))
    assert "is there already" in again.stderr
    Path(gate).touch()
    until(lambda: yard.status(array) == "SUCCEEDED")
    assert command(tmp_path, "down", "--kill", "--data-dir", str(yard.data_dir)).returncode == 0

    (tmp_path / "second").mkdir()
    second = Yard(tmp_path / "second")
    restored = command(tmp_path, "restore", str(copy), "--data-dir", str(second.data_dir))
    assert restored.returncode == 0, restored.stderr
    with second:
        assert second.status(done) == "SUCCEEDED"
        until(lambda: second.status(running) == "FAILED", 60, "no engine knows it")
        (job,) = second.describe([running])
        assert job["statusReason"].startswith("Host EC2"), job
        assert second.status(blocked) == "FAILED"
        until(lambda: second.status(retried) == "SUCCEEDED", 60, "its second attempt")
        until(lambda: second.status(array) == "FAILED")
        assert [trace.faults() for trace in read_traces(yard.traces).values() if trace.faults()] == []
        fresh = second.submit("fresh")
        until(lambda: second.status(fresh) == "SUCCEEDED")
        second.kill()
        second.check_store()


def test_an_attempt_that_was_only_placed_is_not_launched_from_a_copy(yard: Yard, tmp_path: Path) -> None:
    """The original goes on and runs it: the copy cannot know that."""
    yard.kill()
    yard.variables = {failpoints.VARIABLE: "before-launch[STARTING]=crash@1"}
    yard.start()
    yard.try_call("SubmitJob", yard.submission("placed"))
    yard.wait_for_death()
    copy = tmp_path / "copy.db"
    assert command(tmp_path, "backup", str(copy), "--data-dir", str(yard.data_dir)).returncode == 0
    (tmp_path / "second").mkdir()
    second = Yard(tmp_path / "second")
    assert command(tmp_path, "restore", str(copy), "--data-dir", str(second.data_dir)).returncode == 0

    def ended() -> list[dict[str, Any]]:
        return [job for job in second.call("ListJobs", anything)["jobSummaryList"] if job["status"] == "FAILED"]

    anything = {"jobQueue": "default", "filters": [{"name": "JOB_NAME", "values": ["placed"]}]}
    with second:
        (job,) = until(ended)
        assert job["statusReason"].startswith("Host EC2"), job
    assert read_traces(yard.traces) == {}
    yard.variables = {}
    yard.start()
    until(lambda: yard.status(job["jobId"]) == "SUCCEEDED")


def test_what_is_no_copy_is_not_restored(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("something")
    for source, code, sentence in (
        (other, 5, "is no copy made by `batchyard backup`"),
        (tmp_path / "none", 1, "There is no file"),
    ):
        done = command(tmp_path, "restore", str(source), "--data-dir", str(tmp_path / "data"))
        assert done.returncode == code
        assert sentence in done.stderr
    empty = command(tmp_path, "backup", str(tmp_path / "copy"), "--data-dir", str(tmp_path / "nothing"))
    assert "nothing was ever started there" in empty.stderr
    assert not (tmp_path / "copy").exists()
