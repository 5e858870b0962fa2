"""How jobs end, and what follows: parents, dependants, the cascade (AWS Batch behaviour 7.6, 7.7).

One work list, no recursion: a chain of a thousand dependants is a loop of a thousand steps."""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from batchyard.core.model import lifecycle
from batchyard.core.model.lifecycle import Cause
from batchyard.core.model.names import child_index, child_key
from batchyard.core.model.ranges import within
from batchyard.core.model.records import Job, Ranges, Status
from batchyard.core.scheduling import scheduler
from batchyard.core.state.world import World

DEPENDENCY_FAILED = "Dependent Job failed"
CHILD_FAILED = "Array Child Job failed"


class Outcome(Struct, frozen=True):
    """Job `key` ended, or its children [start, stop) when `stop` is given."""

    key: int
    succeeded: bool
    start: int = 0
    stop: int = 0


Outcomes = deque[Outcome]


def end(world: World, job: Job, cause: Cause, **changes: object) -> None:
    """Ends an unfinished row, then everything that follows from it."""
    outcomes: Outcomes = deque()
    _end_row(world, job, cause, outcomes, changes)
    _follow(world, outcomes)


def withdraw_unstarted(world: World, parent_key: int) -> None:
    """A released array was cancelled or terminated: its children that wait for nothing but capacity end."""
    outcomes: Outcomes = deque()
    book, parent = world.books[parent_key], world.jobs[parent_key]
    scheduler.dequeue(world, parent_key)
    if not (world.specs[parent_key].sequential and book.active_rows()):
        _fail_virtual(world, parent_key, book.ready(), parent.end_reason, outcomes)
        _end_due_rows(world, parent_key, 0, book.size, outcomes)
    _finish_parent(world, parent_key, outcomes)
    _follow(world, outcomes)


def release(world: World, key: int) -> None:
    """The last dependency of a job was met, or it had none."""
    outcomes: Outcomes = deque()
    _release(world, key, outcomes)
    _follow(world, outcomes)


def fail_dependent(world: World, key: int) -> None:
    """A dependency of a waiting job failed."""
    outcomes: Outcomes = deque()
    _fail_dependent(world, key, outcomes)
    _follow(world, outcomes)


def fail_counterparts(world: World, key: int, ranges: Ranges) -> None:
    """Children of an array whose counterparts (N_TO_N) have failed."""
    outcomes: Outcomes = deque()
    for start, stop in ranges:
        if key in world.jobs:  # the first range may have ended it all
            _counterparts_ended(world, key, start, stop, False, outcomes)
    _follow(world, outcomes)


# -- the work list --


def _follow(world: World, outcomes: Outcomes) -> None:
    while outcomes:
        outcome = outcomes.popleft()
        if not outcome.stop:
            _tell_dependents(world, outcome.key, outcome.succeeded, outcomes)
            continue
        for key in _awaited_children(world, outcome):
            _tell_dependents(world, key, outcome.succeeded, outcomes)
        for follower in world.followers.get(outcome.key, ()):
            if follower in world.jobs:
                _counterparts_ended(world, follower, outcome.start, outcome.stop, outcome.succeeded, outcomes)


def _awaited_children(world: World, outcome: Outcome) -> list[int]:
    """The keys of the ended children that somebody depends on one by one."""
    first, last = child_key(outcome.key, outcome.start), child_key(outcome.key, outcome.stop)
    if last - first == 1:
        return [first] if first in world.dependents else []
    return sorted(key for key in world.dependents if first <= key < last)


def _tell_dependents(world: World, key: int, succeeded: bool, outcomes: Outcomes) -> None:
    world.followers.pop(key, None)
    for waiting in world.dependents.pop(key, ()):
        if waiting not in world.unmet:
            continue  # it ended already, by another dependency or by its caller
        if not succeeded and not world.specs[waiting].after_any:
            _fail_dependent(world, waiting, outcomes)
            continue
        world.unmet[waiting] -= 1
        if not world.unmet[waiting]:
            del world.unmet[waiting]
            _release(world, waiting, outcomes)


def _release(world: World, key: int, outcomes: Outcomes) -> None:
    job = world.jobs[key]
    book = world.books.get(key)
    withdrawn = job.is_withdrawn
    if world.specs[key].late_refusal and not withdrawn:
        _refuse_late(world, key, outcomes)
        return
    if book is None:
        if withdrawn:
            _end_row(world, job, Cause.WITHDRAWN, outcomes, {"status_reason": job.end_reason})
            return
        world.move(job, Cause.READY)
        scheduler.enqueue(world, key)
        return
    book.released_at_ms = world.now_ms
    world.touch(key)
    if job.status is Status.SUBMITTED:
        world.move(job, Cause.SPAWNED)
    if withdrawn:
        _fail_virtual(world, key, book.ready(), job.end_reason, outcomes)
    _end_due_rows(world, key, 0, book.size, outcomes)
    _finish_parent(world, key, outcomes)
    if key in world.jobs and book.ready() and not withdrawn:
        scheduler.enqueue(world, key)


