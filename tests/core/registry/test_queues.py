"""Job queues: who goes first where several share an environment, what a change leaves alone, what a disabled or deleted
one does to its jobs (AWS Batch behaviour 2.2, 4.1-4.4)."""

from __future__ import annotations

from typing import Any

import pytest

from batchyard.core.model import commands as c
from batchyard.core.model import service_commands as s
from batchyard.core.model.records import Dependency, EnvironmentOrder, Status
from batchyard.core.model.refusal import Refused
from batchyard.core.model.service_records import SAGEMAKER_TRAINING
from tests.core.driver import Driver


def test_of_queues_that_share_an_environment_the_higher_priority_goes_first() -> None:
    yard = Driver(vcpus=4)
    yard.queue("low", priority=1)
    yard.queue("high", priority=100)
    holder = yard.submit(overrides={"resourceRequirements": [{"type": "VCPU", "value": "4"}]})
    small = [yard.submit(queue="low") for _ in range(2)]
    large = yard.submit(queue="high", overrides={"resourceRequirements": [{"type": "VCPU", "value": "3"}]})
    yard.exited(holder)
    assert yard.status(large) is Status.STARTING, "it came last, and its queue goes first"
    assert [yard.status(job) for job in small] == [Status.STARTING, Status.RUNNABLE]


def test_an_update_leaves_alone_what_it_does_not_name() -> None:
    yard = Driver()
    action = {"state": "RUNNABLE", "action": "CANCEL", "maxTimeSeconds": 600, "reason": "CAPACITY:X"}
    document = {"jobStateTimeLimitActions": [action]}
    yard.queue("kept", priority=7, document=document, tags={"k": "v"})
    yard.do(c.UpdateJobQueue("kept", "DISABLED"))
    queue = yard.machine.world.queues["kept"]
    assert (queue.priority, queue.document, queue.tags) == (7, document, {"k": "v"})
    assert queue.environments == (EnvironmentOrder(1, "local"),)
    yard.do(c.UpdateJobQueue("kept", document={"jobStateTimeLimitActions": []}))
    assert yard.machine.world.queues["kept"].document == {"jobStateTimeLimitActions": []}


def test_a_disabled_queue_takes_no_jobs_and_those_in_it_go_on() -> None:
    yard = Driver(vcpus=1)
    running, waiting = yard.submit(), yard.submit()
    yard.started(running)
    yard.do(c.UpdateJobQueue("default", "DISABLED"))
    with pytest.raises(Refused, match="must be ENABLED"):
        yard.submit()
    yard.exited(running)
    assert yard.status(running) is Status.SUCCEEDED
    assert yard.status(waiting) is Status.STARTING


def test_a_deleted_queue_ends_arrays_and_what_depends_on_them_elsewhere() -> None:
    yard = Driver(vcpus=2)
    yard.queue("going")
    array = yard.submit(queue="going", array_size=5)
    sequence = yard.submit(queue="going", array_size=3, depends_on=[Dependency(type="SEQUENTIAL")])
    elsewhere = yard.submit(depends_on=[Dependency(array)])
    yard.started(f"{array}:0")
    yard.do(c.UpdateJobQueue("going", "DISABLED"))
    yard.do(c.DeleteJobQueue("going"))
    assert {yard.job(f"{array}:{index}").status_reason for index in (2, 3, 4)} == {"JobQueue deleted"}
    assert yard.status(sequence) is Status.FAILED
    for index in (0, 1):
        yard.exited(f"{array}:{index}", 143)
    assert yard.status(array) is Status.FAILED
    assert yard.job(elsewhere).status_reason == "Dependent Job failed"
    assert "going" not in yard.machine.world.queues
    yard.queue("going")
    again = yard.submit(queue="going")
    assert yard.status(again) is Status.STARTING, "the name is free again, and nothing of the old queue is left"


def test_environments_are_tried_in_their_order_whatever_order_they_were_named_in() -> None:
    yard = Driver(vcpus=16, memory_mib=65536)
    yard.fleet("first", kind="FARGATE", most=1)
    yard.fleet("second", kind="FARGATE", most=1)
    yard.fleet("third", kind="FARGATE", most=1)
    order = (EnvironmentOrder(30, "third"), EnvironmentOrder(1, "first"), EnvironmentOrder(2, "second"))
    yard.do(c.CreateJobQueue("three", "ENABLED", 1, order))
    yard.define("small", platformCapabilities=["FARGATE"])
    jobs = [yard.submit("small", queue="three") for _ in range(4)]
    places = [attempt.environment for job in jobs if (attempt := yard.job(job).attempt) is not None]
    assert places == ["first", "second", "third"]
    assert yard.status(jobs[3]) is Status.RUNNABLE


def test_a_queue_of_no_environments_can_run_no_job() -> None:
    driver = Driver()
    driver.do(c.CreateJobQueue("bare", "ENABLED", 1, ()))
    with pytest.raises(Refused, match="Compute Environment that can not run Jobs with capability EC2"):
        driver.submit(queue="bare")


# -- queues for service jobs --

SERVICE_ORDER = [{"order": 1, "serviceEnvironment": "training"}]
SERVICE_QUEUE = {"jobQueueType": SAGEMAKER_TRAINING, "serviceEnvironmentOrder": SERVICE_ORDER}


@pytest.fixture
def training() -> Driver:
    """With the queue and the service environment `training`."""
    driver = Driver()
    limits = ({"maxCapacity": 4, "capacityUnit": "NUM_INSTANCES"},)
    driver.do(s.CreateServiceEnvironment("training", SAGEMAKER_TRAINING, "ENABLED", limits, {}))
    driver.do(c.CreateJobQueue("training", "ENABLED", 1, (), SERVICE_QUEUE))
    return driver


def test_a_queue_for_service_jobs_holds_its_environment(training: Driver) -> None:
    training.do(s.UpdateServiceEnvironment("training", "DISABLED"))
    with pytest.raises(Refused, match="found existing JobQueue relationship"):
        training.do(s.DeleteServiceEnvironment("training"))
    training.do(c.UpdateJobQueue("training", "DISABLED"))
    training.do(c.DeleteJobQueue("training"))
    training.do(s.DeleteServiceEnvironment("training"))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (c.CreateJobQueue("new", "ENABLED", 1, (), SERVICE_QUEUE | {"serviceEnvironmentOrder": [
            {"order": 1, "serviceEnvironment": "none"}]}), "must be created and valid"),
        (c.UpdateJobQueue("training", environments=(EnvironmentOrder(1, "local"),)), "must have serviceEnv"),
        (c.UpdateJobQueue("default", document={"serviceEnvironmentOrder": SERVICE_ORDER}), "incompatible"),
    ],
)  # fmt: skip
def test_a_queue_keeps_its_kind(training: Driver, command: c.Command[Any], words: str) -> None:
    with pytest.raises(Refused, match=words):
        training.do(command)
