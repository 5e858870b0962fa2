"""The constraints of Step Functions' model on requests, refused in AWS's words (step functions spec 1): lengths,
ranges, enums and patterns. Names, which have an error code of their own, are checked by the operations."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from batchyard.api.model_checks import Check
from batchyard.core.model.refusal import Refused
from batchyard.wire.model import Shape

CHECKED_ELSEWHERE = frozenset({"Name"})
# AWS's order of the values, where it is not the model's (recorded).
ENUM_ORDERS = {"ExecutionStatus": ("SUCCEEDED", "TIMED_OUT", "PENDING_REDRIVE", "ABORTED", "FAILED", "RUNNING")}
# Where Python writes a pattern of Java's in another way.
PATTERNS = {r"\p{ASCII}*": r"[\x00-\x7f]*"}
NUMBERS = ("integer", "long", "float", "double")
SENSITIVE = ("Sensitive", "Definition")  # how the names of shapes begin whose values a text must not repeat

Test = Callable[[Any], bool]


def constraint_check(shape: Shape | None, code: str) -> Check | None:
    """Returns a function that refuses, with `code`, the first value of a document that the model does not allow."""
    return None if shape is None else _compile(shape, code, frozenset())


def _compile(shape: Shape, code: str, outer: frozenset[str]) -> Check | None:
    if shape.name in outer:
        return None
    outer = outer | {shape.name}
    if shape.type == "structure":
        return _members(shape, code, outer)
    rules = [] if shape.name in CHECKED_ELSEWHERE else _rules(shape)
    element = None if shape.element is None else _compile(shape.element, code, outer)
    if not rules and element is None:
        return None
    shows_value = not shape.name.startswith(SENSITIVE)

    def check(value: Any, path: str) -> None:
        for is_broken, constraint in rules:
            if is_broken(value):
                shown = f"Value '{_printed(value, shape)}' at '{path}'" if shows_value else f"Value at '{path}'"
                raise Refused(
                    f"1 validation error detected: {shown} failed to satisfy constraint: Member must {constraint}", code
                )
        if element is not None:
            for index, inner in enumerate(value.values() if shape.type == "map" else value):
                element(inner, f"{path}.{index + 1}.member")

    return check


def _members(shape: Shape, code: str, outer: frozenset[str]) -> Check | None:
    compiled = {member.name: _compile(member.shape, code, outer) for member in shape.members.values()}
    checks = {name: check for name, check in compiled.items() if check is not None}
    if not checks:
        return None

    def check_members(value: Any, path: str) -> None:
        for name, check in checks.items():
            if name in value:
                check(value[name], f"{path}.{name}" if path else name)

    return check_members


def _rules(shape: Shape) -> list[tuple[Test, str]]:
    """Returns the constraints of a shape: when each is broken, and what it asks for."""
    low, high = shape.minimum, shape.maximum
    if shape.type in NUMBERS:
        return _bounds(low, high, "value", lambda value: value)
    rules = _bounds(low, high, "length", len)
    if shape.enum:
        allowed = ENUM_ORDERS.get(shape.name, shape.enum)
        rules.append((lambda value: value not in allowed, f"satisfy enum value set: [{', '.join(allowed)}]"))
    if shape.pattern is not None:
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
