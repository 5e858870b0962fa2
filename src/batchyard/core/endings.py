"""How jobs end, and what follows: parents, dependants, the cascade (AWS Batch behaviour 7.6, 7.7).

One work list, no recursion: a chain of a thousand dependants is a loop of a thousand steps."""

from __future__ import annotations

from collections import deque

from batchyard.core import lifecycle, scheduling
from batchyard.core.lifecycle import Cause
from batchyard.core.records import Job, Status
from batchyard.core.world import World

DEPENDENCY_FAILED = "Dependent Job failed"
CHILD_FAILED = "Array Child Job failed"


def end(world: World, job: Job, cause: Cause, now_ms: int, **changes: object) -> None:
    """Ends an unfinished row, then everything that follows from it."""
    outcomes: deque[tuple[int, bool]] = deque()
    _end_one(world, job, cause, now_ms, outcomes, changes)
    _follow(world, outcomes, now_ms)


def end_unstarted(world: World, parent_key: int, reason: str, now_ms: int) -> None:
    """Ends all children of an array that have no row, as failed; and the array, if they were the last."""
    outcomes: deque[tuple[int, bool]] = deque()
    _end_unstarted(world, parent_key, reason, now_ms, outcomes)
    _follow(world, outcomes, now_ms)


def release(world: World, key: int, now_ms: int) -> None:
    """The last dependency of a job was met, or it had none."""
    outcomes: deque[tuple[int, bool]] = deque()
    _release(world, key, now_ms, outcomes)
    _follow(world, outcomes, now_ms)


def fail_dependent(world: World, key: int, now_ms: int) -> None:
    """A dependency of a waiting job failed."""
    outcomes: deque[tuple[int, bool]] = deque()
    _fail_dependent(world, key, now_ms, outcomes)
    _follow(world, outcomes, now_ms)


def _follow(world: World, outcomes: deque[tuple[int, bool]], now_ms: int) -> None:
    while outcomes:
        key, succeeded = outcomes.popleft()
        for waiting in world.dependents.pop(key, ()):
            if waiting not in world.unmet:
                continue  # it ended already, by another dependency or by its caller
            if not succeeded:
                _fail_dependent(world, waiting, now_ms, outcomes)
                continue
            world.unmet[waiting] -= 1
            if not world.unmet[waiting]:
                del world.unmet[waiting]
                _release(world, waiting, now_ms, outcomes)


def _release(world: World, key: int, now_ms: int, outcomes: deque[tuple[int, bool]]) -> None:
    job = world.jobs[key]
    book = world.books.get(key)
    withdrawn = job.is_cancelled or job.is_terminated
    if book is None:
        if withdrawn:
            _end_one(world, job, Cause.WITHDRAWN, now_ms, outcomes, {"status_reason": job.end_reason})
            return
        world.move(job, Cause.READY)
        scheduling.enqueue(world, key)
        return
    book.released_at_ms = now_ms
    world.touch(key)
    if job.status is Status.SUBMITTED:
        world.move(job, Cause.SPAWNED)
    if withdrawn:
        _end_unstarted(world, key, job.end_reason, now_ms, outcomes)
        return
    for row_key in _pending_rows(world, key)[: 1 if world.specs[key].sequential else None]:
        if not world.specs[key].sequential or row_key == key + 1:
            _withdraw_pending(world, row_key, now_ms, outcomes)
    if key in world.jobs and book.unstarted:
        scheduling.enqueue(world, key)


def _pending_rows(world: World, parent_key: int) -> list[int]:
    """Children that were withdrawn alone while they waited: the only PENDING ones that have a row."""
    if not world.books[parent_key].row_counts.get(Status.PENDING):
        return []
    return [key for key in world.rows_of(parent_key) if world.jobs[key].status is Status.PENDING]


def _withdraw_pending(world: World, key: int, now_ms: int, outcomes: deque[tuple[int, bool]]) -> None:
    job = world.jobs.get(key)
    if job is not None:
        _end_one(world, job, Cause.WITHDRAWN, now_ms, outcomes, {"status_reason": job.end_reason})


