"""Elements of arrays that a value of an event lies in, and choices of elements that are consistent with each other.

An element is the chain of (array, index) from the outermost array to the innermost. Two values are consistent when no
array that both lie in has different indices.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

Element = tuple[tuple[int, int], ...]
Choice = frozenset[tuple[int, int]]


class ElementTree:
    """Elements, found by what a choice leaves open: a lookup costs what it returns, and not all elements."""

    __slots__ = ("_root",)

    def __init__(self, elements: Iterable[Element]) -> None:
        # A node: {array: {index: node}}, with the key None where an element ends.
        self._root: dict[Any, Any] = {}
        for element in elements:
            node = self._root
            for array, index in element:
                node = node.setdefault(array, {}).setdefault(index, {})
            node[None] = True

    def consistent_with(self, choice: Choice) -> Iterator[Element]:
        """Yields the elements that are consistent with a choice."""
        chosen = dict(choice)
        waiting: list[tuple[dict[Any, Any], Element]] = [(self._root, ())]
        while waiting:
            node, element = waiting.pop()
            for array, indices in node.items():
                if array is None:
                    yield element
                elif array in chosen:
                    index = chosen[array]
                    if index in indices:
                        waiting.append((indices[index], (*element, (array, index))))
                else:
                    waiting += [(below, (*element, (array, index))) for index, below in indices.items()]

    def has_consistent(self, choice: Choice) -> bool:
        return next(self.consistent_with(choice), None) is not None


def choices_after(choices: Iterable[Choice], tree: ElementTree, most: int) -> set[Choice]:
    """Returns the choices extended by one element of the tree each, at most `most` of them."""
    found: set[Choice] = set()
    for choice in choices:
        for element in tree.consistent_with(choice):
            found.add(choice.union(element))
            if len(found) >= most:
                return found
    return found
