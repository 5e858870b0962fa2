"""Ranges and sets of ranges, against Python's own sets."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.model.ranges import RangeSet, subtract, union, within

MEMBERS = st.frozensets(st.integers(0, 40), max_size=30)


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
