"""Jobs are placed through the index of an environment's instances as by a scan over all of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from batchyard.core.model.records import Instance, InstanceState
from batchyard.core.model.resources import Resources
from batchyard.core.state.instance_table import Instances
from batchyard.core.state.placement import Ahead, Claim, FleetClaims, Offer, place_nodes

FLEET = "fleet"
SIZES = (Resources(4, 8, 1), Resources(8, 8), Resources(16, 4, 2))

amounts = st.builds(Resources, st.integers(0, 5), st.integers(0, 4), st.integers(0, 1))
claims = st.builds(Claim, amounts, st.sampled_from((0, 50, 100)), st.booleans())
fleet_claims = st.builds(
    Claim, st.builds(Resources, st.integers(0, 9), st.integers(0, 9)), st.sampled_from((0, 50, 100))
)
# Of each instance: its size, its state, and what is taken of it.
members = st.lists(st.tuples(st.sampled_from(SIZES), st.sampled_from(tuple(InstanceState)), amounts), max_size=12)


def table_of(given_members: list[tuple[Resources, InstanceState, Resources]]) -> Instances:
    table = Instances()
    for number, (size, state, taken) in enumerate(given_members):
        launching = Instance(
            f"i-{number}",
            size,
            tuple(range(size.gpus)),
            environment=FLEET,
            state=InstanceState.LAUNCHING,
            provider="host",
        )
        table.add(launching)
        table.put(replace(launching, state=state))
        table.available[f"i-{number}"].free = Resources().most(size.minus(taken))
        table.room_changed(f"i-{number}")
    return table


@given(members, st.lists(amounts, min_size=1, max_size=3), st.dictionaries(st.integers(0, 11), claims), st.data())
def test_the_index_places_as_a_scan(
    given_members: list[tuple[Resources, InstanceState, Resources]],
    vectors: list[Resources],
    claimed: dict[int, Claim],
    data: st.DataObject,
) -> None:
    table = table_of(given_members)
    ready = tuple(name for name in table.launched_in.get(FLEET, ()) if table[name].state is InstanceState.READY)
    ahead = Ahead({f"i-{number}": claim for number, claim in claimed.items()})
    ends_at_ms = data.draw(st.sampled_from((0, 50, 99)))
    scanned = Offer(FLEET, "process", ready)
    indexed = Offer(FLEET, "process", instances=table.of(FLEET))
    assert tuple(indexed.every()) == ready
    placed = place_nodes(vectors, indexed, table.available, ahead, ends_at_ms)
    assert placed == place_nodes(vectors, scanned, table.available, ahead, ends_at_ms)


@given(
    members,
    st.lists(amounts, min_size=1, max_size=3),
    st.dictionaries(st.integers(0, 11), claims),
    st.lists(fleet_claims | claims.filter(lambda claim: claim.is_kept), min_size=1, max_size=3),
    st.sampled_from((0, 50, 99)),
)
def test_claims_on_a_fleet_are_claims_on_each_of_its_large_enough_instances(
    given_members: list[tuple[Resources, InstanceState, Resources]],
    vectors: list[Resources],
    claimed: dict[int, Claim],
    heads: list[Claim],
    ends_at_ms: int,
) -> None:
    table = table_of(given_members)
    ready = [table[name] for name in table.launched_in.get(FLEET, ()) if table[name].state is InstanceState.READY]
    own = Ahead({f"i-{number}": claim for number, claim in claimed.items()})
    each, whole = own, own
    for claim in heads:
        held = [one.instance_id for one in ready if claim.is_kept or claim.asked.fits(one.resources)]
        each = each.plus(Ahead(dict.fromkeys(held, claim)))
        whole = whole.plus(Ahead(fleets={FLEET: FleetClaims(claim)}))
    for one in ready:
        found = whole.claim_on(one.instance_id, FLEET, one.resources)
        assert found == each.claim_on(one.instance_id, FLEET, one.resources) == each.instances.get(one.instance_id)
    scanned = Offer(FLEET, "process", tuple(one.instance_id for one in ready))
    indexed = Offer(FLEET, "process", instances=table.of(FLEET))
    placed = place_nodes(vectors, indexed, table.available, whole, ends_at_ms)
    assert placed == place_nodes(vectors, scanned, table.available, each, ends_at_ms)
