"""Where the nodes of a job are placed: all or none, against a naive count."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.model.records import Placement
from batchyard.core.model.resources import Resources
from batchyard.core.state.placement import Ahead, Available, Claim, Offer, place_nodes

NAMES = ("i-1", "i-2", "i-3")
VECTORS = st.builds(Resources, st.integers(0, 4), st.integers(0, 4), st.integers(0, 2))


@st.composite
def any_rooms(draw: st.DrawFn) -> dict[str, Available]:
    rooms = {}
    for name in NAMES[: draw(st.integers(0, len(NAMES)))]:
        free = draw(st.builds(Resources, st.integers(-1, 9), st.integers(0, 9), st.integers(0, 4)))
        rooms[name] = Available(free, [10 * len(rooms) + device for device in range(free.gpus)], free)
    return rooms


def offer_of(rooms: dict[str, Available], budget: Available | None = None) -> Offer:
    return Offer("local", "process", tuple(rooms), budget)


def naive(vectors: list[Resources], rooms: dict[str, Available]) -> list[str] | None:
    """Node after node, the largest first, into the first instance that is not full, counted by kind."""
    left = {name: [room.free.milli_vcpus, room.free.memory_mib, room.free.gpus] for name, room in rooms.items()}
    chosen = {}
    sizes = [(one.gpus, one.milli_vcpus, one.memory_mib) for one in vectors]
    for node in sorted(range(len(vectors)), key=lambda node: sizes[node], reverse=True):
        wanted = (vectors[node].milli_vcpus, vectors[node].memory_mib, vectors[node].gpus)
        fitting = [name for name, free in left.items() if all(f >= w for f, w in zip(free, wanted, strict=True))]
        if not fitting:
            return None
        chosen[node] = fitting[0]
        left[fitting[0]] = [f - w for f, w in zip(left[fitting[0]], wanted, strict=True)]
    return [chosen[node] for node in range(len(vectors))]


@given(st.lists(VECTORS, min_size=1, max_size=5), any_rooms())
def test_nodes_are_placed_as_a_naive_count_places_them_all_or_none(
    vectors: list[Resources], rooms: dict[str, Available]
) -> None:
    before = {name: (room.free, list(room.gpu_ids)) for name, room in rooms.items()}
    found = place_nodes(vectors, offer_of(rooms), rooms)
    expected = naive(vectors, rooms)
    assert (None if found is None else [one.instance_id for one in found]) == expected
    assert {name: (room.free, room.gpu_ids) for name, room in rooms.items()} == before, "nothing is taken yet"
    if found is None:
        return
    devices = [(one.instance_id, device) for one in found for device in one.device_ids]
    assert len(set(devices)) == len(devices), "a device is one node's"
    assert all(device in rooms[name].gpu_ids for name, device in devices)
    assert [len(one.device_ids) for one in found] == [vector.gpus for vector in vectors]


@given(VECTORS, st.integers(1, 6), any_rooms())
def test_equal_nodes_are_placed_whenever_there_is_room_for_all(
    vector: Resources, count: int, rooms: dict[str, Available]
) -> None:
    copies = 0
    for room in rooms.values():
        free = room.free
        for _ in range(count):
            if vector.fits(free):
                free, copies = free.minus(vector), copies + 1
    assert (place_nodes([vector] * count, offer_of(rooms), rooms) is not None) == (copies >= count)


def test_a_budget_holds_all_nodes_or_none() -> None:
    rooms = {"i-1": Available(Resources(8, 8), [])}
    budget = Available(Resources(5), [])
    assert place_nodes([Resources(2, 1)] * 2, offer_of(rooms, budget), rooms) == (Placement("i-1"), Placement("i-1"))
    assert place_nodes([Resources(2, 1)] * 3, offer_of(rooms, budget), rooms) is None


def test_what_the_head_waits_for_is_not_taken_by_nodes_together() -> None:
    rooms = {"i-1": Available(Resources(8, 8), []), "i-2": Available(Resources(1, 1), [])}
    ahead = Ahead(instances={"i-1": Claim(Resources(4, 0))})
    vector = Resources(2, 1)
    assert place_nodes([vector] * 2, offer_of(rooms), rooms, ahead) == (Placement("i-1"), Placement("i-1"))
    assert place_nodes([vector] * 3, offer_of(rooms), rooms, ahead) is None
