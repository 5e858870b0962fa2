"""The lengths that a service's model gives to texts, lists and maps, held before an operation sees them.

AWS Batch words its own refusals, where an operation looks at a member; the other services refuse by their models, in
one text (observed: `1 validation error detected: ... failed to satisfy constraint`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from batchyard.core.model.refusal import Refused
from batchyard.wire.model import Shape

Check = Callable[[Any, str], None]

WITH_LENGTH = ("string", "blob", "list", "map")


def length_check(shape: Shape | None, code: str) -> Check | None:
    """A function that refuses, with `code`, what is longer than the model allows anywhere in a document of `shape`;
    None: the model allows any length. Compiled once for each operation."""
    return None if shape is None else _check_of(shape, code, frozenset())


def _check_of(shape: Shape, code: str, outer: frozenset[str]) -> Check | None:
    if shape.name in outer:  # a shape inside itself: none of these holds a text without a bound of its own
        return None
    outer = outer | {shape.name}
    if shape.type == "structure":
        inner = {
            member.name: check
            for member in shape.members.values()
            if (check := _check_of(member.shape, code, outer)) is not None
        }
        return _structure(inner) if inner else None
    most = shape.maximum if shape.type in WITH_LENGTH else None
    element = _check_of(shape.element, code, outer) if shape.element is not None else None
    if most is None and element is None:
        return None
    return _length(most, element, code, is_map=shape.type == "map")


def _structure(inner: dict[str, Check]) -> Check:
    def check(value: Any, path: str) -> None:
        for name, check_member in inner.items():
            if name in value:
                check_member(value[name], f"{path}.{name}" if path else name)

    return check


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
