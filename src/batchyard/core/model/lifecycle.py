"""The one table of job states, and the only line that assigns a job's status (AWS Batch behaviour 7.1)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec.structs import replace

from batchyard.core.model.records import Job, Status


class Cause(StrEnum):
    """Why a job changes state. Each is one arrow, or several with one meaning, of the table."""

    WAITS = "it has unfinished dependencies"
    READY = "its dependencies succeeded"
    SPAWNED = "its children are ready to run"
    PLACED = "an instance has room for it"
    STARTED = "its task runs"
    RETRIED = "its attempt failed and another is left"
    SUCCEEDED = "it ended with exit code 0"
    FAILED = "its last attempt failed"
    DEPENDENCY_FAILED = "a job it depends on failed"
    WITHDRAWN = "it was cancelled or terminated before it was placed"
    CHILDREN_SUCCEEDED = "all children succeeded"
    CHILDREN_FAILED = "all children are final and one failed"


TABLE: dict[tuple[Status, Cause], Status] = {
    (Status.SUBMITTED, Cause.WAITS): Status.PENDING,
    (Status.SUBMITTED, Cause.READY): Status.RUNNABLE,
    (Status.SUBMITTED, Cause.SPAWNED): Status.PENDING,
    (Status.SUBMITTED, Cause.WITHDRAWN): Status.FAILED,
    (Status.SUBMITTED, Cause.DEPENDENCY_FAILED): Status.FAILED,
    (Status.PENDING, Cause.READY): Status.RUNNABLE,
    (Status.PENDING, Cause.DEPENDENCY_FAILED): Status.FAILED,
    (Status.PENDING, Cause.WITHDRAWN): Status.FAILED,
    (Status.PENDING, Cause.CHILDREN_SUCCEEDED): Status.SUCCEEDED,
    (Status.PENDING, Cause.CHILDREN_FAILED): Status.FAILED,
    (Status.RUNNABLE, Cause.PLACED): Status.STARTING,
    (Status.RUNNABLE, Cause.WITHDRAWN): Status.FAILED,
    (Status.STARTING, Cause.STARTED): Status.RUNNING,
    (Status.STARTING, Cause.RETRIED): Status.RUNNABLE,
    (Status.STARTING, Cause.FAILED): Status.FAILED,
    (Status.RUNNING, Cause.SUCCEEDED): Status.SUCCEEDED,
    (Status.RUNNING, Cause.RETRIED): Status.RUNNABLE,
    (Status.RUNNING, Cause.FAILED): Status.FAILED,
}


def move(job: Job, cause: Cause, **changes: Any) -> Job:
    """Returns the job after `cause`, with `changes` made to its other members. A pair outside the table is our own
    fault."""
    target = TABLE.get((job.status, cause))
    assert target is not None, f"job {job.key} is {job.status}: no way on because {cause.value}"
    return replace(job, status=target, **changes)


def submitted(key: int, now_ms: int) -> Job:
    """Returns a job as SubmitJob makes it."""
    return Job(key, Status.SUBMITTED, now_ms)


def child_row(key: int, status: Status, created_at_ms: int) -> Job:
    """Returns the row of an array's child that so far was only in its parent's ranges, where it had `status`."""
    return Job(key, status, created_at_ms)
