"""The line of runnable jobs, against a sorted list; ranges, against sets."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.model.ranges import RangeSet, subtract, union, within
from batchyard.core.model.resources import Resources
from batchyard.core.state.runnable import FRESH, RETRIED, RunnableJobs, Shape, Turn

STEPS = st.lists(
    st.tuples(st.sampled_from(["push", "retry", "discard"]), st.integers(0, 30), st.integers(0, 2), st.integers(0, 1)),
    max_size=200,
)
SHAPES = [Shape(Resources(1000 * size), ("process",)) for size in (1, 2, 3)]
MEMBERS = st.frozensets(st.integers(0, 40), max_size=30)


@given(STEPS)
def test_the_lines_are_in_order_whatever_came_and_went(steps: list[tuple[str, int, int, int]]) -> None:
    jobs, entries = RunnableJobs(), dict[int, tuple[int, int, int]]()
    for step, key, shape, priority in steps:
        if step == "discard":
            jobs.discard(key)
            entries.pop(key, None)
        else:
            rank = FRESH if step == "push" else RETRIED
            jobs.push(key, SHAPES[shape], rank, priority=priority)
            entries[key] = (-priority, rank, key)
    ordered = [key for _, _, key in sorted(entries.values())]
    assert list(jobs.in_order()) == ordered
    assert len(jobs) == len(ordered)
    for at, key in enumerate(ordered):
        assert sorted(jobs.before(key)) == sorted(ordered[:at])


@given(st.lists(st.integers(0, 2), max_size=30), st.integers(0, 2))
def test_a_dropped_line_is_passed_over_and_the_others_go_on(shapes: list[int], dropped: int) -> None:
    jobs = RunnableJobs()
    for key, shape in enumerate(shapes):
        jobs.push(key, SHAPES[shape])
    turn, seen = Turn(jobs.lines()), list[int]()
    while (found := turn.next()) is not None:
        key, line = found
        seen.append(key)
        if line.shape == SHAPES[dropped]:
            turn.drop()
        else:
            jobs.discard(key)  # it was placed
    first = next((key for key, shape in enumerate(shapes) if shape == dropped), None)
    assert seen == [key for key, shape in enumerate(shapes) if shape != dropped or key == first]
    assert list(jobs.in_order()) == [key for key, shape in enumerate(shapes) if shape == dropped]


def ranges_of(members: frozenset[int]) -> tuple[tuple[int, int], ...]:
    made = RangeSet()
    for member in sorted(members, key=lambda m: (m * 7) % 41):
        made.add(member)
    return made.freeze()


def members_of(ranges: tuple[tuple[int, int], ...]) -> set[int]:
    return {member for start, stop in ranges for member in range(start, stop)}


@given(MEMBERS, MEMBERS, st.integers(0, 40), st.integers(0, 40))
def test_ranges_are_sets(left: frozenset[int], right: frozenset[int], start: int, stop: int) -> None:
    a, b = ranges_of(left), ranges_of(right)
    assert members_of(a) == left
    assert all(x[1] < y[0] for x, y in itertools.pairwise(a)), "ranges touch or overlap"
    assert members_of(subtract(a, b)) == left - right
    assert members_of(union(a, b)) == left | right
    assert members_of(within(a, start, stop)) == {m for m in left if start <= m < stop}


@given(MEMBERS, st.data())
def test_a_range_set_follows_a_set(members: frozenset[int], data: st.DataObject) -> None:
    made, plain = RangeSet(ranges_of(members)), set(members)
    for number in data.draw(st.lists(st.integers(0, 40), max_size=30)):
        if number in plain:
            made.remove(number)
            plain.remove(number)
        else:
            made.add(number)
            plain.add(number)
        assert (list(made), len(made), made.first()) == (sorted(plain), len(plain), min(plain, default=None))
        assert all((n in made) == (n in plain) for n in range(42))
    half = ranges_of(frozenset(m for m in plain if m % 2))
    made.remove_all(half)
    assert set(made) == {m for m in plain if not m % 2}
    made.update(half)
    assert set(made) == plain
