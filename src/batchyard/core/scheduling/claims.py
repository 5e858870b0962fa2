"""Computes what the head of a queue waits for, so that other jobs pass it only where that does not delay it (AWS Batch
behaviour 4.1, 5.1). Reads the world, changes nothing."""

from __future__ import annotations

from functools import partial

from batchyard.core.capacity import allocation
from batchyard.core.capacity.allocation import NoLaunch
from batchyard.core.capacity.catalogue import registered
from batchyard.core.model.records import Environment, InstanceState
from batchyard.core.model.resources import Resources
from batchyard.core.scheduling import fleet, gang_capacity, head_reservation
from batchyard.core.scheduling.head_reservation import Reservation
from batchyard.core.state import placement
from batchyard.core.state.placement import NEVER_MS, NONE_AHEAD, Ahead, Claim, FleetClaims, Offer
from batchyard.core.state.runnable import Shape
from batchyard.core.state.world import World


def waits_for(
    world: World, shape: Shape, offers: list[Offer], *, is_strict: bool, lacks_host: bool, gathers_in: str = ""
) -> Ahead:
    """Computes what a job waits for that found no room in these offers. `is_strict`: its queue lets no job pass;
    `lacks_host`: an instance for it can't be launched for lack of capacity; `gathers_in`: the environment where what
    a multi-node job lacks is being launched."""
    able = [offer for offer in offers if offer.engine in shape.engines]
    environments = [world.environments[offer.environment] for offer in able]
    reservation = None if gathers_in else head_reservation.reservation_for(world, environments, shape)
    if shape.nodes:
        found = _waits_for_gang(world, shape, able, reservation, gathers_in)
    else:
        found = _waits_for_one(world, shape, able)
    if reservation is not None:
        found = found.plus(_reserved(world, shape, reservation, lacks_host=lacks_host))
    largest = max(shape.node_resources, key=lambda one: (one.gpus, one.milli_vcpus, one.memory_mib))
    found = found.plus(_launches(world, environments, largest, lacks_host))
    return found.plus(_everything(world, shape, offers)) if is_strict else found


def _waits_for_one(world: World, shape: Shape, able: list[Offer]) -> Ahead:
    """Computes what a job of one node waits for: room on any instance that could hold it."""
    latest_ms = starts_at_the_latest(world, shape, able) if world.queues.has_timeouts() else NEVER_MS
    claim = Claim(shape.resources, latest_ms if latest_ms < NEVER_MS else 0)
    claims = {
        i: claim
        for offer in able
        for i in offer.instance_ids
        if shape.resources.fits(world.instances.available[i].total)
    }
    return Ahead(
        claims,
        {offer.environment: claim for offer in able if offer.budget is not None},
        fleets={offer.environment: FleetClaims(claim) for offer in able if offer.instances is not None},
    )


def _waits_for_gang(
    world: World, shape: Shape, able: list[Offer], reservation: Reservation | None, gathers_in: str
) -> Ahead:
    """Computes what a job of several nodes waits for: room on certain instances, all at the same time."""
    asked = gang_capacity.claims_of(world, shape, able, gathers_in) if reservation is None else reservation.claims
    latest = [_room_at_the_latest(world, instance_id, amount) for instance_id, amount in asked.items()]
    latest_ms = max(latest, default=NEVER_MS)
    until_ms = latest_ms if latest_ms < NEVER_MS else 0
    return Ahead({instance_id: Claim(amount, until_ms) for instance_id, amount in asked.items()})


def _reserved(world: World, shape: Shape, reservation: Reservation, *, lacks_host: bool) -> Ahead:
    """Returns the claims on instances that have to end for a job, and on the room that its own then take of the
    machine: a job of several nodes may wait for room on other instances first, and then for that. Another job may
    start there that has ended when the last of these instances becomes empty."""
    ends = [_end_of(world, key, i)[0] for i in reservation.instances for key in world.instances.placed_on(i)]
    until_ms = max(ends, default=0)
    until_ms = until_ms if until_ms < NEVER_MS else 0
    claim = Claim(shape.resources, until_ms, is_kept=True)
    claims = dict.fromkeys(reservation.instances, claim)
    machine_id, launches = reservation.machine_id, reservation.launches
    is_short = lacks_host or bool(shape.nodes)
    if machine_id and (is_short or not launches.fits(world.instances.available[machine_id].free)):
        claims[machine_id] = Claim(launches, until_ms)
    return Ahead(claims)


def _everything(world: World, shape: Shape, offers: list[Offer]) -> Ahead:
    claim = Claim(shape.resources, is_kept=True)
    return Ahead(
        {instance_id: claim for offer in offers for instance_id in offer.instance_ids},
        {offer.environment: claim for offer in offers if offer.budget is not None},
        frozenset(o.environment for o in offers if world.environments[o.environment].kind.launches_instances),
        {offer.environment: FleetClaims(claim) for offer in offers if offer.instances is not None},
    )


def _launches(world: World, environments: list[Environment], asked: Resources, lacks_host: bool) -> Ahead:
    """Returns the environments that would launch an instance for it, and what the smallest of those takes of its
    provider."""
    own = [e for e in environments if e.kind.launches_instances and fleet.never_holds(world, e, asked) is None]
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
    """Returns how long an attempt with this timeout can last."""
    return world.limits.longest_ms(timeout_seconds)


def starts_at_the_latest(world: World, shape: Shape, offers: list[Offer]) -> int:
    """Returns when the head of a queue starts if everything before it takes all the time that its timeout allows."""
    latest_ms = NEVER_MS
    moment_of = partial(_room_moment, world, shape.resources)
    for offer in offers:
        if offer.instances is not None:
            found = [offer.instances.forecast(shape.resources).earliest_ms(moment_of)]
        else:
            found = [moment_of(instance_id)[0] for instance_id in offer.instance_ids]
        latest_ms = min([latest_ms, *(moment_ms for moment_ms in found if moment_ms is not None)])
    return max(latest_ms, world.now_ms)


def _room_moment(world: World, asked: Resources, instance_id: str) -> tuple[int | None, bool]:
    """Returns when an instance has room at the latest (None: maybe never), and whether that stays so while nothing is
    placed there and nothing ends."""
    instance = world.instances.get(instance_id)
    if instance is None or instance.state is not InstanceState.READY or not asked.fits(instance.resources):
        return None, True
    latest_ms, ends = _room_at_the_latest(world, instance_id, asked), world.instances.ends.get(instance_id)
    return (latest_ms if latest_ms < NEVER_MS else None), ends is None or ends.is_lasting


def _room_at_the_latest(world: World, instance_id: str, asked: Resources) -> int:
    """Returns when an instance has room at the latest, as starts_at_the_latest."""
    timed = world.instances.ends.get(instance_id)
    keys = timed.in_order(world.now_ms) if timed is not None else ()
    ends = ((end_ms, world.held_by(key, instance_id)) for end_ms, key in keys)
    return placement.starts_at_the_latest(asked, world.instances.available[instance_id].free, ends, world.now_ms)


def _end_of(world: World, key: int, instance_id: str) -> tuple[int, Resources]:
    """Returns when the timeout of a placed attempt ends it at the latest, and what it holds of an instance until
    then."""
    spec, attempt = world.jobs.spec_of(key), world.jobs[key].attempt
    assert attempt is not None, f"job {key} is placed without an attempt"
    started_ms = attempt.started_at_ms or world.now_ms
    end_ms = started_ms + longest_ms(world, spec.timeout_seconds) if spec.timeout_seconds else NEVER_MS
    return end_ms, world.held_by(key, instance_id)
