"""One scheduling pass over the world: who waits where, who can run, and what placing an attempt changes.

The decisions are in placement.py (who starts) and waiting.py (who never can); this applies them."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from batchyard.core import lifecycle, names, placement, waiting
from batchyard.core.effects import LaunchTask, RecoverTask
from batchyard.core.lifecycle import Cause
from batchyard.core.placement import Assignment, Candidate, Offer, Room
from batchyard.core.records import Attempt, Environment, Health, Instance, Job, JobSpec, State, Status
from batchyard.core.runnable import FRESH, RETRIED
from batchyard.core.world import World

UNMANAGED = "UNMANAGED"


def enqueue(world: World, key: int) -> None:
    """A job became RUNNABLE (or the children of an array did): it takes its place in its queue, or is set aside with
    the reason why nothing there can ever run it."""
    spec = world.spec_of(key)
    world.stuck.get(spec.queue, {}).pop(key, None)
    stuck = never_starts(world, spec)
    reason = stuck.status_reason if stuck is not None else ""
    if reason:
        world.stuck.setdefault(spec.queue, {})[key] = reason
        world.runnable_in(spec.queue).discard(key)
    else:
        retried = key not in world.books and bool(world.jobs[key].past)
        world.runnable_in(spec.queue).push(key, RETRIED if retried else FRESH)
    _explain(world, key, reason)


def dequeue(world: World, key: int) -> None:
    queue = world.spec_of(key).queue
    world.stuck.get(queue, {}).pop(key, None)
    world.runnable_in(queue).discard(key)


def reassess(world: World) -> None:
    """Environments, queues or the host changed: everybody who waits for capacity is looked at again."""
    for queue in sorted({*world.runnable, *world.stuck}):
        keys = [*world.runnable_in(queue).waiting_keys(), *world.stuck.get(queue, {})]
        for key in sorted(keys):
            enqueue(world, key)


def _explain(world: World, key: int, reason: str) -> None:
    """statusReason of a RUNNABLE job says why it can never run, and nothing otherwise."""
    book = world.books.get(key)
    if book is not None:
        if book.waiting_reason != reason:
            book.waiting_reason = reason
            world.touch(key)
        return
    job = world.jobs[key]
    if job.status_reason != reason:
        world.put(replace(job, status_reason=reason))


def never_starts(world: World, spec: JobSpec) -> waiting.Stuck | None:
    """Why nothing that runs now will ever make room for the job."""
    places = [
        waiting.Place(environment, instances_of(world, environment), environment.engine in world.abilities)
        for environment in environments_of(world, spec.queue)
    ]
    return waiting.never_starts(spec.task.resources, spec.engines, spec.queue, places)


def environments_of(world: World, queue: str) -> list[Environment]:
    record = world.queues.get(queue)
    if record is None:
        return []
    return [world.environments[o.environment] for o in record.environments if o.environment in world.environments]


def instances_of(world: World, environment: Environment) -> tuple[Instance, ...]:
    """UNMANAGED environments all offer this host, from its one ledger; MANAGED ones offer nothing yet."""
    return tuple(world.instances.values()) if environment.type == UNMANAGED else ()


def offers_of(world: World, queue: str) -> list[Offer]:
    return [
        Offer(e.name, e.engine, tuple(i.instance_id for i in instances_of(world, e)))
        for e in environments_of(world, queue)
        if e.state is State.ENABLED and e.status is Health.VALID and e.engine in world.abilities
    ]


def candidates(world: World, queue: str) -> Iterator[Candidate]:
    """The jobs of a queue that could start, in their order; an array's children one by one."""
    for key in world.runnable_in(queue).in_order():
        spec = world.spec_of(key)
        book = world.books.get(key)
        if book is None:
            yield Candidate(key, None, spec.task.resources, spec.engines)
        elif spec.sequential:
            first = book.next_in_line()
            if first is not None:
                yield Candidate(key, first, spec.task.resources, spec.engines)
        else:
            for start, stop in book.ready():
                for index in range(start, stop):
                    yield Candidate(key, index, spec.task.resources, spec.engines)


def run_pass(world: World) -> None:
    """Starts whatever fits now."""
    if world.is_draining:
        return
    order = sorted(world.queues.values(), key=lambda q: (-q.priority, q.name))
    visits = [(offers_of(world, q.name), candidates(world, q.name)) for q in order if world.runnable_in(q.name)]
    if not visits:
        return
    rooms = {name: Room(room.free, list(room.gpu_ids)) for name, room in world.rooms.items()}
    for assignment in placement.plan(visits, rooms):
        _apply(world, assignment)


def _apply(world: World, assignment: Assignment) -> None:
    candidate = assignment.candidate
    key, index = candidate.key, candidate.index
    spec = world.spec_of(key)
    if index is None:
        dequeue(world, key)
        job = world.jobs[key]
    else:
        book = world.books[key]
        job = lifecycle.child_row(key + 1 + index, Status.RUNNABLE, world.jobs[key].created_at_ms)
        world.add_child_row(key, index, job)
        if spec.sequential or len(book.unstarted) == len(book.held):
            dequeue(world, key)
    attempt = Attempt(
        number=len(job.past) + 1,
        environment=assignment.environment,
        engine=assignment.engine,
        instance_id=assignment.instance_id,
        device_ids=assignment.device_ids,
    )
    placed = world.move(job, Cause.PLACED, attempt=attempt, status_reason="")
    world.effects.append(launch_of(world, placed))


def launch_of(world: World, job: Job) -> LaunchTask:
    """What to tell the engine about a placed attempt."""
    attempt = job.attempt
    assert attempt is not None, f"job {job.key} has no attempt to launch"
    spec = world.spec_of(job.key)
    job_id = world.job_id(job.key)
    environment = [
        ("AWS_BATCH_JOB_ID", job_id),
        ("AWS_BATCH_JOB_ATTEMPT", str(attempt.number)),
        ("AWS_BATCH_JQ_NAME", spec.queue),
        ("AWS_BATCH_CE_NAME", attempt.environment),
    ]
    index = world.index_of(job.key)
    if index is not None:
        environment.append(("AWS_BATCH_JOB_ARRAY_INDEX", str(index)))
        environment.append(("AWS_BATCH_JOB_ARRAY_SIZE", str(spec.array_size)))
    task_id = names.task_id(job.key, attempt.number, job_id)
    return LaunchTask(
        engine=attempt.engine,
        attempt_id=task_id,
        spec_key=spec.key,
        task=spec.task,
        environment=tuple(environment),
        device_ids=attempt.device_ids,
        job_id=job_id,
        log_group=spec.log_group,
        log_stream=names.log_stream(spec.log_prefix, task_id),
    )


def recovery_of(world: World, job: Job) -> RecoverTask:
    """What to ask the engine about an attempt that was placed when the server last stopped."""
    attempt = job.attempt
    assert attempt is not None, f"job {job.key} has no attempt to recover"
    started = job.status is Status.RUNNING
    launch = launch_of(world, job)
    return RecoverTask(
        engine=launch.engine,
        attempt_id=launch.attempt_id,
        launch=launch,
        may_launch=not started and not attempt.stopping,
        known_started=started,
    )
