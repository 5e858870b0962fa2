"""CancelJob, TerminateJob and the end of a deleted queue's jobs (AWS Batch behaviour 7.8).

A waiting job ends at once, a PENDING one when its dependencies are done; a placed one is stopped by terminate and left
alone by cancel; none is retried."""

from __future__ import annotations

from msgspec.structs import replace

from batchyard.core.jobs import attempts, completion
from batchyard.core.model import lifecycle, names
from batchyard.core.model.commands import CancelJob, TerminateAllRunning, TerminateJob
from batchyard.core.model.lifecycle import Cause
from batchyard.core.model.names import child_key
from batchyard.core.model.reasons import StopCause
from batchyard.core.model.records import Job, Status
from batchyard.core.scheduling import scheduler
from batchyard.core.state.arrays import waiting_status
from batchyard.core.state.world import World

QUEUE_DELETED = "JobQueue deleted"


def cancel(world: World, command: CancelJob) -> None:
    withdraw(world, command.job_id, command.reason, terminate=False)


def terminate(world: World, command: TerminateJob) -> None:
    withdraw(world, command.job_id, command.reason, terminate=True)


def withdraw(world: World, job_id: str, reason: str, *, terminate: bool) -> None:
    """Cancels or terminates a job; by the id of one of its nodes too. Unknown and finished jobs are ignored, as on
    AWS."""
    wanted = names.parse_job_id(job_id)
    key = world.jobs.by_id.get(wanted.uuid)
    if key is None or key in world.jobs.finished:
        return
    if wanted.node is not None and wanted.node >= world.jobs.specs[key].num_nodes:
        return
    progress = world.jobs.arrays.get(key)
    if wanted.index is None:
        if progress is None:
            _withdraw_row(world, world.jobs[key], reason, terminate)
        else:
            _withdraw_array(world, key, reason, terminate)
    elif progress is not None and wanted.index < progress.size and progress.final_status(wanted.index) is None:
        _withdraw_row(world, _row_of_child(world, key, wanted.index), reason, terminate)


def _marked(job: Job, reason: str, terminate: bool) -> Job:
    """Marks a job: isCancelled and isTerminated are true at once. The first text stays, unless a terminate follows a
    cancel."""
    stronger = terminate and not job.is_terminated
    return replace(
        job,
        is_cancelled=job.is_cancelled or not terminate,
        is_terminated=job.is_terminated or terminate,
        end_reason=reason if stronger or not job.end_reason else job.end_reason,
    )


def _withdraw_row(world: World, job: Job, reason: str, terminate: bool) -> None:
    job = _marked(job, reason, terminate)
    world.put(job)
    if job.status is Status.RUNNABLE:
        completion.end(world, job, Cause.WITHDRAWN, status_reason=job.end_reason)
    elif job.attempt is not None and terminate:
        attempts.stop(world, job, StopCause.TERMINATE)


def _row_of_child(world: World, parent_key: int, index: int) -> Job:
    """Returns the child's row, which is made if it had none."""
    key = child_key(parent_key, index)
    if key not in world.jobs:
        parent, spec, progress = world.jobs[parent_key], world.jobs.specs[parent_key], world.jobs.arrays[parent_key]
        status = waiting_status(spec, progress.freeze(), index)
        world.add_child_row(parent_key, index, lifecycle.child_row(key, status, parent.created_at_ms))
        if not progress.ready():
            scheduler.dequeue(world, parent_key)
    return world.jobs[key]


def _withdraw_array(world: World, key: int, reason: str, terminate: bool) -> None:
    world.put(_marked(world.jobs[key], reason, terminate))
    progress = world.jobs.arrays[key]
    reason = world.jobs[key].end_reason
    for row_key in world.jobs.rows_of(key):
        row = world.jobs.get(row_key)
        if row is not None:
            _withdraw_row(world, row, reason, terminate)
    if key in world.jobs and progress.released_at_ms:
        completion.withdraw_unstarted(world, key)  # PENDING ones end when their dependencies do


def delete_queue_jobs(world: World, queue: str) -> None:
    """Ends all jobs of a deleted queue, also those that wait for others."""
    for key in sorted(k for k, spec in world.jobs.specs.items() if spec.queue == queue):
        if key not in world.jobs:
            continue  # the end of an earlier job ended it too
        job_id = world.jobs.specs[key].job_id
        withdraw(world, job_id, QUEUE_DELETED, terminate=True)
        job = world.jobs.get(key)
        if job is not None and key in world.jobs.unmet:
            completion.fail_dependent(world, key)


def terminate_running(world: World, command: TerminateAllRunning) -> int:
    """Terminates every placed attempt; returns how many. Waiting jobs stay, and none starts until the next restart,
    since the service is about to end."""
    world.is_draining = True
    placed = sorted(key for key, job in world.jobs.items() if job.attempt is not None)
    for key in placed:
        _withdraw_row(world, world.jobs[key], command.reason, True)
    return len(placed)
