"""Choices of array elements, against a naive join, and their work in steps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchyard.evaluators.events.elements import Choice, Element, ElementTree, choices_after
from batchyard.evaluators.events.event_pattern import MAX_CHOICES, compile_pattern
from batchyard.evaluators.json_text import minified


def element_of(way: list[int]) -> Element:
    """Returns the chain of a way through nested arrays. What was chosen before is part of an array's id."""
    return tuple((int("1" + "".join(map(str, way[:depth])), 4), index) for depth, index in enumerate(way))


ELEMENTS = st.lists(st.lists(st.integers(0, 2), max_size=3).map(element_of), max_size=8)


def are_consistent(choice: Choice, element: Element) -> bool:
    chosen = dict(choice)
    return all(chosen.get(array, index) == index for array, index in element)


@given(ELEMENTS, ELEMENTS)
def test_the_tree_finds_what_comparing_all_finds(first: list[Element], second: list[Element]) -> None:
    choices = {frozenset(element) for element in first}
    tree = ElementTree(second)
    for choice in choices:
        expected = {element for element in second if are_consistent(choice, element)}
        assert set(tree.consistent_with(choice)) == expected
        assert tree.has_consistent(choice) is bool(expected)
    joined = {choice.union(element) for choice in choices for element in second if are_consistent(choice, element)}
    assert choices_after(choices, tree, 1000) == joined


def test_a_long_array_costs_its_length_and_not_its_square() -> None:
    elements: list[Element] = [((0, index),) for index in range(3000)]
    choices = {frozenset(element) for element in elements}
    tree = ElementTree(elements)
    assert sum(1 for choice in choices for _ in tree.consistent_with(choice)) == len(elements)


def test_the_choices_of_a_branch_are_bounded() -> None:
    pattern = compile_pattern(minified({"a": {"b": {"c": {"x": [1], "y": [2], "z": [3]}}}}))
    row = [{"x": 1, "y": 2, "z": 3}] * 60
    # One path in four spellings: four arrays that no choice links.
    event = {"a": {"b": {"c": row}, "b.c": row}, "a.b": {"c": row}, "a.b.c": row}
    assert MAX_CHOICES < 240**3
    assert pattern.matches(event)
    tree = ElementTree(((array, index),) for array in range(4) for index in range(60))
    assert len(choices_after([frozenset([(9, n)]) for n in range(240)], tree, 500)) == 500
