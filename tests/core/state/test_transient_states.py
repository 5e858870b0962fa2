"""Environments and queues that take their time: CREATING, UPDATING, DELETING, and what is refused meanwhile (AWS Batch
behaviour 2.1, 2.2, 3.2, 4.4)."""

from __future__ import annotations

import pytest

from batchyard.core.machine import Machine
from batchyard.core.model import commands as c
from batchyard.core.model.records import EnvironmentOrder, Health, Status
from batchyard.core.model.refusal import Refused
from batchyard.core.questions.explanation import AskExplain
from batchyard.core.questions.overview import AskOverview
from batchyard.core.scheduling.wait_reasons import Wait
from batchyard.core.state.world import Limits
from tests.core.driver import ACCOUNT, CATALOGUE, ENGINE, Driver

SETTLE_MS = 5000
MODIFIED = "resource is being modified"


class Settling(Driver):
    """`local` and `default` are VALID, as those that the service makes."""

    def new_machine(self) -> Machine:
        return Machine(ACCOUNT, Limits(settle_seconds=SETTLE_MS / 1000), CATALOGUE)

    def create(self, name: str) -> None:
        self.do(c.CreateComputeEnvironment(name, f"uuid-{name}", "UNMANAGED", "ENABLED", ENGINE, {}))

    def status_of(self, environment: str = "local") -> Health:
        return Health(self.kept.environments[environment].status)

    def status_of_queue(self, queue: str = "default") -> Health:
        return Health(self.kept.queues[queue].status)


def test_what_is_made_is_creating_and_then_valid() -> None:
    yard = Settling()
    yard.create("other")
    assert yard.status_of("other") is Health.CREATING
    assert yard.kept.environments["other"].status_reason == "The compute environment is being created."
    order = (EnvironmentOrder(1, "other"),)
    with pytest.raises(
        Refused, match=r"must be created and valid before attaching them to a job queue \(other is not\)"
    ):
        yard.do(c.CreateJobQueue("other", "ENABLED", 1, order))
    with pytest.raises(Refused, match=rf"^Cannot update, {MODIFIED} \(the compute environment other is CREATING"):
        yard.do(c.UpdateComputeEnvironment("other", "DISABLED"))
    assert yard.machine.next_deadline() == yard.kept.environments["other"].settles_at_ms
    yard.tick(SETTLE_MS)
    record = yard.kept.environments["other"]
    assert (record.status, record.status_reason, record.settles_at_ms) == (
        Health.VALID,
        "ComputeEnvironment Healthy",
        0,
    )
    yard.do(c.CreateJobQueue("other", "ENABLED", 1, order))
    assert yard.status_of_queue("other") is Health.CREATING
    with pytest.raises(Refused, match="JobQueue other is not VALID: it is CREATING"):
        yard.submit(queue="other")
    yard.tick(SETTLE_MS)
    assert yard.kept.queues["other"].status_reason == "JobQueue Healthy"
    assert yard.status(yard.submit(queue="other")) is Status.STARTING


def test_what_is_changed_is_updating_and_can_neither_be_changed_nor_deleted_meanwhile() -> None:
    yard = Settling()
    yard.do(c.UpdateJobQueue("default", "DISABLED"))
    assert yard.status_of_queue() is Health.UPDATING
    with pytest.raises(Refused, match=rf"^Cannot delete, {MODIFIED}"):
        yard.do(c.DeleteJobQueue("default"))
    with pytest.raises(Refused, match=rf"^Cannot update, {MODIFIED}"):
        yard.do(c.UpdateJobQueue("default", priority=3))
    yard.tick(SETTLE_MS)
    yard.do(c.DeleteJobQueue("default"))
    assert yard.status_of_queue() is Health.DELETING
    yard.do(c.UpdateComputeEnvironment("local", "DISABLED"))
    yard.tick(SETTLE_MS - 1)
    assert yard.status_of() is Health.UPDATING
    assert "default" not in yard.kept.queues
    with pytest.raises(Refused, match=rf"^Cannot delete, {MODIFIED}"):
        yard.do(c.DeleteComputeEnvironment("local"))
    yard.do(c.DeleteComputeEnvironment("local"))
    with pytest.raises(Refused, match="Object already exists"):
        yard.create("local")
    yard.tick(SETTLE_MS)
    assert "local" not in yard.kept.environments
    yard.create("local")


