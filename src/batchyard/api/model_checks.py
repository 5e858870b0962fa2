"""The constraints of a service's model on values, checked before an operation gets a request: enums and lengths.

AWS Batch's refusals have texts of their own, in the operations that check a member; only the enums of its model are
checked here. The other services refuse values by the lengths in their models, with one text (observed: `1 validation
error detected: ... failed to satisfy constraint`). A check is compiled once for each operation, so that a request
pays only for the members that it concerns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from batchyard.api.checks import quoted
from batchyard.core.model.refusal import CLIENT_EXCEPTION, Refused
from batchyard.wire.model import Shape

Check = Callable[[Any, str], None]  # of a value and its path; raises Refused

WITH_LENGTH = ("string", "blob", "list", "map")
# These have texts of their own where they are used.
ENUMS_WORDED_ELSEWHERE = frozenset(
    {
        "PlatformCapability",
        "RetryAction",
        "DeviceCgroupPermission",
        "JobStateTimeLimitActionsAction",
        "QuotaShareIdleResourceAssignmentStrategy",
    }
)


def _structure_check(shape: Shape, compile_member: Callable[[Shape], Check | None]) -> Check | None:
    inner = {
        member.name: check for member in shape.members.values() if (check := compile_member(member.shape)) is not None
    }
    if not inner:
        return None

    def check_members(value: Any, path: str) -> None:
        for name, check_member in inner.items():
            if name in value:
                check_member(value[name], f"{path}.{name}" if path else name)

    return check_members


# -- enums --


def enum_check(shape: Shape | None, code: str = CLIENT_EXCEPTION) -> Check | None:
    """Returns a function that refuses values outside the model's enums anywhere in a document of `shape`; None: it
    has no enums."""
    return None if shape is None else _enum_check(shape, code, frozenset())


def _enum_check(shape: Shape, code: str, outer: frozenset[str]) -> Check | None:
    if shape.name in outer:  # a shape inside itself: no document of Batch nests an enum that way
        return None
    outer = outer | {shape.name}
    if shape.type == "string":
        return _enum_leaf(shape, code) if shape.enum and shape.name not in ENUMS_WORDED_ELSEWHERE else None
    if shape.type == "structure":
        return _structure_check(shape, lambda member: _enum_check(member, code, outer))
    if shape.type in ("list", "map"):
        assert shape.element is not None, f"shape {shape.name} has no element"
        element = _enum_check(shape.element, code, outer)
        if element is not None:
            return _enum_list(element) if shape.type == "list" else _enum_map(element)
    return None


def _enum_leaf(shape: Shape, code: str) -> Check:
    allowed = frozenset(shape.enum)
    choices = ", ".join(shape.enum)

    def check(value: Any, path: str) -> None:
        if value not in allowed:
            raise Refused(f"{path} must be one of [{choices}], got {quoted(value)}.", code)

    return check


def _enum_list(element: Check) -> Check:
    def check(value: Any, path: str) -> None:
        for index, entry in enumerate(value):
            element(entry, f"{path}[{index}]")

    return check


def _enum_map(element: Check) -> Check:
    def check(value: Any, path: str) -> None:
        for key, entry in value.items():
            element(entry, f"{path}[{quoted(key)}]")

    return check


# -- lengths --


def length_check(shape: Shape | None, code: str) -> Check | None:
    """Returns a function that refuses, with `code`, what is longer than the model allows anywhere in a document of
    `shape`; None: the model allows any length."""
    return None if shape is None else _length_check(shape, code, frozenset())


def _length_check(shape: Shape, code: str, outer: frozenset[str]) -> Check | None:
    if shape.name in outer:  # a shape inside itself: none of these holds a text without a bound of its own
        return None
    outer = outer | {shape.name}
    if shape.type == "structure":
        return _structure_check(shape, lambda member: _length_check(member, code, outer))
    most = shape.maximum if shape.type in WITH_LENGTH else None
    element = _length_check(shape.element, code, outer) if shape.element is not None else None
    if most is None and element is None:
        return None
    return _length(most, element, code, is_map=shape.type == "map")


def _length(most: int | None, element: Check | None, code: str, *, is_map: bool) -> Check:
    def check(value: Any, path: str) -> None:
        if most is not None and len(value) > most:
            raise Refused(
                f"1 validation error detected: Value at '{path}' failed to satisfy constraint: Member must have length "
                f"less than or equal to {most}, got {len(value)}",
                code,
            )
        if element is not None:
            for index, inner in enumerate(value.values() if is_map else value):
                element(inner, f"{path}.{index + 1}.member")

    return check
