"""Arrays: what a parent's record has about children that have no row, and its counts (AWS Batch behaviour 7.7).

A child is virtual (only in its parent's ranges) until it is placed or touched alone; then it has a row for good.
"""

from __future__ import annotations

from bisect import bisect_right

from batchyard.core.model.names import child_key
from batchyard.core.model.ranges import RangeSet, contains, count, subtract
from batchyard.core.model.records import ArrayState, EndedTogether, Job, JobSpec, Ranges, Status


def _active(row_counts: dict[str, int]) -> int:
    return sum(number for status, number in row_counts.items() if status != Status.PENDING)


def next_in_line(state: ArrayState) -> int | None:
    """Returns the only virtual child of a SEQUENTIAL array that may run now; None while another child is active, and
    while the one before it, withdrawn alone, still waits for its own end."""
    if _active(state.row_counts) or not state.unstarted:
        return None
    first = state.unstarted[0][0]
    if contains(state.held, first):
        return None
    ended = not first or contains(state.succeeded, first - 1) or contains(state.failed, first - 1)
    return first if ended else None


def waiting_status(spec: JobSpec, state: ArrayState, index: int) -> Status:
    """The status of child `index`, which is in `unstarted`. Children start their life in PENDING."""
    if not state.released_at_ms or contains(state.held, index):
        return Status.PENDING
    if spec.sequential and next_in_line(state) != index:
        return Status.PENDING
    return Status.RUNNABLE


def _state_of(parent: Job) -> ArrayState:
    assert parent.array is not None, f"job {parent.key} is no array"
    return parent.array


def ended_together(state: ArrayState, index: int) -> EndedTogether | None:
    at = bisect_right(state.never_started, index, key=lambda group: group.start) - 1
    if at >= 0 and index < state.never_started[at].stop:
        return state.never_started[at]
    return None


def virtual_child(spec: JobSpec, parent: Job, index: int) -> Job | None:
    """Returns the child as a job record, or None when it has a row of its own (or does not exist)."""
    state = _state_of(parent)
    key = child_key(parent.key, index)
    group = ended_together(state, index)
    if group is not None:
        return Job(
            key,
            Status.FAILED,
            parent.created_at_ms,
            status_reason=group.reason,
            stopped_at_ms=group.at_ms,
            is_cancelled=group.is_cancelled,
            is_terminated=group.is_terminated,
        )
    if not contains(state.unstarted, index):
        return None
    status = waiting_status(spec, state, index)
    reason = state.waiting_reason if status is Status.RUNNABLE else ""
    if state.head_reason and status is Status.RUNNABLE and index == state.head_index:
        reason = state.head_reason
    return Job(
        key,
        status,
        parent.created_at_ms,
        status_reason=reason,
        is_cancelled=parent.is_cancelled,
        is_terminated=parent.is_terminated,
    )


def virtual_ranges(spec: JobSpec, parent: Job, status: Status) -> Ranges:
    """Returns the index ranges of the virtual children that are in `status`."""
    state = _state_of(parent)
    if status is Status.FAILED:
        return tuple((group.start, group.stop) for group in state.never_started)
    if status not in (Status.PENDING, Status.RUNNABLE):
        return ()
    runnable = _runnable_ranges(spec, state)
    return runnable if status is Status.RUNNABLE else subtract(state.unstarted, runnable)


def _runnable_ranges(spec: JobSpec, state: ArrayState) -> Ranges:
    if not state.released_at_ms:
        return ()
    if spec.sequential:
        first = next_in_line(state)
        return () if first is None else ((first, first + 1),)
    return subtract(state.unstarted, state.held) if state.held else state.unstarted


def status_summary(spec: JobSpec, parent: Job) -> dict[Status, int]:
    """arrayProperties.statusSummary: the number of children in each of the seven states; they sum to the size."""
    state = _state_of(parent)
    counts = dict.fromkeys(Status, 0)
    for status in (Status.PENDING, Status.RUNNABLE):
        counts[status] += count(virtual_ranges(spec, parent, status))
    for name, number in state.row_counts.items():
        counts[Status(name)] += number
    counts[Status.SUCCEEDED] += count(state.succeeded)
    counts[Status.FAILED] += count(state.failed)
    assert sum(counts.values()) == state.size, f"array {parent.key} of {state.size} counts {counts}"
    return counts


class ArrayProgress:
    """The machine's working copy of a parent's ranges; `freeze` gives the record."""

    __slots__ = (
        "failed",
        "head_index",
        "head_reason",
        "held",
        "never_started",
        "released_at_ms",
        "reported_code",
        "row_counts",
        "set_aside_at_ms",
        "set_aside_code",
        "size",
        "succeeded",
        "unstarted",
        "updated_at_ms",
        "waiting_reason",
    )

    def __init__(self, state: ArrayState) -> None:
        self.size = state.size
        self.unstarted = RangeSet(state.unstarted)
        self.held = RangeSet(state.held)
        self.succeeded = RangeSet(state.succeeded)
        self.failed = RangeSet(state.failed)
        self.never_started = list(state.never_started)
        self.released_at_ms = state.released_at_ms
        self.row_counts: dict[str, int] = dict(state.row_counts)
        self.waiting_reason = state.waiting_reason
        self.head_reason = state.head_reason
        self.head_index = state.head_index
        self.set_aside_at_ms = state.set_aside_at_ms
        self.set_aside_code = state.set_aside_code
        self.reported_code = state.reported_code
        self.updated_at_ms = state.updated_at_ms

    @classmethod
    def of_size(cls, size: int) -> ArrayProgress:
        return cls(ArrayState(size=size, unstarted=((0, size),)))

    def freeze(self) -> ArrayState:
        return ArrayState(
            size=self.size,
            unstarted=self.unstarted.freeze(),
            held=self.held.freeze(),
            succeeded=self.succeeded.freeze(),
            failed=self.failed.freeze(),
            never_started=tuple(self.never_started),
            released_at_ms=self.released_at_ms,
            row_counts=dict(self.row_counts),
            waiting_reason=self.waiting_reason,
            head_reason=self.head_reason,
            head_index=self.head_index,
            set_aside_at_ms=self.set_aside_at_ms,
            set_aside_code=self.set_aside_code,
            reported_code=self.reported_code,
            updated_at_ms=self.updated_at_ms,
        )

    def active_rows(self) -> int:
        """Rows that run or could run: a PENDING row was withdrawn by its caller and ends at its turn."""
        return _active(self.row_counts)

    def next_in_line(self) -> int | None:
        """Does the same as the function of that name, for the working copy."""
        first = self.unstarted.first()
        if first is None or first in self.held or self.active_rows():
            return None
        return first if not first or self.final_status(first - 1) is not None else None

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

    def ready(self) -> Ranges:
        """Returns the virtual children that do not wait for a counterpart."""
        unstarted = self.unstarted.freeze()
        return subtract(unstarted, self.held.freeze()) if self.held else unstarted

    def begin(self, index: int) -> None:
        """Records that a virtual child gets a row."""
        self.unstarted.remove(index)
        if index in self.held:
            self.held.remove(index)

    def fail_together(self, parent: Job, ranges: Ranges, reason: str, now_ms: int) -> None:
        """Ends virtual children of `parent` as failed."""
        if not ranges:
            return
        self.failed.update(ranges)
        self.unstarted.remove_all(ranges)
        if self.held:
            self.held = RangeSet(subtract(self.held.freeze(), ranges))
        flags = parent.is_cancelled, parent.is_terminated
        self.never_started.extend(EndedTogether(start, stop, reason, now_ms, *flags) for start, stop in ranges)
        self.never_started.sort(key=lambda group: group.start)
