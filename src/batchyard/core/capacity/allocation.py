"""Chooses which instance to launch next, or why none: the allocation strategies (AWS Batch behaviour 3.4, 3.6, 4.7).

A host is finite: `free` is what its ledger could give now, `host` what it could give if nothing else held any of it.
AWS estimates how likely a Spot pool is to be interrupted; here that is derived from how much of the ledger a type could
still get: the types with the most room left count as the least likely to be interrupted.

One choice is one instance. The caller launches it, subtracts `registered` from the ledger and what it holds from the
demand, and calls again (`plan` does that). Decides only; changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from batchyard.core.capacity.catalogue import InstanceType, registered
from batchyard.core.capacity.prices import Prices, format_dollars
from batchyard.core.model.compute_resources import FULL_BID_PERCENTAGE, Strategy, may_overshoot
from batchyard.core.model.reasons import ReasonCode
from batchyard.core.model.resources import Resources, format_vcpus, largest
from batchyard.core.model.text import gpus, vcpus

# A pool counts as good as the best one while it has at least half as much room: so price, or the order of the list,
# decides among pools that are about equal, and a nearly empty one is left alone.
NEARLY_AS_GOOD = 2


class NoLaunchReason(StrEnum):
    """Why nothing is launched. `aws_code` has AWS's reason code for those that have one."""

    NO_DEMAND = "NO_DEMAND"
    TOO_LARGE = "TOO_LARGE"  # no allowed type holds the job, on any host
    OVER_MAX = "OVER_MAX"  # the job alone has more vCPUs than maxvCpus
    HOST_TOO_SMALL = "HOST_TOO_SMALL"  # types that hold the job exist, and this host could never give one
    ABOVE_BID = "ABOVE_BID"  # every type that holds the job costs more than the bid
    AT_MAX = "AT_MAX"  # the environment has all the vCPUs that it may have
    EXHAUSTED = "EXHAUSTED"  # the ledger lacks it now


AWS_CODES = {
    NoLaunchReason.TOO_LARGE: ReasonCode.JOB_RESOURCE_REQUIREMENT,
    NoLaunchReason.OVER_MAX: ReasonCode.MAX_RESOURCE,
    NoLaunchReason.HOST_TOO_SMALL: ReasonCode.INSUFFICIENT_CAPACITY,
    NoLaunchReason.ABOVE_BID: ReasonCode.INSUFFICIENT_CAPACITY,
    NoLaunchReason.EXHAUSTED: ReasonCode.INSUFFICIENT_CAPACITY,
}


class Need(Struct, frozen=True):
    """`count` waiting jobs of one shape, none of which has a place on an instance that exists or is being launched.
    For minvCpus and desiredvCpus: as many needs of one vCPU as are missing."""

    resources: Resources
    count: int = 1


class AllocationInput(Struct, frozen=True):
    """The values on which a choice depends."""

    entries: tuple[tuple[InstanceType, ...], ...]  # Catalogue.entries of the environment's instanceTypes
    strategy: Strategy
    needs: tuple[Need, ...]  # in the order of their turn
    free: Resources
    host: Resources
    milli_vcpus: int  # of the environment's instances, including those being launched
    max_milli_vcpus: int
    prices: Prices = Prices()
    is_spot: bool = False
    bid_percentage: int = FULL_BID_PERCENTAGE

    @property
    def may_overshoot(self) -> bool:
        return may_overshoot(self.strategy, is_spot=self.is_spot)


class InstanceLaunch(Struct, frozen=True):
    """The choice to launch one instance of this type. `need`: the jobs it is for; `jobs`: how many of them it will
    hold."""

    instance_type: InstanceType
    need: Resources
    jobs: int
    reason: str


class NoLaunch(Struct, frozen=True):
    """The choice to launch nothing. `need`: the next need; `most`: the amount that it is compared with in the text."""

    why: NoLaunchReason
    text: str
    need: Resources = Resources()
    most: Resources = Resources()
    instance_type: str = ""  # the one that would be launched, where there is one

    @property
    def aws_code(self) -> str:
        """Returns the code of AWS Batch behaviour 4.7, or empty."""
        return AWS_CODES.get(self.why, "")


