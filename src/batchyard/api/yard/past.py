"""ListPastAttempts and ListPastInstances, operations of our own: what ran in a span of time and where, for costs, right
sizes and replays. Times are milliseconds since the epoch, memory is MiB."""

from __future__ import annotations

from functools import partial

from batchyard.api.checks import quoted, require
from batchyard.api.context import Call, Context
from batchyard.api.pages import page_size, read_page
from batchyard.api.yard.amounts import amounts
from batchyard.core.model.names import JOB_DEFINITION, JOB_QUEUE, resource_name
from batchyard.core.model.records import Attempt, Dependency, asked_by
from batchyard.core.model.reports import OUT_OF_MEMORY
from batchyard.core.questions.inventory import AskPastInstances, PastInstance
from batchyard.store.queries import AttemptFilter, PastAttempt
from batchyard.wire.messages import Document

MAX_PAGE = 1000  # jobs: an answer stays below a megabyte, and a reader's thread is busy for some 50 ms
NO_END_MS = 2**53  # beyond every time

# The outcomes of an attempt.
RUNNING, SUCCEEDED, FAILED = "RUNNING", "SUCCEEDED", "FAILED"
LOST, MEMORY, STOPPED = "HOST_LOST", "OUT_OF_MEMORY", "STOPPED"


async def list_past_attempts(context: Context, call: Call, request: Document) -> Document:
    """The attempts that ran at some time from `since` up to and without `until`, by the start of each job's latest."""
    since_ms, until_ms = request.get("since", 0), request.get("until", NO_END_MS)
    require(since_ms <= until_ms, f"until ({until_ms}) is before since ({since_ms}).")
    wanted = AttemptFilter(
        since_ms,
        until_ms,
        resource_name(request["jobQueue"], JOB_QUEUE) if request.get("jobQueue") else "",
        resource_name(request["jobDefinition"], JOB_DEFINITION) if request.get("jobDefinition") else "",
    )
    query = partial(context.reader.past_attempts, wanted, page_size(request, MAX_PAGE), request.get("nextToken"))
    rows, more = await read_page(context, query)
    return {"attempts": [_attempt(row) for row in rows]} | more


async def list_past_instances(context: Context, call: Call, request: Document) -> Document:
    """The instances of MANAGED environments that there were at some time since then, and those there are, by launch."""
    since_ms = request.get("since", 0)
    require(since_ms >= 0, f"since must be 0 or more, got {quoted(since_ms)}.")
    found = await context.ask(AskPastInstances(since_ms))
    return {"instances": [_instance(one) for one in found]}


def _attempt(row: PastAttempt) -> Document:
    """Returns an attempt; what does not apply or was not measured is left out."""
    spec, attempt = row.spec, row.attempt
    document = {
        "jobId": row.job_id,
        "jobName": spec.name,
        "jobQueue": spec.queue,
        "jobDefinition": spec.definition,
        "attempt": attempt.number,
        "createdAt": row.job.created_at_ms,
        "startedAt": attempt.started_at_ms,
        "asked": amounts(asked_by(spec)),
        "status": row.job.status.value,
        "outcome": _outcome(row),
        "computeEnvironment": attempt.environment,
        "instanceIds": [placement.instance_id for placement in attempt.placements],
        "isLast": row.is_last,
    }
    found = {
        "placedAt": attempt.placed_at_ms,
        "stoppedAt": attempt.stopped_at_ms,
        "shareIdentifier": spec.share_identifier,
        "principal": spec.principal,
        "tags": spec.tags,
        "numNodes": spec.num_nodes,
        "arraySize": spec.array_size,
        "dependsOn": [_dependency(one) for one in spec.depends_on],
        "timeoutSeconds": spec.timeout_seconds,
        "schedulingPriority": spec.scheduling_priority,
        "peakMemory": _sum_of(attempt, "peak_memory_mib"),
        "cpuMilliseconds": _sum_of(attempt, "cpu_ms"),
    }
    document |= {member: value for member, value in found.items() if value}
    if attempt.exit_code is not None:
        document["exitCode"] = attempt.exit_code
    return document


def _dependency(dependency: Dependency) -> Document:
    found = {"jobId": dependency.job_id, "type": dependency.type}
    return {member: value for member, value in found.items() if value}


def _sum_of(attempt: Attempt, member: str) -> int:
    """Returns what an attempt used: of one container its own, else the sum of its nodes' or containers'."""
    parts = attempt.nodes or attempt.containers or (attempt,)
    return sum(getattr(part, member) for part in parts)


def _outcome(row: PastAttempt) -> str:
    """Returns how an attempt ended. Of several reasons the one that no change of the job's own would have avoided comes
    first."""
    attempt = row.attempt
    if not attempt.stopped_at_ms:
        return RUNNING
    if attempt.is_lost:
        return LOST
    of_parts = [*(one.reason for one in attempt.containers), *(one.reason for one in attempt.nodes)]
    reasons = (attempt.reason, *of_parts)
    if any(reason.startswith(OUT_OF_MEMORY) for reason in reasons):
        return MEMORY
    if attempt.stopping is not None:
        return STOPPED
    return SUCCEEDED if attempt.exit_code == 0 else FAILED


def _instance(past: PastInstance) -> Document:
    instance = past.instance
    document = {
        "instanceId": instance.instance_id,
        "instanceType": instance.instance_type,
        "computeEnvironment": instance.environment,
        "market": instance.market.value,
        "launchedAt": instance.launched_at_ms,
        "capacity": amounts(instance.resources),
    }
    found = {
        "readyAt": instance.ready_at_ms,
        "endedAt": past.ended_at_ms,
        "hourlyMicroDollars": past.hourly_micro_dollars,
    }
    return document | {member: value for member, value in found.items() if value}
