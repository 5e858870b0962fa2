"""The records of AWS Batch's resources for SageMaker training: service environments, service jobs and quota shares
(AWS Batch behaviour 2.7, 5.5)."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from batchyard.core.model.records import State, Status

SAGEMAKER_TRAINING = "SAGEMAKER_TRAINING"  # the one ServiceEnvironmentType, ServiceJobType, and JobQueueType beside it


NOT_HERE = (
    "Nothing here can run this job: this service has no SageMaker. End it with TerminateServiceJob, and submit it to "
    "AWS, or run the training as a container with SubmitJob."
)


def takes_service_jobs(queue: dict[str, Any]) -> bool:
    """Whether the queue of this document is for service jobs, and so takes no others."""
    return bool(queue.get("jobQueueType") == SAGEMAKER_TRAINING)


class ServiceEnvironment(Struct, frozen=True):
    """A service environment. `capacity_limits`: as sent, each with its maxCapacity and capacityUnit."""

    name: str
    type: str
    state: State
    capacity_limits: tuple[dict[str, Any], ...]
    tags: dict[str, str]
    created_at_ms: int


class ServiceJob(Struct, frozen=True):
    """A service job. It is RUNNABLE until it is ended, since nothing here can run it. Named by its id.

    `document`: serviceRequestPayload, retryStrategy, timeoutConfig and preemptionConfiguration, as sent.
    `request_key`: the same for every attempt of an SDK at one request; empty: not known."""

    job_id: str
    name: str
    queue: str
    type: str
    document: dict[str, Any]
    tags: dict[str, str]
    created_at_ms: int
    share_identifier: str = ""
    quota_share: str = ""  # name
    scheduling_priority: int | None = None
    client_token: str = ""
    request_key: str = ""
    stopped_at_ms: int = 0  # 0: it has not ended
    end_reason: str = ""

    @property
    def status(self) -> Status:
        return Status.FAILED if self.stopped_at_ms else Status.RUNNABLE

    @property
    def status_reason(self) -> str:
        return self.end_reason if self.stopped_at_ms else NOT_HERE


class QuotaShare(Struct, frozen=True):
    """A part of the capacity of a queue for service jobs. `capacity_limits`: as a service environment's. `sharing` and
    `preemption`: resourceSharingConfiguration and preemptionConfiguration, as sent."""

    name: str
    queue: str
    state: State
    capacity_limits: tuple[dict[str, Any], ...]
    sharing: dict[str, Any]
    preemption: dict[str, Any]
    tags: dict[str, str]
    created_at_ms: int

    @property
    def path(self) -> str:
        return quota_share_path(self.queue, self.name)


def quota_share_path(queue: str, name: str) -> str:
    """Returns the name of a quota share among those of all queues."""
    return f"{queue}/{name}"
