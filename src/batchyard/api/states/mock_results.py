"""Mocked results of TestState, compared with the model of the operation (step functions spec 16)."""

from __future__ import annotations

from typing import Any

from batchyard.wire.model import Shape
from batchyard.wire.pascal_case import pascal

TYPE_NAMES = {
    "structure": "an object",
    "map": "an object",
    "list": "an array",
    "string": "a string",
    "blob": "a string",
    "boolean": "a boolean",
    "integer": "a number",
    "long": "a number",
    "float": "a number",
    "double": "a number",
}
PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "an object": (dict,),
    "an array": (list,),
    "a string": (str,),
    "a boolean": (bool,),
    "a number": (int, float),
}


def mock_fault(shape: Shape, value: Any, *, is_strict: bool) -> str:
    """Returns the first fault of a result with members in PascalCase, in AWS's words; "": there is none. Members that
    the model does not have are free. `is_strict`: those that it requires must be there."""
    if not isinstance(value, dict):
        return ""
    for name, member in shape.members.items():
        shown = pascal(name)
        if shown in value:
            fault = _fault(member.shape, value[shown], shown, is_strict)
        else:
            fault = f"Field '{shown}' is required" if is_strict and member.required else ""
        if fault:
            return fault
    return ""


def _fault(shape: Shape, value: Any, name: str, is_strict: bool) -> str:
    expected = TYPE_NAMES.get(shape.type)
    if expected is None or value is None:  # a time may be a text or a number
        return ""
    if not isinstance(value, PYTHON_TYPES[expected]) or (expected == "a number" and isinstance(value, bool)):
        return f"Field '{name}' must be {expected}"
    if shape.type == "structure":
        return mock_fault(shape, value, is_strict=is_strict)
    if isinstance(value, dict | list):
        assert shape.element is not None, "lists and maps have elements"
        elements = list(value.values()) if isinstance(value, dict) else value
        return next(filter(None, (_fault(shape.element, one, name, is_strict) for one in elements)), "")
    if isinstance(value, str):
        return f"Field '{name}' is not an expected value" if shape.enum and value not in shape.enum else ""
    if isinstance(value, int | float):
        if shape.minimum is not None and value < shape.minimum:
            return f"Field '{name}' is less than the minimum value"
        if shape.maximum is not None and value > shape.maximum:
            return f"Field '{name}' exceeds the maximum value"
    return ""