def choose_launch(given: AllocationInput) -> InstanceLaunch | NoLaunch:
    """Chooses for the first need that instances of this environment could ever serve, and skips the others."""
    refusal: NoLaunch | None = None
    for at, need in enumerate(given.needs):
        if need.count <= 0:
            continue
        candidates = possible(given, need.resources)
        if isinstance(candidates, NoLaunch):
            refusal = refusal or candidates
            continue
        return _choose_among(candidates, given, at)
    return refusal or NoLaunch(NoLaunchReason.NO_DEMAND, "No job waits for capacity that is not there or coming.")


def plan(given: AllocationInput) -> tuple[list[InstanceLaunch], NoLaunch]:
    """Returns everything to launch now, in order, and why it stops there."""
    choices: list[InstanceLaunch] = []
    while True:
        choice = choose_launch(given)
        if isinstance(choice, NoLaunch):
            return choices, choice
        choices.append(choice)
        usable = registered(choice.instance_type)
        given = replace(
            given,
            needs=unserved(given.needs, usable),
            free=given.free.minus(usable),
            milli_vcpus=given.milli_vcpus + usable.milli_vcpus,
        )


def unserved(needs: Sequence[Need], usable: Resources) -> tuple[Need, ...]:
    """Returns what is left of the demand when one instance takes what it holds of it, in order."""
    left: list[Need] = []
    for need in needs:
        held = min(need.count, need.resources.count_in(usable))
        usable = usable.minus(need.resources.times(held))
        if held < need.count:
            left.append(Need(need.resources, need.count - held))
    return tuple(left)


def possible(given: AllocationInput, asked: Resources) -> list[InstanceType] | NoLaunch:
    """Returns the types that could serve one such job once enough is free, in list order; or why there is none."""
    allowed = [kind for entry in given.entries for kind in entry]
    if asked.milli_vcpus > given.max_milli_vcpus:
        text = (
            f"The job asks {vcpus(asked.milli_vcpus)} and the environment may have "
            f"{format_vcpus(given.max_milli_vcpus)} (maxvCpus)."
        )
        return NoLaunch(NoLaunchReason.OVER_MAX, text, asked, Resources(given.max_milli_vcpus))
    holding = [kind for kind in allowed if asked.fits(registered(kind))]
    if not holding:
        return _too_large(asked, allowed)
    sized = [k for k in holding if given.may_overshoot or k.milli_vcpus <= given.max_milli_vcpus]
    if not sized:
        smallest = min(holding, key=_size)
        text = (
            f"The smallest allowed type that holds {describe(asked)} is {smallest.name} with "
            f"{vcpus(smallest.milli_vcpus)}, and BEST_FIT never passes maxvCpus "
            f"({format_vcpus(given.max_milli_vcpus)})."
        )
        return NoLaunch(NoLaunchReason.OVER_MAX, text, asked, Resources(given.max_milli_vcpus), smallest.name)
    fitting = [kind for kind in sized if registered(kind).fits(given.host)]
    if not fitting:
        smallest = min(sized, key=_size)
        text = (
            f"This host offers {describe(given.host)}, too little for any allowed instance type that holds "
            f"{describe(asked)}: the smallest, {smallest.name}, takes {describe(registered(smallest))}."
        )
        return NoLaunch(NoLaunchReason.HOST_TOO_SMALL, text, asked, given.host, smallest.name)
    if not given.is_spot:
        return fitting
    within = [kind for kind in fitting if given.prices.is_within_bid(kind, given.bid_percentage)]
    return within or _above_bid(given, asked, fitting)


def _too_large(asked: Resources, allowed: list[InstanceType]) -> NoLaunch:
    most = largest(registered(kind) for kind in allowed)
    at_once = "; no type has all of it at once" if asked.fits(most) else ""
    text = f"No allowed instance type holds {describe(asked)}: the most that any has is {describe(most)}{at_once}."
    return NoLaunch(NoLaunchReason.TOO_LARGE, text, asked, most)


