"""Reads and checks documents member by member against a shape.

`read` decides what a caller may send and words the refusals; `bodies` is the fast version of it. `check` compares
our own results with the output shape.
"""

from __future__ import annotations

import binascii
import json
import math
import re
import sys
from datetime import UTC, datetime
from typing import Any, Literal

from batchyard.wire.model import INTEGER_RANGES, Shape

# A refusal quotes at most this much of a caller's own text.
QUOTED_KEY_LENGTH = 64
QUOTED_INTEGER_BOUND = 10**30
# Deeper than any document of AWS Batch (about 10), far below Python's own limit on recursion.
MAX_DEPTH = 100

_NUMBER = re.compile(r"[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})([eE][+-]?[0-9]{1,4})?", re.ASCII)

Fault = Literal["syntax", "missing", "type"]

# As Python writes them, and some clients in forms -> as AWS's protocols write them.
NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}

WANTED = {
    "structure": "an object",
    "list": "a list",
    "map": "an object",
    "string": "a string",
    "boolean": "a boolean",
    "integer": "an integer",
    "long": "an integer",
    "float": "a number",
    "double": "a number",
    "blob": "a base64 string",
    "timestamp": "a number of seconds since 1970",
}


class DocumentError(Exception):
    """A document does not fit its shape: the member (AWS member path, "" for the whole), and a sentence."""

    def __init__(self, fault: Fault, path: str, message: str) -> None:
        super().__init__(message)
        self.fault = fault
        self.path = path
        self.message = message


class NotFinite(DocumentError):
    """A number is NaN or an infinity."""

    def __init__(self, shown: str, path: str) -> None:
        super().__init__("type", path, f"{path} must be a number, got {shown}.")
        self._shown = shown

    @property
    def as_parameter(self) -> str:
        """Returns the text of services that name parameters as forms do."""
        parameter = re.sub(r"\[([0-9]+)\]", lambda found: f".member.{int(found[1]) + 1}", self.path)
        return f"The value {self._shown} for parameter {parameter} is invalid."


def read(shape: Shape, value: Any, path: str = "") -> Any:
    """Returns `value` (decoded JSON) without nulls and unknown members; raises DocumentError at the first fault."""
    return _read(shape, value, path, 0)


