"""Cancels or terminates all jobs of a queue, or disables it, for another machine: an alarm, above all."""

from __future__ import annotations

from batchyard.core.jobs import cancellation
from batchyard.core.model.commands import UpdateJobQueue
from batchyard.core.model.queue_actions import EVERY_QUEUE, ActOnQueue, QueueAction, QueueActionDone
from batchyard.core.model.ranges import count
from batchyard.core.model.records import State, Status
from batchyard.core.model.refusal import Refused
from batchyard.core.registry import queues
from batchyard.core.state.world import World

WAITING = (Status.SUBMITTED, Status.PENDING, Status.RUNNABLE)


def act(world: World, report: ActOnQueue) -> QueueActionDone:
    """Acts on a queue, or on all of them. Done again it changes nothing."""
    names = sorted(world.queues) if report.queue == EVERY_QUEUE else [report.queue]
    if report.queue not in (*world.queues, EVERY_QUEUE):
        return _done(report, 0, f"There is no job queue {report.queue}.")
    if report.action is QueueAction.DISABLE:
        return _done(report, 0, _disable(world, names))
    is_terminate = report.action is QueueAction.TERMINATE
    wanted = frozenset(names)
    number = 0
    for key in sorted(key for key, spec in world.jobs.specs.items() if spec.queue in wanted):
        if key not in world.jobs:
            continue  # the end of an earlier one ended it too
        if not (world.jobs[key].is_terminated if is_terminate else world.jobs[key].is_withdrawn):
            number += _concerned(world, key, is_terminate)
            cancellation.withdraw(world, world.jobs.specs[key].job_id, report.reason, terminate=is_terminate)
    return _done(report, number)


def _concerned(world: World, key: int, is_terminate: bool) -> int:
    """Counts the jobs that end by it: of an array its children."""
    progress = world.jobs.arrays.get(key)
    if progress is None:
        return int(is_terminate or world.jobs[key].status in WAITING)
    rows = [world.jobs[row].status for row in world.jobs.rows_of(key)]
    return count(progress.unstarted.freeze()) + sum(is_terminate or status in WAITING for status in rows)


def _disable(world: World, names: list[str]) -> str:
    """Returns why a queue could not be disabled; empty: all are."""
    for name in names:
        if world.queues[name].state is State.DISABLED:
            continue
        try:
            queues.update(world, UpdateJobQueue(name, state=State.DISABLED.value))
        except Refused as refusal:
            return refusal.message
    return ""


def _done(report: ActOnQueue, number: int, error: str = "") -> QueueActionDone:
    return QueueActionDone(report.action, report.queue, report.token, number, error)
