"""What a queue does with jobs that have been stuck for too long (AWS Batch behaviour 4.5)."""

from __future__ import annotations

from typing import Any

from batchyard.core.model import commands as c
from batchyard.core.model import reports
from batchyard.core.model.records import EnvironmentOrder, Status
from tests.core.driver import Driver

CAPACITY = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"
TOO_LARGE = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"
LIMIT_MS = 600_000


def limited(driver: Driver, environment: str, reason: str) -> None:
    action = {"state": "RUNNABLE", "action": "CANCEL", "maxTimeSeconds": 600, "reason": reason}
    document: dict[str, Any] = {"jobStateTimeLimitActions": [action]}
    driver.do(c.CreateJobQueue("limited", "ENABLED", 1, (EnvironmentOrder(1, environment),), document))


def wide(vcpus: int) -> dict[str, Any]:
    return {"resourceRequirements": [{"type": "VCPU", "value": str(vcpus)}]}


def test_an_array_that_can_never_start_is_cancelled_as_a_whole() -> None:
    driver = Driver(vcpus=1)
    limited(driver, "local", TOO_LARGE)
    array = driver.submit(queue="limited", array_size=3, overrides=wide(8))
    driver.tick(LIMIT_MS)
    assert driver.status(array) is Status.FAILED
    assert driver.job(array).status_reason == f"Canceled by JobStateTimeLimit action due to reason: {TOO_LARGE}"


def test_only_the_child_that_is_the_head_is_cancelled() -> None:
    driver = Driver(vcpus=2, memory_mib=65536)
    driver.fleet("fleet", "c5.large")
    limited(driver, "fleet", CAPACITY)
    driver.submit()
    array = driver.submit(queue="limited", array_size=3)
    driver.tick(LIMIT_MS)
    assert driver.status(f"{array}:0") is Status.FAILED
    assert driver.status(f"{array}:1") is Status.RUNNABLE


def test_actions_stay_until_they_are_removed() -> None:
    driver = Driver(vcpus=1)
    limited(driver, "local", TOO_LARGE)
    stuck = driver.submit(queue="limited", overrides=wide(8))
    driver.tick(LIMIT_MS // 2)
    driver.do(c.UpdateJobQueue("limited", priority=7))
    driver.do(c.UpdateJobQueue("limited", document={"jobStateTimeLimitActions": []}))
    driver.tick(LIMIT_MS)
    assert driver.status(stuck) is Status.RUNNABLE


def test_the_clock_goes_on_over_a_restart() -> None:
    driver = Driver(vcpus=1)
    limited(driver, "local", TOO_LARGE)
    stuck = driver.submit(queue="limited", overrides=wide(8))
    driver.tick(LIMIT_MS - 1000)
    driver.crash()
    assert driver.status(stuck) is Status.RUNNABLE
    driver.tick(1000)
    assert driver.status(stuck) is Status.FAILED


def test_what_became_too_late_while_the_service_was_down_may_start_first() -> None:
    driver = Driver(vcpus=2)
    limited(driver, "local", "UNDETERMINED")
    running, waiting = driver.submit(queue="limited", overrides=wide(2)), driver.submit(queue="limited")
    behind = driver.submit(queue="limited", overrides=wide(2))
    driver.tick(61_000)
    assert driver.job(waiting).status_reason.startswith("UNDETERMINED")
    driver.now_ms += LIMIT_MS
    driver.machine = driver.new_machine()
    driver.machine.restore(driver.kept.snapshot())
    driver.machine.report("process", reports.Lost(driver.attempt_of(running), driver.now_ms, "gone"), driver.now_ms)
    driver._forget(driver.attempt_of(running))
    driver.set_host()
    assert driver.status(waiting) is Status.STARTING
    assert driver.status(behind) is Status.RUNNABLE


def test_the_time_of_another_reason_does_not_count() -> None:
    driver = Driver(vcpus=1)
    limited(driver, "local", TOO_LARGE)
    driver.do(c.UpdateComputeEnvironment("local", state="DISABLED"))
    stuck = driver.submit(queue="limited", overrides=wide(8))
    driver.tick(LIMIT_MS)
    driver.do(c.UpdateComputeEnvironment("local", state="ENABLED"))
    driver.tick(LIMIT_MS - 1000)
    assert driver.status(stuck) is Status.RUNNABLE
    driver.tick(1000)
    assert driver.status(stuck) is Status.FAILED
