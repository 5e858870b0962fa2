"""The ends of jobs and their consequences: parents, dependants, the cascade (AWS Batch behaviour 7.6, 7.7).

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
    """The end of job `key`, or of its children [start, stop) when `stop` is given."""

    key: int
    succeeded: bool
    start: int = 0
    stop: int = 0


def end(world: World, job: Job, cause: Cause, **changes: object) -> None:
    """Ends an unfinished row, then everything that follows from it."""
    cascade = Cascade(world)
    cascade.end_row(job, cause, changes)
    cascade.follow()


def withdraw_unstarted(world: World, parent_key: int) -> None:
    """Ends the children of a cancelled or terminated array that was released and wait only for capacity."""
    cascade = Cascade(world)
    progress, parent = world.jobs.arrays[parent_key], world.jobs[parent_key]
    scheduler.dequeue(world, parent_key)
    if not (world.jobs.specs[parent_key].sequential and progress.active_rows()):
        cascade.fail_virtual(parent_key, progress.ready(), parent.end_reason)
        cascade.end_due_rows(parent_key, 0, progress.size)
    cascade.finish_parent(parent_key)
    cascade.follow()


def release(world: World, key: int) -> None:
    """Releases a job whose last dependency was met, or that had none."""
    cascade = Cascade(world)
    cascade.release(key)
    cascade.follow()


def fail_dependent(world: World, key: int) -> None:
    """Fails a waiting job, a dependency of which failed."""
    cascade = Cascade(world)
    cascade.fail_dependent(key)
    cascade.follow()


def fail_counterparts(world: World, key: int, ranges: Ranges) -> None:
    """Fails children of an array whose counterparts (N_TO_N) have failed."""
    cascade = Cascade(world)
    for start, stop in ranges:
        if key in world.jobs:  # the first range may have ended it all
            cascade.counterparts_ended(key, start, stop, False)
    cascade.follow()


def _awaited_children(world: World, outcome: Outcome) -> list[int]:
    """Returns the keys of the ended children on which single jobs depend."""
    first, last = child_key(outcome.key, outcome.start), child_key(outcome.key, outcome.stop)
    if last - first == 1:
        return [first] if first in world.jobs.dependents else []
    return sorted(key for key in world.jobs.dependents if first <= key < last)


def _is_due(world: World, parent_key: int, index: int) -> bool:
    """Whether a PENDING child that was withdrawn alone has nothing left to wait for."""
    progress = world.jobs.arrays[parent_key]
    if not progress.released_at_ms or not _counterparts_succeeded(world, parent_key, index):
        return False
    before = progress.final_status(index - 1) if index else Status.SUCCEEDED
    return not world.jobs.specs[parent_key].sequential or before is not None


def _pending_rows(world: World, parent_key: int, start: int, stop: int) -> list[int]:
    """Returns children that were withdrawn alone while they waited: the only PENDING ones that have a row."""
    if not world.jobs.arrays[parent_key].row_counts.get(Status.PENDING):
        return []
    return [
        key
        for key in world.jobs.rows_of(parent_key)
        if start <= child_index(parent_key, key) < stop and world.jobs[key].status is Status.PENDING
    ]


def _counterparts_succeeded(world: World, key: int, index: int) -> bool:
    """Whether child `index` waits for none of its counterparts. An array that is no longer known ended long ago, and
    the outcomes of its children were applied then."""
    wanted = (Status.SUCCEEDED, Status.FAILED) if world.jobs.specs[key].after_any else (Status.SUCCEEDED,)
    return all(
        source not in world.jobs.arrays or world.jobs.arrays[source].final_status(index) in wanted
        for source in world.jobs.sources.get(key, ())
    )


class Cascade:
    """The end of one job with all its consequences. Outcomes whose consequences are still to be applied are in a
    work list."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._outcomes: deque[Outcome] = deque()

    def follow(self) -> None:
        """Applies the consequences of all outcomes, and of those that they cause, until none is left."""
        while self._outcomes:
            outcome = self._outcomes.popleft()
            if not outcome.stop:
                self._tell_dependents(outcome.key, outcome.succeeded)
                continue
            for key in _awaited_children(self._world, outcome):
                self._tell_dependents(key, outcome.succeeded)
            for follower in self._world.jobs.followers.get(outcome.key, ()):
                if follower in self._world.jobs:
                    self.counterparts_ended(follower, outcome.start, outcome.stop, outcome.succeeded)

    def _tell_dependents(self, key: int, succeeded: bool) -> None:
        self._world.jobs.followers.pop(key, None)
        for waiting in self._world.jobs.dependents.pop(key, ()):
            if waiting not in self._world.jobs.unmet:
                continue  # it ended already, by another dependency or by its caller
            if not succeeded and not self._world.jobs.specs[waiting].after_any:
                self.fail_dependent(waiting)
                continue
            self._world.jobs.unmet[waiting] -= 1
            if not self._world.jobs.unmet[waiting]:
                del self._world.jobs.unmet[waiting]
                self.release(waiting)

    def release(self, key: int) -> None:
        """Makes a job, or an array's children, RUNNABLE that waits for no dependency any more."""
        job = self._world.jobs[key]
        progress = self._world.jobs.arrays.get(key)
        withdrawn = job.is_withdrawn
        if self._world.jobs.specs[key].late_refusal and not withdrawn:
            self._refuse_late(key)
            return
        if progress is None:
            if withdrawn:
                self.end_row(job, Cause.WITHDRAWN, {"status_reason": job.end_reason})
                return
            self._world.move(job, Cause.READY)
            scheduler.enqueue(self._world, key)
            return
        progress.released_at_ms = self._world.now_ms
        self._world.jobs.touch(key)
        if job.status is Status.SUBMITTED:
            self._world.move(job, Cause.SPAWNED)
        if withdrawn:
            self.fail_virtual(key, progress.ready(), job.end_reason)
        self.end_due_rows(key, 0, progress.size)
        self.finish_parent(key)
        if key in self._world.jobs and progress.ready() and not withdrawn:
            scheduler.enqueue(self._world, key)

    def _refuse_late(self, key: int) -> None:
        reason = self._world.jobs.specs[key].late_refusal
        if key in self._world.jobs.arrays:
            self._fail_rest(key, reason)
        else:
            self.end_row(self._world.jobs[key], Cause.WITHDRAWN, {"status_reason": reason})

    def fail_dependent(self, key: int) -> None:
        """Fails all that is left of a job, a dependency of which failed."""
        self._world.jobs.unmet.pop(key, None)
        job = self._world.jobs[key]
        reason = job.end_reason if job.is_withdrawn else DEPENDENCY_FAILED
        if key in self._world.jobs.arrays:
            self._fail_rest(key, reason)
        else:
            self.end_row(job, Cause.DEPENDENCY_FAILED, {"status_reason": reason})

    def end_row(self, job: Job, cause: Cause, changes: dict[str, object]) -> None:
        """Ends one row, with the consequences for its array where it is a child's."""
        parent_key = self._world.jobs.parents.get(job.key)
        ended = self._close(job, cause, changes)
        if parent_key is not None:
            self._after_child(parent_key, ended)

    def _close(self, job: Job, cause: Cause, changes: dict[str, object]) -> Job:
        """Ends one row. The consequences for a child's array are left to the caller."""
        parent_key = self._world.jobs.parents.get(job.key)
        scheduler.dequeue(self._world, job.key)
        ended = lifecycle.move(job, cause, **{"stopped_at_ms": self._world.now_ms, **changes})
        assert ended.status.is_final, f"job {job.key} does not end because {cause.value}"
        succeeded = ended.status is Status.SUCCEEDED
        if parent_key is None:
            self._world.jobs.unmet.pop(job.key, None)
            self._world.finish(ended)
            self._outcomes.append(Outcome(job.key, succeeded))
        else:
            self._world.put(ended)
            index = child_index(parent_key, job.key)
            self._outcomes.append(Outcome(parent_key, succeeded, index, index + 1))
        return ended

    def _after_child(self, parent_key: int, child: Job) -> None:
        """Applies the end of a child with a row: the next child of a SEQUENTIAL array may start, or those after it
        fail with it."""
        progress, parent, spec = (
            self._world.jobs.arrays[parent_key],
            self._world.jobs.get(parent_key),
            self._world.jobs.specs.get(parent_key),
        )
        if parent is None or spec is None:
            return  # the array ended with it
        if spec.sequential:
            index = child_index(parent_key, child.key)
            withdrawn = parent.is_withdrawn
            if withdrawn and progress.released_at_ms:
                self._fail_after(parent_key, index, parent.end_reason)
            elif child.status is Status.FAILED and not spec.after_any:
                self._fail_after(parent_key, index, DEPENDENCY_FAILED)
            else:
                self.end_due_rows(parent_key, 0, progress.size)
                if progress.released_at_ms and progress.ready():
                    scheduler.enqueue(self._world, parent_key)
        self.finish_parent(parent_key)

    def _withdraw_pending(self, key: int) -> None:
        job = self._world.jobs[key]
        self._close(job, Cause.WITHDRAWN, {"status_reason": job.end_reason})

    def end_due_rows(self, parent_key: int, start: int, stop: int) -> None:
        """Ends those children [start, stop) that were withdrawn alone and wait for nothing any more. Ascending,
        since in a SEQUENTIAL array each child waits for the end of the one before."""
        spec = self._world.jobs.specs[parent_key]
        for row_key in _pending_rows(self._world, parent_key, start, stop):
            index = child_index(parent_key, row_key)
            if not _is_due(self._world, parent_key, index):
                continue
            self._withdraw_pending(row_key)
            if spec.sequential and not spec.after_any:
                self._fail_after(parent_key, index, DEPENDENCY_FAILED)
                return

    def _fail_rest(self, parent_key: int, reason: str) -> None:
        """Ends all children that have not begun, as failed; and the array, if they were the last."""
        scheduler.dequeue(self._world, parent_key)
        self._fail_after(parent_key, -1, reason)
        self.finish_parent(parent_key)

    def _fail_after(self, parent_key: int, index: int, reason: str) -> None:
        """Ends the children after `index` that have not begun, as failed."""
        progress = self._world.jobs.arrays[parent_key]
        self._fail_together(parent_key, within(progress.unstarted.freeze(), index + 1, progress.size), reason)
        for row_key in _pending_rows(self._world, parent_key, index + 1, progress.size):
            self._withdraw_pending(row_key)
        if not progress.ready():
            scheduler.dequeue(self._world, parent_key)

    def fail_virtual(self, parent_key: int, ranges: Ranges, reason: str) -> None:
        """Ends virtual children as failed; in a SEQUENTIAL array those after the first of them fail with it."""
        self._fail_together(parent_key, ranges, reason)
        spec, parent = self._world.jobs.specs[parent_key], self._world.jobs[parent_key]
        if ranges and spec.sequential and (not spec.after_any or parent.is_withdrawn):
            self._fail_after(parent_key, ranges[0][0], reason)

    def _fail_together(self, parent_key: int, ranges: Ranges, reason: str) -> None:
        world = self._world
        world.jobs.arrays[parent_key].fail_together(world.jobs[parent_key], ranges, reason, world.now_ms)
        if world.recorder.wants_jobs:
            world.recorder.failed_together(world.jobs.specs[parent_key], ranges, reason, world.now_ms)
        world.jobs.touch(parent_key)
        self._outcomes.extend(Outcome(parent_key, False, start, stop) for start, stop in ranges)

    def finish_parent(self, parent_key: int) -> None:
        progress, parent = self._world.jobs.arrays[parent_key], self._world.jobs.get(parent_key)
        if parent is None or not progress.is_finished():
            return
        scheduler.dequeue(self._world, parent_key)
        self._world.jobs.unmet.pop(parent_key, None)
        self._world.jobs.sources.pop(parent_key, None)
        if parent.status is Status.SUBMITTED:
            parent = self._world.move(parent, Cause.WAITS)
        if not progress.failed:
            cause, reason = Cause.CHILDREN_SUCCEEDED, ""
        else:
            withdrawn = parent.is_withdrawn
            cause, reason = Cause.CHILDREN_FAILED, parent.end_reason if withdrawn else CHILD_FAILED
        self._world.finish(lifecycle.move(parent, cause, status_reason=reason, stopped_at_ms=self._world.now_ms))
        self._outcomes.append(Outcome(parent_key, cause is Cause.CHILDREN_SUCCEEDED))

    def counterparts_ended(self, key: int, start: int, stop: int, succeeded: bool) -> None:
        """Applies the end of children [start, stop) of an array that array `key` follows N_TO_N."""
        progress, job, spec = self._world.jobs.arrays[key], self._world.jobs[key], self._world.jobs.specs[key]
        held = within(progress.held.freeze(), start, stop)
        withdrawn = job.is_withdrawn
        if not succeeded and not spec.after_any:
            reason = job.end_reason if withdrawn else DEPENDENCY_FAILED
            pending = _pending_rows(self._world, key, start, stop)
            for row_key in pending:
                self._withdraw_pending(row_key)
            self._fail_together(key, held, reason)
            failed = [first for first, _ in held] + [child_index(key, row_key) for row_key in pending]
            if spec.sequential and failed:
                self._fail_after(key, min(failed), reason)
            self.finish_parent(key)
            return
        for index in (i for a, b in held for i in range(a, b)):
            if index in progress.held and _counterparts_succeeded(self._world, key, index):
                progress.held.remove(index)
                self._world.jobs.touch(key)
                if withdrawn and progress.released_at_ms:
                    self.fail_virtual(key, ((index, index + 1),), job.end_reason)
        first, last = (0, progress.size) if spec.sequential else (start, stop)
        self.end_due_rows(key, first, last)
        self.finish_parent(key)
        if key in self._world.jobs and progress.released_at_ms and progress.ready() and not withdrawn:
            scheduler.enqueue(self._world, key)
