"""What the environment does to a service: its disk fills up, its clock goes back, its files are cut short."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchyard.engines.base import log_path
from batchyard.engines.process import ProcessEngine
from batchyard.engines.supervisor.processes import read_row
from batchyard.server.admin.terminal import EXIT_DISK_FULL
from batchyard.server.settings.paths import paths_of
from tests.kill.traces import read_traces
from tests.kill.yard import RefusedError, Yard
from tests.server.running import command, environment
from tests.waiting import until

DISK_MIB = 64
MIN_FREE_MIB = 40
MIB = 1 << 20
DAY = 24 * 3600

# A wall clock that a file sets, for every Python program of the service.
CLOCK = """
import time
_real = time.time_ns
def _moved():
    with open({file!r}) as file:
        return _real() + int(file.read() or 0) * 10**9
time.time_ns = _moved
time.time = lambda: _moved() / 1e9
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "batchyard-test", str(place)],
        capture_output=True,
        text=True,
    )
    if made.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    with Yard(tmp_path) as yard:
        yard.register()
        yield yard


def free_bytes(place: Path) -> int:
    status = os.statvfs(place)
    return status.f_bavail * status.f_frsize


def fill(place: Path, left_bytes: int) -> None:
    """Writes until so much is left."""
    with (place / "filler").open("ab") as file:
        while (room := free_bytes(place) - left_bytes) > 0:
            try:
                file.write(b"\0" * min(room, MIB))
                file.flush()
            except OSError:
                return


def test_a_disk_that_fills_up(disk: Path, tmp_path: Path) -> None:
    home = disk / "home"
    home.mkdir()
    yard = Yard(home, "--min-free-mib", str(MIN_FREE_MIB))
    yard.traces = tmp_path / "traces"
    yard.traces.mkdir()
    gates = [tmp_path / "first", tmp_path / "second"]
    with yard:
        yard.register()
        first, second = (yard.submit(gate.name, nap=str(gate)) for gate in gates)
        waiting = yard.submit("waiting", after=second)
        until(lambda: yard.status(first) == yard.status(second) == "RUNNING")
        fill(disk, (MIN_FREE_MIB - 10) * MIB)
        status, answer = until(lambda: (r := yard.reply("SubmitJob", yard.submission("more")))[0] != 200 and r)
        assert status == 500
        assert b"takes no new jobs" in answer
        gates[0].touch()
        until(lambda: yard.status(first) == "SUCCEEDED", 60, "running jobs finish")
        assert yard.process.poll() is None, "it serves on"

        fill(disk, 0)
        gates[1].touch()
        until(lambda: yard.process.poll() is not None or write_something(yard), 30, "a commit that finds no room")
        assert yard.process.wait(60) == EXIT_DISK_FULL, yard.said()
        assert "No space is left" in yard.said()
        assert "Traceback" not in yard.said()

        (disk / "filler").unlink()
        yard.start()
        until(lambda: yard.status(second) == yard.status(waiting) == "SUCCEEDED", 60, "nothing is lost")
        assert yard.status(first) == "SUCCEEDED"
        assert [fault for trace in read_traces(yard.traces).values() for fault in trace.faults()] == []
        (job,) = yard.describe([second])
        assert [attempt["container"]["exitCode"] for attempt in job["attempts"]] == [0]


def write_something(yard: Yard) -> bool:
    """A commit. False: ask again."""
    yard.try_call("RegisterJobDefinition", big_definition())
    return False


def big_definition() -> dict[str, object]:
    container = {
        "image": "host",
        "command": ["true", "x" * 15_000],
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
    }
    return {"jobDefinitionName": "big", "type": "container", "containerProperties": container}


