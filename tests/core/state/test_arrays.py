"""What a parent says about its children: their states, counts, and which may start next."""

from __future__ import annotations

import pytest

from batchyard.core.model.records import ArrayState, Dependency, EndedTogether, Job, JobSpec, Status, TaskSpec
from batchyard.core.model.resources import Resources
from batchyard.core.state import arrays
from batchyard.core.state.arrays import ArrayProgress

TASK = TaskSpec((), (), Resources())
PLAIN = JobSpec(10, "id", "name", "queue", "work:1", TASK, {}, 0, array_size=6)
SEQUENTIAL = JobSpec(
    10, "id", "name", "queue", "work:1", TASK, {}, 0, array_size=6, depends_on=(Dependency(type="SEQUENTIAL"),)
)


def parent(**members: object) -> Job:
    return Job(10, Status.PENDING, 500, array=ArrayState(size=6, **members))  # type: ignore[arg-type]


def statuses(spec: JobSpec, job: Job) -> list[Status | None]:
    children = [arrays.virtual_child(spec, job, index) for index in range(6)]
    return [None if child is None else child.status for child in children]


def test_children_wait_until_their_array_is_released() -> None:
    assert statuses(PLAIN, parent(unstarted=((0, 6),))) == [Status.PENDING] * 6
    assert statuses(PLAIN, parent(unstarted=((0, 6),), released_at_ms=1)) == [Status.RUNNABLE] * 6


def test_a_child_held_for_its_counterpart_is_pending() -> None:
    job = parent(unstarted=((2, 6),), held=((3, 5),), released_at_ms=1)
    assert statuses(PLAIN, job) == [
        None,
        None,
        Status.RUNNABLE,
        Status.PENDING,
        Status.PENDING,
        Status.RUNNABLE,
    ]


@pytest.mark.parametrize(
    ("state", "first"),
    [
        (ArrayState(6, ((0, 6),)), 0),
        (ArrayState(6, ((1, 6),), row_counts={"RUNNING": 1}), None),  # one at a time
        (ArrayState(6, ((1, 6),), succeeded=((0, 1),)), 1),
        (ArrayState(6, ((1, 6),), row_counts={"PENDING": 1}), None),  # the one before it still waits for its own end
        (ArrayState(6, ((1, 6),), held=((1, 2),), succeeded=((0, 1),)), None),
        (ArrayState(6), None),
    ],
)
def test_the_next_child_of_a_sequential_array(state: ArrayState, first: int | None) -> None:
    assert arrays.next_in_line(state) == first
    assert ArrayProgress(state).next_in_line() == first


def test_a_virtual_child_as_a_record() -> None:
    waiting = parent(
        unstarted=((0, 6),), released_at_ms=1, waiting_reason="no room", head_reason="blocked", head_index=2
    )
    child = arrays.virtual_child(PLAIN, waiting, 1)
    assert child == Job(12, Status.RUNNABLE, 500, status_reason="no room")
    head = arrays.virtual_child(PLAIN, waiting, 2)
    assert head is not None
    assert head.status_reason == "blocked"
    group = EndedTogether(3, 5, "cancelled", 900, is_cancelled=True)
    ended = arrays.virtual_child(PLAIN, parent(failed=((3, 5),), never_started=(group,)), 4)
    assert ended == Job(15, Status.FAILED, 500, status_reason="cancelled", stopped_at_ms=900, is_cancelled=True)


def test_counts_of_children_add_up() -> None:
    job = parent(
        unstarted=((3, 6),), succeeded=((0, 1),), failed=((1, 2),), row_counts={"RUNNING": 1}, released_at_ms=1
    )
    counts = {status: number for status, number in arrays.status_summary(PLAIN, job).items() if number}
    assert counts == {Status.RUNNABLE: 3, Status.RUNNING: 1, Status.SUCCEEDED: 1, Status.FAILED: 1}
    counts = {status: number for status, number in arrays.status_summary(SEQUENTIAL, job).items() if number}
    assert counts == {Status.PENDING: 3, Status.RUNNING: 1, Status.SUCCEEDED: 1, Status.FAILED: 1}
    with pytest.raises(AssertionError, match="array 10 of 6 counts"):
        arrays.status_summary(PLAIN, parent(unstarted=((0, 5),)))


def test_ranges_of_children_by_status() -> None:
    job = parent(unstarted=((0, 6),), held=((1, 2),), released_at_ms=1)
    assert arrays.virtual_ranges(PLAIN, job, Status.RUNNABLE) == ((0, 1), (2, 6))
    assert arrays.virtual_ranges(PLAIN, job, Status.PENDING) == ((1, 2),)
    assert arrays.virtual_ranges(PLAIN, job, Status.RUNNING) == ()


def test_the_working_copy_follows_rows_and_ends() -> None:
    book = ArrayProgress.of_size(4)
    book.begin(0)
    book.count_row(None, Status.RUNNABLE)
    book.count_row(Status.RUNNABLE, Status.RUNNING)
    assert (book.freeze().row_counts, book.active_rows(), book.ready()) == ({"RUNNING": 1}, 1, ((1, 4),))
    book.count_row(Status.RUNNING, Status.SUCCEEDED)
    book.succeeded.add(0)
    book.fail_together(Job(10, Status.PENDING, 0, is_terminated=True), ((1, 4),), "stopped", 77)
    assert book.is_finished()
    assert [book.final_status(index) for index in range(4)] == [Status.SUCCEEDED, *[Status.FAILED] * 3]
    assert book.freeze().never_started == (EndedTogether(1, 4, "stopped", 77, is_terminated=True),)
    with pytest.raises(KeyError):
        book.count_row(Status.RUNNING, Status.FAILED)
