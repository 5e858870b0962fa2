"""Evaluates the paths that are not definite: wildcards, slices, descents and filters. The cost is bounded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from batchyard.evaluators.states.errors import RUNTIME, StateError
from batchyard.evaluators.states.json_values import equality_key, is_number, weight
from batchyard.evaluators.states.path_syntax import (
    AllOf,
    AnyOf,
    Comparison,
    Condition,
    Descent,
    Exists,
    Filter,
    Indexes,
    Literal,
    Names,
    Not,
    Operand,
    Pattern,
    Query,
    Segment,
    Slice,
)

# Values that one path may look at: half a second. `$..*` on the largest payload, 130,000 values, looks at 400,000.
MAX_VISITS = 500_000


class _Absent:
    """What a path within a filter returns where it finds nothing: null is a value."""


ABSENT = _Absent()


def matches_of(segments: tuple[Segment, ...], value: Any, root: Any) -> list[Any]:
    """Returns everything that the segments find in a value, in order. `root`: what `$` means within filters.

    Raises StateError (States.Runtime) if more than MAX_VISITS values have to be looked at.
    """
    return _Evaluation(root).matches(segments, value)


class _Evaluation:
    """One evaluation of one path, with what is left of its budget."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.visits_left = MAX_VISITS

    def visit(self, count: int) -> None:
        self.visits_left -= count
        if self.visits_left < 0:
            raise StateError(RUNTIME, f"The path looks at more than {MAX_VISITS} values of its input.")

    def matches(self, segments: tuple[Segment, ...], value: Any) -> list[Any]:
        found = [value]
        for position, segment in enumerate(segments):
            self.visit(len(found) + 1)
            is_last = position == len(segments) - 1
            found = list(self.step(segment, found, is_last))
        return found

    def step(self, segment: Segment, values: Iterable[Any], is_last: bool) -> Iterator[Any]:
        for value in values:
            if isinstance(segment, str):
                if isinstance(value, dict) and segment in value:
                    yield value[segment]
            elif isinstance(segment, Descent):
                yield from self.descend(value)
            elif isinstance(segment, Filter):
                yield from self.accepted(segment, value)
            elif isinstance(segment, Names):
                yield from _members(segment, value, is_last)
            else:
                found = _items(segment, value)
                self.visit(len(found))
                yield from found

    def descend(self, value: Any) -> Iterator[Any]:
        """Yields a value and what is below it, parents first. Only objects and lists have something below."""
        waiting = [value]
        while waiting:
            value = waiting.pop()
            yield value
            children = (
                list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list) else []
            )
            self.visit(len(children))
            waiting.extend(reversed(children))

    def accepted(self, segment: Filter, value: Any) -> Iterator[Any]:
        for item in value if isinstance(value, list) else [value] if isinstance(value, dict) else []:
            self.visit(1)
            if self.holds(segment.condition, item):
                yield item

    # -- conditions --

    def holds(self, condition: Condition, item: Any) -> bool:
        if isinstance(condition, Comparison):
            return self.compares(condition, item)
        if isinstance(condition, Exists):
            query = condition.query
            found = self.matches(query.segments, self.root if query.is_rooted else item)
            return bool(found)
        if isinstance(condition, Not):
            return not self.holds(condition.condition, item)
        if isinstance(condition, AllOf):
            return all(self.holds(part, item) for part in condition.conditions)
        assert isinstance(condition, AnyOf)
        return any(self.holds(part, item) for part in condition.conditions)

    def compares(self, comparison: Comparison, item: Any) -> bool:
        left = self.operand(comparison.left, item)
        if isinstance(comparison.right, Pattern):
            if not isinstance(left, str):
                return False
            self.visit(len(left) // 10)
            return comparison.right.regex.found_in(left)
        right = self.operand(comparison.right, item)
        self.charge(comparison.operator, left, right)
        if comparison.operator == "!=":
            return not _equal(left, right)
        if isinstance(left, _Absent) or isinstance(right, _Absent):
            return False
        return _compare(comparison.operator, left, right)

    def charge(self, operator: str, left: Any, right: Any) -> None:
        """Takes from the budget what a comparison looks at."""
        if not isinstance(left, dict | list) and not isinstance(right, dict | list):
            return
        each_left, each_right = weight(left), weight(right)
        self.visit(each_left + each_right)
        if operator in ("in", "nin") and isinstance(right, list):
            self.visit(each_left * len(right))
        elif operator == "contains" and isinstance(left, list):
            self.visit(each_right * len(left))

    def operand(self, operand: Operand, item: Any) -> Any:
        if isinstance(operand, Literal):
            return operand.value
        assert isinstance(operand, Query)
        found = self.matches(operand.segments, self.root if operand.is_rooted else item)
        if operand.is_definite:
            return found[0] if found else ABSENT
        return found


def _members(segment: Names, value: Any, is_last: bool) -> Iterator[Any]:
    if isinstance(value, dict):
        present = {name: value[name] for name in segment.names if name in value}
        if is_last:
            yield present
        else:
            yield from present.values()


def _items(segment: Segment, value: Any) -> list[Any]:
    if not isinstance(value, list):
        is_wildcard = not isinstance(segment, int | Indexes | Slice)
        return list(value.values()) if is_wildcard and isinstance(value, dict) else []
    if isinstance(segment, int):
        return [value[segment]] if -len(value) <= segment < len(value) else []
    if isinstance(segment, Indexes):
        return [value[index] for index in segment.indexes if -len(value) <= index < len(value)]
    if isinstance(segment, Slice):
        return value[segment.start : segment.end]
    return value


# -- comparisons --


def _equal(left: Any, right: Any) -> bool:
    """Whether two values are equal. A number and a text are, if the text is that number."""
    if isinstance(left, _Absent) or isinstance(right, _Absent):
        return left is right
    if is_number(left) and isinstance(right, str):
        return _is_text_of(right, left)
    if is_number(right) and isinstance(left, str):
        return _is_text_of(left, right)
    return equality_key(left) == equality_key(right)


def _is_text_of(text: str, number: float) -> bool:
    try:
        return len(text) < 100 and float(text) == number
    except ValueError:
        return False


def _compare(operator: str, left: Any, right: Any) -> bool:
    if operator == "==":
        return _equal(left, right)
    if operator in ("<", "<=", ">", ">="):
        return _is_ordered(operator, left, right)
    if operator in ("in", "nin"):
        is_member = isinstance(right, list) and any(_equal(left, item) for item in right)
        return is_member == (operator == "in")
    if operator == "contains":
        if isinstance(left, str):
            return isinstance(right, str) and right in left
        return isinstance(left, list) and any(_equal(item, right) for item in left)
    if operator == "size":
        return isinstance(left, list | str) and is_number(right) and len(left) == right
    if operator == "empty":
        return isinstance(left, list | str) and isinstance(right, bool) and (not left) == right
    return _compare_sets(operator, left, right)


def _compare_sets(operator: str, left: Any, right: Any) -> bool:
    if not isinstance(left, list) or not isinstance(right, list):
        return False
    these, those = {equality_key(item) for item in left}, {equality_key(item) for item in right}
    if operator == "subsetof":
        return these <= those
    return bool(these & those) == (operator == "anyof")


def _is_ordered(operator: str, left: Any, right: Any) -> bool:
    if not (is_number(left) and is_number(right)) and not (isinstance(left, str) and isinstance(right, str)):
        return False
    if operator == "<":
        return bool(left < right)
    if operator == "<=":
        return bool(left <= right)
    return bool(left > right) if operator == ">" else bool(left >= right)
