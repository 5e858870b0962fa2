"""The owner's overview of environments, queues and instances: capacity, what is free, waiting jobs, and what the scaler
will do next and why (AWS Batch behaviour 3.6, 4.3). Reads the world, changes nothing.

The next step is computed by the functions that decide it (fleet.next_launch, fleet.idle_in): it is what the scaler
does if nothing else happens first."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from batchyard.core.capacity.allocation import Need, NoLaunch, describe, unserved
from batchyard.core.instances import instance_lifecycle
from batchyard.core.model.commands import Command
from batchyard.core.model.compute_resources import EnvironmentKind
from batchyard.core.model.names import child_id
from batchyard.core.model.records import (
    HOST_PROVIDER,
    JOINED_PROVIDER,
    Environment,
    Health,
    Instance,
    InstanceState,
    Queue,
    State,
)
from batchyard.core.model.resources import MILLI_PER_VCPU, Resources, format_vcpus
from batchyard.core.scheduling import fleet
from batchyard.core.scheduling.candidates import len_of
from batchyard.core.scheduling.claims import kept_of_provider
from batchyard.core.state.placement import NONE_AHEAD
from batchyard.core.state.runnable import QueueMerge
from batchyard.core.state.transient_states import IN_MOTION
from batchyard.core.state.world import World

JOBS_LISTED = 100  # ids named in an instance's row; the count is whole
MAX_SHAPE_QUEUES = 200  # shapes of one queue's demand that are packed onto coming instances: as many as a pass visits


class Next(StrEnum):
    """What the scaler does next."""

    LAUNCH = "LAUNCH"  # in its next pass
    BOOT = "BOOT"  # instances are being launched for waiting jobs
    BLOCKED = "BLOCKED"  # it would launch, and can't
    LET_GO = "LET_GO"  # an idle instance, when its time is over
    ENDING = "ENDING"  # an instance ends, or is interrupted
    NOTHING = "NOTHING"


class Step(Struct, frozen=True):
    """The next step in one sentence. `text`: empty where there is none. `at_ms`: when, where that is known; else 0."""

    next: Next
    text: str
    at_ms: int = 0


class Demand(Struct, frozen=True):
    """Jobs that could start, children counted singly, and the sum of their requests."""

    jobs: int = 0
    resources: Resources = Resources()


class InstanceView(Struct, frozen=True):
    """One instance. `environments`: those whose jobs may run there; of a managed instance its own."""

    instance: Instance
    environments: tuple[str, ...]
    is_host: bool
    free: Resources
    jobs: tuple[str, ...]  # job ids, in the order they came, JOBS_LISTED at most
    jobs_count: int
    idle_since_ms: int
    step: Step
    host_name: str = ""  # of a joined host


class EnvironmentView(Struct, frozen=True):
    """One environment. `total`: what its jobs can use together, of its existing instances, else what this host
    offers it; `free`: of that. `demand`: RUNNABLE jobs of the queues it is attached to, whichever environment serves
    them."""

    environment: Environment
    kind: EnvironmentKind
    strategy: str  # empty where it launches no instances
    queues: tuple[str, ...]
    instances: dict[str, int]  # by state
    min_milli_vcpus: int
    max_milli_vcpus: int
    desired_milli_vcpus: int
    total: Resources
    free: Resources
    jobs_count: int  # STARTING and RUNNING
    demand: Demand
    step: Step


class QueueView(Struct, frozen=True):
    """One queue. `blocked_job`: its head, which has found no room since `blocked_since_ms`; empty: no job waits for
    room."""

    queue: Queue
    jobs_count: int  # STARTING and RUNNING
    demand: Demand
    stuck_count: int  # RUNNABLE ones that none of its environments can ever run
    blocked_job: str = ""
    blocked_since_ms: int = 0
    blocked_reason: str = ""  # its statusReason
    blocked_count: int = 0  # how often Job Queue Blocked was emitted for it, including jobs that can never run


class Overview(Struct, frozen=True):
    """All views, each by name or id; this host is the first of the instances."""

    environments: tuple[EnvironmentView, ...]
    queues: tuple[QueueView, ...]
    instances: tuple[InstanceView, ...]


class AskOverview(Command[Overview], frozen=True):
    """Asks for the owner's overview of environments, queues and instances."""


