"""The records of what AWS Batch has around SageMaker training: service environments (AWS Batch behaviour 2.7, 5.5)."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from batchyard.core.model.records import State

SAGEMAKER_TRAINING = "SAGEMAKER_TRAINING"  # the one ServiceEnvironmentType, ServiceJobType, and JobQueueType beside it


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
