"""Quota shares: made, changed, described, listed, tagged, deleted; and service jobs in them."""

from typing import Any

import pytest

from tests.api.service import Service, refusal_of
from tests.api.training import ARN, INSTANCES, make_quota_queue, make_quota_share, restart

LIMITS = [{"maxCapacity": 2, "capacityUnit": "ml.g5.xlarge"}]


@pytest.fixture
def quota(service: Service) -> Service:
    """With the queue `quota`, which shares by quota."""
    make_quota_queue(service)
    return service


def described(service: Service, arn: str) -> dict[str, Any]:
    found = dict(service.batch.describe_quota_share(quotaShareArn=arn))
    del found["ResponseMetadata"]
    return found


def test_a_quota_share_is_made_changed_and_deleted(quota: Service) -> None:
    arn = make_quota_share(quota, jobQueue=ARN + "job-queue/quota", tags={"Team": "data"})
    assert arn == ARN + "job-queue/quota/quota-share/team"
    whole = {
        "quotaShareName": "team",
        "quotaShareArn": arn,
        "jobQueueArn": ARN + "job-queue/quota",
        "capacityLimits": LIMITS,
        "resourceSharingConfiguration": {"strategy": "LEND"},
        "preemptionConfiguration": {"inSharePreemption": "DISABLED"},
        "state": "ENABLED",
        "status": "VALID",
    }
    assert described(quota, arn) == whole | {"tags": {"Team": "data"}}
    assert quota.batch.list_quota_shares(jobQueue="quota")["quotaShares"] == [whole]
    more: dict[str, Any] = {
        "capacityLimits": [{"maxCapacity": 9, "capacityUnit": "ml.p5.48xlarge"}],
        "resourceSharingConfiguration": {"strategy": "LEND_AND_BORROW"},
        "preemptionConfiguration": {"inSharePreemption": "ENABLED"},
    }
    answer = quota.batch.update_quota_share(quotaShareArn=arn, **more)
    assert (answer["quotaShareName"], answer["quotaShareArn"]) == ("team", arn)
    more["resourceSharingConfiguration"] = {"strategy": "LEND_AND_BORROW", "borrowLimit": -1}
    restart(quota)
    assert described(quota, arn) == whole | more | {"tags": {"Team": "data"}}
    quota.batch.update_quota_share(quotaShareArn=arn, state="DISABLED")
    assert described(quota, arn) == whole | more | {"tags": {"Team": "data"}, "state": "DISABLED"}
    quota.batch.delete_quota_share(quotaShareArn=arn)
    assert quota.batch.list_quota_shares(jobQueue="quota")["quotaShares"] == []
    assert refusal_of(lambda: quota.call("DescribeQuotaShare", {"quotaShareArn": arn})) == (
        f"QuotaShare {arn} does not exist."
    )


def test_a_list_shows_the_shares_of_its_queue_alone(quota: Service) -> None:
    for queue in ("quota-2", "quot"):
        make_quota_queue(quota, queue)
        make_quota_share(quota, "theirs", queue)
    for name in ("b", "a"):
        make_quota_share(quota, name)
    found = quota.batch.list_quota_shares(jobQueue=ARN + "job-queue/quota")["quotaShares"]
    assert [share["quotaShareName"] for share in found] == ["a", "b"]


def test_tags_of_a_quota_share(quota: Service) -> None:
    arn = make_quota_share(quota, tags={"a": "1"})
    quota.batch.tag_resource(resourceArn=arn, tags={"b": "2"})
    quota.batch.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert quota.batch.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "2"}
    assert described(quota, arn)["tags"] == {"b": "2"}
    assert quota.batch.list_tags_for_resource(resourceArn=ARN + "job-queue/quota")["tags"] == {}
    unknown = ARN + "job-queue/quota/quota-share/nobody"
    assert refusal_of(lambda: quota.call("ListTagsForResource", {"resourceArn": unknown})) == (
        f"Resource {unknown} does not exist."
    )


def test_a_service_job_goes_into_a_quota_share(quota: Service) -> None:
    make_quota_share(quota)
    request = {"jobName": "train", "jobQueue": "quota", "serviceRequestPayload": "{}"}
    job = quota.batch.submit_service_job(**request, serviceJobType="SAGEMAKER_TRAINING", quotaShareName="team")
    assert quota.batch.describe_service_job(jobId=job["jobId"])["quotaShareName"] == "team"
    for value, expected in (("team", ["train"]), ("other", [])):
        filters = [{"name": "QUOTA_SHARE_NAME", "values": [value]}]
        found = quota.batch.list_service_jobs(jobQueue="quota", jobStatus="RUNNABLE", filters=filters)
        assert [one["jobName"] for one in found["jobSummaryList"]] == expected