def _fail_dependent(world: World, key: int, now_ms: int, outcomes: deque[tuple[int, bool]]) -> None:
    world.unmet.pop(key, None)
    job = world.jobs[key]
    reason = job.end_reason if job.is_cancelled or job.is_terminated else DEPENDENCY_FAILED
    if key in world.books:
        _end_unstarted(world, key, reason, now_ms, outcomes)
    else:
        _end_one(world, job, Cause.DEPENDENCY_FAILED, now_ms, outcomes, {"status_reason": reason})


def _end_one(
    world: World,
    job: Job,
    cause: Cause,
    now_ms: int,
    outcomes: deque[tuple[int, bool]],
    changes: dict[str, object],
) -> None:
    parent_key = world.parents.get(job.key)
    scheduling.dequeue(world, job.key)
    ended = lifecycle.move(job, cause, **{"stopped_at_ms": now_ms, **changes})
    assert ended.status.is_final, f"job {job.key} does not end because {cause.value}"
    if parent_key is None:
        world.unmet.pop(job.key, None)
        world.finish(ended, now_ms)
    else:
        world.put(ended)
    outcomes.append((job.key, ended.status is Status.SUCCEEDED))
    if parent_key is not None:
        _after_child(world, parent_key, ended, now_ms, outcomes)


def _after_child(world: World, parent_key: int, child: Job, now_ms: int, outcomes: deque[tuple[int, bool]]) -> None:
    """A child with a row ended: the next of a SEQUENTIAL array has its turn, or the rest fail with it."""
    book, parent = world.books[parent_key], world.jobs[parent_key]
    if world.specs[parent_key].sequential and not book.is_finished():
        if parent.is_cancelled or parent.is_terminated:
            _end_unstarted(world, parent_key, parent.end_reason, now_ms, outcomes)
        elif child.status is Status.FAILED:
            _end_unstarted(world, parent_key, DEPENDENCY_FAILED, now_ms, outcomes)
        elif child.key + 1 in world.jobs and world.parents.get(child.key + 1) == parent_key:
            _withdraw_pending(world, child.key + 1, now_ms, outcomes)
        else:
            scheduling.enqueue(world, parent_key)
        return
    _finish_parent(world, parent_key, now_ms, outcomes)


def _end_unstarted(world: World, parent_key: int, reason: str, now_ms: int, outcomes: deque[tuple[int, bool]]) -> None:
    book = world.books[parent_key]
    scheduling.dequeue(world, parent_key)
    ended = book.fail_unstarted(reason, now_ms)
    world.touch(parent_key)
    for row_key in _pending_rows(world, parent_key):
        _withdraw_pending(world, row_key, now_ms, outcomes)
    if world.dependents:
        first, last = parent_key + 1, parent_key + book.size
        waited = sorted(k for k in world.dependents if first <= k <= last)
        outcomes.extend((k, False) for k in waited if any(a <= k - parent_key - 1 < b for a, b in ended))
    _finish_parent(world, parent_key, now_ms, outcomes)


def _finish_parent(world: World, parent_key: int, now_ms: int, outcomes: deque[tuple[int, bool]]) -> None:
    book, parent = world.books[parent_key], world.jobs.get(parent_key)
    if parent is None or not book.is_finished():
        return  # a child ended on the way finished it
    scheduling.dequeue(world, parent_key)
    world.unmet.pop(parent_key, None)
    if parent.status is Status.SUBMITTED:
        parent = world.move(parent, Cause.WAITS)
    if not book.failed:
        cause, reason = Cause.CHILDREN_SUCCEEDED, ""
    else:
        withdrawn = parent.is_cancelled or parent.is_terminated
        cause, reason = Cause.CHILDREN_FAILED, parent.end_reason if withdrawn else CHILD_FAILED
    world.finish(lifecycle.move(parent, cause, status_reason=reason, stopped_at_ms=now_ms), now_ms)
    outcomes.append((parent_key, cause is Cause.CHILDREN_SUCCEEDED))