def _above_bid(given: AllocationInput, asked: Resources, fitting: list[InstanceType]) -> NoLaunch:
    prices = given.prices
    cheapest = min(fitting, key=lambda k: (prices.ranking_price(k, is_spot=True), k.name))
    spot, on_demand = prices.ranking_price(cheapest, is_spot=True), prices.on_demand_of(cheapest)
    text = (
        f"Every type that holds {describe(asked)} costs more on Spot than {given.bid_percentage} % of its "
        f"on-demand price (bidPercentage); the cheapest, {cheapest.name}, costs {format_dollars(spot)} an hour of "
        f"{format_dollars(on_demand)}."
    )
    return NoLaunch(NoLaunchReason.ABOVE_BID, text, asked, instance_type=cheapest.name)


def _choose_among(candidates: list[InstanceType], given: AllocationInput, at: int) -> InstanceLaunch | NoLaunch:
    """Chooses among types which could all serve the need at `at`."""
    asked = given.needs[at].resources
    vcpus_left = given.max_milli_vcpus - given.milli_vcpus
    within = [kind for kind in candidates if kind.milli_vcpus <= vcpus_left]
    if not within and (not given.may_overshoot or vcpus_left <= 0):
        text = (
            f"The environment has {format_vcpus(given.milli_vcpus)} of {format_vcpus(given.max_milli_vcpus)} "
            "vCPUs (maxvCpus)."
        )
        return NoLaunch(NoLaunchReason.AT_MAX, text, asked, Resources(given.max_milli_vcpus))
    ranked = _ranked(within, given, at)
    if given.may_overshoot:  # maxvCpus is exceeded only where it must be, and by as little as possible
        ranked += sorted((kind for kind in candidates if kind not in within), key=_size)
    waits = given.strategy is Strategy.BEST_FIT
    takers = [kind for kind in (ranked[:1] if waits else ranked) if registered(kind).fits(given.free)]
    if not takers:
        return _exhausted(ranked[0], given, asked)
    taken = takers[0]
    jobs = sum(n.count for n in given.needs[at:])
    jobs -= sum(n.count for n in unserved(given.needs[at:], registered(taken)))
    return InstanceLaunch(taken, asked, jobs, _reason(taken, ranked, given, asked))


def _exhausted(wanted: InstanceType, given: AllocationInput, asked: Resources) -> NoLaunch:
    others = (
        "BEST_FIT waits for this type, where BEST_FIT_PROGRESSIVE would take another."
        if given.strategy is Strategy.BEST_FIT
        else "No other allowed type fits there either."
    )
    text = (
        f"{wanted.name} takes {describe(registered(wanted))}, and this host has {describe(given.free)} that nobody "
        f"holds. {others}"
    )
    return NoLaunch(NoLaunchReason.EXHAUSTED, text, asked, given.free, wanted.name)


Rank = tuple[int | float | str, ...]


def _ranked(kinds: list[InstanceType], given: AllocationInput, at: int) -> list[InstanceType]:
    """Sorts types by the strategy, the best first."""
    strategy = given.strategy
    match strategy:
        case Strategy.BEST_FIT:
            return sorted(kinds, key=lambda kind: _cost_of_work(kind, given, at))
        case Strategy.BEST_FIT_PROGRESSIVE:
            return sorted(kinds, key=lambda kind: _cost_per_vcpu(kind, given, at))
        case Strategy.BEST_FIT_PROGRESSIVE_ORDERED:
            positions = _positions(given)
            return sorted(kinds, key=lambda kind: (positions[kind.name], *_cost_per_vcpu(kind, given, at)))
        case Strategy.SPOT_CAPACITY_OPTIMIZED:
            return sorted(kinds, key=lambda kind: (-_pool(kind, given), *_cost_per_vcpu(kind, given, at)))
        case Strategy.SPOT_PRICE_CAPACITY_OPTIMIZED:
            good = _good_pools(kinds, given)
            return sorted(kinds, key=lambda k: (k.name not in good, *_cost_per_vcpu(k, given, at)))
        case Strategy.SPOT_CAPACITY_OPTIMIZED_PRIORITIZED:
            good, positions = _good_pools(kinds, given), _positions(given)
            return sorted(kinds, key=lambda k: (k.name not in good, positions[k.name], *_cost_per_vcpu(k, given, at)))


def _cost_per_vcpu(kind: InstanceType, given: AllocationInput, at: int) -> Rank:
    price = given.prices.ranking_price(kind, is_spot=given.is_spot)
    return (price / kind.milli_vcpus, *_match(kind, given, at))


