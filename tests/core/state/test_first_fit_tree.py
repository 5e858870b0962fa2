"""The tree finds what a scan finds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.model.resources import Resources
from batchyard.core.state.first_fit_tree import FirstFitTree

amounts = st.builds(Resources, st.integers(0, 6), st.integers(0, 6), st.integers(0, 2))
rooms = st.none() | st.builds(Resources, st.integers(-2, 6), st.integers(-2, 6), st.integers(0, 2))
steps = st.lists(
    st.tuples(st.sampled_from(("append", "append", "set", "set", "remove")), st.integers(0, 100), rooms), max_size=60
)


def scan(places: dict[str, Resources | None], asked: Resources, after: str | None = None) -> str | None:
    """The first place with room; `after`: of those behind this one."""
    names = list(places)
    for name in names[names.index(after) + 1 :] if after is not None else names:
        room = places[name]
        if room is not None and asked.fits(room):
            return name
    return None


@given(steps, st.lists(amounts, min_size=1, max_size=4))
def test_the_first_fit_is_that_of_a_scan(steps: list[tuple[str, int, Resources | None]], asks: list[Resources]) -> None:
    tree, places = FirstFitTree(), dict[str, Resources | None]()
    for number, (what, at, room) in enumerate(steps):
        name = list(places)[at % len(places)] if places else ""
        if what == "append":
            tree.append(f"i-{number}", room)
            places[f"i-{number}"] = room
        elif name and what == "set":
            tree.set(name, room)
            places[name] = room
        elif name:
            tree.remove(name)
            del places[name]
        assert list(tree) == list(places)
        for asked in asks:
            found = tree.first(asked)
            assert (None if found is None else tree.names[found]) == scan(places, asked)
            if found is not None:
                further = tree.first(asked, found + 1)
                expected = scan(places, asked, tree.names[found])
                assert (None if further is None else tree.names[further]) == expected
    assert {name: tree.room(name) for name in tree} == places
    assert (len(tree), [name in tree for name in places]) == (len(places), [True] * len(places))


def test_removed_places_are_dropped_when_the_tree_is_full() -> None:
    tree = FirstFitTree()
    for number in range(1000):
        tree.append(f"i-{number}", Resources(number))
        if number >= 3:
            tree.remove(f"i-{number - 3}")
    assert len(tree.names) <= 8
    assert tree.first(Resources(998)) == tree.names.index("i-998")
