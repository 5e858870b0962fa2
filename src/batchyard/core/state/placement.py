"""Finds where a waiting job can start now, and whether it may pass the head of its queue (AWS Batch behaviour 4.1,
4.3, 5.1). Functions of values: they return an assignment and change nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce

from msgspec import Struct

from batchyard.core.model.records import Placement
from batchyard.core.model.resources import Resources
from batchyard.core.state.environment_instances import EnvironmentInstances
from batchyard.core.state.runnable import Shape

NEVER_MS = 1 << 62  # later than every moment: running jobs without a timeout may never make room


class Available(Struct):
    """An instance, for placement."""

    free: Resources
    gpu_ids: list[int]  # free devices, ascending
    total: Resources = Resources()  # what there is when nothing runs on it, and nothing is reserved of it


class Offer(Struct, frozen=True):
    """What one environment of a queue offers: instances in the order to try. `instances`: those of its own, of which
    the READY ones are offered; None: `instance_ids` has all."""

    environment: str
    engine: str
    instance_ids: tuple[str, ...] = ()
    budget: Available | None = None  # what it may still use, where its instances do not say it
    instances: EnvironmentInstances | None = None

    def every(self) -> Iterable[str]:
        """Returns the instances, in the order to try."""
        return self.instance_ids if self.instances is None else self.instances.ready()

    def with_room(self, asked: Resources, ahead: Ahead, ends_at_ms: int) -> Iterable[str]:
        """Returns at least the instances where a job may take this, in the order to try."""
        if self.instances is None:
            return self.instance_ids
        claims = ahead.fleets.get(self.environment)
        if claims is None:
            return self.instances.with_room(asked)
        return self.instances.with_room(asked, lambda size: claims.room_for(size, asked, ends_at_ms))


class Assignment(Struct, frozen=True):
    """Where all nodes of a job start: one placement each, in the order of the nodes."""

    environment: str
    engine: str
    placements: tuple[Placement, ...]


class Claim(Struct, frozen=True):
    """What heads of queues claim of one instance or budget. `until_ms`: a job may pass them that has ended by then,
    by its own timeout; 0: none does. `is_kept`: no other job takes any of it, whatever is left."""

    asked: Resources
    until_ms: int = 0
    is_kept: bool = False


class FleetClaims:
    """Claims on each READY instance of an environment that is large enough for what a claim asks; one that is kept is
    on each of them. Kept as they are, and not for each instance: there may be ten thousand."""

    __slots__ = ("_by_size", "claims")

    def __init__(self, *claims: Claim) -> None:
        self.claims = frozenset(claims)
        self._by_size: dict[Resources, Claim | None] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FleetClaims) and self.claims == other.claims

    def plus(self, other: FleetClaims) -> FleetClaims:
        return FleetClaims(*self.claims, *other.claims)

    def on(self, size: Resources) -> Claim | None:
        """Returns all of them as one claim on an instance of this size."""
        if size not in self._by_size:
            mine = [claim for claim in self.claims if claim.is_kept or claim.asked.fits(size)]
            self._by_size[size] = reduce(_both, mine) if mine else None
        return self._by_size[size]

    def room_for(self, size: Resources, asked: Resources, ends_at_ms: int) -> Resources | None:
        """Returns what has to be free on an instance of this size before a job may take what it asks; None: it may
        take nothing there."""
        claim = self.on(size)
        if claim is None or 0 < ends_at_ms <= claim.until_ms:
            return asked
        return None if claim.is_kept else asked.plus(_of_kinds(claim.asked, asked))


def _of_kinds(amount: Resources, kinds: Resources) -> Resources:
    """Returns of an amount only the kinds of which `kinds` has something."""
    return Resources(
        amount.milli_vcpus if kinds.milli_vcpus else 0,
        amount.memory_mib if kinds.memory_mib else 0,
        amount.gpus if kinds.gpus else 0,
    )


class Ahead(Struct, frozen=True):
    """What the jobs ahead that found no room (the heads of queues) wait for. Others may take of it only what that costs
    them nothing. `budgets`: of environments whose jobs reserve their own share of the host; `environments`: those that
    would launch an instance for one of them, and so launch none for others; `fleets`: on all instances of an
    environment, beside what is claimed of single ones."""

    instances: dict[str, Claim] = {}  # by instance
    budgets: dict[str, Claim] = {}  # by environment
    environments: frozenset[str] = frozenset()
    fleets: dict[str, FleetClaims] = {}  # by environment

    def plus(self, other: Ahead) -> Ahead:
        if self is NONE_AHEAD or other is NONE_AHEAD:
            return self if other is NONE_AHEAD else other
        return Ahead(
            _merged(self.instances, other.instances),
            _merged(self.budgets, other.budgets),
            self.environments | other.environments,
            _joined(self.fleets, other.fleets),
        )

    def claim_on(self, instance_id: str, environment: str, size: Resources) -> Claim | None:
        """Returns what is claimed of a READY instance of an environment, which has this size."""
        own = self.instances.get(instance_id)
        fleet = self.fleets.get(environment)
        every = None if fleet is None else fleet.on(size)
        if own is None or every is None:
            return own or every
        return _both(own, every)


def _merged(claims: dict[str, Claim], others: dict[str, Claim]) -> dict[str, Claim]:
    found = dict(claims)
    for name, claim in others.items():
        found[name] = claim if name not in found else _both(found[name], claim)
    return found


def _joined(fleets: dict[str, FleetClaims], others: dict[str, FleetClaims]) -> dict[str, FleetClaims]:
    found = dict(fleets)
    for name, claims in others.items():
        found[name] = found[name].plus(claims) if name in found else claims
    return found


def _both(one: Claim, other: Claim) -> Claim:
    """Returns one claim that is at least as strict as both."""
    return Claim(one.asked.most(other.asked), min(one.until_ms, other.until_ms), is_kept=one.is_kept or other.is_kept)


NONE_AHEAD = Ahead()


def find_placement(
    shape: Shape, offer: Offer, available: Mapping[str, Available], ahead: Ahead = NONE_AHEAD, ends_at_ms: int = 0
) -> Assignment | None:
    """Returns where a job of this shape starts in an environment now; None: there is no room for all of its nodes.

    `ahead`: the jobs it would pass, and `ends_at_ms` when its own timeout would have ended it (0: it has none)."""
    if offer.engine not in shape.engines:
        return None
    placements = place_nodes(shape.node_resources, offer, available, ahead, ends_at_ms)
    return None if placements is None else Assignment(offer.environment, offer.engine, placements)


def place_nodes(
    vectors: Sequence[Resources],
    offer: Offer,
    available: Mapping[str, Available],
    ahead: Ahead = NONE_AHEAD,
    ends_at_ms: int = 0,
) -> tuple[Placement, ...] | None:
    """Places all nodes or none. `vectors`: what each node asks for. The largest come first; each gets the first
    instance that has room for it beside those before it; several may share an instance."""
    budget = offer.budget
    if budget is not None:
        share = Resources(sum(asked.milli_vcpus for asked in vectors))
        claim = ahead.budgets.get(offer.environment)
        if not share.fits(budget.free) or not may_take(claim, share, budget.free, ends_at_ms):
            return None
    left: dict[str, Resources] = {}  # of the instances that earlier nodes take from
    placed: dict[int, Placement] = {}
    for node in largest_first(vectors):
        asked = vectors[node]
        for instance_id in offer.with_room(asked, ahead, ends_at_ms):
            free = left[instance_id] if instance_id in left else available[instance_id].free
            claim = ahead.claim_on(instance_id, offer.environment, available[instance_id].total)
            if asked.fits(free) and may_take(claim, asked, free, ends_at_ms):
                break
        else:
            return None
        device_ids: tuple[int, ...] = ()
        if asked.gpus:
            given = sum(len(one.device_ids) for one in placed.values() if one.instance_id == instance_id)
            device_ids = tuple(available[instance_id].gpu_ids[given : given + asked.gpus])
        placed[node] = Placement(instance_id, device_ids)
        left[instance_id] = free.minus(asked)
    return tuple(placed[node] for node in range(len(vectors)))


def largest_first(vectors: Sequence[Resources]) -> Sequence[int]:
    """Returns the nodes, those that ask for most first: the small ones fit into what the large ones leave."""
    if len(vectors) == 1:
        return (0,)
    return sorted(
        range(len(vectors)),
        key=lambda node: (-vectors[node].gpus, -vectors[node].milli_vcpus, -vectors[node].memory_mib, node),
    )


def pack(vectors: Sequence[Resources], rooms: Mapping[str, Resources]) -> tuple[dict[str, Resources], list[int]]:
    """Packs nodes into rooms as `place_nodes` does. Returns what is taken of each room, and the nodes that are left
    without one. `rooms`: in the order to try."""
    taken: dict[str, Resources] = {}
    without: list[int] = []
    for node in largest_first(vectors):
        asked = vectors[node]
        for name, room in rooms.items():
            total = taken[name].plus(asked) if name in taken else asked
            if total.fits(room):
                taken[name] = total
                break
        else:
            without.append(node)
    return taken, sorted(without)


def may_take(claim: Claim | None, asked: Resources, free: Resources, ends_at_ms: int = 0) -> bool:
    """Whether a job may take resources on an instance: enough is left for the jobs that wait there, of each kind
    that is taken; or it will be released before they can start."""
    if claim is None or (not claim.is_kept and _leaves(free, asked, claim.asked)):
        return True
    return 0 < ends_at_ms <= claim.until_ms


def _leaves(free: Resources, taken: Resources, wanted: Resources) -> bool:
    return (
        (not taken.milli_vcpus or free.milli_vcpus - taken.milli_vcpus >= wanted.milli_vcpus)
        and (not taken.memory_mib or free.memory_mib - taken.memory_mib >= wanted.memory_mib)
        and (not taken.gpus or free.gpus - taken.gpus >= wanted.gpus)
    )


def starts_at_the_latest(asked: Resources, free: Resources, ends: Iterable[tuple[int, Resources]], now_ms: int) -> int:
    """Returns when `asked` fits on an instance with `free` room, if the attempts there (when their timeouts end
    them, the first end first, and what they then release) take all the time they may."""
    if asked.fits(free):
        return now_ms
    for end_ms, given in ends:
        free = free.plus(given)
        if asked.fits(free):
            return max(end_ms, now_ms)
    return NEVER_MS
