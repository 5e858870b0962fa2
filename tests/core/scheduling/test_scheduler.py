"""One scheduling pass: who waits where, what a placement makes of a job, and what a pass leaves for the next."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from batchyard.core.model import commands as c
from batchyard.core.model.effects import LaunchTask
from batchyard.core.model.reasons import ReasonCode
from batchyard.core.model.records import Placement, Status
from batchyard.core.scheduling import scheduler
from batchyard.core.scheduling.scheduler import CONCURRENCY_LIMIT_TAG, NO_LIMIT
from tests.core.driver import ENGINE, HOST, Driver


def of(vcpus: int, **members: Any) -> dict[str, Any]:
    return {"overrides": {"resourceRequirements": [{"type": "VCPU", "value": str(vcpus)}]}, **members}


def test_what_fits_starts_in_order_and_a_pass_is_idempotent() -> None:
    driver = Driver(vcpus=4)
    jobs = [driver.submit(**of(2)) for _ in "abc"]
    assert [driver.status(job) for job in jobs] == [Status.STARTING, Status.STARTING, Status.RUNNABLE]
    launched = list(driver.ever_launched)
    driver.tick(0)
    assert driver.ever_launched == launched


def test_a_launch_says_who_and_where() -> None:
    driver = Driver(gpus=2)
    array = driver.submit(
        array_size=2,
        overrides={"resourceRequirements": [{"type": "GPU", "value": "1"}]},
    )
    launches = sorted(driver.launched.values(), key=lambda launch: launch.job_id)
    assert [launch.job_id for launch in launches] == [f"{array}:0", f"{array}:1"]
    assert [launch.device_ids for launch in launches] == [(0,), (1,)]
    second: LaunchTask = launches[1]
    assert (second.engine, second.attempt_node.instance_id, second.log_group) == (ENGINE, HOST, "/aws/batch/job")
    assert dict(second.environment) == {
        "AWS_BATCH_JOB_ID": f"{array}:1",
        "AWS_BATCH_JOB_ATTEMPT": "1",
        "AWS_BATCH_JQ_NAME": "default",
        "AWS_BATCH_CE_NAME": "local",
        "AWS_BATCH_JOB_ARRAY_INDEX": "1",
        "AWS_BATCH_JOB_ARRAY_SIZE": "2",
    }
    assert second.log_stream == f"work/default/{second.attempt_id}"


def test_a_placed_job_has_an_attempt_with_its_placement() -> None:
    driver = Driver()
    job = driver.job(driver.submit())
    assert job.attempt is not None
    assert (job.attempt.number, job.attempt.placements) == (1, (Placement(HOST),))
    assert job.attempt.placed_at_ms == driver.now_ms


def test_what_can_never_run_is_set_aside_and_comes_back_when_it_can() -> None:
    driver = Driver(vcpus=4)
    large = driver.submit(**of(8))
    world, key = driver.machine.world, driver.machine.world.jobs.by_id[large]
    since_ms = driver.now_ms
    assert (
        key in world.queues.stuck["default"],
        world.queues.stuck_since[key],
        key in world.queues.runnable_in("default"),
    ) == (
        True,
        since_ms,
        False,
    )
    driver.do(c.UpdateJobQueue("default", priority=5))
    assert world.queues.stuck_since[key] == since_ms, "looked at again, for the same code"
    driver.host = replace(driver.host, resources=driver.host.resources.plus(driver.host.resources))
    driver.set_host()
    assert driver.status(large) is Status.STARTING
    assert key not in world.queues.stuck_since


@pytest.mark.parametrize(("tag", "room"), [("3", 2), ("1", 0), ("0", 0), ("many", NO_LIMIT), ("", NO_LIMIT)])
def test_how_many_more_of_a_queue_may_run(tag: str, room: int) -> None:
    driver = Driver(vcpus=4)
    driver.submit()
    queue = replace(driver.machine.world.queues["default"], tags={CONCURRENCY_LIMIT_TAG: tag})
    assert scheduler.placeable_in(driver.machine.world, queue) == room


def test_what_the_environments_of_a_queue_offer() -> None:
    driver = Driver()
    world = driver.machine.world
    (offer,) = scheduler.offers_of(world, "default")
    assert (offer.environment, offer.engine, offer.instance_ids, offer.budget) == ("local", ENGINE, (HOST,), None)
    driver.do(c.UpdateComputeEnvironment("local", "DISABLED"))
    assert scheduler.offers_of(world, "default") == []


def test_nothing_starts_while_the_service_ends() -> None:
    driver = Driver()
    driver.do(c.TerminateAllRunning("down"))
    assert driver.status(driver.submit()) is Status.RUNNABLE


@pytest.mark.parametrize(
    ("code", "is_kept"),
    [
        (ReasonCode.JOB_RESOURCE_REQUIREMENT, True),
        (ReasonCode.ACTION_REQUIRED, False),
        (None, True),  # a row of an earlier version, which kept no code
    ],
)
def test_a_job_is_set_aside_since_its_code_is_what_it_is(code: ReasonCode | None, is_kept: bool) -> None:
    driver = Driver(vcpus=1)
    driver.submit(**of(2))
    world = driver.machine.world
    ((key, reason),) = world.queues.stuck["default"].items()
    assert (reason.code, world.jobs[key].set_aside_code) == (ReasonCode.JOB_RESOURCE_REQUIREMENT,) * 2
    assert reason.text == world.jobs[key].status_reason
    world.queues.stuck["default"][key], world.queues.stuck_since[key] = replace(reason, code=code), 1
    scheduler.enqueue(world, key)
    assert (world.queues.stuck_since[key] == 1) is is_kept
