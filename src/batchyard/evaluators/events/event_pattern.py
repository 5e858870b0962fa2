"""Event patterns of EventBridge (spec 4): compiled once, then matched with bounded work.

A pattern becomes branches (`$or` multiplied out), each a condition for every field it names. An event is walked once,
only where a field of the pattern may be. Fields below one array of objects have to match within the same element
(array consistency): each value carries the elements it lies in, and a branch keeps the choices that are still possible.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from batchyard.core.model.refusal import Refused
from batchyard.evaluators.events.conditions import Condition, Test
from batchyard.evaluators.events.elements import Element, ElementTree, choices_after
from batchyard.evaluators.events.match_expressions import InvalidExpression, fail, read_expression
from batchyard.evaluators.json_text import InvalidJson, JsonNumber, Members, parse_members

MAX_BRANCHES = 1000  # combinations of $or: nested ones double with every few characters of a pattern
MAX_DEPTH = 100  # of objects in a pattern; AWS's own 4,096 characters would allow 800
MAX_CHOICES = 10_000  # of array elements that one branch may keep; events have these by dots in their keys alone
# What AWS keeps for itself as names of fields inside $or.
# fmt: off
RESERVED_IN_OR = {
    "exactly", "equals-ignore-case", "prefix", "suffix", "anything-but", "exists", "wildcard", "numeric", "cidr",
    "=", "<", "<=", ">", ">=", "regex", "not-wildcard", "not-equals-ignore-case", "date-after", "date-on-or-after",
    "date-before", "date-on-or-before", "in-date-range", "ip-address-in-range", "ip-address-not-in-range",
}
# fmt: on
Branch = dict[str, Condition]


class InvalidPattern(Refused):
    """A pattern that AWS refuses. `reason`: AWS's text, without the sentence around it."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Event pattern is not valid. Reason: {reason}", "InvalidEventPatternException")
        self.reason = reason


