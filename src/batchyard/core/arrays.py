"""Arrays: what a parent says about children that have no row, and its counts (AWS Batch behaviour 7.7).

A child is virtual (only in its parent's ranges) until it is placed or touched alone; then it has a row for good.
"""

from __future__ import annotations

from batchyard.core.ranges import RangeSet, contains, count
from batchyard.core.records import ArrayState, Job, JobSpec, Ranges, Status


def child_key(parent_key: int, index: int) -> int:
    return parent_key + 1 + index


def _active(row_counts: dict[str, int]) -> int:
    return sum(number for status, number in row_counts.items() if status != Status.PENDING)


def next_in_line(spec: JobSpec, state: ArrayState) -> int | None:
    """The only virtual child that may run now, of a SEQUENTIAL array; None while another child is active."""
    if _active(state.row_counts) or not state.unstarted:
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


class ArrayBook:
    """The machine's working copy of a parent's ranges; `freeze` gives the record."""

    __slots__ = (
        "failed",
        "never_started",
        "never_started_at_ms",
        "never_started_reason",
        "released_at_ms",
        "row_counts",
        "size",
        "succeeded",
        "unstarted",
        "updated_at_ms",
        "waiting_reason",
    )

    def __init__(self, state: ArrayState) -> None:
        self.size = state.size
        self.unstarted = RangeSet(state.unstarted)
        self.succeeded = RangeSet(state.succeeded)
        self.failed = RangeSet(state.failed)
        self.never_started = RangeSet(state.never_started)
        self.never_started_reason = state.never_started_reason
        self.never_started_at_ms = state.never_started_at_ms
        self.released_at_ms = state.released_at_ms
        self.row_counts: dict[str, int] = dict(state.row_counts)
        self.waiting_reason = state.waiting_reason
        self.updated_at_ms = state.updated_at_ms

    @classmethod
    def of_size(cls, size: int) -> ArrayBook:
        return cls(ArrayState(size=size, unstarted=((0, size),)))

    def freeze(self) -> ArrayState:
        return ArrayState(
            size=self.size,
            unstarted=self.unstarted.freeze(),
            succeeded=self.succeeded.freeze(),
            failed=self.failed.freeze(),
            never_started=self.never_started.freeze(),
            never_started_reason=self.never_started_reason,
            never_started_at_ms=self.never_started_at_ms,
            released_at_ms=self.released_at_ms,
            row_counts=dict(self.row_counts),
            waiting_reason=self.waiting_reason,
            updated_at_ms=self.updated_at_ms,
        )

    def active_rows(self) -> int:
        """Rows that run or could run: a PENDING row was withdrawn by its caller and ends at its turn."""
        return _active(self.row_counts)

    def count_row(self, before: Status | None, after: Status | None) -> None:
        """Moves one row from a status to another; final and absent ones are not counted."""
        if before is not None and not before.is_final:
            left = self.row_counts[before] - 1
            assert left >= 0, f"fewer than no children are {before}"
            if left:
                self.row_counts[before] = left
            else:
                del self.row_counts[before]
        if after is not None and not after.is_final:
            self.row_counts[after] = self.row_counts.get(after, 0) + 1

    def is_finished(self) -> bool:
        return len(self.succeeded) + len(self.failed) == self.size

    def final_status(self, index: int) -> Status | None:
        if index in self.succeeded:
            return Status.SUCCEEDED
        return Status.FAILED if index in self.failed else None

    def fail_unstarted(self, reason: str, now_ms: int) -> list[tuple[int, int]]:
        """Ends all children that have no row; returns their ranges."""
        ended = list(self.unstarted.freeze())
        if not ended:
            return ended
        self.failed.update(ended)
        self.never_started.update(ended)
        self.unstarted.clear()
        self.never_started_reason = reason
        self.never_started_at_ms = now_ms
        return ended
