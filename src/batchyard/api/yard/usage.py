"""ListAttempts, an operation of our own: what each attempt of a job used, as its engine measured it."""

from __future__ import annotations

from batchyard.api.checks import require
from batchyard.api.context import Call, Context
from batchyard.core.model.names import JOB, resource_name
from batchyard.core.model.records import Attempt, ContainerOutcome
from batchyard.wire.messages import Document


async def list_attempts(context: Context, call: Call, request: Document) -> Document:
    """The attempts that have ended, oldest first. A member that was not measured is left out. `instanceIds`: of a
    multi-node job's nodes, by index, in its latest attempt, which may run."""
    job_id = resource_name(request["jobId"], JOB)
    views = await context.read(context.reader.jobs, [job_id])
    require(views, f"The job {job_id} does not exist.")
    job, num_nodes = views[0].job, views[0].spec.num_nodes
    attempts = [{"attempt": one.number, "containers": _containers(one)} | _gpu(one) for one in job.past]
    latest = job.attempt or (job.past[-1] if job.past else None)
    if not num_nodes or latest is None:
        return {"attempts": attempts}
    return {"attempts": attempts, "instanceIds": [placement.instance_id for placement in latest.placements]}


def _gpu(attempt: Attempt) -> Document:
    """Returns what it used of its GPUs: `peakMemory` in MiB, `utilization` as the mean percentage."""
    use = attempt.gpu_use
    return {} if use is None else {"gpu": {"peakMemory": use.peak_memory_mib, "utilization": use.mean_percent}}


def _containers(attempt: Attempt) -> list[Document]:
    if not attempt.containers:
        return [_used(attempt)]
    return [{"name": one.name} | _used(one) for one in attempt.containers]


def _used(ended: Attempt | ContainerOutcome) -> Document:
    """Returns the usage; `peakMemory` in MiB."""
    found = {"peakMemory": ended.peak_memory_mib, "cpuMilliseconds": ended.cpu_ms}
    return {member: value for member, value in found.items() if value}
