"""Describes as botocore parses them, held by golden files. UPDATE_GOLDEN=1 writes them anew: then read the diff."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchyard.api.batch.render import job_detail
from batchyard.core.model.records import Job, Status
from batchyard.store.queries import JobView
from tests.api.service import ROLE, Service, container

GOLDEN = Path(__file__).parent / "golden"

# The job definition of a training job as tutorials write it, with the whole of its body.
ML_TRAINING: dict[str, Any] = {
    "jobDefinitionName": "ml-training-job",
    "type": "container",
    "containerProperties": {
        "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/ml-training:v1.2.0",
        "vcpus": 4,
        "memory": 16384,
        "jobRoleArn": "arn:aws:iam::123456789012:role/BatchJobRole",
        "executionRoleArn": "arn:aws:iam::123456789012:role/ecsTaskExecutionRole",
        "command": ["python", "train.py", "--epochs", "50"],
        "environment": [{"name": "S3_INPUT_BUCKET", "value": "my-data-bucket"}],
        "secrets": [
            {
                "name": "DB_PASSWORD",
                "valueFrom": "arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/db-password",
            }
        ],
        "mountPoints": [{"containerPath": "/tmp/scratch", "readOnly": False, "sourceVolume": "scratch"}],
        "volumes": [{"name": "scratch", "host": {"sourcePath": "/tmp"}}],
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {"awslogs-group": "/aws/batch/ml-training", "awslogs-stream-prefix": "batch"},
        },
    },
    "retryStrategy": {
        "attempts": 3,
        "evaluateOnExit": [
            {"onStatusReason": "Host EC2 was terminated", "action": "RETRY"},
            {"onReason": "CannotPullContainerError*", "action": "RETRY"},
            {"onExitCode": "1", "action": "FAILED"},
        ],
    },
    "timeout": {"attemptDurationSeconds": 7200},
    "tags": {"Project": "ml-pipeline", "Team": "data-science"},
}
SPOT = {
    "type": "SPOT",
    "allocationStrategy": "SPOT_CAPACITY_OPTIMIZED",
    "minvCpus": 0,
    "maxvCpus": 2048,
    "instanceTypes": ["optimal"],
    "subnets": ["subnet-abc123"],
    "securityGroupIds": ["sg-xyz789"],
    "instanceRole": "arn:aws:iam::123456789012:instance-profile/ecsInstanceRole",
    "bidPercentage": 60,
    "tags": {"Project": "ml-pipeline"},
}


def environment_unmanaged(service: Service) -> Any:
    return service.batch.describe_compute_environments(computeEnvironments=["local"])


def environment_managed(service: Service) -> Any:
    service.batch.create_compute_environment(
        computeEnvironmentName="spot", type="MANAGED", computeResources=SPOT, tags={"Env": "prod"}
    )
    return service.batch.describe_compute_environments(computeEnvironments=["spot"])


def environment_changed(service: Service) -> Any:
    service.batch.update_compute_environment(computeEnvironment="local", state="DISABLED", serviceRole=ROLE + "2")
    return service.batch.describe_compute_environments()


def queue(service: Service) -> Any:
    service.batch.create_compute_environment(computeEnvironmentName="spot", type="MANAGED", computeResources=SPOT)
    service.batch.create_job_queue(
        jobQueueName="spilling",
        state="DISABLED",
        priority=7,
        computeEnvironmentOrder=[
            {"order": 5, "computeEnvironment": "local"},
            {"order": 2, "computeEnvironment": "arn:aws:batch:us-east-1:123456789012:compute-environment/spot"},
        ],
        jobStateTimeLimitActions=[
            {
                "reason": "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
                "state": "RUNNABLE",
                "maxTimeSeconds": 600,
                "action": "CANCEL",
            }
        ],
        tags={"Env": "prod"},
    )
    return service.batch.describe_job_queues()


def definition_training(service: Service) -> Any:
    service.batch.register_job_definition(**ML_TRAINING)
    return service.batch.describe_job_definitions(jobDefinitions=["ml-training-job:1"])


def definition_defaults(service: Service) -> Any:
    """What is echoed of the least that can be given."""
    service.batch.register_job_definition(
        jobDefinitionName="least",
        type="container",
        containerProperties={"image": "busybox", "vcpus": 1, "memory": 4},
        retryStrategy={"attempts": 2},
    )
    return service.batch.describe_job_definitions(jobDefinitionName="least", status="ACTIVE")


def definition_inactive(service: Service) -> Any:
    service.batch.deregister_job_definition(jobDefinition="sleeper:1")
    return service.batch.describe_job_definitions(jobDefinitionName="sleeper")


def job_submitted(service: Service) -> Any:
    """Only seen between a submission and its first evaluation, which share a commit: rendered from its record."""
    (view,) = service.reader.jobs([service.submit()])
    job = Job(view.job.key, Status.SUBMITTED, view.job.created_at_ms)
    return job_detail(JobView(view.spec, job, {}), service.context.account)


def job_pending(service: Service) -> Any:
    first = service.submit()
    return service.detail(service.submit(name="later", dependsOn=[{"jobId": first}]))


def job_runnable(service: Service) -> Any:
    """Too large for what is there: it says so."""
    override = {"resourceRequirements": [{"type": "VCPU", "value": "64"}]}
    return service.detail(service.submit(containerOverrides=override))


def job_starting(service: Service) -> Any:
    return service.detail(service.submit())


def job_running(service: Service) -> Any:
    """With everything a submission can say."""
    job_id = service.submit(
        containerOverrides={
            "command": ["echo", "Ref::who"],
            "environment": [{"name": "GREETING", "value": "hello"}],
            "resourceRequirements": [{"type": "GPU", "value": "1"}],
        },
        parameters={"who": "world"},
        retryStrategy={"attempts": 2, "evaluateOnExit": [{"onExitCode": "1*", "action": "retry"}]},
        timeout={"attemptDurationSeconds": 90},
        tags={"Team": "data"},
        propagateTags=True,
    )
    service.tick(50)
    service.start(job_id)
    return service.detail(job_id)


def job_succeeded(service: Service) -> Any:
    job_id = service.submit()
    service.start(job_id)
    service.end(job_id)
    return service.detail(job_id)


def job_failed(service: Service) -> Any:
    job_id = service.submit()
    service.start(job_id)
    service.end(job_id, 137, "OutOfMemoryError: Container killed due to memory usage")
    return service.detail(job_id)


def job_failed_to_start(service: Service) -> Any:
    job_id = service.submit()
    service.fail_to_start(job_id, "CannotStartContainerError: there is no program named sleepp")
    return service.detail(job_id)


def job_retried(service: Service) -> Any:
    """Two finished attempts and a third that runs."""
    job_id = service.submit(retryStrategy={"attempts": 3})
    service.fail_to_start(job_id, "CannotStartContainerError: not yet")
    service.start(job_id)
    service.end(job_id, 1)
    service.tick(10)
    service.start(job_id)
    return service.detail(job_id)


def job_retry_waiting(service: Service) -> Any:
    """Between two attempts: the container shows nothing of the last one."""
    job_id = service.submit(retryStrategy={"attempts": 2})
    service.start(job_id)
    service.batch.update_compute_environment(computeEnvironment="local", state="DISABLED")
    service.end(job_id, 3)
    return service.detail(job_id)


def job_cancelled(service: Service) -> Any:
    service.batch.update_compute_environment(computeEnvironment="local", state="DISABLED")
    job_id = service.submit()
    service.tick(5)
    service.batch.cancel_job(jobId=job_id, reason="not needed any more")
    return service.detail(job_id)


def job_terminated(service: Service) -> Any:
    job_id = service.submit()
    service.start(job_id)
    service.batch.terminate_job(jobId=job_id, reason="enough")
    service.end(job_id, 143)
    return service.detail(job_id)


def array_parent(service: Service) -> Any:
    job_id = service.submit(arrayProperties={"size": 6}, timeout={"attemptDurationSeconds": 90}, tags={"Team": "data"})
    service.tick(5)
    for index, exit_code in enumerate((0, 1)):
        service.start(f"{job_id}:{index}")
        service.end(f"{job_id}:{index}", exit_code)
    service.start(f"{job_id}:2")
    return service.detail(job_id)


def array_child(service: Service) -> Any:
    """The child that failed above."""
    return service.detail(array_parent(service)["jobId"] + ":1")


def array_virtual_child(service: Service) -> Any:
    """Four vCPUs run four children; the others have no row."""
    job_id = service.submit(arrayProperties={"size": 6}, tags={"Team": "data"})
    return service.detail(f"{job_id}:5")


def list_queue(service: Service) -> Any:
    first = service.submit()
    service.start(first)
    service.end(first, 2, "why")
    parent = service.submit(name="many", arrayProperties={"size": 2})
    service.batch.terminate_job(jobId=parent, reason="enough")
    return [service.batch.list_jobs(jobQueue="default", jobStatus=status) for status in ("FAILED", "PENDING")]


def list_children(service: Service) -> Any:
    parent = service.submit(arrayProperties={"size": 6})
    return [service.batch.list_jobs(arrayJobId=parent, jobStatus=status) for status in ("STARTING", "RUNNABLE")]


def _fair_queue(service: Service) -> None:
    service.batch.create_scheduling_policy(
        name="fair",
        fairsharePolicy={"shareDecaySeconds": 900, "shareDistribution": [{"shareIdentifier": "genomics*"}]},
        tags={"Env": "prod"},
    )
    service.batch.create_job_queue(
        jobQueueName="shared",
        priority=1,
        schedulingPolicyArn=service.context.account.policy_arn("fair"),
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "local"}],
    )


def policy(service: Service) -> Any:
    _fair_queue(service)
    return service.batch.describe_scheduling_policies(arns=[service.context.account.policy_arn("fair")])


def queue_fair(service: Service) -> Any:
    _fair_queue(service)
    return service.batch.describe_job_queues(jobQueues=["shared"])


def job_of_a_share(service: Service) -> Any:
    _fair_queue(service)
    job_id = service.submit(jobQueue="shared", shareIdentifier="genomics-7", schedulingPriorityOverride=42)
    service.start(job_id)
    return service.detail(job_id)


def list_share(service: Service) -> Any:
    job_of_a_share(service)
    by_share = [{"name": "SHARE_IDENTIFIER", "values": ["genomics-7"]}]
    return service.batch.list_jobs(jobQueue="shared", filters=by_share, jobStatus="RUNNING")


CASES: list[Callable[[Service], Any]] = [
    environment_unmanaged,
    environment_managed,
    environment_changed,
    queue,
    definition_training,
    definition_defaults,
    definition_inactive,
    job_submitted,
    job_pending,
    job_runnable,
    job_starting,
    job_running,
    job_succeeded,
    job_failed,
    job_failed_to_start,
    job_retried,
    job_retry_waiting,
    job_cancelled,
    job_terminated,
    array_parent,
    array_child,
    array_virtual_child,
    list_queue,
    list_children,
    policy,
    queue_fair,
    job_of_a_share,
    list_share,
]


def parsed(answer: Any) -> Any:
    """Without what botocore adds about the transport."""
    if isinstance(answer, list):
        return [parsed(one) for one in answer]
    return {member: value for member, value in answer.items() if member != "ResponseMetadata"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_describes_are_as_the_golden_files_say(case: Callable[[Service], Any], service: Service) -> None:
    path = GOLDEN / f"{case.__name__}.json"
    found = json.dumps(parsed(case(service)), indent=2, sort_keys=True) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(found)
    assert found == path.read_text()


def test_an_attempt_that_never_started_hides_when_the_one_before_did(service: Service) -> None:
    job_id = service.submit(retryStrategy={"attempts": 2})
    service.start(job_id)
    service.end(job_id, 1)
    service.fail_to_start(job_id, "CannotStartContainerError: no")
    detail = service.detail(job_id)
    assert (detail["status"], len(detail["attempts"])) == ("FAILED", 2)
    assert ["startedAt" in attempt for attempt in detail["attempts"]] == [True, False]
    assert "startedAt" not in detail, "the start of an earlier attempt is shown as that of the last"
    (summary,) = service.batch.list_jobs(jobQueue="default", jobStatus="FAILED")["jobSummaryList"]
    assert "startedAt" not in summary


def test_a_retry_that_is_starting_has_not_started(service: Service) -> None:
    job_id = service.submit(retryStrategy={"attempts": 2})
    service.start(job_id)
    service.end(job_id, 1)
    detail = service.detail(job_id)
    assert detail["status"] == "STARTING"
    assert "startedAt" not in detail


def test_every_golden_file_has_its_case() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == {case.__name__ for case in CASES}


def test_a_definition_comes_back_as_a_client_compares_it(service: Service) -> None:
    """Clients register a dict, describe, and look whether each of its members came back equal."""
    sent = container(environment=[], mountPoints=[], volumes=[], ulimits=[], privileged=False)
    service.batch.register_job_definition(jobDefinitionName="compared", type="container", containerProperties=sent)
    (found,) = service.batch.describe_job_definitions(jobDefinitionName="compared", status="ACTIVE")["jobDefinitions"]
    assert {member: found["containerProperties"][member] for member in sent} == sent
