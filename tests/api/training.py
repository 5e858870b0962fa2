"""What tests of service jobs need: service environments, and a restart."""

from typing import Any

from batchyard.core.machine import Machine
from tests.api.service import ACCOUNT, Service

ARN = "arn:aws:batch:us-east-1:123456789012:"
INSTANCES = [{"maxCapacity": 4, "capacityUnit": "NUM_INSTANCES"}]


def make_service_environment(service: Service, name: str = "training", **members: Any) -> None:
    request = {
        "serviceEnvironmentName": name,
        "serviceEnvironmentType": "SAGEMAKER_TRAINING",
        "capacityLimits": INSTANCES,
    }
    service.batch.create_service_environment(**(request | members))


def restart(service: Service) -> None:
    """The machine anew, from what the store has."""
    machine = Machine(ACCOUNT)
    machine.restore(service.writer.load(service.now_ms))
    service.machine = machine


def make_service_queue(service: Service, name: str = "training", **members: Any) -> None:
    """A queue on a service environment of its name, both new."""
    make_service_environment(service, name)
    order = [{"order": 1, "serviceEnvironment": name}]
    service.batch.create_job_queue(
        **({"jobQueueName": name, "priority": 1, "serviceEnvironmentOrder": order} | members)
    )


def make_quota_queue(service: Service, name: str = "quota") -> None:
    """A queue with a quotaSharePolicy and a service environment, all new and of one name."""
    policy = {"idleResourceAssignmentStrategy": "FIFO"}
    made = service.batch.create_scheduling_policy(name=name, quotaSharePolicy=policy)
    make_service_queue(service, name, schedulingPolicyArn=made["arn"])


def make_quota_share(service: Service, name: str = "team", queue: str = "quota", **members: Any) -> str:
    """Returns its ARN."""
    request = {
        "quotaShareName": name,
        "jobQueue": queue,
        "capacityLimits": [{"maxCapacity": 2, "capacityUnit": "ml.g5.xlarge"}],
        "resourceSharingConfiguration": {"strategy": "LEND"},
        "preemptionConfiguration": {"inSharePreemption": "DISABLED"},
    }
    return str(service.batch.create_quota_share(**(request | members))["quotaShareArn"])
