"""Who may pass the head of a queue, and who may not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.model.resources import Resources
from batchyard.core.state.placement import (
    NEVER_MS,
    Ahead,
    Available,
    Claim,
    FleetClaims,
    Offer,
    find_placement,
    may_take,
    starts_at_the_latest,
)
from batchyard.core.state.runnable import Shape

BIG, SMALL = Shape(Resources(4000, 64), ("fake",)), Shape(Resources(1000, 64), ("fake",))


def room(vcpus: int, free: int | None = None) -> Available:
    total = Resources(vcpus * 1000, 1024)
    return Available(Resources(1000 * (vcpus if free is None else free), 1024), [], total)


def head_on(*instance_ids: str, until_ms: int = 0, is_kept: bool = False) -> Ahead:
    """BIG waits for room on these."""
    return Ahead({instance_id: Claim(BIG.resources, until_ms, is_kept) for instance_id in instance_ids})


def test_onto_what_the_head_could_not_use_even_if_it_were_empty() -> None:
    offer = Offer("one", "fake", ("large", "small"))
    rooms = {"large": room(4, free=2), "small": room(2)}
    found = find_placement(SMALL, offer, rooms, head_on("large"))
    assert found is not None
    assert [one.instance_id for one in found.placements] == ["small"]
    assert find_placement(SMALL, offer, {**rooms, "small": room(2, free=0)}, head_on("large")) is None


def test_where_enough_is_left_for_the_head() -> None:
    """It waits for a GPU: vCPUs beyond those that it asks cost it nothing."""
    offer, asked = Offer("one", "fake", ("large",)), Resources(1000, 64, 1)
    ahead = Ahead({"large": Claim(asked)})
    assert find_placement(SMALL, offer, {"large": room(4, free=2)}, ahead) is not None
    assert find_placement(SMALL, offer, {"large": room(4, free=1)}, ahead) is None
    memory = Available(Resources(4000, 127), [], Resources(4000, 1024))
    assert find_placement(SMALL, offer, {"large": memory}, ahead) is None


def test_nobody_passes_onto_what_is_saved_for_the_head() -> None:
    offer, rooms = Offer("one", "fake", ("saved", "other")), {"saved": room(8), "other": room(2)}
    found = find_placement(SMALL, offer, rooms, head_on("saved", is_kept=True))
    assert found is not None
    assert [one.instance_id for one in found.placements] == ["other"]


def test_when_its_timeout_ends_it_before_the_head_can_start() -> None:
    offer, rooms, ahead = Offer("one", "fake", ("large",)), {"large": room(4, free=2)}, head_on("large", until_ms=1000)
    assert find_placement(SMALL, offer, rooms, ahead, ends_at_ms=1000) is not None
    assert find_placement(SMALL, offer, rooms, ahead, ends_at_ms=1001) is None
    assert find_placement(SMALL, offer, rooms, ahead, ends_at_ms=0) is None, "without a timeout it may stay for ever"
    assert find_placement(SMALL, offer, rooms, head_on("large"), ends_at_ms=1000) is None, (
        "nobody knows when the head starts"
    )


amounts = st.builds(Resources, st.integers(0, 4), st.integers(0, 4), st.integers(0, 2))
claims = st.builds(Claim, amounts, st.integers(0, 3), st.booleans())
aheads = st.builds(
    Ahead,
    st.dictionaries(st.sampled_from("ab"), claims),
    st.dictionaries(st.sampled_from("ab"), claims),
    st.frozensets(st.sampled_from("ab")),
    st.dictionaries(st.sampled_from("ab"), st.builds(FleetClaims, claims)),
)


@given(aheads, aheads, amounts, amounts, st.integers(0, 4))
def test_who_may_pass_two_heads_may_pass_each(
    one: Ahead, other: Ahead, free: Resources, asked: Resources, ends_at_ms: int
) -> None:
    both = one.plus(other)
    assert both == other.plus(one)
    for name in "ab":
        if may_take(both.instances.get(name), asked, free, ends_at_ms):
            assert may_take(one.instances.get(name), asked, free, ends_at_ms)
            assert may_take(other.instances.get(name), asked, free, ends_at_ms)
        claim, mine, theirs = (ahead.claim_on(name, name, Resources(4, 4, 2)) for ahead in (both, one, other))
        if may_take(claim, asked, free, ends_at_ms):
            assert may_take(mine, asked, free, ends_at_ms)
            assert may_take(theirs, asked, free, ends_at_ms)
    assert both.environments >= one.environments | other.environments


@given(st.lists(st.tuples(st.integers(1, 100), st.integers(1, 4)), max_size=8), st.integers(1, 12), st.integers(0, 4))
def test_the_latest_start_is_the_first_moment_with_enough_room(
    ends: list[tuple[int, int]], asked: int, free: int
) -> None:
    found = starts_at_the_latest(Resources(asked), Resources(free), [(at, Resources(n)) for at, n in sorted(ends)], 0)
    moments = [
        at for at in [0, *sorted(at for at, _ in ends)] if free + sum(n for end, n in ends if end <= at) >= asked
    ]
    assert found == (moments[0] if moments else NEVER_MS)