def _refuse_late(world: World, key: int, outcomes: Outcomes) -> None:
    reason = world.specs[key].late_refusal
    if key in world.books:
        _fail_rest(world, key, reason, outcomes)
    else:
        _end_row(world, world.jobs[key], Cause.WITHDRAWN, outcomes, {"status_reason": reason})


def _fail_dependent(world: World, key: int, outcomes: Outcomes) -> None:
    """One dependency of all that is left of the job failed."""
    world.unmet.pop(key, None)
    job = world.jobs[key]
    reason = job.end_reason if job.is_withdrawn else DEPENDENCY_FAILED
    if key in world.books:
        _fail_rest(world, key, reason, outcomes)
    else:
        _end_row(world, job, Cause.DEPENDENCY_FAILED, outcomes, {"status_reason": reason})


# -- rows and children --


def _end_row(world: World, job: Job, cause: Cause, outcomes: Outcomes, changes: dict[str, object]) -> None:
    parent_key = world.parents.get(job.key)
    ended = _close(world, job, cause, outcomes, changes)
    if parent_key is not None:
        _after_child(world, parent_key, ended, outcomes)


def _close(world: World, job: Job, cause: Cause, outcomes: Outcomes, changes: dict[str, object]) -> Job:
    """Ends one row. Of a child: what follows for its array is the caller's."""
    parent_key = world.parents.get(job.key)
    scheduler.dequeue(world, job.key)
    ended = lifecycle.move(job, cause, **{"stopped_at_ms": world.now_ms, **changes})
    assert ended.status.is_final, f"job {job.key} does not end because {cause.value}"
    succeeded = ended.status is Status.SUCCEEDED
    if parent_key is None:
        world.unmet.pop(job.key, None)
        world.finish(ended)
        outcomes.append(Outcome(job.key, succeeded))
    else:
        world.put(ended)
        index = child_index(parent_key, job.key)
        outcomes.append(Outcome(parent_key, succeeded, index, index + 1))
    return ended


def _after_child(world: World, parent_key: int, child: Job, outcomes: Outcomes) -> None:
    """A child with a row ended: the next of a SEQUENTIAL array has its turn, or those after it fail with it."""
    book, parent, spec = world.books[parent_key], world.jobs.get(parent_key), world.specs.get(parent_key)
    if parent is None or spec is None:
        return  # the array ended with it
    if spec.sequential:
        index = child_index(parent_key, child.key)
        withdrawn = parent.is_withdrawn
        if withdrawn and book.released_at_ms:
            _fail_after(world, parent_key, index, parent.end_reason, outcomes)
        elif child.status is Status.FAILED and not spec.after_any:
            _fail_after(world, parent_key, index, DEPENDENCY_FAILED, outcomes)
        else:
            _end_due_rows(world, parent_key, 0, book.size, outcomes)
            if book.released_at_ms and book.ready():
                scheduler.enqueue(world, parent_key)
    _finish_parent(world, parent_key, outcomes)


def _is_due(world: World, parent_key: int, index: int) -> bool:
    """Whether a PENDING child that was withdrawn alone has nothing left to wait for."""
    book = world.books[parent_key]
    if not book.released_at_ms or not _counterparts_succeeded(world, parent_key, index):
        return False
    before = book.final_status(index - 1) if index else Status.SUCCEEDED
    return not world.specs[parent_key].sequential or before is not None


def _pending_rows(world: World, parent_key: int, start: int, stop: int) -> list[int]:
    """Children that were withdrawn alone while they waited: the only PENDING ones that have a row."""
    if not world.books[parent_key].row_counts.get(Status.PENDING):
        return []
    return [
        key
        for key in world.rows_of(parent_key)
        if start <= child_index(parent_key, key) < stop and world.jobs[key].status is Status.PENDING
    ]


def _withdraw_pending(world: World, key: int, outcomes: Outcomes) -> None:
    job = world.jobs[key]
    _close(world, job, Cause.WITHDRAWN, outcomes, {"status_reason": job.end_reason})


def _end_due_rows(world: World, parent_key: int, start: int, stop: int, outcomes: Outcomes) -> None:
    """Ends those children [start, stop) that were withdrawn alone and wait for nothing any more. Ascending, since in a
    SEQUENTIAL array one's end is what the next waited for."""
    spec = world.specs[parent_key]
    for row_key in _pending_rows(world, parent_key, start, stop):
        index = child_index(parent_key, row_key)
        if not _is_due(world, parent_key, index):
            continue
        _withdraw_pending(world, row_key, outcomes)
        if spec.sequential and not spec.after_any:
            _fail_after(world, parent_key, index, DEPENDENCY_FAILED, outcomes)
            return


