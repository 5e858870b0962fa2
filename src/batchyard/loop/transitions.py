"""The names of the transitions in a batch, by which fail points are selected."""

from __future__ import annotations

from collections.abc import Iterable

from batchyard.core.model import names
from batchyard.core.model.changes import Changes
from batchyard.core.model.effects import LaunchTask
from batchyard.core.model.records import Job, Status


def of_changes(changes: Changes) -> list[str]:
    """Returns them by the state that each job is in now. Those of a retry have names of their own, since another
    attempt precedes them."""
    found = [_of_job(job) for job in changes.jobs.values()]
    found += ["array submitted" if spec.array_size else "submitted" for spec in changes.specs]
    return found


def of_launches(effects: Iterable[object]) -> list[str]:
    found = []
    for effect in effects:
        if isinstance(effect, LaunchTask):
            parsed = names.parse_task_id(effect.attempt_id)
            found.append("STARTING again" if parsed is not None and parsed[1] > 1 else "STARTING")
    return found


def _of_job(job: Job) -> str:
    if job.attempt is not None and job.attempt.stopping:
        return "stop asked"
    if job.array is not None:
        return f"array {job.status}"
    if job.past and not job.status.is_final:
        return f"{job.status} again"
    if job.status is Status.FAILED and not job.past:
        return "FAILED without an attempt"
    return str(job.status.value)
