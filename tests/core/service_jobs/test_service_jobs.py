"""Service jobs in the machine: they wait, with the reason, until they are ended."""

from __future__ import annotations

from typing import Any

import pytest

from batchyard.core.machine import Machine
from batchyard.core.model import commands as c
from batchyard.core.model import service_commands as s
from batchyard.core.model.commands import Command
from batchyard.core.model.records import Status
from batchyard.core.model.refusal import Refused
from batchyard.core.model.service_records import NOT_HERE, SAGEMAKER_TRAINING, ServiceJob
from batchyard.core.service_jobs import service_jobs
from batchyard.core.state.world import Limits
from tests.core.driver import ACCOUNT, CATALOGUE, Driver

KEPT_MS = 60_000
LIMITS = ({"maxCapacity": 4, "capacityUnit": "NUM_INSTANCES"},)
ORDER = [{"order": 1, "serviceEnvironment": "training"}]
FAIR: dict[str, Any] = {"fairsharePolicy": {}}
QUOTA: dict[str, Any] = {"quotaSharePolicy": {"idleResourceAssignmentStrategy": "FIFO"}}


class Yard(Driver):
    """With a service environment, and on it the queues `training` (FIFO), `fair` and `quota`. Ended service jobs are
    kept for a minute."""

    def __init__(self) -> None:
        super().__init__()
        self.do(s.CreateServiceEnvironment("training", SAGEMAKER_TRAINING, "ENABLED", LIMITS, {}))
        self.service_queue("training")
        for name, policy in (("fair", FAIR), ("quota", QUOTA)):
            self.do(c.CreateSchedulingPolicy(name, policy))
            self.service_queue(name, schedulingPolicyArn=ACCOUNT.policy_arn(name))

    def new_machine(self) -> Machine:
        return Machine(ACCOUNT, Limits(service_jobs_kept_ms=KEPT_MS), CATALOGUE)

    def service_queue(self, name: str, **members: Any) -> None:
        document = {"jobQueueType": SAGEMAKER_TRAINING, "serviceEnvironmentOrder": ORDER, **members}
        self.do(c.CreateJobQueue(name, "ENABLED", 1, (), document))

    def service_job(self, job_id: str) -> ServiceJob:
        return service_jobs.find(self.machine.world, job_id)

    def service_ids(self) -> list[str]:
        return list(self.machine.world.services.jobs)


def submission(job_id: str = "job", queue: str = "training", **members: Any) -> s.SubmitServiceJob:
    return s.SubmitServiceJob(
        job_id, "train", queue, SAGEMAKER_TRAINING, {"serviceRequestPayload": "{}"}, {}, **members
    )


@pytest.fixture
def yard() -> Yard:
    return Yard()


def test_a_job_waits_and_says_why_also_after_a_restart(yard: Yard) -> None:
    yard.do(submission())
    yard.tick(10 * KEPT_MS)
    yard.crash()
    job = yard.service_job("job")
    assert (job.status, job.status_reason) == (Status.RUNNABLE, NOT_HERE)


def test_a_terminated_job_has_failed_and_stays_as_it_ended(yard: Yard) -> None:
    yard.do(submission())
    yard.do(s.TerminateServiceJob("job", "enough"))
    ended_at_ms = yard.now_ms
    yard.do(s.TerminateServiceJob("job", "again"))
    yard.do(s.TerminateServiceJob("unknown", "nothing"))
    job = yard.service_job("job")
    assert (job.status, job.status_reason, job.stopped_at_ms) == (Status.FAILED, "enough", ended_at_ms)


def test_ended_jobs_go_when_their_time_is_over(yard: Yard) -> None:
    for name in ("first", "second", "waiting"):
        yard.do(submission(name, client_token=name))
    yard.do(s.TerminateServiceJob("second", "enough"))
    yard.tick(1000)
    yard.do(s.TerminateServiceJob("first", "enough"))
    yard.crash()
    due_ms = yard.machine.next_deadline()
    assert due_ms is not None
    yard.tick(due_ms - yard.now_ms - 1)
    assert sorted(yard.service_ids()) == ["first", "second", "waiting"]
    yard.tick(1)
    assert sorted(yard.service_ids()) == ["first", "waiting"]
    yard.tick(KEPT_MS)
    yard.crash()
    assert yard.service_ids() == ["waiting"]
    yard.do(submission("new", client_token="first"))