def test_a_directory_that_may_not_be_written(disk: Path, tmp_path: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for place in (disk, disk / "data"):
        done = command(tmp_path, "up", "--data-dir", str(place), "--port", "0")
        assert done.returncode == 1
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        assert str(place) in done.stderr


@pytest.fixture
def moved(tmp_path: Path) -> Iterator[tuple[Yard, Path]]:
    """A service, and the file that moves its clock by so many seconds."""
    offset = tmp_path / "offset"
    offset.write_text("0")
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock" / "sitecustomize.py").write_text(CLOCK.format(file=str(offset)))
    yard = Yard(tmp_path, "--finished-days", "1")
    yard.variables = {"PYTHONPATH": str(tmp_path / "clock")}
    with yard:
        yard.register()
        yield yard, offset


def test_a_clock_that_steps_back_an_hour(moved: tuple[Yard, Path]) -> None:
    yard, offset = moved
    gate = yard.directory / "gate"
    before = yard.submit("before", nap=str(gate))
    until(lambda: yard.status(before) == "RUNNING")
    offset.write_text("-3600")
    meanwhile = yard.submit("meanwhile")
    until(lambda: yard.status(meanwhile) == "SUCCEEDED")
    yard.kill()
    yard.start()
    after = yard.submit("after")
    gate.touch()
    until(lambda: yard.status(after) == yard.status(before) == "SUCCEEDED")
    jobs = yard.describe([before, meanwhile, after])
    created = [job["createdAt"] for job in jobs]
    assert created == sorted(created), "time never goes back"
    assert all(job["createdAt"] <= job["startedAt"] <= job["stoppedAt"] for job in jobs), jobs


def test_finished_jobs_go_when_their_time_is_over(moved: tuple[Yard, Path]) -> None:
    yard, offset = moved
    gate = yard.directory / "gate"
    single, retried, array = yard.submit("single"), yard.submit("retried", "1 0"), yard.submit("array", size=3)
    failed = yard.submit("failed", "1")
    running = yard.submit("running", nap=str(gate))
    blocked = yard.call("SubmitJob", yard.submission("b") | {"dependsOn": [{"jobId": single}, {"jobId": running}]})[
        "jobId"
    ]
    old = [single, retried, array, failed]
    until(lambda: all(job["status"] in ("SUCCEEDED", "FAILED") for job in yard.describe(old)))
    until(lambda: yard.status(running) == "RUNNING")
    tasks = [a["container"]["taskArn"].rpartition("/")[2] for job in yard.describe(old) for a in job["attempts"]]
    logs = yard.data_dir / "logs"
    for task in tasks:
        log_path(logs, task).parent.mkdir(exist_ok=True)
        log_path(logs, task).write_text("1\tx\n")
    yard.kill()
    yard.start()
    assert len(yard.describe(old)) == len(old), "not before their time"
    offset.write_text(str(2 * DAY))
    yard.kill()
    yard.start()
    until(lambda: not yard.describe([*old, f"{array}:1"]), 60, "they go")
    assert not [task for task in tasks if log_path(logs, task).exists()]
    listed = yard.call("ListJobs", {"jobQueue": "default", "filters": [{"name": "JOB_NAME", "values": ["*"]}]})
    assert {job["jobId"] for job in listed["jobSummaryList"]} == {running, blocked}
    with pytest.raises(RefusedError, match=single):
        yard.submit("late", after=single)
    yard.kill()
    yard.start()
    assert yard.status(blocked) == "PENDING", "a dependency that is gone had succeeded"
    gate.touch()
    until(lambda: yard.status(blocked) == "SUCCEEDED")
    yard.kill()
    yard.check_store()


def test_a_data_directory_that_was_removed_while_a_job_ran(yard: Yard) -> None:
    """The next service there has a supervisor of its own at once; the old one leaves with its last job."""
    gate = yard.directory / "gate"
    running = yard.submit("running", nap=str(gate))
    until(lambda: yard.status(running) == "RUNNING")
    yard.kill()
    old = yard.supervisor_pid()
    shutil.rmtree(yard.data_dir)
    yard.start()
    yard.register()
    done = yard.submit("done")
    until(lambda: yard.status(done) == "SUCCEEDED")
    assert yard.supervisor_pid() not in (0, old)
    gate.touch()
    until(lambda: (row := read_row(old)) is None or row.is_dead, 60, "the old supervisor's end")
    (trace,) = [trace for trace in read_traces(yard.traces).values() if trace.job_id == running]
    assert trace.code == 0


def test_a_server_whose_supervisor_serves_another_ends_with_the_story(yard: Yard) -> None:
    paths = paths_of(yard.data_dir, yard.data_dir / "work", environment(yard.directory))

    async def take_over() -> None:
        engine = ProcessEngine(paths.runtime_dir, paths.state_dir, paths.logs_dir, paths.work_dir)
        await engine.start(1000, lambda reports: None)
        await asyncio.to_thread(until, lambda: yard.process.poll() is not None, 20)
        await engine.close(kill=True)

    asyncio.run(take_over())
    assert yard.process.returncode == 1
    assert "The process engine is gone: the supervisor serves a server of epoch 1000" in yard.said()
    assert "Traceback" not in yard.said()


def test_a_torn_journal_and_a_cut_log(yard: Yard) -> None:
    """Server and supervisor die; what lies on the disk is damaged before the next ones start."""
    gate = yard.directory / "gate"
    done = yard.submit("done")
    until(lambda: yard.status(done) == "SUCCEEDED")
    running = yard.submit("running", "0 0", nap=str(gate))
    until(lambda: yard.status(running) == "RUNNING")
    task = yard.describe([done])[0]["container"]["taskArn"].rpartition("/")[2]
    log = log_path(yard.data_dir / "logs", task)
    log.parent.mkdir(exist_ok=True)
    log.write_bytes(b"1000\tone\n2000\ttwo and a ha")  # cut in the middle of a line
    yard.kill()
    yard.kill_supervisor()
    with (yard.data_dir / "engine" / "journal").open("ab") as journal:
        journal.write(b"\x07\x00\x00torn")
    yard.start()
    until(lambda: yard.status(running) == "RUNNING", 60, "found by the supervisor that took over")
    gate.touch()
    until(lambda: yard.status(running) == "SUCCEEDED")
    assert [fault for trace in read_traces(yard.traces).values() for fault in trace.faults()] == []
    shown = command(yard.directory, "logs", done, "--url", yard.address)
    assert shown.returncode == 0, shown.stderr
    assert "one" in shown.stdout
    assert "Traceback" not in yard.said()
