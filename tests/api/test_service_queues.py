"""Job queues of type SAGEMAKER_TRAINING: made, changed, described, deleted."""

from typing import Any

import pytest

from tests.api.service import Service, refusal_of
from tests.api.training import ARN, make_service_environment, make_service_queue, restart

ORDER = [{"order": 1, "serviceEnvironment": "training"}]
COMPUTE = [{"order": 1, "computeEnvironment": "local"}]
QUOTA = {"idleResourceAssignmentStrategy": "FIFO"}


@pytest.fixture
def training(service: Service) -> Service:
    """With the queue `training` on the service environment `training`."""
    make_service_queue(service)
    return service


def detail(service: Service, name: str = "training") -> dict[str, Any]:
    (found,) = service.batch.describe_job_queues(jobQueues=[name])["jobQueues"]
    return dict(found)


def test_a_queue_for_service_jobs_is_made_changed_and_deleted(training: Service) -> None:
    arn = ARN + "job-queue/training"
    assert detail(training) == {
        "jobQueueName": "training",
        "jobQueueArn": arn,
        "state": "ENABLED",
        "status": "VALID",
        "statusReason": "JobQueue Healthy",
        "priority": 1,
        "computeEnvironmentOrder": [],
        "serviceEnvironmentOrder": [{"order": 1, "serviceEnvironment": ARN + "service-environment/training"}],
        "jobQueueType": "SAGEMAKER_TRAINING",
        "jobStateTimeLimitActions": [],
        "tags": {},
    }
    make_service_environment(training, "other")
    order = [{"order": 5, "serviceEnvironment": ARN + "service-environment/other"}]
    training.batch.update_job_queue(jobQueue="training", serviceEnvironmentOrder=order, priority=7)
    assert (detail(training)["serviceEnvironmentOrder"], detail(training)["priority"]) == (order, 7)
    restart(training)
    training.batch.update_job_queue(jobQueue="training", state="DISABLED")
    assert detail(training)["serviceEnvironmentOrder"] == order
    training.batch.delete_job_queue(jobQueue="training")
    assert training.batch.describe_job_queues(jobQueues=["training"])["jobQueues"] == []
    training.batch.update_service_environment(serviceEnvironment="other", state="DISABLED")
    training.batch.delete_service_environment(serviceEnvironment="other")


def test_a_service_environment_in_a_queue_is_not_deleted(training: Service) -> None:
    training.batch.update_service_environment(serviceEnvironment="training", state="DISABLED")
    assert refusal_of(lambda: training.call("DeleteServiceEnvironment", {"serviceEnvironment": "training"})) == (
        "Cannot delete, found existing JobQueue relationship"
    )


def test_the_type_may_be_named_or_left_out(service: Service) -> None:
    make_service_queue(service, jobQueueType="SAGEMAKER_TRAINING")
    assert detail(service)["jobQueueType"] == "SAGEMAKER_TRAINING"


def test_time_limits_terminate(training: Service) -> None:
    action = {
        "reason": "MISCONFIGURATION:SERVICE_ENVIRONMENT_MAX_RESOURCE",
        "state": "RUNNABLE",
        "maxTimeSeconds": 600,
        "action": "TERMINATE",
    }
    training.batch.update_job_queue(jobQueue="training", jobStateTimeLimitActions=[action])
    assert detail(training)["jobStateTimeLimitActions"] == [action]
    for wrong, message in (
        ({"action": "CANCEL"}, "Invalid job action. Valid job actions: [TERMINATE]"),
        ({"reason": "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"}, "Invalid job reason"),
    ):
        request = {"jobQueue": "training", "jobStateTimeLimitActions": [action | wrong]}
        assert refusal_of(lambda: training.call("UpdateJobQueue", request)) == message  # noqa: B023


INCOMPATIBLE = "The jobQueueType provided is ECS, which is incompatible with the provided serviceEnvironmentOrder."
NOT_VALID = "Service environments must be created and valid before attaching them to a job queue."


