"""What reports of engines make of an attempt: exit code, reason, times, and the end of one whose time is up."""

from __future__ import annotations

import pytest

from batchyard.core.jobs import attempts
from batchyard.core.model import reports
from batchyard.core.model.reasons import StopCause
from batchyard.core.model.records import (
    Attempt,
    ContainerLog,
    ContainerSpec,
    JobSpec,
    Placement,
    Status,
    TaskSpec,
)
from batchyard.core.model.reports import ContainerExit
from batchyard.core.model.resources import Resources
from tests.core.driver import Driver

PLACED = Attempt(1, "local", "process", (Placement("i-1"),))


def spec_of(*containers: tuple[str, bool]) -> JobSpec:
    """A job of these containers: name, and whether it is essential."""
    task = TaskSpec(
        (), (), Resources(), containers=tuple(ContainerSpec(n, (), (), Resources(), essential=e) for n, e in containers)
    )
    logs = tuple(ContainerLog(name, "group", "prefix") for name, _ in containers)
    return JobSpec(1, "id", "name", "queue", "work:1", task, {}, 0, container_logs=logs)


def test_a_plain_job_ends_as_its_container() -> None:
    one = ContainerExit(exit_code=3, peak_memory_mib=7, cpu_ms=9)
    ended = attempts.outcome(PLACED, spec_of(), [one])
    assert (ended.exit_code, ended.reason, ended.peak_memory_mib, ended.cpu_ms) == (3, "", 7, 9)
    killed = attempts.outcome(PLACED, spec_of(), [ContainerExit(exit_code=137, out_of_memory=True)])
    assert (killed.exit_code, killed.reason) == (137, reports.OUT_OF_MEMORY)


def test_a_long_reason_is_cut() -> None:
    ended = attempts.outcome(PLACED, spec_of(), [ContainerExit(exit_code=1, reason="x" * 1000)])
    assert ended.reason == "x" * attempts.REASON_CHARACTERS


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ({"main": (0, 5), "other": (0, 6)}, 0),
        ({"main": (0, 5), "other": (2, 6)}, 2),
        ({"main": (1, 5), "other": (2, 6)}, 1),
        ({"main": (1, 7), "other": (2, 6)}, 2),  # the first that failed
        ({"main": (0, 5), "other": (0, 6), "side": (9, 1)}, 0),  # not essential
    ],
)
def test_of_several_the_essential_one_that_failed_first_decides(
    codes: dict[str, tuple[int, int]], expected: int
) -> None:
    exits = [ContainerExit(name, code, stopped_at_ms=at) for name, (code, at) in codes.items()]
    ended = attempts.outcome(PLACED, spec_of(("main", True), ("other", True), ("side", False)), exits)
    assert ended.exit_code == expected
    assert [one.name for one in ended.containers] == list(codes)


def test_an_attempt_that_is_not_the_current_one_changes_nothing() -> None:
    driver = Driver()
    job = driver.submit()
    attempt_id = driver.attempt_of(job)
    assert attempts.current(driver.machine.world, attempt_id) is not None
    driver.exited(job)
    assert attempts.current(driver.machine.world, attempt_id) is None
    assert attempts.current(driver.machine.world, "no task id") is None
    before = driver.job(job)
    driver.report(reports.Exited(attempt_id, 1, 2, (ContainerExit(exit_code=1),)))
    assert driver.job(job) == before


def test_times_lie_between_the_placement_and_now() -> None:
    driver = Driver()
    job = driver.submit()
    placed_at_ms = driver.now_ms
    driver.report(reports.Started(driver.attempt_of(job), placed_at_ms - 5000))
    assert driver.job(job).started_at_ms == placed_at_ms
    driver.report(reports.Exited(driver.attempt_of(job), 1, driver.now_ms + 5000, (ContainerExit(exit_code=0),)))
    assert driver.job(job).stopped_at_ms == driver.now_ms


def test_an_attempt_is_asked_to_end_once_for_the_first_cause() -> None:
    driver = Driver()
    job = driver.submit(timeout={"attemptDurationSeconds": 60})
    driver.started(job)
    driver.tick(60_000)
    assert [stop.grace_seconds for stop in driver.stops] == [30.0]
    placed = driver.job(job).attempt
    assert placed is not None
    assert placed.stopping is StopCause.TIMEOUT
    attempts.stop(driver.machine.world, driver.machine.world.jobs[driver.job(job).key], StopCause.HOST)
    assert driver.machine.world.effects == []
    driver.exited(job, 0)
    assert (driver.status(job), driver.job(job).status_reason) == (Status.FAILED, attempts.TIMED_OUT)
