"""Reserves instances for a head that needs a new instance: as long as other jobs start on the existing ones, they
never become idle, and never make room for it (AWS Batch behaviour 3.6, 4.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from batchyard.core.capacity import allocation
from batchyard.core.capacity.allocation import NoLaunch, NoLaunchReason
from batchyard.core.capacity.catalogue import registered
from batchyard.core.model.records import Environment, Instance, InstanceState
from batchyard.core.model.resources import MILLI_PER_VCPU, Resources
from batchyard.core.scheduling import fleet, gang_capacity
from batchyard.core.state.provider import Provider
from batchyard.core.state.world import World


def instances_reserved_for_head(world: World, environments: Sequence[Environment], asked: Resources) -> frozenset[str]:
    """`environments`: those that the head may use, in order. As few instances as suffice, the newest first, so that
    the same ones are reserved in each pass. None where an existing instance could hold the head, which then waits
    for room on that one, or where no number of them would suffice."""
    for environment in environments:
        own = (i for i in _instances(world, environment) if i.state in fleet.COMING)
        if any(asked.fits(instance.resources) for instance in own):
            return frozenset()
        reserved = _reserved_in(world, environment, environments, asked)
        if reserved is not None:
            return reserved
    return frozenset()


def instances_reserved_for_nodes(
    world: World, environments: Sequence[Environment], vectors: tuple[Resources, ...]
) -> frozenset[str]:
    """As instances_reserved_for_head, for a head of several nodes that the existing instances could not hold, even if
    nothing else were on them: so that one of the environments could launch instances for all nodes."""
    for environment in environments:
        provider = world.instances.provider_of(environment)
        if provider is None or not environment.kind.has_instances:
            continue
        if gang_capacity.never_gathers(world, environment, vectors) is not None:
            continue
        given = fleet.allocation_input(world, environment, gang_capacity.needs_of(vectors))
        given = replace(given, free=_free_by_itself(world, provider))
        reserved: set[str] = set()
        instances = _in_turn(world, environment, environments)
        while allocation.plan(given)[1].why is not NoLaunchReason.NO_DEMAND:
            instance = next(instances, None)
            if instance is None:
                break
            reserved.add(instance.instance_id)
            own = instance.resources.milli_vcpus if instance.environment == environment.name else 0
            given = replace(given, free=given.free.plus(instance.resources), milli_vcpus=given.milli_vcpus - own)
        else:
            return frozenset(reserved)
    return frozenset()


def _reserved_in(
    world: World, environment: Environment, environments: Sequence[Environment], asked: Resources
) -> frozenset[str] | None:
    """Returns the instances to reserve so that this environment could launch an instance for the head, or start it
    on this host; None: never."""
    provider = world.instances.provider_of(environment)
    if provider is None or not asked.fits(provider.total):
        return None
    if environment.kind.is_managed and fleet.never_holds(world, environment, asked) is not None:
        return None
    wanted, own, limit = asked, 0, 0
    if environment.kind.has_instances:
        given = fleet.allocation_input(world, environment, ())
        kinds = allocation.possible(given, asked)
        if isinstance(kinds, NoLaunch):
            return None
        wanted = min((registered(kind) for kind in kinds), key=lambda amount: (amount.milli_vcpus, amount.memory_mib))
        own = given.milli_vcpus
        limit = environment.compute_resources.max_vcpus * MILLI_PER_VCPU
        limit -= 1 if given.may_overshoot else wanted.milli_vcpus  # what it may have before the launch
    free = _free_by_itself(world, provider)
    reserved: set[str] = set()
    for instance in _in_turn(world, environment, environments):
        if own <= limit and wanted.fits(free):
            break
        is_own = instance.environment == environment.name
        if not is_own and own > limit:
            continue
        reserved.add(instance.instance_id)
        own -= instance.resources.milli_vcpus if is_own else 0
        free = free.plus(instance.resources)
    return frozenset(reserved) if own <= limit and wanted.fits(free) else None


def _free_by_itself(world: World, provider: Provider) -> Resources:
    """Returns what a provider has once the attempts on its machine, and the instances being terminated, have ended."""
    free = provider.ledger.free.plus(world.held(provider.machine.instance_id))
    for instance in world.instances.values():
        if instance.state is InstanceState.TERMINATING and instance.provider == provider.name:
            free = free.plus(instance.resources)
    return free


def _in_turn(world: World, first: Environment, environments: Sequence[Environment]) -> Iterator[Instance]:
    """Returns the instances that could be terminated: the environment's own, then those of others; the newest first,
    down to what each environment has to keep. Draining ones end anyway."""
    others = [e for e in environments if e.name != first.name and e.provider == first.provider]
    for environment in (first, *others):
        if not environment.kind.has_instances:
            continue
        left = fleet.coming(world, environment.name) - fleet.wanted_milli_vcpus(environment)
        found = _instances(world, environment)
        yield from (instance for instance in found if instance.state is InstanceState.DRAINING)
        for instance in reversed(found):
            if instance.state in fleet.COMING and instance.resources.milli_vcpus <= left:
                left -= instance.resources.milli_vcpus
                yield instance


def _instances(world: World, environment: Environment) -> list[Instance]:
    return [world.instances[i] for i in world.instances.launched_in.get(environment.name, ())]
