"""Every invariant of the machine, by name. For tests, the simulator, and a server in doubt."""

from __future__ import annotations

from collections import Counter

from batchyard.core.model.records import JOINED_PROVIDER, InstanceState, Job, Status, milli_vcpus_of
from batchyard.core.model.resources import UNBOUNDED, Resources
from batchyard.core.state.environment_instances import COMING
from batchyard.core.state.world import World

PLACED = (Status.STARTING, Status.RUNNING)


def assert_consistent(world: World) -> None:
    """Raises AssertionError naming the first invariant that does not hold."""
    for key, job in world.jobs.items():
        _check_job(world, key, job)
    _check_arrays(world)
    _check_capacity(world)
    _check_waiting(world)
    _check_shares(world)
    _check_service_jobs(world)
    _check_consumables(world)


def _check_job(world: World, key: int, job: Job) -> None:
    assert job.key == key, f"job {job.key} is kept under {key}"
    assert not job.status.is_final, f"the finished job {key} is kept as unfinished"
    is_parent = key in world.jobs.arrays
    assert (job.attempt is not None) == (job.status in PLACED), f"job {key} is {job.status} and has {job.attempt}"
    assert not (is_parent and job.attempt), f"the array {key} has an attempt of its own"
    if job.attempt is not None:
        assert job.attempt.number == len(job.past) + 1, f"job {key} skipped an attempt"
        assert job.attempt.number <= world.jobs.spec_of(key).retry.attempts, f"job {key} has too many attempts"
        assert bool(job.attempt.started_at_ms) == (job.status is Status.RUNNING), f"job {key}: start time and state"
    if job.status is Status.RUNNABLE:
        queue = world.jobs.spec_of(key).queue
        waits = key in world.queues.runnable_in(queue), key in world.queues.stuck.get(queue, {})
        assert sum(waits) == 1, f"the RUNNABLE job {key} is in line {waits}"


def _check_arrays(world: World) -> None:
    for key, progress in world.jobs.arrays.items():
        rows = world.jobs.rows_of(key)
        counts: dict[str, int] = {}
        for row in rows:
            status = world.jobs[row].status
            counts[status] = counts.get(status, 0) + 1
        assert counts == progress.row_counts, f"array {key} counts {progress.row_counts}, its rows are {counts}"
        total = len(progress.unstarted) + len(progress.succeeded) + len(progress.failed) + len(rows)
        assert total == progress.size, f"array {key} of {progress.size} has {total} children"
        assert (key in world.jobs.specs) == (not progress.is_finished()), f"array {key} is done and open, or neither"
        for group in progress.never_started:
            assert group.start in progress.failed, f"child {key}:{group.start} never started and did not fail"
        for index in progress.held:
            assert index in progress.unstarted, f"child {key}:{index} is held and has begun"


def _check_capacity(world: World) -> None:
    for name, available in world.instances.available.items():
        total = world.instances[name].resources
        assert available.total == total, f"instance {name}: {available.total} is not what it has, {total}"
        if not world.instances[name].environment:
            total = total.minus(_reserved(world, world.instances[name].provider))
        assert available.free == total.minus(world.held(name)), (
            f"instance {name}: free {available.free} is not what is left"
        )
        placed = [(j.key, p) for j in world.jobs.values() if j.attempt for p in j.attempt.placements]
        here = [(key, placement) for key, placement in placed if placement.instance_id == name]
        assert sorted(world.instances.placed_on(name)) == sorted({key for key, _ in here}), (
            f"instance {name}: who is on it"
        )
        ends = world.instances.ends.get(name)
        timed = {key for key, _ in here if world.jobs.spec_of(key).timeout_seconds}
        expected = sorted((_end_ms(world, key), key) for key in timed)
        assert (list(ends.in_order(world.now_ms)) if ends is not None else []) == expected, f"instance {name}: ends"
        used = [device for _, placement in here for device in placement.device_ids]
        assert len(used) == len(set(used)), f"instance {name}: a device is given twice, {sorted(used)}"
        assert not set(used) & set(available.gpu_ids), f"instance {name}: a device is free and in use"
        own = set(world.instances[name].gpu_ids)
        assert set(available.gpu_ids) <= own, f"instance {name}: a device is free and not its own"
        if world.instances[name].environment:  # a provider's machine may lose devices that attempts hold
            assert set(used) <= own, f"instance {name}: a device is not its own"
    for name, provider in world.instances.providers.items():
        assert provider.ledger is world.instances.available[provider.machine.instance_id], (
            f"provider {name} has two ledgers"
        )
    _check_fleet(world)