class EventPattern:
    """A compiled pattern."""

    __slots__ = ("_branches", "_prefixes", "names")

    def __init__(self, branches: Iterable[Branch]) -> None:
        # Sorted: fields below one array follow each other, and `exists: false` sees the choices of those before it.
        self._branches = [tuple(sorted(branch.items())) for branch in branches]
        self.names = frozenset(name for branch in self._branches for name, _ in branch)
        self._prefixes = frozenset(
            name[:at] for name in self.names for at, character in enumerate(name) if character == "."
        )

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Whether an event, as parsed from JSON, matches."""
        values = self._values(event)
        return any(_branch_matches(branch, values) for branch in self._branches)

    def could_match(self, known: Mapping[str, str]) -> bool:
        """Whether an event of which some fields are known, each one string, may match (`{"detail.status": "FAILED"}`).

        False is certain: what is known already excludes every branch, and the event need not be made."""
        for branch in self._branches:
            for name, condition in branch:
                value = known.get(name)
                if value is not None and not condition.accepts(value):
                    break
            else:
                return True
        return False

    def literals(self, name: str) -> frozenset[str] | None:
        """Returns the only strings that a field may be, or None where it may be anything else. An index of patterns by
        source needs these."""
        found: set[str] = set()
        for branch in self._branches:
            texts = next((condition.literals() for field, condition in branch if field == name), None)
            if texts is None:
                return None
            found |= texts
        return frozenset(found)

    def _values(self, event: Mapping[str, Any]) -> dict[str, list[tuple[Any, Element]]]:
        """Returns the values of the fields that the pattern names, each with the array elements it lies in."""
        found: dict[str, list[tuple[Any, Element]]] = {}
        waiting: list[tuple[str, Any, Element]] = [(key, value, ()) for key, value in event.items()]
        arrays = 0
        while waiting:
            path, value, element = waiting.pop()
            if isinstance(value, dict):
                if path in self._prefixes:
                    waiting += [(f"{path}.{key}", below, element) for key, below in value.items()]
            elif isinstance(value, list | tuple):
                if path in self._prefixes or path in self.names:
                    for index, below in enumerate(value):
                        is_inner = isinstance(below, dict | list | tuple)
                        waiting.append((path, below, (*element, (arrays, index)) if is_inner else element))
                    arrays += 1
            elif path in self.names:
                found.setdefault(path, []).append((value, element))
        return found


def _branch_matches(branch: tuple[tuple[str, Condition], ...], values: Mapping[str, list[tuple[Any, Element]]]) -> bool:
    choices: set[frozenset[tuple[int, int]]] = {frozenset()}
    for position, (name, condition) in enumerate(branch):
        found = values.get(name, [])
        accepted = [element for value, element in found if condition.accepts(value)]
        if not condition.is_absent and not accepted:
            return False
        if not any(element for _, element in found) and choices == {frozenset()}:
            if not accepted and found:
                return False
            continue
        joined = choices_after(choices, ElementTree(accepted), MAX_CHOICES)
        if condition.is_absent:
            every = ElementTree(element for _, element in found)
            joined |= {choice for choice in choices if not every.has_consistent(choice)}
        later = {array for field, _ in branch[position + 1 :] for _, at in values.get(field, []) for array, _ in at}
        choices = {frozenset(pair for pair in choice if pair[0] in later) for choice in joined}
        if not choices:
            return False
    return True


# -- compiling --


def compile_pattern(text: str) -> EventPattern:
    """Returns the compiled pattern of a JSON text. Raises InvalidPattern."""
    try:
        return EventPattern(parse_branches(text))
    except InvalidExpression as error:
        raise InvalidPattern(error.reason) from error


def parse_branches(text: str, *, is_sns: bool = False) -> list[Branch]:
    """Returns the branches of a pattern, or of an SNS filter policy. Raises InvalidExpression."""
    try:
        pattern = parse_members(text)
    except InvalidJson as error:
        raise InvalidExpression(str(error)) from error
    if not isinstance(pattern, Members):
        fail("Filter is not an object")
    branches: list[Branch] = []
    _read_object(branches, pattern, "", 0, is_sns=is_sns, is_in_or=False)
    return branches


def _read_object(
    branches: list[Branch], members: Members, path: str, depth: int, *, is_sns: bool, is_in_or: bool
) -> None:
    """Adds the conditions of an object to every branch, in place. A field named twice has its last condition."""
    if not members:
        fail("Empty objects are not allowed")
    if depth > MAX_DEPTH:
        fail(f"Patterns are nested at most {MAX_DEPTH} deep")
    for key, value in members:
        if key == "$or":
            branches[:] = _read_or(branches, value, path, depth, is_sns=is_sns)
            continue
        if is_in_or and key in RESERVED_IN_OR:
            fail(f"{key} is Ruler reserved fieldName which cannot be used inside $or.")
        if isinstance(value, Members):
            _read_object(branches, value, f"{path}{key}.", depth + 1, is_sns=is_sns, is_in_or=is_in_or)
        elif isinstance(value, list):
            condition = _read_condition(value, is_sns=is_sns)
            if not branches:
                branches.append({})
            for branch in branches:
                branch[path + key] = condition
        else:
            fail(f'"{key}" must be an object or an array')


def _read_or(branches: list[Branch], value: Any, path: str, depth: int, *, is_sns: bool) -> list[Branch]:
    if not isinstance(value, list) or isinstance(value, Members):
        fail("It must be an Array followed with $or.")
    found: list[Branch] = []
    for member in value:
        if not isinstance(member, Members):
            fail("Only JSON object is allowed in array of $or relationship.")
        copies = [dict(branch) for branch in branches] or [{}]
        _read_object(copies, member, path, depth + 1, is_sns=is_sns, is_in_or=True)
        found += copies
        if len(found) > MAX_BRANCHES:
            fail(f"Rule is too complex - $or makes more than {MAX_BRANCHES} combinations")
    if len(value) < 2:
        fail("There must have at least 2 Objects in $or relationship.")
    return found


def _read_condition(values: list[Any], *, is_sns: bool) -> Condition:
    strings: list[str] = []
    numbers: list[float] = []
    words: list[bool | None] = []
    tests: list[Test] = []
    is_absent = False
    for value in values:
        if isinstance(value, str):
            strings.append(value)
        elif isinstance(value, JsonNumber):
            numbers.append(value.value)
        elif value is None or isinstance(value, bool):
            words.append(value)
        elif isinstance(value, Members):
            asked = read_expression(value, is_sns=is_sns)
            if isinstance(asked, bool):
                is_absent = True
            elif isinstance(asked, float):
                numbers.append(asked)
            else:
                tests.append(asked)
        else:
            fail("Match value must be String, number, true, false, or null")
    if not values:
        fail("Empty arrays are not allowed")
    return Condition(strings, numbers, words, tests, is_absent)
