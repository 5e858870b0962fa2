"""What follows from a shape without a place is what a second look for one would find."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.model.resources import Resources
from batchyard.core.scheduling.failed_shapes import FailedShapes
from batchyard.core.state.placement import Ahead, Available, Claim, Offer, find_placement
from batchyard.core.state.runnable import Shape

NAMES = ("i-1", "i-2", "i-3")
amounts = st.builds(Resources, st.integers(0, 4), st.integers(0, 4), st.integers(0, 1))
engines = st.sampled_from([("process",), ("docker",), ("process", "docker")])
shapes = st.builds(Shape, amounts, engines, st.sampled_from((0, 1, 2, 3)))
rooms = st.dictionaries(st.sampled_from(NAMES), amounts.map(lambda free: Available(free, [7], free)))
claims = st.dictionaries(st.sampled_from(NAMES), st.builds(Claim, amounts, st.integers(0, 3), st.booleans()))


@given(st.lists(shapes, max_size=12), rooms, claims, st.none() | amounts)
def test_what_is_implied_finds_no_place(
    asked: list[Shape], given_rooms: dict[str, Available], given_claims: dict[str, Claim], budget: Resources | None
) -> None:
    failed, ahead = FailedShapes(), Ahead(given_claims)
    limit = None if budget is None else Available(Resources(budget.milli_vcpus, 1 << 62, 1 << 62), [])
    offers = [Offer("local", engine, tuple(given_rooms), limit) for engine in ("process", "docker")]
    tried: list[Shape] = []
    for shape in asked:
        found = any(find_placement(shape, one, given_rooms, ahead, shape.timeout_seconds) for one in offers)
        if failed.implies(shape):
            assert not found
        if not found:
            failed.add(shape)
            tried.append(shape)
            assert failed.implies(shape)
    for shape in tried:
        assert failed.implies(shape), "what does not fit stays known, also once others imply it"


def test_a_shape_fails_with_a_smaller_one_of_its_engines() -> None:
    failed = FailedShapes()
    failed.add(Shape(Resources(2000, 100), ("process",), timeout_seconds=60))
    assert failed.implies(Shape(Resources(2000, 200), ("process",)))
    assert not failed.implies(Shape(Resources(2000, 99), ("process",)))
    assert not failed.implies(Shape(Resources(2000, 100), ("docker",)))
    assert not failed.implies(Shape(Resources(2000, 100), ("process",), timeout_seconds=59)), "it may be short enough"


def test_jobs_of_several_nodes_are_always_tried() -> None:
    failed, one = FailedShapes(), Resources(1000)
    gang = Shape(Resources(2000), ("process",), nodes=(one, one))
    failed.add(gang)
    assert not failed.implies(Shape(Resources(2000), ("process",)))
    failed.add(Shape(one, ("process",)))
    assert not failed.implies(gang)