@pytest.mark.parametrize(
    ("operation", "members", "message"),
    [
        ("CreateJobQueue", {"serviceEnvironmentOrder": ORDER, "jobQueueType": "ECS"}, INCOMPATIBLE),
        ("CreateJobQueue", {"serviceEnvironmentOrder": [ORDER[0] | {"serviceEnvironment": "nobody"}]}, NOT_VALID),
        ("CreateJobQueue", {"serviceEnvironmentOrder": ORDER, "computeEnvironmentOrder": COMPUTE},
         "Only one of computeEnvironmentOrder and serviceEnvironmentOrder can be provided."),
        ("UpdateJobQueue", {"jobQueue": "training", "computeEnvironmentOrder": COMPUTE},
         "Job queues of type SAGEMAKER_TRAINING must have serviceEnvironmentOrder."),
        ("UpdateJobQueue", {"jobQueue": "default", "serviceEnvironmentOrder": ORDER}, INCOMPATIBLE),
        ("UpdateJobQueue", {"jobQueue": "training", "serviceEnvironmentOrder": ORDER * 2},
         "Job queue can only have 1 service environment."),
        ("UpdateJobQueue",
         {"jobQueue": "training", "serviceEnvironmentOrder": [ORDER[0] | {"serviceEnvironment": "nobody"}]}, NOT_VALID),
        ("UpdateJobQueue", {"jobQueue": "training", "serviceEnvironmentOrder": []},
         "Job queues of type SAGEMAKER_TRAINING must have serviceEnvironmentOrder."),
    ],
)  # fmt: skip
def test_what_is_refused(operation: str, members: dict[str, Any], message: str, training: Service) -> None:
    request = members if operation == "UpdateJobQueue" else {"jobQueueName": "new", "priority": 1} | members
    assert refusal_of(lambda: training.call(operation, request)) == message


def test_an_empty_order_means_none_given_to_a_queue_of_other_jobs(service: Service) -> None:
    service.batch.update_job_queue(jobQueue="default", serviceEnvironmentOrder=[], priority=3)
    assert detail(service, "default")["priority"] == 3
    assert "serviceEnvironmentOrder" not in detail(service, "default")


def test_other_jobs_are_refused_there(training: Service) -> None:
    assert refusal_of(lambda: training.submit(jobQueue="training")) == (
        "JobQueue training is of type SAGEMAKER_TRAINING, which takes only service jobs: use SubmitServiceJob, or "
        "another job queue."
    )
    training.batch.update_job_queue(jobQueue="training", state="DISABLED")
    assert "takes only service jobs" in refusal_of(lambda: training.submit(jobQueue="training"))


def test_its_policy_shares_by_quota_or_fairly_and_stays_so(service: Service) -> None:
    for name in ("quota", "second"):
        service.batch.create_scheduling_policy(name=name, quotaSharePolicy=QUOTA)
    service.batch.create_scheduling_policy(name="fair")
    arn = ARN + "scheduling-policy/"
    make_service_queue(service, schedulingPolicyArn=arn + "quota")
    service.batch.update_job_queue(jobQueue="training", schedulingPolicyArn=arn + "second")
    assert detail(service)["schedulingPolicyArn"] == arn + "second"
    request = {"jobQueue": "training", "schedulingPolicyArn": arn + "fair"}
    assert refusal_of(lambda: service.call("UpdateJobQueue", request)) == (
        "JobQueue training has a quotaSharePolicy: its scheduling policy can be replaced only by one of that kind."
    )


def test_overviews_show_it(training: Service) -> None:
    found = training.call("ListQueues", {})["queues"]
    assert [queue["computeEnvironments"] for queue in found if queue["jobQueue"] == "training"] == [[]]
    snapshot = training.batch.get_job_queue_snapshot(jobQueue="training")
    assert snapshot["frontOfQueue"]["jobs"] == []
