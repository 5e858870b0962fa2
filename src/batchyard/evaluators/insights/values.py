"""Values of queries: texts, numbers, times, and None for a field that is missing; and the rows that have them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from batchyard.evaluators.insights.periods import Time, time_text
from batchyard.evaluators.json_text import minified

MAX_TEXT_CHARACTERS = 1_000_000  # of a value that a query makes: a replace within a replace would grow without end
MAX_DEPTH = 30  # of fields within fields
DECIMALS = 4  # of numbers in results

Value = str | float | int | None


class LogRecord(NamedTuple):
    """One log event. `group`: `<account>:<name>`; `fields`: more fields that it has, with their `@`."""

    at_ms: int
    message: str
    stream: str = ""
    group: str = ""
    ingested_ms: int = 0
    ptr: str = ""
    fields: Mapping[str, str] = {}


SYSTEM_FIELDS: dict[str, Callable[[LogRecord], Value]] = {
    "@message": lambda record: record.message,
    "@timestamp": lambda record: Time(record.at_ms),
    "@logStream": lambda record: record.stream,
    "@log": lambda record: record.group,
    "@ingestionTime": lambda record: Time(record.ingested_ms),
    "@ptr": lambda record: record.ptr,
}
UNREAD: Any = object()  # the JSON of a message that was not needed yet


class Row:
    """One row on its way through the commands: a record, and what was made of it. A row of `stats` has no record."""

    __slots__ = ("_document", "record", "values")

    def __init__(self, record: LogRecord | None, values: dict[str, Value] | None = None) -> None:
        self.record = record
        self.values: dict[str, Value] = {} if values is None else values
        self._document: Any = UNREAD

    def field(self, name: str, parts: tuple[str, ...]) -> Value:
        """Returns the value of a field: one that the query made, one of the record, or one of its JSON."""
        if name in self.values:
            return self.values[name]
        record = self.record
        if record is None:
            return None
        system = SYSTEM_FIELDS.get(name)
        if system is not None:
            return system(record)
        if name in record.fields:
            return record.fields[name]
        if self._document is UNREAD:
            self._document = document_of(record.message)
        if self._document is None:
            return None
        return plain(value_at(self._document, parts))


def document_of(message: str) -> Any:
    """Returns the JSON object of a message, or None for another text."""
    if not message.startswith("{") and not message.lstrip(" \t\r\n").startswith("{"):
        return None
    try:
        return msgspec.json.decode(message)
    except (ValueError, RecursionError):  # a lone surrogate is a ValueError, too
        return None


def value_at(value: Any, parts: tuple[str, ...]) -> Any:
    """Returns what a path leads to. A name of JSON may have dots itself: then it is several parts, as few as there
    are."""
    position = 0
    while position < len(parts):
        part = parts[position]
        if isinstance(value, dict):
            while part not in value:
                position += 1
                if position == len(parts):
                    return None
                part = f"{part}.{parts[position]}"
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and len(part) < 10 and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
        position += 1
    return value


def plain(value: Any) -> Value:
    """Returns a value of JSON as a value of queries."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return value
    return minified(value)


def discovered_fields(message: str, most: int = 200) -> list[str]:
    """Returns the names of the fields that the JSON of a message has, with dots and indices, at most 200 as on AWS."""
    found: list[str] = []
    waiting: list[tuple[str, Any, int]] = [("", document_of(message), 0)]
    while waiting and len(found) < most:
        name, value, depth = waiting.pop()
        if isinstance(value, dict | list) and value and depth < MAX_DEPTH:
            members = value.items() if isinstance(value, dict) else enumerate(value)
            below = [(f"{name}.{key}" if name else str(key), member, depth + 1) for key, member in members]
            waiting += reversed(below[: most + 1])
        elif name:
            found.append(name)
    return found


def record_fields(record: LogRecord) -> dict[str, str]:
    """Returns every field of a record, as GetLogRecord has them: times in milliseconds."""
    row = Row(record)
    found: dict[str, str] = {}
    for name in (*SYSTEM_FIELDS, *record.fields, *discovered_fields(record.message)):
        value = row.field(name, tuple(name.split(".")))
        text = str(int(value)) if isinstance(value, Time) else text_of(value)
        if text is not None:
            found.setdefault(name, text)
    return found


# -- conversions --


def number_of(value: Value) -> float | int | None:
    """Returns a value as a number, if it is one or is written as one."""
    if isinstance(value, str):
        text = value.strip()
        # Python also reads 1_000 and infinity; neither is a number in a log.
        if not text or text[0] not in "+-.0123456789" or text[-1] not in ".0123456789" or "_" in text:
            return None
        try:
            number = float(text)
        except ValueError:
            return None
        return number if math.isfinite(number) else None
    return value


def text_of(value: Value) -> str | None:
    """Returns a value as a text, as rows show it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, Time):
        return time_text(value)
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        rounded = round(value, DECIMALS)
        return repr(rounded if rounded else value)
    return str(value)


def is_true(value: Value) -> bool:
    if isinstance(value, str):
        return value not in ("", "0", "false")
    return bool(value)


def sort_key(value: Value) -> tuple[int, float | str]:
    """Returns what values are ordered by: numbers, then texts."""
    number = number_of(value)
    if number is not None:
        return (0, number)
    return (1, text_of(value) or "")
