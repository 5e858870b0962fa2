"""Restores a running machine from what the store kept."""

from __future__ import annotations

from msgspec.structs import replace

from batchyard.core.instances import instance_lifecycle
from batchyard.core.jobs import attempts, submission
from batchyard.core.model import names
from batchyard.core.model.changes import Snapshot
from batchyard.core.model.consumable_records import ConsumableResource
from batchyard.core.model.effects import Effect
from batchyard.core.model.host_records import JoinedHost, JoinToken
from batchyard.core.model.idempotency import Remembered, split_stored_key
from batchyard.core.model.records import (
    JOINED_PROVIDER,
    EndedInstance,
    Instance,
    InstanceState,
    JobSpec,
    QueueHead,
    SchedulingPolicy,
    ShareUsage,
    Status,
    milli_vcpus_of,
)
from batchyard.core.model.service_records import QuotaShare, ServiceEnvironment, ServiceJob
from batchyard.core.scheduling import fleet, launches, policies, queue_head, scheduler
from batchyard.core.secrets import secrets
from batchyard.core.service_jobs import quota_shares, service_environments, service_jobs
from batchyard.core.state import transient_states
from batchyard.core.state.arrays import ArrayProgress
from batchyard.core.state.fairshare import ShareLedger
from batchyard.core.state.world import World


def restore(world: World, snapshot: Snapshot) -> None:
    """Rebuilds every index from the records. Instances come later (SetHost); until then nothing can be placed."""
    world.environments.update((e.name, e) for e in snapshot.environments)
    world.queues.update((q.name, q) for q in snapshot.queues)
    world.definitions = {(d.name, d.revision): d for d in snapshot.definitions}
    world.revisions = dict(snapshot.revisions)
    secrets.restore(world, snapshot.documents)
    world.jobs.next_key = snapshot.next_key
    world.now_ms = snapshot.last_time_ms
    _restore_instances(world, snapshot)
    ended = [record for record in snapshot.documents.values() if isinstance(record, EndedInstance)]
    world.instances.ended = {e.instance.instance_id: e for e in sorted(ended, key=lambda e: e.ended_at_ms)}
    for (_, name), record in snapshot.documents.items():
        if isinstance(record, SchedulingPolicy):
            policies.keep(world, record)
        elif isinstance(record, ServiceEnvironment):
            service_environments.keep(world, record)
        elif isinstance(record, QuotaShare):
            quota_shares.keep(world, record)
        elif isinstance(record, ConsumableResource):
            world.consumables[name] = record
        elif isinstance(record, ShareUsage):
            world.queues.shares[name] = ShareLedger(record)
    service_jobs.restore(world, (r for r in snapshot.documents.values() if isinstance(r, ServiceJob)))
    for spec in snapshot.specs:
        world.jobs.specs[spec.key] = spec
        world.jobs.by_id[spec.job_id] = spec.key
        if spec.share_identifier:
            world.queues.shares.setdefault(spec.queue, ShareLedger()).join(spec.share_identifier)
    for job in sorted(snapshot.jobs, key=lambda j: j.key):
        world.jobs[job.key] = job
        if job.array is not None:
            world.jobs.arrays[job.key] = ArrayProgress(job.array)
    _find_parents(world)
    for stored, (job_id, created_at_ms) in sorted(snapshot.idempotency.items(), key=lambda item: item[1][1]):
        token, digest = split_stored_key(stored)
        world.idempotency[token] = Remembered(job_id, digest)
        world.idempotency_order.append((created_at_ms + world.limits.idempotency_kept_ms, token))
    for spec in snapshot.specs:
        _restore_waiting(world, spec, snapshot.finished)
    for key, job in sorted(world.jobs.items()):
        if job.attempt is not None:
            world.occupy(job)
            spec = world.jobs.spec_of(key)
            if spec.share_identifier:
                world.queues.shares[spec.queue].resume(spec.share_identifier, milli_vcpus_of(spec))
        seconds = world.jobs.spec_of(key).timeout_seconds
        if job.status is Status.RUNNING and job.attempt is not None and seconds and not job.attempt.stopping:
            world.timetable.add_deadline(job.attempt.started_at_ms + seconds * 1000, key, job.attempt.number)
    queue_head.restore(world, {name: r for (_, name), r in snapshot.documents.items() if isinstance(r, QueueHead)})
    transient_states.restore(world)
    for environment in snapshot.environments:
        if environment.paused_until_ms:
            world.environments.paused[environment.name] = environment.paused_until_ms, environment.pause_reason
        fleet.set_budget(world, environment)
    for instance_id, instance in world.instances.items():
        if instance.state is InstanceState.READY and not world.instances.placed_on(instance_id):
            world.instances.mark_idle(instance_id, instance.idle_since_ms or snapshot.last_time_ms)


