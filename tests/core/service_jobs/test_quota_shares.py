"""Quota shares in the machine."""

from __future__ import annotations

from typing import Any

import pytest

from batchyard.core.model import commands as c
from batchyard.core.model import service_commands as s
from batchyard.core.model.commands import Command
from batchyard.core.model.records import State, Status
from batchyard.core.model.refusal import Refused
from batchyard.core.model.service_records import SAGEMAKER_TRAINING
from batchyard.core.service_jobs import quota_shares, service_jobs
from tests.core.driver import ACCOUNT, Driver

LIMITS = ({"maxCapacity": 4, "capacityUnit": "ml.g5.xlarge"},)
LEND, ALONE = {"strategy": "LEND"}, {"inSharePreemption": "DISABLED"}
SERVICE_QUEUE = {
    "jobQueueType": SAGEMAKER_TRAINING,
    "serviceEnvironmentOrder": [{"order": 1, "serviceEnvironment": "training"}],
}


def creation(name: str = "team", queue: str = "quota", state: str = "ENABLED") -> s.CreateQuotaShare:
    return s.CreateQuotaShare(name, queue, state, LIMITS, LEND, ALONE, {"a": "b"})


def submission(job_id: str, quota_share: str) -> s.SubmitServiceJob:
    return s.SubmitServiceJob(job_id, "train", "quota", SAGEMAKER_TRAINING, {}, {}, quota_share=quota_share)


@pytest.fixture
def driver() -> Driver:
    """With the queue `quota`, its quota share `team`, and the queue `training` without a policy."""
    driver = Driver()
    driver.do(s.CreateServiceEnvironment("training", SAGEMAKER_TRAINING, "ENABLED", LIMITS, {}))
    driver.do(c.CreateSchedulingPolicy("quota", {"quotaSharePolicy": {"idleResourceAssignmentStrategy": "FIFO"}}))
    policy = {"schedulingPolicyArn": ACCOUNT.policy_arn("quota")}
    driver.do(c.CreateJobQueue("quota", "ENABLED", 1, (), SERVICE_QUEUE | policy))
    driver.do(c.CreateJobQueue("training", "ENABLED", 1, (), SERVICE_QUEUE))
    driver.do(creation())
    return driver


def status_of(driver: Driver, job_id: str) -> tuple[Status, str]:
    job = service_jobs.find(driver.machine.world, job_id)
    return job.status, job.status_reason


def test_what_an_update_leaves_out_stays_also_after_a_restart(driver: Driver) -> None:
    reserve = {"strategy": "RESERVE"}
    driver.do(s.UpdateQuotaShare("quota/team", sharing=reserve))
    driver.do(s.UpdateQuotaShare("quota/team", "DISABLED"))
    driver.crash()
    share = quota_shares.find(driver.machine.world, "quota/team")
    assert (share.state, share.sharing, share.capacity_limits, share.preemption) == (
        State.DISABLED,
        reserve,
        LIMITS,
        ALONE,
    )
    assert share.tags == {"a": "b"}


def test_a_deleted_share_ends_its_jobs(driver: Driver) -> None:
    driver.do(creation("other"))
    for job_id, share in (("mine", "team"), ("theirs", "other")):
        driver.do(submission(job_id, share))
    driver.do(s.UpdateQuotaShare("quota/team", "DISABLED"))
    assert status_of(driver, "mine")[0] is Status.RUNNABLE
    driver.do(s.DeleteQuotaShare("quota/team"))
    assert status_of(driver, "mine") == (Status.FAILED, "QuotaShare deleted")
    assert status_of(driver, "theirs")[0] is Status.RUNNABLE
    driver.crash()
    assert list(driver.machine.world.services.shares) == ["quota/other"]


def test_shares_go_with_their_queue(driver: Driver) -> None:
    driver.do(c.UpdateJobQueue("quota", "DISABLED"))
    driver.do(c.DeleteJobQueue("quota"))
    driver.crash()
    assert driver.machine.world.services.shares == {}


def test_a_queue_has_only_so_many_shares(driver: Driver) -> None:
    for number in range(1, 20):
        driver.do(creation(f"share-{number}"))
    with pytest.raises(Refused, match="JobQueue quota has 20 quota shares already"):
        driver.do(creation("share-20"))


def test_a_disabled_share_takes_no_jobs(driver: Driver) -> None:
    driver.do(s.UpdateQuotaShare("quota/team", "DISABLED"))
    with pytest.raises(Refused, match="QuotaShare team of JobQueue quota is DISABLED"):
        driver.do(submission("job", "team"))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (creation(), "already exists"),
        (creation(queue="none"), "JobQueue none does not exist"),
        (creation(queue="training"), "has no quotaSharePolicy"),
        (creation(queue="default"), "has no quotaSharePolicy"),
        (s.UpdateQuotaShare("quota/none", "DISABLED"), "job-queue/quota/quota-share/none does not exist"),
        (s.DeleteQuotaShare("training/team"), "job-queue/training/quota-share/team does not exist"),
        (s.DeleteQuotaShare("quota/team"), "must be DISABLED first"),
    ],
)
def test_what_is_refused(driver: Driver, command: Command[Any], words: str) -> None:
    with pytest.raises(Refused, match=words):
        driver.do(command)
