"""Why a job waits or is stopped: codes for decisions, and texts for users. A code is never parsed from a text."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class StopCause(StrEnum):
    """Why a placed attempt was stopped."""

    TERMINATE = "terminate"
    TIMEOUT = "timeout"
    HOST = "host"  # its instance is about to go, or that of one of its nodes is gone
    MAIN = "main"  # its main node has ended, and with it the job: the others are stopped


class ReasonCode(StrEnum):
    """What statusReason of a RUNNABLE job begins with when nothing can start it now (AWS Batch behaviour 4.7)."""

    ACTION_REQUIRED = "ACTION_REQUIRED"
    JOB_RESOURCE_REQUIREMENT = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"
    MAX_RESOURCE = "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE"
    INSUFFICIENT_CAPACITY = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"
    UNDETERMINED = "UNDETERMINED"

    @property
    def is_misconfiguration(self) -> bool:
        return self in (ReasonCode.JOB_RESOURCE_REQUIREMENT, ReasonCode.MAX_RESOURCE)


class Reason(Struct, frozen=True):
    """Why a job can not start. `text`: the whole statusReason, code included. `code`: None where an earlier version,
    which did not keep it, set the job aside."""

    code: ReasonCode | None
    text: str
