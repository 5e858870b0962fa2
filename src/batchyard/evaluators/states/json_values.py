"""JSON values as executions pass them on: their text, their Java-style text, their size, depth and equality."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from typing import Any

from msgspec import json

from batchyard.evaluators.json_text import InvalidJson, is_encodable, minified, parse_json
from batchyard.evaluators.states.errors import DATA_LIMIT_EXCEEDED, RUNTIME, StateError

MAX_PAYLOAD_BYTES = 262_144  # of any value between states (step functions spec 2)
# Levels of objects and lists in one value. Far more than payloads have, and few enough to walk them recursively.
MAX_NESTING = 200
# Of a value that a template or a function builds. Each `$` in it may be a payload: without a bound a short definition
# could fill the memory. What leaves the state is held to MAX_PAYLOAD_BYTES.
MAX_BUILT_CHARACTERS = 4 * 1024 * 1024
# Payloads that an expression may put together without being measured, which takes as long as all else: 64 MiB at worst.
MAX_UNMEASURED_PAYLOADS = 256


def parse_value(text: str) -> Any:
    """Returns the value of a JSON text. Raises InvalidJson, also for numbers beyond a double and for deep nesting."""
    try:
        value = json.decode(text)
    except (ValueError, RecursionError):  # no JSON in its strictest reading, which half of a surrogate pair is not
        value = parse_json(text)
        _refuse_infinite(value)
    if _is_nested_too_deeply(value, text):
        raise InvalidJson(f"The text is nested more than {MAX_NESTING} levels deep")
    return value


def compact(value: Any) -> str:
    """Returns a value as JSON text without blanks. Raises StateError (States.Runtime) if it is nested too deeply."""
    try:
        text = json.encode(value).decode()
    except UnicodeEncodeError:  # half of a surrogate pair, which stays an escape
        text = minified(value)
    except RecursionError:
        text = None
    if text is None or _is_nested_too_deeply(value, text):
        raise StateError(RUNTIME, f"The value is nested more than {MAX_NESTING} levels deep.")
    return text


def size_bytes(text: str) -> int:
    """Returns the length of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def check_size(text: str, name: str) -> None:
    """Raises StateError (States.DataLimitExceeded) if a result is longer than a payload may be. `name`: of the state,
    or the resource, that returned it."""
    if size_bytes(text) > MAX_PAYLOAD_BYTES:
        raise StateError(
            DATA_LIMIT_EXCEEDED,
            f"The state/task '{name}' returned a result with a size exceeding the maximum number of bytes service "
            "limit.",
        )


def check_built(value: Any, builder: str) -> None:
    """Raises StateError (States.DataLimitExceeded) if a value is longer than what may be built. `builder`: its name."""
    if isinstance(value, dict | list | str) and _is_longer_than(value, MAX_BUILT_CHARACTERS):
        raise StateError(
            DATA_LIMIT_EXCEEDED,
            f"{builder} builds a value with a size exceeding the maximum number of bytes service limit.",
        )


def java_text(value: Any) -> str:
    """Returns a value as Java prints it: strings without quotes, `{key=value}` and `[a, b]`."""
    if isinstance(value, dict):
        return "{" + ", ".join([f"{key}={java_text(member)}" for key, member in value.items()]) + "}"
    if isinstance(value, list):
        return "[" + ", ".join([java_text(item) for item in value]) + "]"
    return value if isinstance(value, str) else json.encode(value).decode()


def java_class(value: Any) -> str:
    """Returns the name of the Java class that AWS's texts give the type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "java.lang.Boolean"
    if isinstance(value, int):
        return "java.lang.Integer" if -(2**31) <= value < 2**31 else "java.lang.Long"
    if isinstance(value, float):
        return "java.lang.Double"
    if isinstance(value, str):
        return "java.lang.String"
    return "net.minidev.json.JSONArray" if isinstance(value, list) else "java.util.LinkedHashMap"


def encodable(text: str) -> str:
    """Returns a text with half surrogate pairs replaced, so that it can be stored and sent."""
    return text if is_encodable(text) else text.encode(errors="replace").decode()


# -- numbers --


def is_number(value: Any) -> bool:
    """Whether a value is a JSON number. In Python a boolean is an int; here it is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def rounded(number: float) -> int:
    """Returns the nearest integer, halves up (towards +infinity), as Java's Math.round does."""
    if isinstance(number, int):
        return number
    floor = math.floor(number)
    return floor + (number - floor >= 0.5)


# -- equality --


def equality_key(value: Any) -> Hashable:
    """Returns what is equal for equal values only: 1 equals 1.0 and no boolean, the order of members is free."""
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, list):
        return ("array", tuple([equality_key(item) for item in value]))
    if isinstance(value, dict):
        return ("object", frozenset([(key, equality_key(member)) for key, member in value.items()]))
    return value if isinstance(value, Hashable) else repr(value)


# -- size and depth --


def weight(value: Any) -> int:
    """Returns how many values a value has in it, itself included."""
    count = 1
    level = [value] if isinstance(value, dict | list) else []
    while level:
        count += sum(map(len, level))
        level = _children(level)
    return count


def _is_longer_than(value: Any, limit: int) -> bool:
    """Whether the JSON text of a value has more characters, by an estimate from below that stops at the limit."""
    length = 0
    waiting = [[value]]
    while waiting:
        for item in waiting.pop():
            if isinstance(item, str):
                length += len(item) + 2
            elif isinstance(item, list):
                length += len(item) + 1
                waiting.append(item)
            elif isinstance(item, dict):
                length += sum(map(len, item)) + 4 * len(item) + 1
                waiting.append(list(item.values()))
            else:
                length += 1
            if length > limit:
                return True
    return False


def _children(values: Iterable[Any]) -> list[Any]:
    return [
        child
        for value in values
        for child in (value.values() if isinstance(value, dict) else value)
        if isinstance(child, dict | list)
    ]


def _is_nested_too_deeply(value: Any, text: str) -> bool:
    if text.count("[") + text.count("{") <= MAX_NESTING:
        return False
    level = [value] if isinstance(value, dict | list) else []
    depth = 0
    while level:
        depth += 1
        if depth > MAX_NESTING:
            return True
        level = _children(level)
    return False


def _refuse_infinite(value: Any) -> None:
    waiting = [[value]]
    while waiting:
        for item in waiting.pop():
            if isinstance(item, float) and math.isinf(item):
                raise InvalidJson("A number is beyond the range of a double")
            if isinstance(item, dict):
                waiting.append(list(item.values()))
            elif isinstance(item, list):
                waiting.append(item)