def _read(shape: Shape, value: Any, path: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise DocumentError("type", path, f"The request is nested deeper than {MAX_DEPTH} levels.")
    if shape.type == "structure":
        if not isinstance(value, dict):
            raise _mismatch(shape, value, path)
        result = {}
        for member in shape.members.values():
            if member.location != "body":
                continue
            inner_path = f"{path}.{member.name}" if path else member.name
            inner = value.get(member.wire_name)
            if inner is not None:
                result[member.name] = _read(member.shape, inner, inner_path, depth + 1)
            elif member.required:
                raise missing(inner_path)
        return result
    if shape.type == "list":
        assert shape.element is not None
        if not isinstance(value, list):
            raise _mismatch(shape, value, path)
        return [_read(shape.element, inner, f"{path}[{i}]", depth + 1) for i, inner in enumerate(value)]
    if shape.type == "map":
        assert shape.element is not None
        if not isinstance(value, dict):
            raise _mismatch(shape, value, path)
        return {key: _read(shape.element, inner, f"{path}[{_quoted(key)}]", depth + 1) for key, inner in value.items()}
    return _read_scalar(shape, value, path)


def _read_scalar(shape: Shape, value: Any, path: str) -> Any:
    if shape.type in ("float", "double"):
        check_finite(value, path)
    if not _fits(shape, value):
        raise _mismatch(shape, value, path)
    if shape.type == "blob":
        return _blob(value, path)
    if shape.type in ("float", "double", "timestamp") and isinstance(value, int):
        return float(value)
    return value


def _fits(shape: Shape, value: Any) -> bool:
    if shape.type in INTEGER_RANGES:
        low, high = INTEGER_RANGES[shape.type]
        return type(value) is int and low <= value <= high
    if shape.type in ("float", "double"):
        return _is_number(value)
    if shape.type == "timestamp":
        return type(value) is str if shape.timestamp_format == "iso8601" else _is_number(value)
    if shape.type == "boolean":
        return type(value) is bool
    return type(value) is str


def _is_number(value: Any) -> bool:
    """Whether a value is a number that a float can hold."""
    return (type(value) is float and math.isfinite(value)) or (type(value) is int and abs(value) <= sys.float_info.max)


def read_text(shape: Shape, text: str, path: str) -> Any:
    """Parses a scalar that travels as text (path, query string, header, form); raises DocumentError."""
    if shape.type in INTEGER_RANGES:
        low, high = INTEGER_RANGES[shape.type]
        # 20 characters hold every 64-bit integer; int() of a longer text would only cost time.
        if re.fullmatch(r"[+-]?[0-9]{1,20}", text, re.ASCII) and low <= int(text) <= high:
            return int(text)
        raise DocumentError("type", path, f"{path} must be {wanted(shape)}, got other text.")
    if shape.type == "boolean":
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise DocumentError("type", path, f"{path} must be true or false, got other text.")
    if shape.type in ("float", "double"):
        check_finite(text, path)
        if _NUMBER.fullmatch(text):
            check_finite(float(text), path)
            return float(text)
        raise DocumentError("type", path, f"{path} must be {WANTED[shape.type]}, got other text.")
    if shape.type == "blob":
        return _blob(text, path)
    if shape.type == "timestamp":
        return text if shape.timestamp_format == "iso8601" else _seconds(text, path)
    assert shape.type == "string", f"{path}: a {shape.type} as text is not implemented"
    return text


def check_finite(value: Any, path: str) -> None:
    """Raises DocumentError for NaN and the infinities, also as the texts that SDKs have for them."""
    text = str(value) if isinstance(value, float | str) else ""
    if text in NOT_FINITE or text in NOT_FINITE.values():
        raise NotFinite(NOT_FINITE.get(text, text), path)


def _blob(text: str, path: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise DocumentError("type", path, f"{path} must be {WANTED['blob']}, got another string.") from None


def _seconds(text: str, path: str) -> float:
    """Parses an ISO 8601 time, which is UTC where it names no zone, or a number, to seconds since 1970."""
    if _NUMBER.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise DocumentError("type", path, f"{path} must be an ISO 8601 time, got other text.") from None


def missing(path: str) -> DocumentError:
    return DocumentError("missing", path, f"{path} is required.")


def wanted(shape: Shape) -> str:
    """Returns the name of a shape's type in refusals."""
    if shape.type in INTEGER_RANGES:
        low, high = INTEGER_RANGES[shape.type]
        return f"an integer between {low} and {high}"
    return WANTED[shape.type]


def _mismatch(shape: Shape, value: Any, path: str) -> DocumentError:
    subject = path or "The request body"
    if type(value) is int and shape.type in INTEGER_RANGES:
        got = str(value) if abs(value) < QUOTED_INTEGER_BOUND else "a larger one"
        return DocumentError("type", path, f"{subject} must be {wanted(shape)}, got {got}.")
    if shape.type == "timestamp" and shape.timestamp_format == "iso8601":
        return DocumentError("type", path, f"{subject} must be an ISO 8601 time, got {_kind(value)}.")
    is_too_large = type(value) is int and shape.type in ("float", "double", "timestamp")
    got = "one that is out of range" if is_too_large else _kind(value)
    return DocumentError("type", path, f"{subject} must be {WANTED[shape.type]}, got {got}.")


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds = {
        bool: "a boolean",
        int: "an integer",
        float: "a number",
        str: "a string",
        list: "a list",
        dict: "an object",
    }
    return kinds[type(value)]


def _quoted(key: str) -> str:
    return json.dumps(key if len(key) <= QUOTED_KEY_LENGTH else key[:QUOTED_KEY_LENGTH] + "...")


def check(shape: Shape, value: Any, path: str) -> None:
    """Raises AssertionError, which names the member, where our result does not fit `shape`; required members may be
    absent.

    Absent required members pass since AWS leaves some out itself (`startedAt` of a job that never ran).
    """
    if shape.type == "structure":
        assert isinstance(value, dict), f"{path} must be a dict for {shape.name}, is {value!r}"
        for key, inner in value.items():
            assert key in shape.members, f"{path}.{key} is not a member of {shape.name}"
            check(shape.members[key].shape, inner, f"{path}.{key}")
    elif shape.type == "list":
        assert isinstance(value, list | tuple), f"{path} must be a list for {shape.name}, is {value!r}"
        assert shape.element is not None
        for i, inner in enumerate(value):
            check(shape.element, inner, f"{path}[{i}]")
    elif shape.type == "map":
        assert isinstance(value, dict), f"{path} must be a dict for {shape.name}, is {value!r}"
        assert shape.element is not None
        for key, inner in value.items():
            assert isinstance(key, str), f"{path} has a key that is no string: {key!r}"
            check(shape.element, inner, f"{path}[{key!r}]")
    elif shape.type == "blob":
        assert isinstance(value, bytes), f"{path} must be bytes for {shape.name}, is {value!r}"
    else:
        assert _fits(shape, value), f"{path} must be {wanted(shape)} for {shape.name}, is {value!r}"
