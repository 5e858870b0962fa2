"""The allocation strategies: examples of each rule, and properties that hold for every situation."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import batchyard
from batchyard.core.capacity.allocation import (
    AllocationInput,
    InstanceLaunch,
    Need,
    NoLaunch,
    NoLaunchReason,
    choose_launch,
    describe,
    plan,
    unserved,
)
from batchyard.core.capacity.catalogue import catalogue_of, registered
from batchyard.core.capacity.prices import Prices
from batchyard.core.model.compute_resources import Strategy
from batchyard.core.model.resources import Resources

DATA = Path(batchyard.__file__).parent / "vendor" / "instance_types" / "instance_types.json"
CATALOGUE = catalogue_of(json.loads(DATA.read_bytes()))
BIG_HOST = Resources(128_000, 1_048_576, 8)
ONE_JOB = Need(Resources(1000, 1024))
NOTHING_THAT_ENDS_MAKES_ROOM = (
    NoLaunchReason.TOO_LARGE,
    NoLaunchReason.OVER_MAX,
    NoLaunchReason.HOST_TOO_SMALL,
    NoLaunchReason.ABOVE_BID,
)


def allocation_input(
    *types: str,
    strategy: str = "BEST_FIT_PROGRESSIVE",
    needs: tuple[Need, ...] = (ONE_JOB,),
    free: Resources = BIG_HOST,
    host: Resources = BIG_HOST,
    used: int = 0,
    max_vcpus: int = 256,
    prices: Prices = Prices(),  # noqa: B008  (frozen)
    bid: int = 100,
) -> AllocationInput:
    entries = CATALOGUE.entries(types or ("optimal",))
    kind = Strategy(strategy)
    is_spot = strategy.startswith("SPOT")
    return AllocationInput(entries, kind, needs, free, host, used * 1000, max_vcpus * 1000, prices, is_spot, bid)


def chosen(case: AllocationInput) -> str:
    choice = choose_launch(case)
    assert isinstance(choice, InstanceLaunch), choice
    return choice.instance_type.name


def refused(case: AllocationInput) -> NoLaunch:
    choice = choose_launch(case)
    assert isinstance(choice, NoLaunch), choice
    return choice


# -- BEST_FIT --


def test_best_fit_takes_the_cheapest_type_for_what_waits() -> None:
    assert chosen(allocation_input(strategy="BEST_FIT")) == "c6i.large"
    # 1 vCPU with 7 GiB: m6i.large holds it, and a compute type would need four vCPUs.
    assert chosen(allocation_input(strategy="BEST_FIT", needs=(Need(Resources(1000, 7168)),))) == "m6i.large"


def test_best_fit_takes_what_the_demand_fills() -> None:
    needs = (Need(Resources(1000, 512), 20),)
    choice = choose_launch(allocation_input("c5", strategy="BEST_FIT", needs=needs))
    assert isinstance(choice, InstanceLaunch)
    assert (choice.instance_type.name, choice.jobs) == ("c5.4xlarge", 16)
    kinds, end = plan(allocation_input("c5", strategy="BEST_FIT", needs=needs))
    assert [c.instance_type.name for c in kinds] == ["c5.4xlarge", "c5.xlarge"]
    assert end.why is NoLaunchReason.NO_DEMAND


def test_best_fit_waits_for_its_type_where_progressive_moves_on() -> None:
    prices = Prices({"m5.2xlarge": 1_000, "c5.xlarge": 900_000})
    case = allocation_input("m5.2xlarge", "c5.xlarge", free=Resources(4000, 16_000), prices=prices, strategy="BEST_FIT")
    waiting = refused(case)
    assert (waiting.why, waiting.instance_type) == (NoLaunchReason.EXHAUSTED, "m5.2xlarge")
    assert waiting.aws_code == "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"
    assert "8 vCPUs and 32177 MiB" in waiting.text
    assert "4 vCPUs and 16000 MiB" in waiting.text
    assert "BEST_FIT_PROGRESSIVE" in waiting.text
    choice = choose_launch(replace(case, strategy=Strategy.BEST_FIT_PROGRESSIVE))
    assert isinstance(choice, InstanceLaunch)
    assert choice.instance_type.name == "c5.xlarge"
    assert "prefers m5.2xlarge, which this host cannot give now" in choice.reason


def test_best_fit_takes_another_size_of_the_same_price_instead_of_waiting() -> None:
    needs = (Need(Resources(1000, 512), 16),)
    assert (
        chosen(allocation_input("c5", strategy="BEST_FIT", needs=needs, free=Resources(9000, 100_000))) == "c5.2xlarge"
    )


# -- BEST_FIT_PROGRESSIVE --


def test_progressive_goes_by_cost_per_vcpu_among_types_large_enough() -> None:
    # As the guide says it: by vCPU, so that the larger compute type wins over the general one that would do.
    assert chosen(allocation_input(needs=(Need(Resources(1000, 7168)),))) == "c6i.xlarge"
    prices = Prices({"c6i.xlarge": 400_000, "m6i.large": 96_000})
    assert chosen(allocation_input("m6i.large", "c6i.xlarge", needs=(Need(Resources(1000, 7168)),), prices=prices)) == (
        "m6i.large"
    )


def test_a_gpu_job_gets_a_type_with_gpus_and_others_do_not() -> None:
    types = ("g4dn.xlarge", "p3.2xlarge", "c5")
    assert chosen(allocation_input(*types, needs=(Need(Resources(1000, 512, 1)),))) == "p3.2xlarge"
    assert chosen(allocation_input(*types)) == "c5.large"
    assert refused(allocation_input("g4ad", needs=(Need(Resources(1000, 512, 1)),))).why is NoLaunchReason.TOO_LARGE


def test_vcpus_missing_to_a_minimum_are_needs_of_one_vcpu() -> None:
    kinds, _ = plan(allocation_input("c5.large", needs=(Need(Resources(1000), 5),)))
    assert [choice.instance_type.name for choice in kinds] == ["c5.large"] * 3


# -- the ordered ones --


def test_ordered_goes_by_the_list_and_skips_what_is_too_small() -> None:
    ordered = "BEST_FIT_PROGRESSIVE_ORDERED"
    assert chosen(allocation_input("r5.large", "c5", strategy=ordered)) == "r5.large"
    assert (
        chosen(allocation_input("r5.large", "c5", strategy=ordered, needs=(Need(Resources(3000, 512)),))) == "c5.xlarge"
    )
    # The one size of its family stands last by its own entry.
    listed = ("c5", "m5.large", "c5.large")
    assert chosen(allocation_input(*listed, strategy=ordered)) == "c5.xlarge"
    assert chosen(allocation_input(*listed, strategy=ordered, free=Resources(2000, 9000))) == "m5.large"
    assert chosen(allocation_input(*listed, strategy=ordered, free=Resources(2000, 5000))) == "c5.large"


# -- Spot --


def test_capacity_optimized_takes_the_type_with_most_room_left_on_the_host() -> None:
    # 8 vCPUs are left but little memory: of r5 there is room for one, of c5 for four.
    free = Resources(8000, 17_000)
    prices = Prices(spot={"r5.large": 1})
    case = allocation_input("r5.large", "c5.large", strategy="SPOT_CAPACITY_OPTIMIZED", free=free, prices=prices)
    assert chosen(case) == "c5.large"
    priced = replace(case, strategy=Strategy.SPOT_PRICE_CAPACITY_OPTIMIZED)
    assert chosen(priced) == "c5.large"
    assert chosen(replace(priced, free=Resources(4000, 17_000))) == "r5.large"  # half as much room is enough


def test_prioritized_follows_the_list_among_pools_with_room() -> None:
    prioritized = "SPOT_CAPACITY_OPTIMIZED_PRIORITIZED"
    listed = ("r5.large", "c5.large")
    assert chosen(allocation_input(*listed, strategy=prioritized, free=Resources(8000, 17_000))) == "c5.large"
    assert chosen(allocation_input(*listed, strategy=prioritized)) == "r5.large"


def test_a_type_above_the_bid_is_not_used() -> None:
    prices = Prices({"c5.large": 100_000, "m5.large": 100_000}, {"c5.large": 50_000, "m5.large": 70_000})
    case = allocation_input("c5.large", "m5.large", strategy="SPOT_PRICE_CAPACITY_OPTIMIZED", prices=prices, bid=60)
    assert chosen(case) == "c5.large"
    assert chosen(replace(case, needs=(Need(Resources(1000, 7000)),), bid_percentage=70)) == "m5.large"
    none = refused(replace(case, needs=(Need(Resources(1000, 7000)),)))
    assert none.why is NoLaunchReason.ABOVE_BID
    assert "60 % of its on-demand price (bidPercentage); the cheapest, m5.large, costs $0.07 an hour of $0.10." in (
        none.text
    )


# -- limits --


def test_only_best_fit_on_demand_never_passes_max_vcpus() -> None:
    needs = (Need(Resources(1000, 512), 50),)
    passing, end = plan(allocation_input("c5.4xlarge", needs=needs, max_vcpus=20))
    assert len(passing) == 2  # 32 vCPUs: one instance past 20
    assert end.why is NoLaunchReason.AT_MAX
    assert "32 of 20 vCPUs" in end.text
    assert "passes maxvCpus" in passing[1].reason
    keeping, end = plan(allocation_input("c5.4xlarge", needs=needs, max_vcpus=20, strategy="BEST_FIT"))
    assert len(keeping) == 1
    assert end.why is NoLaunchReason.AT_MAX
    spot = replace(allocation_input("c5.4xlarge", needs=needs, max_vcpus=20, strategy="BEST_FIT"), is_spot=True)
    assert len(plan(spot)[0]) == 2


def test_what_fits_below_max_vcpus_is_taken_before_anything_passes_it() -> None:
    needs = (Need(Resources(1000, 512), 50),)
    choices, _ = plan(allocation_input("c5", needs=needs, max_vcpus=20))
    assert [c.instance_type.name for c in choices] == ["c5.4xlarge", "c5.xlarge"]


def test_a_type_that_passes_max_vcpus_is_taken_where_the_host_gives_none_below_it() -> None:
    """BEST_FIT_PROGRESSIVE moves to the other listed types (AWS Batch behaviour 3.4); BEST_FIT waits, also on Spot."""
    needs = (Need(Resources(1000, 5000)),)
    case = allocation_input("r5.large", "c5.xlarge", needs=needs, max_vcpus=2, free=Resources(6000, 16_047))
    choice = choose_launch(case)
    assert isinstance(choice, InstanceLaunch)
    assert choice.instance_type.name == "c5.xlarge"
    assert "this host cannot give r5.large now; it passes maxvCpus" in choice.reason
    assert refused(replace(case, strategy=Strategy.BEST_FIT)).instance_type == "r5.large"
    assert refused(replace(case, strategy=Strategy.BEST_FIT, is_spot=True)).instance_type == "r5.large"


@pytest.mark.parametrize(
    ("case", "why", "code", "words"),
    [
        (allocation_input("c5.large", needs=(Need(Resources(4000, 512)),)), NoLaunchReason.TOO_LARGE,
         "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT", "the most that any has is 2 vCPUs and 3953 MiB."),
        (allocation_input("c5.4xlarge", "m5.large", needs=(Need(Resources(16_000, 512, 1)),)), NoLaunchReason.TOO_LARGE,
         "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT", "No allowed instance type holds 16 vCPUs, 512 MiB and 1 GPU"),
        (allocation_input("c5.4xlarge", "r5.2xlarge", needs=(Need(Resources(16_000, 40_000)),)),
         NoLaunchReason.TOO_LARGE,
         "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT", "no type has all of it at once"),
        (allocation_input(needs=(Need(Resources(5000, 512)),), max_vcpus=4), NoLaunchReason.OVER_MAX,
         "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE", "asks 5 vCPUs and the environment may have 4"),
        (allocation_input("c5.4xlarge", strategy="BEST_FIT", max_vcpus=8), NoLaunchReason.OVER_MAX,
         "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE", "is c5.4xlarge with 16 vCPUs, and BEST_FIT never passes"),
        (allocation_input("m5.large", host=Resources(2000, 6000), free=Resources(2000, 6000)),
         NoLaunchReason.HOST_TOO_SMALL,
         "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY", "the smallest, m5.large, takes 2 vCPUs and 7985 MiB."),
        (allocation_input(used=256), NoLaunchReason.AT_MAX, "", "The environment has 256 of 256 vCPUs"),
        (allocation_input(free=Resources(1000, 512)),
         NoLaunchReason.EXHAUSTED, "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
         "c6i.large takes 2 vCPUs and 3953 MiB, and this host has 1 vCPU and 512 MiB that nobody holds."),
        (allocation_input(needs=()), NoLaunchReason.NO_DEMAND, "", "No job waits"),
    ],
    ids=lambda value: value if isinstance(value, NoLaunchReason) else "",
)  # fmt: skip
def test_no_choice_says_why_with_numbers(case: AllocationInput, why: NoLaunchReason, code: str, words: str) -> None:
    none = refused(case)
    assert (none.why, none.aws_code) == (why, code)
    assert words in none.text


def test_what_can_never_run_is_passed_over_and_what_waits_is_not() -> None:
    impossible, possible = Need(Resources(1000, 512, 1)), Need(Resources(1000, 512))
    assert chosen(allocation_input("c5.large", needs=(impossible, possible))) == "c5.large"
    large = Need(Resources(16_000, 512))
    none = refused(allocation_input("c5", needs=(large, possible), free=Resources(4000, 100_000)))
    assert (none.why, none.need) == (NoLaunchReason.EXHAUSTED, large.resources)


# -- properties --

NAMES = ["c5.large", "c5.xlarge", "c5.4xlarge", "m5.large", "m5.2xlarge", "r5.xlarge", "g4dn.xlarge", "g4dn.12xlarge"]
SHAPES = st.builds(
    Resources, st.sampled_from([250, 500, 1000, 2000, 4000, 16_000]), st.integers(4, 40_000), st.sampled_from([0, 0, 1])
)
PRICES = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 10**6))


@st.composite
def allocation_inputs(draw: st.DrawFn) -> AllocationInput:
    strategy = draw(st.sampled_from(list(Strategy)))
    host = Resources(draw(st.integers(0, 64)) * 1000, draw(st.integers(0, 262_144)), draw(st.integers(0, 4)))
    free = Resources(*(draw(st.integers(0, most)) for most in (host.milli_vcpus, host.memory_mib, host.gpus)))
    most = draw(st.integers(0, 40)) * 1000
    return AllocationInput(
        entries=CATALOGUE.entries(draw(st.lists(st.sampled_from([*NAMES, "c5", "m5"]), min_size=1, max_size=6))),
        strategy=strategy,
        needs=tuple(draw(st.lists(st.builds(Need, SHAPES, st.integers(1, 30)), max_size=4))),
        free=free,
        host=host,
        milli_vcpus=draw(st.integers(0, 20)) * 1000,
        max_milli_vcpus=most,
        prices=Prices(draw(PRICES), draw(PRICES)),
        is_spot=strategy.startswith("SPOT") or (strategy is Strategy.BEST_FIT and draw(st.booleans())),
        bid_percentage=draw(st.integers(0, 100)),
    )


@given(allocation_inputs())
@settings(max_examples=300, deadline=None)
def test_every_plan_keeps_to_its_limits(case: AllocationInput) -> None:
    choices, _ = plan(case)
    free, vcpus, needs = case.free, case.milli_vcpus, case.needs
    allowed = {kind.name for entry in case.entries for kind in entry}
    for choice in choices:
        room = registered(choice.instance_type)
        assert choice.instance_type.name in allowed
        assert choice.need in [need.resources for need in needs]
        assert choice.need.fits(room)
        assert choice.jobs >= 1
        assert room.fits(free)
        assert vcpus < case.max_milli_vcpus  # so that only one can pass it
        if not case.may_overshoot:
            assert vcpus + room.milli_vcpus <= case.max_milli_vcpus
        if case.is_spot:
            assert case.prices.is_within_bid(choice.instance_type, case.bid_percentage)
        before = sum(need.count for need in needs)
        free, vcpus, needs = free.minus(room), vcpus + room.milli_vcpus, unserved(needs, room)
        assert sum(need.count for need in needs) < before


@given(allocation_inputs())
@settings(max_examples=300, deadline=None)
def test_nothing_is_left_undone_that_another_type_could_do(case: AllocationInput) -> None:
    """A second model: by brute force over all types, for the first job that is not impossible."""
    none = choose_launch(case)
    if isinstance(none, InstanceLaunch):
        return
    possible = [
        need.resources
        for need in case.needs
        if need.resources.milli_vcpus <= case.max_milli_vcpus and _servers(case, need.resources)
    ]
    if none.why is NoLaunchReason.NO_DEMAND:
        assert case.needs == ()
    elif none.why in NOTHING_THAT_ENDS_MAKES_ROOM:
        assert possible == []
    elif none.why is NoLaunchReason.AT_MAX:
        left = case.max_milli_vcpus - case.milli_vcpus
        assert left <= 0 or (not case.may_overshoot and all(k > left for k, _ in _servers(case, possible[0])))
    else:
        left = case.max_milli_vcpus - case.milli_vcpus
        now = [vcpus for vcpus, fits in _servers(case, possible[0]) if fits and (vcpus <= left or case.may_overshoot)]
        assert case.strategy is Strategy.BEST_FIT or now == []


def _servers(case: AllocationInput, asked: Resources) -> list[tuple[int, bool]]:
    """(vCPUs, fits now) of every type that this host could once give to the job."""
    return [
        (kind.milli_vcpus, registered(kind).fits(case.free))
        for entry in case.entries
        for kind in entry
        if asked.fits(registered(kind))
        and registered(kind).fits(case.host)
        and (case.may_overshoot or kind.milli_vcpus <= case.max_milli_vcpus)
        and (not case.is_spot or case.prices.is_within_bid(kind, case.bid_percentage))
    ]


@given(allocation_inputs())
@settings(max_examples=200, deadline=None)
def test_progressive_never_takes_what_costs_more_per_vcpu(case: AllocationInput) -> None:
    case = replace(case, strategy=Strategy.BEST_FIT_PROGRESSIVE, is_spot=False)
    choice = choose_launch(case)
    if isinstance(choice, NoLaunch) or case.milli_vcpus + choice.instance_type.milli_vcpus > case.max_milli_vcpus:
        return
    left = case.max_milli_vcpus - case.milli_vcpus
    costs = [
        case.prices.on_demand_of(kind) / kind.milli_vcpus
        for entry in case.entries
        for kind in entry
        if choice.need.fits(registered(kind)) and registered(kind).fits(case.free) and kind.milli_vcpus <= left
    ]
    assert case.prices.on_demand_of(choice.instance_type) / choice.instance_type.milli_vcpus == min(costs)


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (Resources(2000, 512, 1), "2 vCPUs, 512 MiB and 1 GPU"),
        (Resources(250, 512), "0.25 vCPUs and 512 MiB"),
        (Resources(1000), "1 vCPU"),
        (Resources(0, 0, 2), "0 vCPUs and 2 GPUs"),
    ],
)
def test_amounts_are_described_in_words(amount: Resources, words: str) -> None:
    assert describe(amount) == words
