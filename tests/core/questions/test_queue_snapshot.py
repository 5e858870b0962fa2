"""Who is at the front of a queue, and what its jobs use."""

from __future__ import annotations

import pytest

from batchyard.core.model import commands as c
from batchyard.core.model import service_commands as s
from batchyard.core.model.records import EnvironmentOrder
from batchyard.core.model.refusal import Refused
from batchyard.core.model.service_records import SAGEMAKER_TRAINING
from batchyard.core.questions import queue_snapshot
from batchyard.core.questions.queue_snapshot import AskQueueSnapshot, FrontJob
from tests.core.driver import ACCOUNT, Driver

FULL = {"overrides": {"resourceRequirements": [{"type": "VCPU", "value": "4"}]}}
TOO_LARGE = {"overrides": {"resourceRequirements": [{"type": "VCPU", "value": "5"}]}}


def test_the_front_is_in_the_order_of_starting_with_what_was_set_aside() -> None:
    driver = Driver(vcpus=4)
    driver.submit(**FULL)
    head, head_ms = driver.submit(), driver.now_ms
    misfit, misfit_ms = driver.submit(**TOO_LARGE), driver.now_ms
    array, array_ms = driver.submit(array_size=2), driver.now_ms
    found = queue_snapshot.snapshot(driver.machine.world, AskQueueSnapshot("default"))
    assert found.front == (
        FrontJob(head, head_ms),
        FrontJob(misfit, misfit_ms),
        FrontJob(f"{array}:0", array_ms),
        FrontJob(f"{array}:1", array_ms),
    )
    assert (found.used, found.used_by_share, found.active_shares, found.at_ms) == (4000, (), 0, driver.now_ms)


def test_the_front_has_an_end() -> None:
    driver = Driver(vcpus=4)
    driver.submit(**FULL)
    driver.submit(array_size=queue_snapshot.FRONT_JOBS + 1)
    found = queue_snapshot.snapshot(driver.machine.world, AskQueueSnapshot("default"))
    assert len(found.front) == queue_snapshot.FRONT_JOBS


def test_what_each_share_uses_the_largest_first() -> None:
    driver = Driver(vcpus=4)
    driver.do(c.CreateSchedulingPolicy("p", {"fairsharePolicy": {}}))
    document = {"schedulingPolicyArn": ACCOUNT.policy_arn("p")}
    driver.do(c.CreateJobQueue("fair", "ENABLED", 1, (EnvironmentOrder(1, "local"),), document))
    for share, count in (("a", 1), ("b", 2)):
        driver.submit(queue="fair", share_identifier=share, scheduling_priority=0, array_size=count if count > 1 else 0)
    driver.submit(queue="fair", share_identifier="waits", scheduling_priority=0, **FULL)
    found = queue_snapshot.snapshot(driver.machine.world, AskQueueSnapshot("fair"))
    assert (found.used, found.used_by_share, found.active_shares) == (3000, (("b", 2000), ("a", 1000)), 3)


def test_a_queue_that_there_is_not() -> None:
    with pytest.raises(Refused, match="JobQueue none not found"):
        queue_snapshot.snapshot(Driver().machine.world, AskQueueSnapshot("none"))


def test_the_front_of_a_queue_for_service_jobs() -> None:
    driver = Driver()
    limits = ({"maxCapacity": 4, "capacityUnit": "NUM_INSTANCES"},)
    driver.do(s.CreateServiceEnvironment("training", SAGEMAKER_TRAINING, "ENABLED", limits, {}))
    driver.do(c.CreateSchedulingPolicy("p", {"fairsharePolicy": {}}))
    document = {
        "jobQueueType": SAGEMAKER_TRAINING,
        "serviceEnvironmentOrder": [{"order": 1, "serviceEnvironment": "training"}],
        "schedulingPolicyArn": ACCOUNT.policy_arn("p"),
    }
    driver.do(c.CreateJobQueue("training", "ENABLED", 1, (), document))
    for job_id, priority in (("first", None), ("second", None), ("urgent", 7), ("ended", 9)):
        driver.do(
            s.SubmitServiceJob(
                job_id, "t", "training", SAGEMAKER_TRAINING, {}, {}, share_identifier="a", scheduling_priority=priority
            )
        )
    driver.do(s.TerminateServiceJob("ended", "enough"))
    found = queue_snapshot.snapshot(driver.machine.world, AskQueueSnapshot("training"))
    assert [job.job_id for job in found.front] == ["urgent", "first", "second"]
    assert (found.used, found.active_shares, found.takes_service_jobs, found.front_of_shares) == (0, 1, True, ())
