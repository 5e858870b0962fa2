"""Arrays: what a parent says about children that have no row, and its counts (AWS Batch behaviour 7.7).

A child is virtual (only in its parent's ranges) until it is placed, retried or touched alone; then it has a row for good.
"""

from __future__ import annotations

from batchyard.core.ranges import contains, count
from batchyard.core.records import ArrayState, Job, JobSpec, Ranges, Status


def child_key(parent_key: int, index: int) -> int:
    return parent_key + 1 + index


def next_in_line(spec: JobSpec, state: ArrayState) -> int | None:
    """The only virtual child that may run now, of a SEQUENTIAL array; None while another child is active."""
    if sum(state.row_counts.values()) or not state.unstarted:
        return None
    return state.unstarted[0][0]


def waiting_status(spec: JobSpec, parent: Job, index: int) -> Status:
    """The status of child `index`, which is in `unstarted`. Children start their life in PENDING."""
    state = parent.array
    assert state is not None, f"job {parent.key} is no array"
    if not state.released_at_ms:
        return Status.PENDING
    if spec.sequential and next_in_line(spec, state) != index:
        return Status.PENDING
    return Status.RUNNABLE


def virtual_child(spec: JobSpec, parent: Job, index: int) -> Job | None:
    """The child as a job record, or None when it has a row of its own (or does not exist)."""
    state = parent.array
    assert state is not None, f"job {parent.key} is no array"
    key = child_key(parent.key, index)
    if contains(state.never_started, index):
        return Job(
            key,
            Status.FAILED,
            parent.created_at_ms,
            status_reason=state.never_started_reason,
            stopped_at_ms=state.never_started_at_ms,
            is_cancelled=parent.is_cancelled,
            is_terminated=parent.is_terminated,
        )
    if not contains(state.unstarted, index):
        return None
    status = waiting_status(spec, parent, index)
    return Job(
        key,
        status,
        parent.created_at_ms,
        status_reason=state.waiting_reason if status is Status.RUNNABLE else "",
        is_cancelled=parent.is_cancelled,
        is_terminated=parent.is_terminated,
    )


def virtual_ranges(spec: JobSpec, parent: Job, status: Status) -> Ranges:
    """The index ranges of the virtual children that are in `status`."""
    state = parent.array
    assert state is not None, f"job {parent.key} is no array"
    if status is Status.FAILED:
        return state.never_started
    if status is Status.PENDING:
        if not state.released_at_ms:
            return state.unstarted
        return _all_but_next(spec, state) if spec.sequential else ()
    if status is Status.RUNNABLE and state.released_at_ms:
        if not spec.sequential:
            return state.unstarted
        first = next_in_line(spec, state)
        return () if first is None else ((first, first + 1),)
    return ()


def _all_but_next(spec: JobSpec, state: ArrayState) -> Ranges:
    first = next_in_line(spec, state)
    if first is None:
        return state.unstarted
    start, stop = state.unstarted[0]
    head = ((start + 1, stop),) if start + 1 < stop else ()
    return head + state.unstarted[1:]


def status_summary(spec: JobSpec, parent: Job) -> dict[Status, int]:
    """arrayProperties.statusSummary: the number of children in each of the seven states; they sum to the size."""
    state = parent.array
    assert state is not None, f"job {parent.key} is no array"
    counts = dict.fromkeys(Status, 0)
    for status in (Status.PENDING, Status.RUNNABLE):
        counts[status] += count(virtual_ranges(spec, parent, status))
    for name, number in state.row_counts.items():
        counts[Status(name)] += number
    counts[Status.SUCCEEDED] += count(state.succeeded)
    counts[Status.FAILED] += count(state.failed)
    assert sum(counts.values()) == state.size, f"array {parent.key} of {state.size} counts {counts}"
    return counts
