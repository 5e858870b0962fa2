"""A data directory of an earlier version, with jobs in every state, opens with today's code and goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batchyard.engines.supervisor.processes import start_ticks
from tests.kill.traces import Trace, read_traces
from tests.kill.yard import Yard
from tests.server.running import START_SECONDS, environment
from tests.upgrade.answers import differences, everything
from tests.upgrade.earlier import COMMIT, FOLDER, WHEEL, Work, digest, unpack, upgrade
from tests.waiting import until

WHEEL_BYTES = 1024 * 1024  # what the repository keeps for it
END_SECONDS = 120.0
# A job that ignores its stop does so until the gate opens; the last job needs the room of the cloud's instance.
# Heads of queues are called blocked after a while, and say so: later than any test of these takes.
FLAGS = ("--stop-grace-seconds", "600", "--scale-down-seconds", "1", "--blocked-seconds", "3600")
RUNNING = ["running", "retried", "partly:2", "in-order:0", "stopped", "cloud-one", "cloud-two", "red-runs"]
ENDED = ["done", "failed", "twice", *(f"array:{index}" for index in range(4)), "partly:0", "partly:1"]


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(tmp_path_factory.mktemp("earlier"))


@pytest.fixture
def work(tmp_path: Path, earlier: Path) -> Iterator[Work]:
    """An earlier version's server, and its jobs in the states that they keep until the gate opens."""
    yard = Yard(tmp_path, *FLAGS)
    yard.variables["PYTHONPATH"] = str(earlier)
    with yard:
        work = Work(yard)
        try:
            work.prepare()
            work.submit_all()
            yield work
        finally:
            work.gate.touch()


def end_gracefully(yard: Yard) -> None:
    yard.process.send_signal(signal.SIGTERM)
    assert yard.process.wait(START_SECONDS) == 0, yard.said()[-3000:]


def kill(yard: Yard) -> None:
    yard.kill()


def test_the_wheel_is_the_one_that_the_readme_describes() -> None:
    assert digest() in (FOLDER / "README.md").read_text()
    assert COMMIT in (FOLDER / "README.md").read_text()
    assert WHEEL.stat().st_size <= WHEEL_BYTES


def test_the_earlier_server_runs_its_own_code(tmp_path: Path, earlier: Path) -> None:
    """Else the tests below would compare today's code with itself."""
    program = "import batchyard.engines.supervisor.protocol as one; print(one.__file__)"
    found = subprocess.run(
        [sys.executable, "-P", "-c", program],
        env=environment(tmp_path) | {"PYTHONPATH": str(earlier)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(found.stdout).is_relative_to(earlier)


@pytest.mark.parametrize("end", [end_gracefully, kill])
def test_todays_server_takes_over_what_an_earlier_one_left(work: Work, end: Callable[[Yard], None]) -> None:
    yard = work.yard
    before, supervisor = everything(work), yard.supervisor_pid()
    tasks = {name: _task(work, name) for name in RUNNING}
    assert all(tasks.values()), tasks
    end(yard)
    upgrade(yard)
    after = everything(work)
    _check_same(before, after)
    assert work.repeat_submission() == before["DescribeJobs repeated"]["jobId"], "one invocation, one job"
    assert yard.supervisor_pid() == supervisor, "both speak one protocol: the running supervisor serves on"
    assert {name: _task(work, name) for name in RUNNING} == tasks, "nothing that ran was ended or begun again"

    work.gate.touch()
    _await_ends(work)
    statuses = {name: work.describe(name)["status"] for name in work.ids}
    failed = {"failed", "cancelled", "stopped"}
    assert statuses == {name: "FAILED" if name in failed else "SUCCEEDED" for name in work.ids}
    reasons = [work.describe(name)["statusReason"] for name in ("stopped", "cancelled")]
    assert reasons == ["no longer wanted", "not wanted"]
    assert [each["container"]["exitCode"] for each in work.describe("retried")["attempts"]] == [7, 0]
    later = {name: work.describe(name) for name in ENDED}
    assert later == {name: before[f"DescribeJobs {name}"] for name in ENDED}, "what had ended is what it was"
    _check_runs(work)
    yard.kill()
    yard.start()  # checks every invariant of what is stored (--check-on-start)
    assert {name: work.describe(name)["status"] for name in work.ids} == statuses


def test_a_new_supervisor_reads_the_journal_of_an_earlier_one(work: Work) -> None:
    """Server and supervisor die together; what runs is found again, ends, and is begun no second time."""
    yard = work.yard
    before = everything(work)
    tasks = {name: _task(work, name) for name in RUNNING}
    yard.kill()
    assert yard.kill_supervisor()
    upgrade(yard)
    assert {name: _task(work, name) for name in RUNNING} == tasks
    after = everything(work)
    _check_same(before, after)
    work.gate.touch()
    _await_ends(work)
    assert [trace.faults() for trace in read_traces(yard.traces).values() if trace.faults()] == []


def _task(work: Work, name: str) -> tuple[int, int] | None:
    """Pid and start of the process that runs the job; None: none does."""
    wanted = work.id_of(name)
    lives = [one for one in read_traces(work.yard.traces).values() if one.job_id == wanted and one.code is None]
    if len(lives) != 1 or not lives[0].pid:
        return None
    ticks = start_ticks(lives[0].pid)
    return (lives[0].pid, ticks) if ticks else None


def _check_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    found = [*differences(before, after)]
    assert not found, "\n".join([f"Today's code describes what commit {COMMIT} left otherwise than that did:", *found])


def _await_ends(work: Work) -> None:
    def open_jobs() -> list[tuple[str, str]]:
        found = [(name, work.describe(name)["status"]) for name in work.ids]
        return [(name, status) for name, status in found if status not in ("SUCCEEDED", "FAILED")]

    until(lambda: not open_jobs(), END_SECONDS, lambda: f"the ends of {open_jobs()}")


def _check_runs(work: Work) -> None:
    """Every attempt ran once, and every job as often as it should."""
    traces = read_traces(work.yard.traces)
    assert [trace.faults() for trace in traces.values() if trace.faults()] == []
    runs: dict[str, list[Trace]] = {}
    for trace in traces.values():
        runs.setdefault(trace.job_id, []).append(trace)
    children = [
        f"{name}:{index}" for name, size in (("partly", 3), ("in-order", 3), ("array", 4)) for index in range(size)
    ]
    singles = [name for name in work.ids if name not in ("partly", "in-order", "array", "cancelled")]
    codes = {name: [trace.code for trace in runs[work.id_of(name)]] for name in [*singles, *children]}
    expected = {"retried": [7, 0], "twice": [7, 0], "failed": [3]}
    assert codes == {name: expected.get(name, [0]) for name in codes}
    assert work.ids["cancelled"] not in runs
