"""The constraints of a service's model on requests, refused in the words of AWS's validation: lengths, ranges, enums
and patterns. All that is wrong with a request is in one refusal (observability spec 2; step functions spec 1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

from batchyard.api.model_checks import Check
from batchyard.core.model.refusal import Refused
from batchyard.wire.model import Shape

# AWS's order of the values, where it is not the model's (recorded).
ENUM_ORDERS = {"ExecutionStatus": ("SUCCEEDED", "TIMED_OUT", "PENDING_REDRIVE", "ABORTED", "FAILED", "RUNNING")}
# Where Python writes a pattern of Java's in another way.
PATTERNS = {r"\p{ASCII}*": r"[\x00-\x7f]*"}
JAVA_CLASS = r"\p{"  # patterns with classes that Python has not are not checked
NUMBERS = ("integer", "long", "float", "double")
SECRET = ("Sensitive", "Definition")  # in the names of shapes whose values a text must not repeat
MAX_FAULTS = 20  # in one refusal, which repeats what the caller sent

Test = Callable[[Any], bool]
FindFaults = Callable[[Any, str, list[str]], None]  # in a value at a path, into a list


def constraint_check(shape: Shape | None, code: str, elsewhere: Collection[str] = ()) -> Check | None:
    """Returns a function that refuses, with `code`, what the model does not allow in a document. `elsewhere`: the names
    of shapes that the operations check, in words of their own."""
    find = None if shape is None else _compile(shape, frozenset(elsewhere), frozenset())
    if find is None:
        return None

    def check(value: Any, path: str) -> None:
        faults: list[str] = []
        find(value, path, faults)
        if faults:
            noun = "error" if len(faults) == 1 else "errors"
            raise Refused(f"{len(faults)} validation {noun} detected: {'; '.join(faults[:MAX_FAULTS])}", code)

    return check


def _compile(shape: Shape, elsewhere: frozenset[str], outer: frozenset[str]) -> FindFaults | None:
    if shape.name in outer:
        return None
    outer = outer | {shape.name}
    if shape.type == "structure":
        return _members(shape, elsewhere, outer)
    rules = [] if shape.name in elsewhere else _rules(shape)
    element = None if shape.element is None else _compile(shape.element, elsewhere, outer)
    if not rules and element is None:
        return None
    shows_value = not any(word in shape.name for word in SECRET)

    def find(value: Any, path: str, faults: list[str]) -> None:
        for is_broken, constraint in rules:
            if is_broken(value):
                shown = f"Value '{_printed(value, shape)}' at '{path}'" if shows_value else f"Value at '{path}'"
                faults.append(f"{shown} failed to satisfy constraint: Member must {constraint}")
        if element is not None:
            for index, inner in enumerate(value.values() if shape.type == "map" else value):
                element(inner, f"{path}.{index + 1}.member", faults)

    return find


def _members(shape: Shape, elsewhere: frozenset[str], outer: frozenset[str]) -> FindFaults | None:
    compiled = {member.name: _compile(member.shape, elsewhere, outer) for member in shape.members.values()}
    finders = {name: find for name, find in compiled.items() if find is not None}
    if not finders:
        return None

    def find_in_members(value: Any, path: str, faults: list[str]) -> None:
        for name, find in finders.items():
            if name in value:
                below = f"{name[0].lower()}{name[1:]}"
                find(value[name], f"{path}.{below}" if path else below, faults)

    return find_in_members


def _rules(shape: Shape) -> list[tuple[Test, str]]:
    """Returns the constraints of a shape: when each is broken, and what it asks for."""
    low, high = shape.minimum, shape.maximum
    if shape.type in NUMBERS:
        return _bounds(low, high, "value", lambda value: value)
    rules = _bounds(low, high, "length", len)
    if shape.enum:
        allowed = ENUM_ORDERS.get(shape.name, shape.enum)
        rules.append((lambda value: value not in allowed, f"satisfy enum value set: [{', '.join(allowed)}]"))
    if shape.pattern is not None and (shape.pattern in PATTERNS or JAVA_CLASS not in shape.pattern):
        pattern = re.compile(PATTERNS.get(shape.pattern, shape.pattern), re.ASCII)
        rules.append(
            (lambda value: not pattern.fullmatch(value), f"satisfy regular expression pattern: {shape.pattern}")
        )
    return rules


def _bounds(low: int | None, high: int | None, what: str, measure: Callable[[Any], Any]) -> list[tuple[Test, str]]:
    rules: list[tuple[Test, str]] = []
    if low:
        rules.append((lambda value: measure(value) < low, f"have {what} greater than or equal to {low}"))
    if low == 0 and what == "value":
        rules.append((lambda value: measure(value) < 0, f"have {what} greater than or equal to 0"))
    if high is not None:
        rules.append((lambda value: measure(value) > high, f"have {what} less than or equal to {high}"))
    return rules


def _printed(value: Any, shape: Shape) -> str:
    """Returns a value as Java prints it."""
    if shape.type == "list":
        assert shape.element is not None
        return f"[{', '.join(_printed(one, shape.element) for one in value)}]"
    if shape.type == "structure":
        members = (
            f"{member.name}={_printed(value[member.name], member.shape)}"
            for member in shape.members.values()
            if member.name in value
        )
        return f"{shape.name}({', '.join(members)})"
    return str(value)
