"""Computes what the head of a queue waits for, so that other jobs pass it only where that does not delay it (AWS Batch
behaviour 4.1, 5.1). Reads the world, changes nothing."""

from __future__ import annotations

from batchyard.core.capacity import allocation
from batchyard.core.capacity.allocation import NoLaunch
from batchyard.core.capacity.catalogue import registered
from batchyard.core.model.records import Environment
from batchyard.core.model.resources import Resources, sum_of
from batchyard.core.scheduling import fleet, gang_capacity, head_reservation
from batchyard.core.state import placement
from batchyard.core.state.placement import NEVER_MS, NONE_AHEAD, Ahead, Claim, Offer
from batchyard.core.state.runnable import Shape
from batchyard.core.state.world import World


def waits_for(
    world: World, shape: Shape, offers: list[Offer], *, is_strict: bool, lacks_host: bool, gathers_in: str = ""
) -> Ahead:
    """Computes what a job waits for that found no room in these offers. `is_strict`: its queue lets no job pass;
    `lacks_host`: an instance for it can't be launched for lack of capacity; `gathers_in`: the environment where what
    a multi-node job lacks is being launched."""
    if is_strict:
        return _everything(world, shape, offers)
    able = [offer for offer in offers if offer.engine in shape.engines]
    if shape.nodes:
        return _waits_for_gang(world, shape, able, gathers_in, lacks_host=lacks_host)
    environments = [world.environments[offer.environment] for offer in able]
    latest_ms = starts_at_the_latest(world, shape, able)
    until_ms = latest_ms if latest_ms < NEVER_MS else 0
    claim = Claim(shape.resources, until_ms)
    claims = {
        i: claim
        for offer in able
        for i in offer.instance_ids
        if shape.resources.fits(world.instances.available[i].total)
    }
    found = Ahead(claims, {offer.environment: claim for offer in able if offer.budget is not None})
    saved = head_reservation.instances_reserved_for_head(world, environments, shape.resources)
    if saved:
        found = found.plus(Ahead({i: Claim(shape.resources, until_ms, is_kept=True) for i in sorted(saved)}))
    return found.plus(_launches(world, environments, shape.resources, lacks_host))


def _waits_for_gang(world: World, shape: Shape, able: list[Offer], gathers_in: str, *, lacks_host: bool) -> Ahead:
    """Computes what a job of several nodes waits for: room on certain instances, all at the same time."""
    asked = gang_capacity.claims_of(world, shape, able, gathers_in)
    latest = [_room_at_the_latest(world, instance_id, amount) for instance_id, amount in asked.items()]
    latest_ms = max(latest, default=NEVER_MS)
    until_ms = latest_ms if latest_ms < NEVER_MS else 0
    found = Ahead({instance_id: Claim(amount, until_ms) for instance_id, amount in asked.items()})
    environments = [world.environments[offer.environment] for offer in able]
    if not gathers_in and sum_of(asked.values()) != sum_of(shape.node_resources):
        saved = head_reservation.instances_reserved_for_nodes(world, environments, shape.node_resources)
        found = found.plus(Ahead({i: Claim(shape.resources, until_ms=0, is_kept=True) for i in sorted(saved)}))
    largest = max(shape.nodes, key=lambda one: (one.gpus, one.milli_vcpus, one.memory_mib))
    return found.plus(_launches(world, environments, largest, lacks_host))


def _everything(world: World, shape: Shape, offers: list[Offer]) -> Ahead:
    claim = Claim(shape.resources, is_kept=True)
    return Ahead(
        {instance_id: claim for offer in offers for instance_id in offer.instance_ids},
        {offer.environment: claim for offer in offers if offer.budget is not None},
        frozenset(o.environment for o in offers if world.environments[o.environment].kind.has_instances),
    )


def _launches(world: World, environments: list[Environment], asked: Resources, lacks_host: bool) -> Ahead:
    """Returns the environments that would launch an instance for it, and what the smallest of those takes of its
    provider."""
    own = [e for e in environments if e.kind.has_instances and fleet.never_holds(world, e, asked) is None]
    if not own:
        return NONE_AHEAD
    sizes: dict[str, list[Resources]] = {}  # by the machine they are taken from
    for environment in own if lacks_host else ():
        provider = world.instances.provider_of(environment)
        kinds = allocation.possible(fleet.allocation_input(world, environment, ()), asked)
        if provider is not None and not isinstance(kinds, NoLaunch):
            sizes.setdefault(provider.machine.instance_id, []).extend(registered(kind) for kind in kinds)
    claims = {
        machine_id: Claim(min(found, key=lambda size: (size.milli_vcpus, size.memory_mib)))
        for machine_id, found in sizes.items()
    }
    return Ahead(claims, environments=frozenset(environment.name for environment in own))


def kept_of_provider(world: World, environment: Environment, ahead: Ahead) -> Resources:
    """Returns what a launch in this environment for other jobs has to leave of its provider."""
    provider = world.instances.provider_of(environment)
    claim = ahead.instances.get(provider.machine.instance_id) if provider is not None else None
    if claim is None or provider is None:
        return Resources()
    return provider.total if claim.is_kept else claim.asked


def longest_ms(world: World, timeout_seconds: int) -> int:
    """Returns how long an attempt with this timeout can last: the stop's grace comes on top."""
    return int((timeout_seconds + world.limits.stop_grace_seconds) * 1000)


def starts_at_the_latest(world: World, shape: Shape, offers: list[Offer]) -> int:
    """Returns when the head of a queue starts if everything before it takes all the time that its timeout allows."""
    latest_ms = NEVER_MS
    for offer in offers:
        for instance_id in offer.instance_ids:
            available = world.instances.available[instance_id]
            if shape.resources.fits(available.total):
                latest_ms = min(latest_ms, _room_at_the_latest(world, instance_id, shape.resources))
    return latest_ms


def _room_at_the_latest(world: World, instance_id: str, asked: Resources) -> int:
    """Returns when an instance has room at the latest, as starts_at_the_latest."""
    ends = (_end_of(world, key, instance_id) for key in world.instances.placed_on(instance_id))
    return placement.starts_at_the_latest(asked, world.instances.available[instance_id].free, ends, world.now_ms)


def _end_of(world: World, key: int, instance_id: str) -> tuple[int, Resources]:
    """Returns when the timeout of a placed attempt ends it at the latest, and what it holds of an instance until
    then."""
    spec, attempt = world.jobs.spec_of(key), world.jobs[key].attempt
    assert attempt is not None, f"job {key} is placed without an attempt"
    started_ms = attempt.started_at_ms or world.now_ms
    end_ms = started_ms + longest_ms(world, spec.timeout_seconds) if spec.timeout_seconds else NEVER_MS
    return end_ms, world.held_by(key, instance_id)
