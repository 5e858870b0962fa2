"""Service jobs: submitted, changed, terminated (AWS Batch behaviour 2.7, 5.5). None ever runs: each is RUNNABLE, with
the reason, until it is ended."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from batchyard.core.model import service_commands
from batchyard.core.model.records import Health, Queue, State
from batchyard.core.model.refusal import Refused
from batchyard.core.model.service_records import ServiceJob, quota_share_path, takes_service_jobs
from batchyard.core.scheduling import policies
from batchyard.core.service_jobs.document_kinds import SERVICE_JOB
from batchyard.core.state.world import World

# All are in memory, each with up to 10 KiB of payload, and none ever runs: more would be kept for nothing.
MAX_SERVICE_JOBS = 1000


def submit(world: World, command: service_commands.SubmitServiceJob) -> ServiceJob:
    """Makes one service job, or gives the answer of the same request that was made before."""
    jobs = world.services.jobs
    if command.request_key and command.request_key in jobs.by_request:
        return jobs[jobs.by_request[command.request_key]]
    if command.client_token and command.client_token in jobs.by_token:
        raise Refused(
            f"The clientToken {command.client_token} was used for the service job "
            f"{jobs.by_token[command.client_token]}: use another one for each new job."
        )
    queue = _queue(world, command.queue)
    _check_share(world, queue, command)
    _make_room(world)
    job = ServiceJob(
        job_id=command.job_id,
        name=command.name,
        queue=command.queue,
        type=command.type,
        document=command.document,
        tags=command.tags,
        created_at_ms=world.now_ms,
        share_identifier=command.share_identifier,
        quota_share=command.quota_share,
        scheduling_priority=command.scheduling_priority,
        client_token=command.client_token,
        request_key=command.request_key,
    )
    put(world, job)
    return job


def _queue(world: World, name: str) -> Queue:
    queue = world.queues.get(name)
    if queue is None:
        raise Refused(f"JobQueue {name} not found.", is_bare=True)
    if not takes_service_jobs(queue.document):
        raise Refused(
            f"JobQueue {name} is not of type SAGEMAKER_TRAINING, and takes no service jobs: use SubmitJob, or another "
            "job queue."
        )
    if queue.state is not State.ENABLED:
        raise Refused(f"JobQueue {name} is {queue.state.value}; it must be ENABLED to take jobs.")
    if queue.status is Health.CREATING:
        raise Refused(f"JobQueue {name} is not VALID: it is {queue.status.value}. Wait until it is before submitting.")
    return queue


def _check_share(world: World, queue: Queue, command: service_commands.SubmitServiceJob) -> None:
    """Shares are named where the queue has a policy of their kind, and nowhere else."""
    kind = policies.kind_of(world, queue)
    if kind != policies.FAIR and command.share_identifier:
        raise Refused(policies.ON_FIFO)
    if kind != policies.QUOTA and command.quota_share:
        raise Refused("Job with quotaShareName can only be submitted to job queue with quota share scheduling policy.")
    if not kind and command.scheduling_priority is not None:
        raise Refused(policies.ON_FIFO)
    if kind == policies.FAIR and not command.share_identifier:
        raise Refused(policies.NO_SHARE)
    if kind == policies.QUOTA:
        if not command.quota_share:
            raise Refused("quotaShareName must be specified.")
        _check_quota_share(world, queue.name, command.quota_share)


def _check_quota_share(world: World, queue: str, name: str) -> None:
    share = world.services.shares.get(quota_share_path(queue, name))
    if share is None:
        raise Refused(f"QuotaShare {name} of JobQueue {queue} does not exist.")
    if share.state is not State.ENABLED:
        raise Refused(f"QuotaShare {name} of JobQueue {queue} is {share.state.value}; it must be ENABLED to take jobs.")


def _make_room(world: World) -> None:
    """Removes the job that ended first where there are as many as allowed."""
    jobs = world.services.jobs
    if len(jobs) < MAX_SERVICE_JOBS:
        return
    first = next(iter(jobs.ended), None)
    if first is None:
        raise Refused(
            f"There are {MAX_SERVICE_JOBS} service jobs that have not ended, the most there can be: nothing here runs "
            "them, so terminate some."
        )
    _forget(world, first)


def update(world: World, command: service_commands.UpdateServiceJob) -> ServiceJob:
    job = find(world, command.job_id)
    if not policies.kind_of(world, world.queues[job.queue]):
        raise Refused(policies.ON_FIFO)
    if job.status.is_final:
        raise Refused(f"The service job {job.job_id} is {job.status}: only one that waits can be changed.")
    job = replace(job, scheduling_priority=command.scheduling_priority)
    put(world, job)
    return job


def terminate(world: World, command: service_commands.TerminateServiceJob) -> None:
    """Terminates a job. Unknown and ended jobs are ignored, as with other jobs."""
    job = world.services.jobs.get(command.job_id)
    if job is not None:
        _end(world, [job], command.reason)


def end_all_in(world: World, queue: str, reason: str, quota_share: str = "") -> None:
    """Ends what waits in a queue. `quota_share`: only in that share of it."""
    jobs = [job for job in world.services.jobs.values() if job.queue == queue]
    _end(world, [job for job in jobs if quota_share in ("", job.quota_share)], reason)


def _end(world: World, jobs: Iterable[ServiceJob], reason: str) -> None:
    for job in jobs:
        if not job.stopped_at_ms:
            put(world, replace(job, stopped_at_ms=world.now_ms, end_reason=reason))


def waiting_in(world: World, queue: str) -> list[ServiceJob]:
    """Returns the jobs that wait in a queue, in the order of their turn: by priority, then the oldest first."""
    jobs = [job for job in world.services.jobs.values() if job.queue == queue and not job.stopped_at_ms]
    return sorted(jobs, key=lambda job: (-(job.scheduling_priority or 0), job.created_at_ms, job.job_id))


def find(world: World, job_id: str) -> ServiceJob:
    """Returns a service job by its id. Raises Refused if there is none."""
    job = world.services.jobs.get(job_id)
    if job is None:
        raise Refused(f"The service job {job_id} does not exist.")
    return job


def put(world: World, job: ServiceJob) -> None:
    """Sets a new service job, or the next version of one."""
    world.services.jobs.keep(job)
    world.changes.documents[SERVICE_JOB, job.job_id] = job


def _forget(world: World, job_id: str) -> None:
    world.services.jobs.forget(job_id)
    world.changes.documents[SERVICE_JOB, job_id] = None


def sweep(world: World) -> None:
    """Removes the jobs whose time to be kept is over."""
    while (at_ms := next_sweep_ms(world)) is not None and at_ms <= world.now_ms:
        _forget(world, next(iter(world.services.jobs.ended)))


def next_sweep_ms(world: World) -> int | None:
    """Returns when the job goes that ended first; None: nothing goes by itself."""
    ended_ms, kept_ms = world.services.jobs.first_end_ms(), world.limits.service_jobs_kept_ms
    return ended_ms + kept_ms if kept_ms and ended_ms is not None else None


def restore(world: World, jobs: Iterable[ServiceJob]) -> None:
    """Restores the stored jobs, before the first command."""
    for job in sorted(jobs, key=lambda job: (job.stopped_at_ms, job.created_at_ms, job.job_id)):
        world.services.jobs.keep(job)
