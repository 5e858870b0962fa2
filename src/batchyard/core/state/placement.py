"""Finds where a waiting job can start now, and whether it may pass the head of its queue (AWS Batch behaviour 4.1,
4.3, 5.1). Functions of values: they return an assignment and change nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

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

    def with_room(self, asked: Resources) -> Iterable[str]:
        """Returns at least the instances that have room for this, in the order to try."""
        return self.instance_ids if self.instances is None else self.instances.with_room(asked)


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


class Ahead(Struct, frozen=True):
    """What the jobs ahead that found no room (the heads of queues) wait for. Others may take of it only what that costs
    them nothing. `budgets`: of environments whose jobs reserve their own share of the host; `environments`: those that
    would launch an instance for one of them, and so launch none for others."""

    instances: dict[str, Claim] = {}  # by instance
    budgets: dict[str, Claim] = {}  # by environment
    environments: frozenset[str] = frozenset()

    def plus(self, other: Ahead) -> Ahead:
        if self is NONE_AHEAD or other is NONE_AHEAD:
            return self if other is NONE_AHEAD else other
        return Ahead(
            _merged(self.instances, other.instances),
            _merged(self.budgets, other.budgets),
            self.environments | other.environments,
        )


def _merged(claims: dict[str, Claim], others: dict[str, Claim]) -> dict[str, Claim]:
    found = dict(claims)
    for name, claim in others.items():
        found[name] = claim if name not in found else _both(found[name], claim)
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
        for instance_id in offer.with_room(asked):
            free = left[instance_id] if instance_id in left else available[instance_id].free
            if asked.fits(free) and may_take(ahead.instances.get(instance_id), asked, free, ends_at_ms):
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
    them, and what they then release) take all the time they may."""
    if asked.fits(free):
        return now_ms
    for end_ms, given in sorted(ends):
        if end_ms >= NEVER_MS:
            break
        free = free.plus(given)
        if asked.fits(free):
            return max(end_ms, now_ms)
    return NEVER_MS