class InterruptInstance(Command[InstanceView], frozen=True):
    """Takes an instance away as a Spot interruption does, after a notice. The answer is the instance as it is then."""

    instance_id: str
    notice_seconds: float


def overview(world: World, command: AskOverview) -> Overview:
    waiting = {name: _waiting(world, name) for name in sorted(world.queues)}
    running = _running(world)
    managed = [i for name in sorted(world.instances.launched_in) for i in world.instances.launched_in[name]]
    machines = [
        provider.machine.instance_id
        for name, provider in sorted(world.instances.providers.items())
        if name != JOINED_PROVIDER  # it has no machine of its own
    ]
    return Overview(
        tuple(_environment(world, world.environments[n], waiting, running) for n in sorted(world.environments)),
        tuple(_queue(world, world.queues[name], waiting[name].demand) for name in waiting),
        tuple(_instance(world, world.instances[instance_id]) for instance_id in [*machines, *managed]),
    )


def view_of(world: World, instance: Instance) -> InstanceView:
    """Returns the view of an instance; one that has just ended has nothing free and no jobs."""
    if instance.instance_id in world.instances:
        return _instance(world, instance)
    step = Step(Next.ENDING, "It is gone.")
    return InstanceView(instance, (instance.environment,), False, Resources(), (), 0, 0, step)


def interrupt(world: World, command: InterruptInstance) -> InstanceView:
    """Interrupts a managed instance at its owner's request."""
    instance = instance_lifecycle.interrupt(world, command.instance_id, command.notice_seconds)
    return view_of(world, instance)


# -- who waits --


def _running(world: World) -> dict[str, int]:
    """Counts placed attempts by environment."""
    counts: dict[str, int] = {}
    for keys in world.instances.placed.values():
        for key in keys:
            attempt = world.jobs[key].attempt
            assert attempt is not None, f"job {key} is placed without an attempt"
            counts[attempt.environment] = counts.get(attempt.environment, 0) + 1
    return counts


class _Waiting(Struct, frozen=True):
    """The demand of one queue, and its needs in scheduling order, with the engines that can run them."""

    demand: Demand
    needs: tuple[tuple[Need, tuple[str, ...]], ...]


def _waiting(world: World, queue: str) -> _Waiting:
    queues = world.queues.runnable_in(queue).shape_queues()
    counts = [sum(len_of(world, key) for key in shape_queue.entries) for shape_queue in queues]
    total = Resources()
    for shape_queue, count in zip(queues, counts, strict=True):
        asked = shape_queue.shape.resources
        total = total.plus(Resources(asked.milli_vcpus * count, asked.memory_mib * count, asked.gpus * count))
    needs: list[tuple[Need, tuple[str, ...]]] = []
    merge = QueueMerge(queues)
    while len(needs) < MAX_SHAPE_QUEUES and (found := merge.next()) is not None:
        shape_queue = found[1]
        needs.append((Need(shape_queue.shape.resources, counts[queues.index(shape_queue)]), shape_queue.shape.engines))
        merge.skip_shape()
    return _Waiting(Demand(sum(counts), total), tuple(needs))


# -- environments --