def _fail_rest(world: World, parent_key: int, reason: str, outcomes: Outcomes) -> None:
    """Ends all children that have not begun, as failed; and the array, if they were the last."""
    scheduler.dequeue(world, parent_key)
    _fail_after(world, parent_key, -1, reason, outcomes)
    _finish_parent(world, parent_key, outcomes)


def _fail_after(world: World, parent_key: int, index: int, reason: str, outcomes: Outcomes) -> None:
    """Ends the children behind `index` that have not begun, as failed."""
    book = world.books[parent_key]
    _fail_together(world, parent_key, within(book.unstarted.freeze(), index + 1, book.size), reason, outcomes)
    for row_key in _pending_rows(world, parent_key, index + 1, book.size):
        _withdraw_pending(world, row_key, outcomes)
    if not book.ready():
        scheduler.dequeue(world, parent_key)


def _fail_virtual(world: World, parent_key: int, ranges: Ranges, reason: str, outcomes: Outcomes) -> None:
    """Ends virtual children as failed; in a SEQUENTIAL array those behind the first of them fail with it."""
    _fail_together(world, parent_key, ranges, reason, outcomes)
    spec, parent = world.specs[parent_key], world.jobs[parent_key]
    if ranges and spec.sequential and (not spec.after_any or parent.is_withdrawn):
        _fail_after(world, parent_key, ranges[0][0], reason, outcomes)


def _fail_together(world: World, parent_key: int, ranges: Ranges, reason: str, outcomes: Outcomes) -> None:
    world.books[parent_key].fail_together(world.jobs[parent_key], ranges, reason, world.now_ms)
    world.touch(parent_key)
    outcomes.extend(Outcome(parent_key, False, start, stop) for start, stop in ranges)


def _finish_parent(world: World, parent_key: int, outcomes: Outcomes) -> None:
    book, parent = world.books[parent_key], world.jobs.get(parent_key)
    if parent is None or not book.is_finished():
        return
    scheduler.dequeue(world, parent_key)
    world.unmet.pop(parent_key, None)
    world.sources.pop(parent_key, None)
    if parent.status is Status.SUBMITTED:
        parent = world.move(parent, Cause.WAITS)
    if not book.failed:
        cause, reason = Cause.CHILDREN_SUCCEEDED, ""
    else:
        withdrawn = parent.is_withdrawn
        cause, reason = Cause.CHILDREN_FAILED, parent.end_reason if withdrawn else CHILD_FAILED
    world.finish(lifecycle.move(parent, cause, status_reason=reason, stopped_at_ms=world.now_ms))
    outcomes.append(Outcome(parent_key, cause is Cause.CHILDREN_SUCCEEDED))


# -- N_TO_N --


def _counterparts_succeeded(world: World, key: int, index: int) -> bool:
    """Whether child `index` waits for none of its counterparts. An array that is no longer known ended long ago, and
    its children's outcome was applied when it did."""
    wanted = (Status.SUCCEEDED, Status.FAILED) if world.specs[key].after_any else (Status.SUCCEEDED,)
    return all(
        source not in world.books or world.books[source].final_status(index) in wanted
        for source in world.sources.get(key, ())
    )


def _counterparts_ended(world: World, key: int, start: int, stop: int, succeeded: bool, outcomes: Outcomes) -> None:
    """Children [start, stop) of an array that array `key` follows N_TO_N have ended."""
    book, job, spec = world.books[key], world.jobs[key], world.specs[key]
    held = within(book.held.freeze(), start, stop)
    withdrawn = job.is_withdrawn
    if not succeeded and not spec.after_any:
        reason = job.end_reason if withdrawn else DEPENDENCY_FAILED
        pending = _pending_rows(world, key, start, stop)
        for row_key in pending:
            _withdraw_pending(world, row_key, outcomes)
        _fail_together(world, key, held, reason, outcomes)
        failed = [first for first, _ in held] + [child_index(key, row_key) for row_key in pending]
        if spec.sequential and failed:
            _fail_after(world, key, min(failed), reason, outcomes)
        _finish_parent(world, key, outcomes)
        return
    for index in (i for a, b in held for i in range(a, b)):
        if index in book.held and _counterparts_succeeded(world, key, index):
            book.held.remove(index)
            world.touch(key)
            if withdrawn and book.released_at_ms:
                _fail_virtual(world, key, ((index, index + 1),), job.end_reason, outcomes)
    first, last = (0, book.size) if spec.sequential else (start, stop)
    _end_due_rows(world, key, first, last, outcomes)
    _finish_parent(world, key, outcomes)
    if key in world.jobs and book.released_at_ms and book.ready() and not withdrawn:
        scheduler.enqueue(world, key)