def _end_ms(world: World, key: int) -> int:
    """Returns when the timeout of a placed attempt ends it at the latest."""
    attempt = world.jobs[key].attempt
    started_at_ms = attempt.started_at_ms if attempt is not None else 0
    return (started_at_ms or world.now_ms) + world.limits.longest_ms(world.jobs.spec_of(key).timeout_seconds)


def _reserved(world: World, provider: str) -> Resources:
    """Returns what managed instances take of a provider, computed anew."""
    total = Resources()
    for instance in world.instances.values():
        if instance.environment and instance.provider == provider != JOINED_PROVIDER:
            total = total.plus(instance.resources)
    return total


def _check_fleet(world: World) -> None:
    """Checks that every started task names an instance with room for it, of its environment, and that reservations
    are counted once. (That maxvCpus is kept to is asserted where an instance is launched: it may be lowered later.)"""
    given: list[tuple[str, int]] = []
    for name, instance in world.instances.items():
        if not instance.environment:
            continue
        assert name in world.instances.launched_in[instance.environment], f"{instance.environment} does not know {name}"
        owner = name if instance.provider == JOINED_PROVIDER else instance.provider  # a host has its own devices
        given.extend((owner, device) for device in instance.gpu_ids)
        is_idle = instance.state is InstanceState.READY and not world.instances.placed_on(name)
        assert (name in world.instances.idle_since) == is_idle, (
            f"instance {name} is {instance.state} and idle, or neither"
        )
        if instance.state is InstanceState.LAUNCHING:
            assert not world.instances.placed_on(name), f"instance {name} has attempts and has not booted"
    assert len(given) == len(set(given)), f"a device is given to two instances, {sorted(given)}"
    for key, job in world.jobs.items():
        for placement in job.attempt.placements if job.attempt is not None else ():
            if placement.instance_id in world.instances:
                owner = world.instances[placement.instance_id].environment
                environment = job.attempt.environment if job.attempt is not None else ""
                assert owner in ("", environment), f"job {key} runs in {environment} on {owner}'s"
    _check_counts(world)
    queued: dict[str, int] = {}
    for key in {key for keys in world.instances.placed.values() for key in keys}:
        queue = world.jobs.spec_of(key).queue
        queued[queue] = queued.get(queue, 0) + 1
    counted = {queue: number for queue, number in world.queues.placed.items() if number}
    assert counted == queued, f"placed in queues: {counted} counted, {queued} there are"


def _check_counts(world: World) -> None:
    """Checks what is counted of managed instances against their records."""
    living: dict[str, Resources] = {}
    for environment, ids in world.instances.launched_in.items():
        own, counted = [world.instances[name] for name in ids], world.instances.of(environment)
        known = [one for one in world.instances.values() if one.environment == environment]
        assert len(own) == len(known), f"{environment} has {len(known)} instances, and knows of {len(own)}"
        lasting = [one for one in own if one.state is not InstanceState.TERMINATING]
        coming = [one for one in own if one.state in COMING]
        for one in lasting:
            living[one.provider] = living.get(one.provider, Resources()).plus(one.resources)
        assert counted.milli_vcpus == sum(one.resources.milli_vcpus for one in lasting), f"{environment}: milli-vCPUs"
        assert counted.coming_milli_vcpus == sum(one.resources.milli_vcpus for one in coming), f"{environment}: coming"
        assert counted.sizes == Counter(one.resources for one in coming), f"{environment}: sizes {counted.sizes}"
        by_state = {state: [one.instance_id for one in own if one.state is state] for state in InstanceState}
        assert list(counted.launching) == by_state[InstanceState.LAUNCHING], f"{environment}: {counted.launching}"
        assert counted.in_order(counted.draining) == by_state[InstanceState.DRAINING], f"{environment}: draining"
        assert list(counted.unclaimed) == list(counted.launching), f"{environment}: what may be claimed"
        rooms = [(i, world.instances.available[i].free) for i in by_state[InstanceState.READY]]
        assert list(counted.with_room(Resources())) == [i for i, free in rooms if Resources().fits(free)], (
            f"{environment}: which have room"
        )
        assert {i: counted.room(world.instances[i]) for i, _ in rooms} == dict(rooms), f"{environment}: free rooms"
        assert counted.ready() == by_state[InstanceState.READY], f"{environment}: ready ones {counted.ready()}"
        idle = [(world.instances.idle_since[i], i) for i in ids if i in world.instances.idle_since]
        assert counted.first_idle(UNBOUNDED) == min(idle, default=None), f"{environment}: idle for longest"
        ends = [one.ends_at_ms for one in own if one.ends_at_ms > world.now_ms]
        next_ms = counted.next_end_ms(world.instances, world.now_ms)
        assert next_ms == min(ends, default=None), f"{environment}: the next end is {next_ms}"
    counted_living = {name: amount for name, amount in world.instances.living.items() if amount != Resources()}
    assert counted_living == living, f"instances take {living} of the providers, counted {counted_living}"


