"""Documents as Step Functions, EventBridge and Scheduler write them: members in PascalCase (`JobName`), whatever the
model of the service has (`jobName`). Keys of maps are data, and stay as they are (step functions spec 13, 14)."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from batchyard.wire.documents import MAX_DEPTH
from batchyard.wire.model import INTEGER_RANGES, Shape

TYPE_NAMES = {
    "structure": "a MAP",
    "map": "a MAP",
    "list": "a LIST",
    "string": "a STRING",
    "boolean": "a BOOLEAN",
    "integer": "an INTEGER",
    "long": "a LONG",
    "float": "a FLOAT",
    "double": "a DOUBLE",
    "blob": "a base64 STRING",
    "timestamp": "a TIMESTAMP",
}
ALL_STRINGS = None
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def pascal(name: str) -> str:
    """Returns a member's name in PascalCase."""
    return name[:1].upper() + name[1:]


def unsupported(name: str, shape: Shape) -> str:
    """Returns the refusal of a member that a structure does not have, with the right spelling where only that is
    wrong."""
    text = f'The field "{name}" is not supported by Step Functions'
    meant = [pascal(member) for member in shape.members if member.lower() == name.lower()]
    return f'{text}: it is spelt "{meant[0]}"' if meant else text


def missing(name: str) -> str:
    return f"The field '{name}' is required but was missing"


def with_model_names(shape: Shape, value: Any) -> Any:
    """Returns a document whose members are spelt as the model spells them: `JobName` as `jobName`. Members that a
    structure does not have stay, as does what is of another type."""
    if shape.type == "structure" and isinstance(value, dict):
        members = {pascal(member): shape.members[member] for member in shape.members} | shape.members
        known = {name: members[name] for name in value if name in members}
        named = {member.name: with_model_names(member.shape, value[name]) for name, member in known.items()}
        return named | {name: inner for name, inner in value.items() if name not in known}
    if shape.type == "list" and isinstance(value, list):
        assert shape.element is not None
        return [with_model_names(shape.element, inner) for inner in value]
    if shape.type == "map" and isinstance(value, dict):
        assert shape.element is not None
        return {key: with_model_names(shape.element, inner) for key, inner in value.items()}
    return value


def read_pascal(
    shape: Shape, value: Any, json_members: Collection[str] | None = ALL_STRINGS
) -> tuple[dict[str, Any], list[str]]:
    """Returns a request with the model's names and types, and what is wrong with it: AWS's texts. Nulls are left out.

    `json_members`: the strings (`Message`) for which another JSON value may stand: its text is meant; ALL_STRINGS: any
    string."""
    reader = _Reader(json_members)
    found = reader.read(shape, value, "", 0)
    return (found if isinstance(found, dict) else {}), reader.faults


class _Reader:
    def __init__(self, json_members: Collection[str] | None) -> None:
        self.faults: list[str] = []
        self._json_members = json_members

    def read(self, shape: Shape, value: Any, name: str, depth: int) -> Any:
        """`name`: of the member that has the value."""
        if depth > MAX_DEPTH:
            self.faults.append(f"The value of the field '{name}' is nested deeper than {MAX_DEPTH} levels")
            return None
        if shape.type == "structure" and isinstance(value, dict):
            return self._structure(shape, value, depth)
        if shape.type == "list" and isinstance(value, list):
            assert shape.element is not None
            return [self.read(shape.element, inner, name, depth + 1) for inner in value]
        if shape.type == "map" and isinstance(value, dict):
            assert shape.element is not None
            return {key: self.read(shape.element, inner, key, depth + 1) for key, inner in value.items()}
        return self._scalar(shape, value, name)

    def _structure(self, shape: Shape, value: dict[str, Any], depth: int) -> dict[str, Any]:
        members = {pascal(member): shape.members[member] for member in shape.members}
        self.faults += [unsupported(name, shape) for name in value if name not in members]
        read: dict[str, Any] = {}
        for name, member in members.items():
            inner = value.get(name)
            if inner is not None:
                read[member.name] = self.read(member.shape, inner, name, depth + 1)
            elif member.required:
                self.faults.append(missing(name))
        return read

    def _scalar(self, shape: Shape, value: Any, name: str) -> Any:
        if shape.type == "string" and isinstance(value, dict | list):
            if self._json_members is ALL_STRINGS or name in self._json_members:
                return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        elif shape.type in INTEGER_RANGES:
            low, high = INTEGER_RANGES[shape.type]
            if isinstance(value, float) and value.is_integer():
                value = int(value)
            if type(value) is int and low <= value <= high:
                return value
        elif shape.type in ("float", "double"):
            if type(value) in (int, float) and abs(value) <= _LARGEST:
                return float(value)
        elif shape.type == "timestamp":
            moment = _moment(value)
            if moment is not None:
                return moment.isoformat() if shape.timestamp_format == "iso8601" else moment.timestamp()
        elif shape.type == "blob":
            decoded = _decoded(value)
            if decoded is not None:
                return decoded
        elif shape.type in _PLAIN and type(value) is _PLAIN[shape.type]:
            return value
        self.faults.append(f"The value for the field '{name}' must be {TYPE_NAMES[shape.type]}")
        return None


_LARGEST = math.nextafter(math.inf, 0)
_PLAIN: dict[str, type] = {"string": str, "boolean": bool}


def _moment(value: Any) -> datetime | None:
    """Returns the time of an ISO 8601 text or of seconds since 1970."""
    try:
        if type(value) in (int, float):
            return _EPOCH + timedelta(seconds=value)
        found = datetime.fromisoformat(value) if type(value) is str else None
    except (ValueError, OverflowError):
        return None
    return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)


def _decoded(value: Any) -> bytes | None:
    try:
        return base64.b64decode(value, validate=True) if type(value) is str else None
    except ValueError:
        return None


def write_pascal(shape: Shape, value: Any, *, has_iso_times: bool) -> Any:
    """Returns a result (the model's names) as a JSON value. Members are in the order of their names, as on AWS. Times
    are ISO 8601 texts, or else milliseconds since 1970."""
    if shape.type == "structure":
        written = {
            pascal(name): write_pascal(shape.members[name].shape, inner, has_iso_times=has_iso_times)
            for name, inner in value.items()
        }
        return dict(sorted(written.items()))
    if shape.type == "list":
        assert shape.element is not None
        return [write_pascal(shape.element, inner, has_iso_times=has_iso_times) for inner in value]
    if shape.type == "map":
        assert shape.element is not None
        return {key: write_pascal(shape.element, inner, has_iso_times=has_iso_times) for key, inner in value.items()}
    if shape.type == "blob":
        return base64.b64encode(value).decode()
    if shape.type == "timestamp" and shape.timestamp_format != "iso8601":
        return iso_time(round(value * 1000)) if has_iso_times else round(value * 1000)
    return value


def iso_time(at_ms: int) -> str:
    """Returns a time as the SDKs write it: UTC, with milliseconds."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