def test_a_repeated_request_gets_the_first_answer_and_a_used_token_is_refused(yard: Yard) -> None:
    first = yard.do(submission("one", client_token="t", request_key="r"))
    yard.crash()
    assert yard.do(submission("two", client_token="t", request_key="r")) == first
    for request_key in ("", "other"):
        with pytest.raises(Refused, match="The clientToken t was used for the service job one"):
            yard.do(submission("two", client_token="t", request_key=request_key))
    assert yard.service_ids() == ["one"]


def test_there_are_only_so_many_jobs(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_jobs, "MAX_SERVICE_JOBS", 2)
    for name in ("a", "b"):
        yard.do(submission(name))
    with pytest.raises(Refused, match="There are 2 service jobs that have not ended"):
        yard.do(submission("c"))
    for name in ("b", "a"):
        yard.do(s.TerminateServiceJob(name, "enough"))
    yard.do(submission("c"))
    assert sorted(yard.service_ids()) == ["a", "c"], "the one that ended first made room"


def test_deleting_a_queue_ends_its_jobs(yard: Yard) -> None:
    yard.do(submission("here"))
    yard.do(submission("there", "fair", share_identifier="a"))
    yard.do(c.UpdateJobQueue("training", "DISABLED"))
    yard.do(c.DeleteJobQueue("training"))
    ended = yard.service_job("here")
    assert (ended.status, ended.status_reason) == (Status.FAILED, "JobQueue deleted")
    assert yard.service_job("there").status is Status.RUNNABLE
    assert "training" not in yard.machine.world.queues


def test_a_waiting_job_of_a_shared_queue_changes_its_priority(yard: Yard) -> None:
    yard.do(submission("job", "fair", share_identifier="a", scheduling_priority=3))
    yard.do(s.UpdateServiceJob("job", 9))
    yard.crash()
    assert yard.service_job("job").scheduling_priority == 9
    yard.do(s.TerminateServiceJob("job", "enough"))
    with pytest.raises(Refused, match="The service job job is FAILED"):
        yard.do(s.UpdateServiceJob("job", 1))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (submission(queue="none"), "JobQueue none not found"),
        (submission(queue="default"), "takes no service jobs"),
        (submission(share_identifier="a"), "can onlybe submitted"),
        (submission(scheduling_priority=1), "can onlybe submitted"),
        (submission(quota_share="a"), "queue with quota share scheduling policy"),
        (submission(queue="fair"), "shareIdentifier must be specified"),
        (submission(queue="fair", share_identifier="a", quota_share="a"), "queue with quota share"),
        (submission(queue="quota"), "quotaShareName must be specified"),
        (submission(queue="quota", share_identifier="a", quota_share="a"), "can onlybe submitted"),
        (submission(queue="quota", quota_share="a"), "does not exist"),
        (s.UpdateServiceJob("none", 1), "The service job none does not exist"),
    ],
)
def test_what_is_refused(yard: Yard, command: Command[Any], words: str) -> None:
    with pytest.raises(Refused, match=words):
        yard.do(command)
    assert yard.service_ids() == []


def test_a_fifo_queue_has_no_priorities(yard: Yard) -> None:
    yard.do(submission())
    with pytest.raises(Refused, match="can onlybe submitted"):
        yard.do(s.UpdateServiceJob("job", 1))


def test_a_disabled_queue_takes_no_jobs(yard: Yard) -> None:
    yard.do(c.UpdateJobQueue("training", "DISABLED"))
    with pytest.raises(Refused, match="JobQueue training is DISABLED; it must be ENABLED"):
        yard.do(submission())
