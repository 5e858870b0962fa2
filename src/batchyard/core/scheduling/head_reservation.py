"""Reserves instances for a head that needs a new instance, or room on this host that instances hold: as long as other
jobs start on the existing ones, they never become idle, and never make room for it (AWS Batch behaviour 3.6, 4.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from batchyard.core.capacity import allocation
from batchyard.core.capacity.allocation import AllocationInput, InstanceLaunch, NoLaunch, NoLaunchReason
from batchyard.core.capacity.catalogue import registered
from batchyard.core.model.compute_resources import EnvironmentKind
from batchyard.core.model.records import Environment, Instance, InstanceState
from batchyard.core.model.resources import MILLI_PER_VCPU, Resources, sum_of
from batchyard.core.scheduling import fleet, gang_capacity
from batchyard.core.state.environment_instances import COMING
from batchyard.core.state.placement import NEVER_MS, pack
from batchyard.core.state.provider import Provider
from batchyard.core.state.runnable import Shape
from batchyard.core.state.world import World

NO_QUEUE = -1  # the priority of environments that no queue has: below that of every queue

# Whether the head finds room once instances have ended: what they release of this host, and how many milli-vCPUs of
# that its own environment then has less.
Suffices = Callable[[Resources, int], bool]


class Reservation(Struct, frozen=True):
    """What a head waits for. `instances`: the ids of those that have to end; `claims`: by instance, what a multi-node
    job takes of those that stay; `launches`: what the instances that are launched for it then take of the machine
    `machine_id`."""

    instances: tuple[str, ...] = ()
    claims: dict[str, Resources] = {}
    launches: Resources = Resources()
    machine_id: str = ""


def reservation_for(world: World, environments: Sequence[Environment], shape: Shape) -> Reservation | None:
    """Returns what a head of this shape waits for; None: no number of instances that ended would make room for it.

    `environments`: those that the head may use, in order. The first that could hold it as soon as jobs have ended on
    what is there; else the first that could launch for it once they have; else the first where it could have room once
    instances have ended."""
    found = [_reservation_in(world, environment, environments, shape) for environment in environments]
    able = [one for one in found if one is not None]
    return min(able, key=lambda one: (bool(one.instances), one.launches != Resources()), default=None)


def _reservation_in(
    world: World, environment: Environment, environments: Sequence[Environment], shape: Shape
) -> Reservation | None:
    provider = world.instances.provider_of(environment)
    if provider is None:
        return None
    if environment.kind is EnvironmentKind.REGISTERED:  # it waits for room on a host that could hold it
        could = not shape.nodes and any(shape.resources.fits(size) for size in fleet.sizes_of(world, environment))
        return Reservation() if could else None
    if not environment.kind.has_instances:
        return _on_machine(world, environment, environments, shape, provider)
    if shape.nodes:
        return _launches_for_nodes(world, environment, environments, shape.nodes, provider)
    return _launch_for(world, environment, environments, shape.resources, provider)


def _on_machine(
    world: World, environment: Environment, environments: Sequence[Environment], shape: Shape, provider: Provider
) -> Reservation | None:
    """Returns the instances that have to end so that the head can start on the machine itself."""
    asked = shape.resources
    if not asked.fits(provider.total):
        return None
    if environment.kind.is_managed and fleet.never_holds(world, environment, asked) is not None:
        return None
    free = _free_by_itself(world, provider)
    instances = _fewest(
        _in_turn(world, environment, environments), environment.name, lambda ended, _: asked.fits(free.plus(ended))
    )
    if instances is None:
        return None
    return Reservation(instances, {provider.machine.instance_id: asked} if shape.nodes else {})


def _launch_for(
    world: World, environment: Environment, environments: Sequence[Environment], asked: Resources, provider: Provider
) -> Reservation | None:
    """Returns the instances that have to end so that this environment could launch one for the head. Empty where an
    instance could hold it: it then waits for room on that one."""
    if any(asked.fits(size) for size in world.instances.of(environment.name).sizes):
        return Reservation()
    if fleet.never_holds(world, environment, asked) is not None:
        return None
    given = fleet.allocation_input(world, environment, ())
    kinds = allocation.possible(given, asked)
    if isinstance(kinds, NoLaunch):
        return None
    wanted = min((registered(kind) for kind in kinds), key=lambda amount: (amount.milli_vcpus, amount.memory_mib))
    limit = environment.compute_resources.max_vcpus * MILLI_PER_VCPU
    limit -= 1 if given.may_overshoot else wanted.milli_vcpus  # what it may have before the launch
    free = _free_by_itself(world, provider)
    instances = _fewest(
        _in_turn(world, environment, environments),
        environment.name,
        lambda ended, own: given.milli_vcpus - own <= limit and wanted.fits(free.plus(ended)),
    )
    return None if instances is None else Reservation(instances, {}, wanted, provider.machine.instance_id)


def _launches_for_nodes(
    world: World,
    environment: Environment,
    environments: Sequence[Environment],
    vectors: tuple[Resources, ...],
    provider: Provider,
) -> Reservation | None:
    """As _launch_for, for a head of several nodes: as many of them as the instances there could hold stay on those;
    where the others then have no room, all instances have to make room for new ones."""
    if gang_capacity.never_gathers(world, environment, vectors) is not None:
        return None
    taken, without = pack(vectors, {i.instance_id: i.resources for i in _coming(world, environment)})
    if not without:
        return Reservation(claims=taken)
    free = _free_by_itself(world, provider)
    for claims, nodes in ((taken, without), ({}, range(len(vectors)))):
        needs = gang_capacity.needs_of([vectors[node] for node in nodes])
        given = replace(fleet.allocation_input(world, environment, needs), free=free)
        ending = (one for one in _in_turn(world, environment, environments) if one.instance_id not in claims)
        instances = _fewest(ending, environment.name, partial(_launches_all, given))
        if instances is not None:
            choices = _planned(given, *_released(world, environment.name, instances))
            launches = sum_of(registered(choice.instance_type) for choice in choices)
            return Reservation(instances, claims, launches, provider.machine.instance_id)
    return None


def _planned(given: AllocationInput, ended: Resources, own: int) -> list[InstanceLaunch]:
    """Returns the launches for all needs once instances have ended; empty: not all of them can be launched."""
    given = replace(given, free=given.free.plus(ended), milli_vcpus=given.milli_vcpus - own)
    if not sum_of(need.resources.times(need.count) for need in given.needs).fits(given.free):
        return []  # at little cost: a plan compares all types for each launch
    choices, end = allocation.plan(given)
    return choices if end.why is NoLaunchReason.NO_DEMAND else []


def _launches_all(given: AllocationInput, ended: Resources, own: int) -> bool:
    return bool(_planned(given, ended, own))


def _fewest(instances: Iterator[Instance], environment: str, suffices: Suffices) -> tuple[str, ...] | None:
    """Returns the first instances that suffice once they have ended, without those that it then takes none of; None:
    all of them don't. `environment`: the head's, of whose maxvCpus they take."""
    chosen: list[Instance] = []
    ended, own = Resources(), 0
    while not suffices(ended, own):
        instance = next(instances, None)
        if instance is None:
            return None
        chosen.append(instance)
        ended, own = ended.plus(instance.resources), own + _own_milli_vcpus(instance, environment)
    for instance in chosen[-2::-1]:  # the last one was needed
        less, own_less = ended.minus(instance.resources), own - _own_milli_vcpus(instance, environment)
        if suffices(less, own_less):
            chosen.remove(instance)
            ended, own = less, own_less
    return tuple(instance.instance_id for instance in chosen)


def _own_milli_vcpus(instance: Instance, environment: str) -> int:
    return instance.resources.milli_vcpus if instance.environment == environment else 0


def _released(world: World, environment: str, instance_ids: Sequence[str]) -> tuple[Resources, int]:
    instances = [world.instances[instance_id] for instance_id in instance_ids]
    return sum_of(one.resources for one in instances), sum(_own_milli_vcpus(one, environment) for one in instances)


def _free_by_itself(world: World, provider: Provider) -> Resources:
    """Returns what a provider has once the attempts on its machine, and the instances being terminated, have ended."""
    return provider.total.minus(world.instances.living.get(provider.name, Resources()))


def _in_turn(world: World, first: Environment, environments: Sequence[Environment]) -> Iterator[Instance]:
    """Returns the instances that could be terminated: the environment's own, then those of the queue's others, the
    newest first, so that the same ones are reserved in each pass; then those of the environments of other queues.
    Down to what each environment has to keep. Draining ones end anyway."""
    others = [e for e in environments if e.name != first.name and e.provider == first.provider]
    for environment in (first, *others):
        yield from _spare(world, environment, _instances(world, environment)[::-1])
    yield from _in_turn_elsewhere(world, first.provider, {first.name, *(e.name for e in environments)})


def _in_turn_elsewhere(world: World, provider: str, without: set[str]) -> list[Instance]:
    """Returns the instances that could be terminated of the environments that the head's queue does not have. First
    those of environments that only queues of low priority use, since jobs of its own priority and above go on there;
    and idle ones before others: as nothing is passed onto them any more, they stay so."""
    found: list[tuple[int, Instance]] = []
    for name in sorted(world.instances.launched_in):
        environment = world.environments[name]
        if name not in without and environment.provider == provider:
            newest = _instances(world, environment)[::-1]
            newest.sort(key=lambda one: world.instances.idle_since.get(one.instance_id, NEVER_MS))
            priority = _priority_of(world, name)
            found.extend((priority, one) for one in _spare(world, environment, newest))
    found.sort(key=lambda one: _rank(world, *one))
    return [instance for _, instance in found]


def _rank(world: World, priority: int, instance: Instance) -> tuple[bool, int, bool]:
    is_busy = instance.instance_id not in world.instances.idle_since
    return instance.state is not InstanceState.DRAINING, priority, is_busy


def _priority_of(world: World, environment: str) -> int:
    """Returns the highest priority of the queues that have an environment."""
    users = (q.priority for q in world.queues.values() if any(o.environment == environment for o in q.environments))
    return max(users, default=NO_QUEUE)


def _spare(world: World, environment: Environment, instances: Sequence[Instance]) -> Iterator[Instance]:
    """Returns those of an environment's instances, in their order, that it does not have to keep."""
    if not environment.kind.has_instances:
        return
    left = fleet.coming(world, environment.name) - fleet.wanted_milli_vcpus(environment)
    yield from (instance for instance in instances if instance.state is InstanceState.DRAINING)
    for instance in instances:
        if instance.state in COMING and instance.resources.milli_vcpus <= left:
            left -= instance.resources.milli_vcpus
            yield instance


def _instances(world: World, environment: Environment) -> list[Instance]:
    return [world.instances[i] for i in world.instances.launched_in.get(environment.name, ())]


def _coming(world: World, environment: Environment) -> list[Instance]:
    return [instance for instance in _instances(world, environment) if instance.state in COMING]