def _environment(
    world: World, environment: Environment, waiting: dict[str, _Waiting], running: dict[str, int]
) -> EnvironmentView:
    attached = tuple(name for name in waiting if _is_attached(world.queues[name], environment.name))
    states: dict[str, int] = {}
    for instance_id in world.instances.launched_in.get(environment.name, ()):
        state = str(world.instances[instance_id].state)
        states[state] = states.get(state, 0) + 1
    demand = Demand()
    for name in attached:
        theirs = waiting[name].demand
        demand = Demand(demand.jobs + theirs.jobs, demand.resources.plus(theirs.resources))
    total, free = _capacity(world, environment)
    launches = environment.kind.launches_instances
    return EnvironmentView(
        environment=environment,
        kind=environment.kind,
        strategy=environment.compute_resources.strategy.value if launches else "",
        queues=attached,
        instances=states,
        min_milli_vcpus=environment.compute_resources.min_vcpus * MILLI_PER_VCPU,
        max_milli_vcpus=environment.compute_resources.max_vcpus * MILLI_PER_VCPU,
        desired_milli_vcpus=environment.desired_vcpus * MILLI_PER_VCPU,
        total=total,
        free=free,
        jobs_count=running.get(environment.name, 0),
        demand=demand,
        step=_in_motion(environment)
        or (
            _next_step(world, environment, {name: waiting[name] for name in attached})
            if launches
            else _without_instances(environment)
        ),
    )


def _is_attached(queue: Queue, environment: str) -> bool:
    return any(order.environment == environment for order in queue.environments)


def _capacity(world: World, environment: Environment) -> tuple[Resources, Resources]:
    """Returns the total for an environment's jobs, and the free part; of this host, what managed instances leave."""
    if environment.kind.has_instances:
        total, free = Resources(), Resources()
        for instance in fleet.instances_of(world, environment):
            total, free = (
                total.plus(instance.resources),
                free.plus(world.instances.available[instance.instance_id].free),
            )
        return total, free
    provider = world.instances.provider_of(environment)
    if provider is None:
        return Resources(), Resources()
    total = provider.total.minus(_reserved(world, provider.name))
    free = provider.ledger.free
    budget = world.environments.budgets.get(environment.name)
    if budget is None:
        return total, free
    most = environment.compute_resources.max_vcpus * MILLI_PER_VCPU
    left = max(0, min(budget.free.milli_vcpus, free.milli_vcpus))
    return (
        Resources(min(most, total.milli_vcpus), total.memory_mib, total.gpus),
        Resources(left, free.memory_mib, free.gpus),
    )


def capacity_of(world: World, environment: Environment) -> Resources:
    """Returns what the jobs of an environment can use together."""
    return _capacity(world, environment)[0]


def _reserved(world: World, provider: str) -> Resources:
    """Returns what managed instances take from a provider."""
    reserved = Resources()
    for instance in world.instances.values():
        if instance.environment and instance.provider == provider:
            reserved = reserved.plus(instance.resources)
    return reserved


def _in_motion(environment: Environment) -> Step | None:
    if environment.status not in IN_MOTION:
        return None
    text = f"It is {environment.status}: nothing is placed there or launched until it is VALID."
    return Step(Next.NOTHING, text, environment.settles_at_ms)


def _without_instances(environment: Environment) -> Step:
    if environment.kind.has_instances:
        return Step(Next.NOTHING, "It launches nothing: its jobs run on the hosts that have joined it.")
    if environment.kind.is_budgeted:
        return Step(Next.NOTHING, "It launches no instances: each job reserves its own share of this host.")
    return Step(Next.NOTHING, "It launches nothing: its jobs run on this host, beside what managed instances reserve.")