def _cost_of_work(kind: InstanceType, given: AllocationInput, at: int) -> Rank:
    """Returns the price by the vCPUs that waiting jobs would use of the type: it prefers the cheapest type that fits
    best."""
    price = given.prices.ranking_price(kind, is_spot=given.is_spot)
    needs, usable = given.needs[at:], registered(kind)
    left = unserved(needs, usable)
    used = sum(n.resources.milli_vcpus * n.count for n in needs) - sum(n.resources.milli_vcpus * n.count for n in left)
    return (price / max(used, 1), *_match(kind, given, at))


def _match(kind: InstanceType, given: AllocationInput, at: int) -> Rank:
    """Ranks types of one price: first those that are available now; then the largest that the demand fills, else the
    smallest."""
    usable, demand = registered(kind), Resources()
    for need in given.needs[at:]:
        if need.resources.fits(usable):
            demand = demand.plus(need.resources.times(need.count))
    too_large = usable.milli_vcpus > demand.milli_vcpus and usable.memory_mib > demand.memory_mib
    size = kind.milli_vcpus if too_large else -kind.milli_vcpus
    return (not usable.fits(given.free), too_large, size, kind.memory_mib, kind.gpus, kind.name)


def _pool(kind: InstanceType, given: AllocationInput) -> int:
    """Returns the room of a Spot pool: the milli-vCPUs that instances of this type could still get from the ledger."""
    return kind.milli_vcpus * registered(kind).count_in(given.free)


def _good_pools(kinds: list[InstanceType], given: AllocationInput) -> set[str]:
    best = max((_pool(kind, given) for kind in kinds), default=0)
    return {kind.name for kind in kinds if _pool(kind, given) * NEARLY_AS_GOOD >= best}


def _positions(given: AllocationInput) -> dict[str, int]:
    """Returns by type the position of its entry in the list."""
    return {kind.name: position for position, entry in enumerate(given.entries) for kind in entry}


def _reason(taken: InstanceType, ranked: list[InstanceType], given: AllocationInput, asked: Resources) -> str:
    strategy, prices = given.strategy, given.prices
    price = prices.ranking_price(taken, is_spot=given.is_spot)
    stated = taken.name in (prices.spot if given.is_spot else prices.on_demand)
    cost = f"{format_dollars(price)} an hour" + ("" if stated else ", a nominal price")
    vcpus_left = given.max_milli_vcpus - given.milli_vcpus
    if taken.milli_vcpus > vcpus_left:
        preferred = f"this host cannot give {ranked[0].name} now" if taken is not ranked[0] else "the smallest"
        because = f"{preferred}; it passes maxvCpus, as {strategy} may by one instance"
    elif taken is not ranked[0]:
        because = f"{strategy} prefers {ranked[0].name}, which this host cannot give now"
    else:
        because = {
            Strategy.BEST_FIT: "the cheapest for what waits",
            Strategy.BEST_FIT_PROGRESSIVE: "the lowest cost per vCPU",
            Strategy.BEST_FIT_PROGRESSIVE_ORDERED: "the first of the list",
            Strategy.SPOT_CAPACITY_OPTIMIZED: "the most room left on this host",
            Strategy.SPOT_PRICE_CAPACITY_OPTIMIZED: "the lowest price among those with much room left on this host",
            Strategy.SPOT_CAPACITY_OPTIMIZED_PRIORITIZED: "the first of the list with much room left on this host",
        }[strategy]
    among = f"of {len(ranked)} allowed types that hold" if len(ranked) > 1 else "the only type that holds"
    return f"{taken.name} ({cost}): {because}, {among} {describe(asked)}."


def describe(amount: Resources) -> str:
    """Formats `2 vCPUs, 512 MiB and 1 GPU`, without amounts of 0 except vCPUs."""
    parts = [vcpus(amount.milli_vcpus)]
    if amount.memory_mib:
        parts.append(f"{amount.memory_mib} MiB")
    if amount.gpus:
        parts.append(gpus(amount.gpus))
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def _size(kind: InstanceType) -> Rank:
    return (kind.milli_vcpus, kind.memory_mib, kind.name)