def test_the_front_of_each_quota_share(quota: Service) -> None:
    for name in ("team", "other", "idle"):
        make_quota_share(quota, name)
    jobs = []
    for share, priority in (("team", 1), ("team", 5), ("other", 3)):
        quota.tick(10)
        request = {"jobName": "train", "jobQueue": "quota", "serviceRequestPayload": "{}"}
        more = {"quotaShareName": share, "schedulingPriority": priority}
        answer = quota.batch.submit_service_job(**request, **more, serviceJobType="SAGEMAKER_TRAINING")
        jobs.append({"jobArn": answer["jobArn"], "earliestTimeAtPosition": quota.now_ms})
    low, high, theirs = jobs
    found = quota.batch.get_job_queue_snapshot(jobQueue="quota")
    assert found["frontOfQueue"] == {"jobs": [high, theirs, low], "lastUpdatedAt": quota.now_ms}
    assert found["frontOfQuotaShares"]["quotaShares"] == {"team": [high], "other": [theirs]}
    assert found["queueUtilization"]["totalCapacityUsage"] == []


REQUEST: dict[str, Any] = {
    "quotaShareName": "team",
    "jobQueue": "quota",
    "capacityLimits": LIMITS,
    "resourceSharingConfiguration": {"strategy": "LEND"},
    "preemptionConfiguration": {"inSharePreemption": "DISABLED"},
}
NO_INSTANCES = (
    "NUM_INSTANCES is unknown capacity unit of a quota share, which has limits of instance types: ml.g5.xlarge."
)
NOBODY = ARN + "job-queue/quota/quota-share/nobody"


@pytest.mark.parametrize(
    ("operation", "request_", "message"),
    [
        ("CreateQuotaShare", REQUEST | {"quotaShareName": "a b"}, "Quota share name should match a valid pattern."),
        ("CreateQuotaShare", REQUEST | {"capacityLimits": []}, "Capacitylimits are required."),
        ("CreateQuotaShare", REQUEST | {"capacityLimits": INSTANCES}, NO_INSTANCES),
        ("UpdateQuotaShare", {"quotaShareArn": NOBODY, "capacityLimits": INSTANCES}, NO_INSTANCES),
        ("CreateQuotaShare", REQUEST | {"resourceSharingConfiguration": {"strategy": "GIVE"}},
         "resourceSharingConfiguration.strategy must be one of [RESERVE, LEND, LEND_AND_BORROW], got GIVE."),
        ("CreateQuotaShare", REQUEST | {"resourceSharingConfiguration": {"strategy": "LEND", "borrowLimit": 5}},
         "borrowLimit can only be used with the strategy LEND_AND_BORROW."),
        ("CreateQuotaShare",
         REQUEST | {"resourceSharingConfiguration": {"strategy": "LEND_AND_BORROW", "borrowLimit": -2}},
         "borrowLimit must be at least -1, got -2."),
        ("CreateQuotaShare", REQUEST | {"tags": {"aws:a": "b"}},
         "Tag key aws:a must not start with aws:: this prefix is reserved."),
        ("CreateQuotaShare", REQUEST | {"jobQueue": "nobody"}, "JobQueue nobody does not exist."),
        ("UpdateQuotaShare", {"quotaShareArn": NOBODY}, f"QuotaShare {NOBODY} does not exist."),
        ("UpdateQuotaShare", {"quotaShareArn": NOBODY, "capacityLimits": []}, "Capacitylimits are required."),
        ("UpdateQuotaShare", {"quotaShareArn": "team"}, "Only quota share Arn can be allowed, got 'team'."),
        ("DeleteQuotaShare", {"quotaShareArn": NOBODY}, f"QuotaShare {NOBODY} does not exist."),
        ("DescribeQuotaShare", {"quotaShareArn": ARN + "job-queue/quota"},
         f"Only quota share Arn can be allowed, got '{ARN}job-queue/quota'."),
        ("ListQuotaShares", {"jobQueue": "nobody"}, "Job queue nobody does not exist"),
    ],
)  # fmt: skip
def test_what_is_refused(operation: str, request_: dict[str, Any], message: str, quota: Service) -> None:
    assert refusal_of(lambda: quota.call(operation, request_)) == message