def _restore_instances(world: World, snapshot: Snapshot) -> None:
    """Restores the instances, as they were launched, and what is known of joined hosts: none is connected yet."""
    known = [record for record in snapshot.documents.values() if isinstance(record, Instance)]
    for instance in sorted(known, key=lambda i: (i.number, i.launched_at_ms)):
        is_joined = instance.provider == JOINED_PROVIDER and instance.state is InstanceState.READY
        world.add_instance(replace(instance, state=InstanceState.AWAY) if is_joined else instance)
    for (_, name), record in snapshot.documents.items():
        if isinstance(record, JoinedHost):
            world.hosts[name] = record
        elif isinstance(record, JoinToken):
            world.hosts.tokens[name] = record


def _find_parents(world: World) -> None:
    """Finds the parents of children's rows: a row that is not a submission belongs to the last submission before it."""
    parent = 0
    for key in sorted({*world.jobs.specs, *world.jobs}):
        if key in world.jobs.specs:
            parent = key
            continue
        spec = world.jobs.specs[parent]
        assert key <= parent + spec.array_size, f"row {key} belongs to no unfinished submission"
        world.jobs.parents[key] = parent


def _restore_waiting(world: World, spec: JobSpec, finished: dict[str, str]) -> None:
    """Puts a waiting submission back among the dependants, or into its queue."""
    job, progress = world.jobs[spec.key], world.jobs.arrays.get(spec.key)
    submission.follow(world, spec.key, _followed(world, spec))
    waits = job.status in (Status.SUBMITTED, Status.PENDING) if progress is None else not progress.released_at_ms
    if waits:
        submission.wait_for(world, spec.key, _unfinished(world, spec, finished))
    elif progress is None:
        if job.status is Status.RUNNABLE:
            scheduler.resume(world, spec.key)
    else:
        for key in world.jobs.rows_of(spec.key):
            if world.jobs[key].status is Status.RUNNABLE:
                scheduler.resume(world, key)
        # A SEQUENTIAL array waits for no capacity while one of its children runs: that child's end lines it up.
        has_next = progress.next_in_line() is not None if spec.sequential else bool(progress.ready())
        if has_next and not job.is_withdrawn:
            scheduler.resume(world, spec.key)


def _followed(world: World, spec: JobSpec) -> list[int]:
    """Returns the unfinished arrays it follows N_TO_N; the ends of finished ones are in its ranges already."""
    wanted = [names.parse_job_id(d.job_id).uuid for d in spec.depends_on if d.type == "N_TO_N"]
    return [world.jobs.by_id[uuid] for uuid in wanted if uuid in world.jobs.by_id]


def _unfinished(world: World, spec: JobSpec, finished: dict[str, str]) -> list[int]:
    keys: list[int] = []
    for dependency in spec.depends_on:
        if not dependency.job_id or dependency.type == "N_TO_N":
            continue
        wanted = names.parse_job_id(dependency.job_id)
        key = world.jobs.by_id.get(wanted.uuid)
        status = finished.get(dependency.job_id) if key is None else world.jobs.status_at(key, wanted.index)
        assert key is not None or status is not None, (
            f"job {spec.job_id} waits for {dependency.job_id}, which the store does not know"
        )
        if key is not None and (status is None or not Status(status).is_final):
            keys.append(key if wanted.index is None else names.child_key(key, wanted.index))
    unfinished = list(dict.fromkeys(keys))
    assert unfinished, f"job {spec.job_id} waits although nothing it depends on is unfinished"
    return unfinished


def recover(world: World) -> list[Effect]:
    """Returns the recovery of every placed attempt, in the order of their jobs; then the stops that were requested
    before."""
    placed = [job for _, job in sorted(world.jobs.items()) if job.attempt is not None]
    effects: list[Effect] = [*instance_lifecycle.recovery(world)]
    for job in placed:
        effects.extend(launches.recoveries_of(world, job))
    for job in placed:
        if job.attempt is not None and job.attempt.stopping:
            effects.extend(attempts.stops_of(world, job))
    return effects