def _next_step(world: World, environment: Environment, queues: dict[str, _Waiting]) -> Step:
    """Returns the next step of an environment that launches instances."""
    name = environment.name
    if environment.status is Health.DELETING:
        return Step(Next.ENDING, "It is being deleted: its instances end with their last jobs.")
    missing = fleet.wanted_milli_vcpus(environment) - fleet.coming(world, name)
    if missing > 0:
        need = Need(fleet.ONE_VCPU, -(-missing // MILLI_PER_VCPU))
        return _launch_step(world, environment, need, "for minvCpus or desiredvCpus")
    blocked: Step | None = None
    if environment.state is State.ENABLED and not world.is_draining:
        for queue in sorted(queues, key=lambda q: (-world.queues[q].priority, q)):
            step = _for_queue(world, environment, queue, queues[queue])
            if step is not None and step.next is Next.LAUNCH:
                return step
            blocked = blocked or step
    booting = _booting(world, name)
    if booting:
        kinds = ", ".join(sorted({world.instances[i].instance_type for i in booting}))
        return Step(Next.BOOT, f"{_instances(len(booting))} ({kinds}) being launched.")
    return blocked or _idle_step(world, environment)


def _for_queue(world: World, environment: Environment, queue: str, waiting: _Waiting) -> Step | None:
    """Returns the step for the jobs of a queue that have no room on instances being launched. None: nothing is
    needed here, also where an environment before it in the queue serves them."""
    needs = [need for need, engines in waiting.needs if environment.engine in engines]
    for order in world.queues[queue].environments:
        for instance_id in _booting(world, order.environment):
            needs = list(unserved(needs, world.instances[instance_id].resources))
    if not needs or not world.can_use(environment.engine):
        return None
    for order in world.queues[queue].environments:
        if order.environment == environment.name:
            break
        other = world.environments.get(order.environment)
        if other is not None and _serves(world, other, needs[0]):
            return None
    ahead = world.queues.ahead.get(queue, NONE_AHEAD)
    if environment.name in ahead.environments:
        text = f"It launches nothing for the queue {queue}: a job of a queue of higher priority waits for room."
        return Step(Next.BLOCKED, text)
    kept = kept_of_provider(world, environment, ahead)
    return _launch_step(world, environment, needs[0], f"for the queue {queue}", kept)


def _booting(world: World, environment: str) -> list[str]:
    found = world.instances.launched_in.get(environment, ())
    return [i for i in found if world.instances[i].state is InstanceState.LAUNCHING]


def _serves(world: World, environment: Environment, need: Need) -> bool:
    """Whether an environment would launch an instance for a need."""
    if not (fleet.is_usable(environment) and world.can_use(environment.engine) and environment.kind.launches_instances):
        return False
    return environment.name not in world.environments.paused and not isinstance(
        fleet.next_launch(world, environment, need), NoLaunch
    )


def _launch_step(
    world: World,
    environment: Environment,
    need: Need,
    purpose: str,
    kept: Resources = Resources(),  # noqa: B008  (frozen)
) -> Step:
    paused = world.environments.paused.get(environment.name)
    if paused is not None and world.now_ms < paused[0]:
        return Step(Next.BLOCKED, f"The last launch was refused: {paused[1]} It tries again.", paused[0])
    choice = fleet.next_launch(world, environment, need, kept)
    if isinstance(choice, NoLaunch):
        return Step(Next.BLOCKED, f"It launches nothing more {purpose}: {choice.text}")
    return Step(Next.LAUNCH, f"It launches, {purpose}, {choice.reason}")


def _idle_step(world: World, environment: Environment) -> Step:
    """Returns the step for idle instances when no job waits."""
    for instance_id, at_ms in _leaving(world, environment).items():
        text = f"It lets {instance_id} go, which is idle, unless a job comes."
        return Step(Next.LET_GO, text, at_ms)
    left, wanted = fleet.coming(world, environment.name), fleet.wanted_milli_vcpus(environment)
    if environment.state is not State.ENABLED:
        return Step(Next.NOTHING, "It is DISABLED and launches nothing, but for minvCpus.")
    if fleet.idle_in(world, environment.name):
        return Step(Next.NOTHING, f"It keeps {format_vcpus(left)} vCPUs for minvCpus ({format_vcpus(wanted)}).")
    if left:
        return Step(Next.NOTHING, "Nobody waits, and all its instances have work.")
    return Step(Next.NOTHING, "Nobody waits: it stays without instances until a job needs one.")


def _leaving(world: World, environment: Environment) -> dict[str, int]:
    """Returns the idle instances that will be terminated, and when: the longest idle first, down to what is kept."""
    left, wanted = fleet.coming(world, environment.name), fleet.wanted_milli_vcpus(environment)
    found: dict[str, int] = {}
    for since_ms, instance_id in fleet.idle_in(world, environment.name):
        milli_vcpus = world.instances[instance_id].resources.milli_vcpus
        if left - milli_vcpus >= wanted:
            left -= milli_vcpus
            found[instance_id] = since_ms + fleet.scale_down_ms(world, environment)
    return found


def _instances(count: int) -> str:
    return "1 instance is" if count == 1 else f"{count} instances are"


# -- instances --


def _instance(world: World, instance: Instance) -> InstanceView:
    is_host = not instance.environment and instance.provider == HOST_PROVIDER
    keys = world.instances.placed_on(instance.instance_id)
    names = (instance.environment,) if instance.environment else _on_machine(world, instance.provider)
    return InstanceView(
        instance=instance,
        environments=names,
        is_host=is_host,
        free=world.instances.available[instance.instance_id].free,
        jobs=tuple(world.jobs.id_of(key) for key in keys[:JOBS_LISTED]),
        jobs_count=len(keys),
        idle_since_ms=world.instances.idle_since.get(instance.instance_id, 0),
        step=_instance_step(world, instance, is_host),
        host_name=world.hosts[instance.instance_id].facts.name if instance.instance_id in world.hosts else "",
    )


def _on_machine(world: World, provider: str) -> tuple[str, ...]:
    """Returns the environments whose jobs run directly on a provider's machine."""
    found = (e for _, e in sorted(world.environments.items()) if e.provider == provider)
    return tuple(environment.name for environment in found if not environment.kind.has_instances)


def _instance_step(world: World, instance: Instance, is_host: bool) -> Step:
    if is_host:
        reserved = _reserved(world, instance.provider)
        text = f"This machine; managed instances reserve {describe(reserved)} of it." if reserved.milli_vcpus else ""
        return Step(Next.NOTHING, text or "This machine.")
    if instance.state is InstanceState.LAUNCHING:
        return Step(Next.BOOT, "It boots.")
    if instance.state is InstanceState.TERMINATING:
        return Step(Next.ENDING, "It ends.")
    if instance.state is InstanceState.AWAY:
        return Step(Next.NOTHING, "It is not connected, and takes no jobs until it is.")
    if instance.provider == JOINED_PROVIDER:
        drained = instance.state is InstanceState.DRAINING
        return Step(Next.NOTHING, "It takes no more jobs (batchyard hosts drain)." if drained else "")
    if instance.state is InstanceState.DRAINING:
        return Step(Next.ENDING, "It takes no more jobs, and is taken away.", instance.ends_at_ms)
    if instance.instance_id not in world.instances.idle_since:
        return Step(Next.NOTHING, "")
    environment = world.environments.get(instance.environment)
    at_ms = _leaving(world, environment).get(instance.instance_id, 0) if environment is not None else 0
    if not at_ms:
        return Step(Next.NOTHING, "It is idle, and kept for minvCpus.")
    return Step(Next.LET_GO, "It is idle, and goes unless a job comes.", at_ms)


# -- queues --


def _queue(world: World, queue: Queue, demand: Demand) -> QueueView:
    head = world.queues.heads.get(queue.name)
    blocked = ""
    if head is not None and head.key in world.jobs:
        own = world.jobs.id_of(head.key)
        blocked = own if head.index is None else child_id(own, head.index)
    stuck = world.queues.stuck.get(queue.name, {})
    return QueueView(
        queue=queue,
        jobs_count=world.queues.placed.get(queue.name, 0),
        demand=demand,
        stuck_count=sum(len_of(world, key) for key in stuck),
        blocked_job=blocked,
        blocked_since_ms=head.since_ms if head is not None and blocked else 0,
        blocked_reason=head.reason if head is not None and blocked else "",
        blocked_count=world.queues.reported_blocked[queue.name].count
        if queue.name in world.queues.reported_blocked
        else 0,
    )