def test_an_environment_in_a_queue_that_is_being_deleted_cannot_be_deleted() -> None:
    yard = Settling()
    yard.do(c.UpdateJobQueue("default", "DISABLED"))
    yard.do(c.UpdateComputeEnvironment("local", "DISABLED"))
    yard.tick(SETTLE_MS)
    yard.do(c.DeleteJobQueue("default"))
    with pytest.raises(Refused, match="Cannot delete, found existing JobQueue relationship"):
        yard.do(c.DeleteComputeEnvironment("local"))
    yard.tick(SETTLE_MS)
    yard.do(c.DeleteComputeEnvironment("local"))


def test_jobs_wait_for_an_environment_that_is_updating_and_say_so() -> None:
    yard = Settling()
    running = yard.submit()
    yard.do(c.UpdateComputeEnvironment("local", "ENABLED"))
    yard.exited(running)
    waiting = yard.submit()
    assert yard.status(waiting) is Status.RUNNABLE
    answer = yard.do(AskExplain(waiting))
    assert answer.wait == Wait.SETTLING
    assert answer.text == "It is next. It is UPDATING: nothing is placed there until it is VALID."
    (environment,) = yard.do(AskOverview()).environments
    assert environment.step.at_ms == environment.environment.settles_at_ms > yard.now_ms
    assert not yard.facts
    yard.tick(SETTLE_MS)
    assert yard.status(waiting) is Status.STARTING


def test_a_queue_that_is_updating_starts_jobs_and_takes_them() -> None:
    yard = Settling()
    yard.do(c.UpdateJobQueue("default", priority=5))
    assert yard.status(yard.submit()) is Status.STARTING


def test_a_new_fleet_launches_nothing_before_it_is_valid() -> None:
    yard = Settling(vcpus=8)
    resources = {"type": "EC2", "minvCpus": 2, "maxvCpus": 4, "instanceTypes": ["c5.large"]}
    document = {"computeResources": {**resources, "allocationStrategy": "BEST_FIT_PROGRESSIVE"}}
    yard.do(c.CreateComputeEnvironment("fleet", "u2", "MANAGED", "ENABLED", ENGINE, document))
    assert not yard.launching
    yard.tick(SETTLE_MS)
    assert len(yard.launching) == 1


@pytest.mark.parametrize("passed_ms", [0, SETTLE_MS - 10])
def test_a_server_that_dies_in_the_middle_takes_no_longer_for_it(passed_ms: int) -> None:
    yard = Settling()
    yard.create("other")
    yard.do(c.UpdateJobQueue("default", "DISABLED"))
    yard.tick(passed_ms)
    yard.crash()
    assert (yard.status_of("other"), yard.status_of_queue()) == (Health.CREATING, Health.UPDATING)
    yard.tick(SETTLE_MS - passed_ms)
    assert (yard.status_of("other"), yard.status_of_queue()) == (Health.VALID, Health.VALID)
    yard.do(c.DeleteJobQueue("default"))
    yard.crash()
    assert yard.status_of_queue() is Health.DELETING
    yard.tick(SETTLE_MS)
    assert "default" not in yard.kept.queues


def test_without_the_setting_changes_are_done_when_they_are_answered() -> None:
    yard = Driver()
    yard.do(c.CreateComputeEnvironment("other", "u2", "UNMANAGED", "ENABLED", ENGINE, {}))
    yard.do(c.UpdateComputeEnvironment("other", "DISABLED"))
    assert yard.kept.environments["other"].status is Health.VALID
    yard.do(c.DeleteComputeEnvironment("other"))
    assert "other" not in yard.kept.environments
    assert yard.machine.next_deadline() is None
