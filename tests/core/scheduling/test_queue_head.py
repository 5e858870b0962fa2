"""The head of a queue: since when it is, its code and reason, what is reported of it, and when it is cancelled."""

from __future__ import annotations

from batchyard.core.model import commands as c
from batchyard.core.model.reasons import ReasonCode
from batchyard.core.model.records import Status
from batchyard.core.scheduling import queue_head
from tests.core.driver import Driver

BLOCKED_MS = 60_000
LIMIT = {
    "jobStateTimeLimitActions": [
        {"state": "RUNNABLE", "action": "CANCEL", "maxTimeSeconds": 600, "reason": ReasonCode.UNDETERMINED},
    ]
}
ALL = {"overrides": {"resourceRequirements": [{"type": "VCPU", "value": "4"}]}}


def waiting() -> tuple[Driver, str]:
    """A job that finds no room, from now on."""
    driver = Driver(vcpus=4)
    driver.started(driver.submit(**ALL))
    return driver, driver.submit()


def test_the_first_job_without_room_is_the_head_until_it_starts() -> None:
    driver, head = waiting()
    world = driver.machine.world
    found = world.queues.heads["default"]
    assert (found.key, found.index, found.since_ms, found.code) == (world.jobs.by_id[head], None, driver.now_ms, "")
    driver.submit()
    assert world.queues.heads["default"] == found, "others come behind it"
    driver.exited(driver.placed()[0])
    assert "default" not in world.queues.heads


def test_after_a_minute_it_is_blocked_and_reported_once() -> None:
    driver, head = waiting()
    driver.tick(BLOCKED_MS - 1)
    assert driver.job(head).status_reason == ""
    driver.tick(1)
    assert driver.machine.world.queues.heads["default"].code == ReasonCode.UNDETERMINED
    reason = driver.job(head).status_reason
    assert reason.startswith(f"{ReasonCode.UNDETERMINED} - Batch job is blocked")
    assert [(fact.queue, fact.job_id, fact.reason) for fact in driver.facts] == [("default", head, reason)]
    driver.tick(BLOCKED_MS)
    assert len(driver.facts) == 1
    driver.do(c.CancelJob(head, "no"))
    assert "default" not in driver.machine.world.queues.heads


def test_when_to_look_again() -> None:
    driver, _ = waiting()
    world = driver.machine.world
    since_ms = world.queues.heads["default"].since_ms
    world.now_ms = since_ms
    assert queue_head.due(world) == since_ms + world.limits.head_kept_after_ms
    world.now_ms = since_ms + world.limits.head_kept_after_ms
    assert queue_head.due(world) == since_ms + BLOCKED_MS
    world.now_ms = since_ms + BLOCKED_MS
    assert queue_head.due(world) is None


def test_the_time_limits_of_a_queue() -> None:
    driver, head = waiting()
    driver.do(c.UpdateJobQueue("default", document=LIMIT))
    world = driver.machine.world
    assert queue_head.limits_of(world.queues["default"]) == [(600_000, ReasonCode.UNDETERMINED)]
    assert queue_head.stuck_for(world, "default", ReasonCode.UNDETERMINED) == []
    driver.tick(BLOCKED_MS)
    stuck_since_ms = driver.now_ms
    assert queue_head.stuck_for(world, "default", ReasonCode.UNDETERMINED) == [(head, stuck_since_ms)]
    driver.tick(600_000 - 1)
    assert driver.status(head) is Status.RUNNABLE
    driver.tick(1)
    assert driver.status(head) is Status.FAILED


def test_a_head_that_stood_for_a_while_is_so_after_a_restart() -> None:
    driver, _ = waiting()
    before = driver.machine.world.queues.heads["default"]
    driver.tick(10_000)
    driver.crash()
    assert driver.machine.world.queues.heads["default"].since_ms == before.since_ms


def test_a_misfit_is_reported_for_its_code_and_blocks_nobody() -> None:
    driver = Driver(vcpus=4)
    misfit = driver.submit(overrides={"resourceRequirements": [{"type": "VCPU", "value": "5"}]})
    assert [fact.job_id for fact in driver.facts] == [misfit]
    assert driver.facts[0].reason.startswith("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT")
    assert "default" not in driver.machine.world.queues.heads
    driver.crash()
    assert len(driver.facts) == 1, "also over a restart"


def test_what_is_reported_while_nothing_starts_is_counted_over_a_restart() -> None:
    driver = Driver(vcpus=4)
    driver.do(c.TerminateAllRunning("down"))
    driver.submit(overrides={"resourceRequirements": [{"type": "VCPU", "value": "5"}]})
    reported = driver.machine.world.queues.reported_blocked["default"]
    assert reported.count == len(driver.facts) == 1
    driver.crash()
    assert driver.machine.world.queues.reported_blocked["default"] == reported
