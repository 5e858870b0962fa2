"""DescribeJobTimes, an operation of our own: the periods that jobs were queued, starting and running."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from batchyard.api.checks import require
from batchyard.api.context import Call, Context
from batchyard.core.model.records import Job
from batchyard.store.queries import JobView
from batchyard.wire.messages import Document

MAX_JOBS = 100  # of one request, as DescribeJobs has it
QUEUED, STARTING, RUNNING = "QUEUED", "STARTING", "RUNNING"


async def describe_job_times(context: Context, call: Call, request: Document) -> Document:
    """jobs -> jobs [{jobId, periods [{kind, startedAt, stoppedAt}], arrayIndex}], without unknown ones. Periods follow
    each other; the last of a job that has not ended has no stoppedAt. An array has those of the child that ended last,
    whose index is `arrayIndex`."""
    require(len(request["jobs"]) <= MAX_JOBS, f"jobs has more than {MAX_JOBS} ids: ask in parts.")
    return {"jobs": await context.read(_times, context, request["jobs"])}


def _times(context: Context, ids: list[str]) -> list[Document]:
    return [_document(context, view) for view in context.reader.jobs(ids)]


def _document(context: Context, view: JobView) -> Document:
    found: Document = {"jobId": view.job_id, "periods": []}
    shown = view
    if view.job.array is not None:
        child = context.reader.last_child(view)
        if child is None:
            return found
        shown, found["arrayIndex"] = child, child.index
    return found | {"periods": periods_of(shown.job)}


def periods_of(job: Job) -> list[Document]:
    """Returns the periods of a job or child, in their order, without empty ones."""
    begins = [*_begins(job)]
    found: list[Document] = [
        {"kind": kind, "startedAt": at_ms, "stoppedAt": until_ms}
        for (kind, at_ms), (_, until_ms) in pairwise([*begins, ("", job.stopped_at_ms)])
        if until_ms > at_ms
    ]
    if not job.status.is_final:
        kind, at_ms = begins[-1]
        found.append({"kind": kind, "startedAt": at_ms})
    return found


def _begins(job: Job) -> Iterator[tuple[str, int]]:
    """Yields what a job began to do, and when: never before what it did before that."""
    at_ms = job.created_at_ms
    yield QUEUED, at_ms
    for attempt in (*job.past, *((job.attempt,) if job.attempt is not None else ())):
        started_ms = attempt.started_at_ms
        for kind, next_ms in ((STARTING, attempt.placed_at_ms or started_ms), (RUNNING, started_ms)):
            if next_ms:
                at_ms = max(at_ms, next_ms)
                yield kind, at_ms
        if attempt.stopped_at_ms:
            at_ms = max(at_ms, attempt.stopped_at_ms)
            yield QUEUED, at_ms
