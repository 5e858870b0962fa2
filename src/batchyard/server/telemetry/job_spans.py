"""The spans of a job that has ended: the job, its attempts, and what each attempt and the job waited for. They follow
from its record alone, so the same ones come out whenever they are made."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from batchyard.core.model import names
from batchyard.core.model.records import Attempt, Status
from batchyard.core.model.trace_context import caller_span_id, is_sampled, span_id, trace_id
from batchyard.store.queries import JobView

Attributes = dict[str, str | int]


class JobSpan(Struct, frozen=True):
    """`parent_id`: empty for the first span of a trace. `error`: why it failed; empty: it did not."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start_ms: int
    end_ms: int
    attributes: Attributes = {}
    error: str = ""


def spans_of(view: JobView) -> list[JobSpan]:
    """Returns the spans of a job or a child that has ended, the job's own first; none where its caller's trace is not
    recorded."""
    spec, job = view.spec, view.job
    if not is_sampled(spec.trace_parent):
        return []
    parent = span_id(spec.job_id) if view.index is not None else caller_span_id(spec.trace_parent)
    own = JobSpan(
        name=spec.name,
        trace_id=trace_id(spec.job_id, spec.trace_parent),
        span_id=span_id(view.job_id),
        parent_id=parent,
        start_ms=job.created_at_ms,
        end_ms=max(job.stopped_at_ms, job.created_at_ms),
        attributes=_job_attributes(view),
        error=job.status_reason or "FAILED" if job.status is Status.FAILED else "",
    )
    return [own, *_below(view, own)]


def _below(view: JobView, job: JobSpan) -> Iterator[JobSpan]:
    """Yields the spans of the attempts, and of the waits before each."""
    free_ms = job.start_ms  # since when it waited
    for attempt in view.job.past:
        attempt_id = names.task_id(view.job.key, attempt.number, view.job_id)
        ended_ms = attempt.stopped_at_ms or job.end_ms
        placed_ms = attempt.placed_at_ms or attempt.started_at_ms or ended_ms
        yield _part("queued", f"{attempt_id}/queued", job, free_ms, placed_ms)
        own = JobSpan(
            name=f"attempt {attempt.number}",
            trace_id=job.trace_id,
            span_id=span_id(attempt_id),
            parent_id=job.span_id,
            start_ms=placed_ms,
            end_ms=max(ended_ms, placed_ms),
            attributes=_attempt_attributes(view, attempt),
            error="" if attempt.exit_code == 0 else attempt.reason or _exit(attempt) or attempt.status_reason,
        )
        yield own
        started_ms = attempt.started_at_ms
        yield _part("starting", f"{attempt_id}/starting", own, placed_ms, started_ms or own.end_ms)
        if started_ms:
            yield _part("running", f"{attempt_id}/running", own, started_ms, own.end_ms)
        free_ms = own.end_ms


def _part(name: str, of: str, parent: JobSpan, start_ms: int, end_ms: int) -> JobSpan:
    return JobSpan(name, parent.trace_id, span_id(of), parent.span_id, start_ms, max(start_ms, end_ms))


def _exit(attempt: Attempt) -> str:
    return "" if attempt.exit_code is None else f"exit code {attempt.exit_code}"


def _job_attributes(view: JobView) -> Attributes:
    spec, job = view.spec, view.job
    attributes: Attributes = {
        "batch.job.id": view.job_id,
        "batch.job.name": spec.name,
        "batch.job.status": str(job.status),
        "batch.job.definition": spec.definition,
        "batch.queue.name": spec.queue,
    }
    if view.index is not None:
        attributes["batch.job.array.index"] = view.index
    elif spec.array_size:
        attributes["batch.job.array.size"] = spec.array_size
    if spec.num_nodes:
        attributes["batch.job.num_nodes"] = spec.num_nodes
    if spec.share_identifier:
        attributes["batch.job.share_identifier"] = spec.share_identifier
    return attributes


def _attempt_attributes(view: JobView, attempt: Attempt) -> Attributes:
    attributes: Attributes = {
        "batch.job.id": view.job_id,
        "batch.attempt.number": attempt.number,
        "batch.task.id": view.task_id(attempt.number),
        "batch.compute_environment.name": attempt.environment,
        "batch.engine": attempt.engine,
    }
    if attempt.exit_code is not None:
        attributes["process.exit.code"] = attempt.exit_code
    if attempt.peak_memory_mib:
        attributes["batch.attempt.peak_memory_mib"] = attempt.peak_memory_mib
    if attempt.cpu_ms:
        attributes["batch.attempt.cpu_ms"] = attempt.cpu_ms
    return attributes