def never_over_committed(world: World) -> bool:
    """Whether no instance is over-committed; holds as long as none was made smaller under running jobs."""
    return all(Resources().fits(available.free) for available in world.instances.available.values())


def _check_waiting(world: World) -> None:
    waiting = {name for name, jobs in world.queues.runnable.items() if len(jobs)}
    assert world.queues.waiting == waiting, f"jobs could start in {waiting}, known are {world.queues.waiting}"
    counted: dict[int, int] = {}
    for waited, waiters in world.jobs.dependents.items():
        assert waited not in world.jobs.finished, f"jobs wait for {waited}, which is finished"
        for key in waiters:
            counted[key] = counted.get(key, 0) + 1
    for key, number in world.jobs.unmet.items():
        assert key in world.jobs, f"{key} waits and is unknown"
        assert counted.get(key) == number, f"{key} waits for {number} jobs, {counted.get(key)} know of it"


def _check_shares(world: World) -> None:
    held: dict[tuple[str, str], int] = {}
    jobs: dict[tuple[str, str], int] = {}
    for spec in world.jobs.specs.values():
        if spec.share_identifier:
            at = spec.queue, spec.share_identifier
            jobs[at] = jobs.get(at, 0) + 1
    for key, job in world.jobs.items():
        spec = world.jobs.spec_of(key)
        if spec.share_identifier and job.attempt is not None:
            at = spec.queue, spec.share_identifier
            held[at] = held.get(at, 0) + milli_vcpus_of(spec)
    for queue, ledger in world.queues.shares.items():
        for identifier, share in ledger.shares.items():
            at = queue, identifier
            assert share.held == held.pop(at, 0), f"share {identifier} of {queue} holds {share.held}"
            assert share.jobs == jobs.pop(at, 0), f"share {identifier} of {queue} has {share.jobs} jobs"
            assert bool(share.jobs) == (share.left_at_ms == 0), f"share {identifier} of {queue} left and is there"
    assert not {**held, **jobs}, f"no account is kept of {held or jobs}"
    assert set(world.queues.fair) == set(world.queues.policies), (
        f"policies {sorted(world.queues.policies)}, ready {sorted(world.queues.fair)}"
    )


def _check_service_jobs(world: World) -> None:
    jobs = world.services.jobs
    for path, share in world.services.shares.items():
        assert share.path == path, f"the quota share {share.path} is kept under {path}"
        assert share.queue in world.queues, f"the quota share {path} has lost its queue"
    for job_id, job in jobs.items():
        assert job.job_id == job_id, f"the service job {job.job_id} is kept under {job_id}"
        assert job.stopped_at_ms or job.queue in world.queues, f"the service job {job_id} waits in no queue"
    ended = [job_id for job_id, job in jobs.items() if job.stopped_at_ms]
    assert sorted(jobs.ended) == sorted(ended), f"service jobs that ended: {ended}, known as such: {list(jobs.ended)}"
    times = list(jobs.ended.values())
    assert times == sorted(times), "service jobs are not in the order of their ends"
    for index in (jobs.by_token, jobs.by_request):
        assert jobs.keys() >= set(index.values()), "a token or request names a service job that is gone"


def _check_consumables(world: World) -> None:
    held: dict[str, int] = {}
    for key, job in world.jobs.items():
        for one in world.jobs.spec_of(key).consumables if job.attempt is not None else ():
            held[one.name] = held.get(one.name, 0) + one.quantity
    assert held == world.consumables.held, (
        f"attempts hold {held} of consumable resources, counted {world.consumables.held}"
    )
    for name, resource in world.consumables.items():
        assert resource.name == name, f"the consumable resource {resource.name} is kept under {name}"
        assert resource.total >= 0 <= resource.consumed, f"the consumable resource {name} has negative amounts"
