"""What each intrinsic function does with the values of its arguments (step functions spec 9)."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from batchyard.evaluators.json_text import InvalidJson
from batchyard.evaluators.states.json_values import (
    MAX_BUILT_CHARACTERS,
    compact,
    encodable,
    equality_key,
    is_number,
    java_text,
    parse_value,
    rounded,
)

MAX_CODED_CHARACTERS = 10_000  # of what is encoded, decoded or hashed: AWS's own
MAX_RANGE_ITEMS = 1_000  # AWS's own
MAX_INTEGER = 2**53  # beyond it a double does not hold every integer
INTEGERS = range(-(2**31), 2**31)  # that States.MathAdd takes and gives: AWS's own
NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]+")
HASHES = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}


class InvalidArguments(Exception):
    """Arguments that a function cannot take. `message`: what is wrong; `what`: the kind of thing that is invalid."""

    def __init__(self, message: str, what: str = "arguments") -> None:
        super().__init__(message)
        self.message = message
        self.what = what


class RandomSource(NamedTuple):
    """Where random values come from. `fraction`: returns a number from 0 to below 1; `uuid`: a UUID of version 4."""

    fraction: Callable[[], float]
    uuid: Callable[[], str]


class FormatTemplate(NamedTuple):
    """A template of States.Format: what stands between the `{}`. `fault`: why it is none, else ""."""

    pieces: tuple[str, ...]
    fault: str = ""


# -- types of arguments --


def _array(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidArguments("the first argument must be an array.")
    return value


def _text(value: Any, ordinal: str) -> str:
    if not isinstance(value, str):
        raise InvalidArguments(f"the {ordinal} argument must be a string.")
    return value


def _number(value: Any, ordinal: str) -> float:
    if not is_number(value) or abs(value) > MAX_INTEGER:
        raise InvalidArguments(f"the {ordinal} argument must be a number between -2^53 and 2^53.")
    return float(value) if isinstance(value, float) else value


def _truncated(value: Any, ordinal: str) -> int:
    return int(_number(value, ordinal))


def _short(text: str) -> str:
    if len(text) > MAX_CODED_CHARACTERS:
        raise InvalidArguments(f"the text has {len(text)} characters, at most {MAX_CODED_CHARACTERS} are allowed.")
    return text


# -- arrays --


def array(values: list[Any], random: RandomSource) -> Any:
    return list(values)


def array_partition(values: list[Any], random: RandomSource) -> Any:
    items, size = _array(values[0]), _truncated(values[1], "second")
    if size < 1:
        raise InvalidArguments("the size of a chunk must be at least 1.")
    return [items[start : start + size] for start in range(0, len(items), size)]


def array_contains(values: list[Any], random: RandomSource) -> Any:
    """As AWS does, compares texts: `true` is in `["true"]`, and an object with its members in another order is not."""
    wanted = _shown(values[1])
    return any(_shown(item) == wanted for item in _array(values[0]))


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else compact(value)


def array_range(values: list[Any], random: RandomSource) -> Any:
    first, last, step = (
        _truncated(value, ordinal) for value, ordinal in zip(values, ("first", "second", "third"), strict=True)
    )
    if step == 0:
        raise InvalidArguments("the step must not be 0.")
    items = range(first, last + (1 if step > 0 else -1), step)
    if items[MAX_RANGE_ITEMS:]:
        raise InvalidArguments(f"the range has more than {MAX_RANGE_ITEMS} items.")
    return list(items)


def array_get_item(values: list[Any], random: RandomSource) -> Any:
    items, index = _array(values[0]), _truncated(values[1], "second")
    if not items:
        return None  # as AWS does, whatever the index
    if not 0 <= index < len(items):
        raise InvalidArguments(f"the index {index} is outside of an array of {len(items)} items.")
    return items[index]


def array_length(values: list[Any], random: RandomSource) -> Any:
    return len(_array(values[0]))


def array_unique(values: list[Any], random: RandomSource) -> Any:
    found: dict[Hashable, Any] = {}
    for item in _array(values[0]):
        found.setdefault(equality_key(item), item)
    return list(found.values())


# -- texts --


def base64_encode(values: list[Any], random: RandomSource) -> Any:
    return base64.b64encode(_short(_text(values[0], "first")).encode(errors="replace")).decode()


def base64_decode(values: list[Any], random: RandomSource) -> Any:
    """As AWS does, passes over what is no Base64, and takes a text without its padding."""
    text = NOT_BASE64.sub("", _short(_text(values[0], "first")).partition("=")[0])
    whole = text[: len(text) - (len(text) % 4 == 1)]
    return base64.b64decode(whole + "=" * (-len(whole) % 4)).decode(errors="replace")


def hash_of(values: list[Any], random: RandomSource) -> Any:
    algorithm = HASHES.get(_text(values[1], "second"))
    if algorithm is None:
        raise InvalidArguments(f"the algorithm must be one of {', '.join(HASHES)}.")
    text = _shown(values[0])
    return hashlib.new(algorithm, _short(text).encode(errors="replace"), usedforsecurity=False).hexdigest()


def format_text(values: list[Any], random: RandomSource) -> Any:
    template = values[0] if isinstance(values[0], FormatTemplate) else format_template(_text(values[0], "first"))
    if template.fault:
        raise InvalidArguments(template.fault, "template")
    if len(template.pieces) != len(values):
        raise InvalidArguments("number of arguments do not match the occurrences of {}.")
    texts = [template.pieces[0]]
    length = 0
    for value, piece in zip(values[1:], template.pieces[1:], strict=True):
        texts += (value if isinstance(value, str) else java_text(value), piece)
        length += len(texts[-2])
        if length > MAX_BUILT_CHARACTERS:
            raise InvalidArguments(f"the text has more than {MAX_BUILT_CHARACTERS} characters.")
    return "".join(texts)


def format_template(text: str) -> FormatTemplate:
    """Returns the template that a text is. A backslash before a brace or another backslash makes that literal."""
    pieces: list[list[str]] = [[]]
    at = 0
    while at < len(text):
        character = text[at]
        if text.startswith("{}", at):
            pieces.append([])
            at += 2
            continue
        if character == "{":
            return FormatTemplate((), "matching '}' not found for '{'.")
        if character == "}":
            return FormatTemplate((), "matching '{' not found for '}'.")
        if character == "\\" and text[at + 1 : at + 2] in ("{", "}", "\\"):
            at += 1
            character = text[at : at + 1] or character
        pieces[-1].append(character)
        at += 1
    return FormatTemplate(tuple("".join(piece) for piece in pieces))


def string_split(values: list[Any], random: RandomSource) -> Any:
    text, delimiters = _text(values[0], "first"), set(_text(values[1], "second"))
    parts = []
    start = 0
    for position, character in enumerate(text):
        if character in delimiters:
            parts.append(text[start:position])
            start = position + 1
    return [part for part in (*parts, text[start:]) if part]


# -- JSON --


def string_to_json(values: list[Any], random: RandomSource) -> Any:
    text = _text(values[0], "first")
    if not text.strip():
        return None
    try:
        return parse_value(text)
    except InvalidJson as error:
        raise InvalidArguments(f"the text is no JSON: {encodable(str(error))}.") from None


def json_to_string(values: list[Any], random: RandomSource) -> Any:
    return compact(values[0])


def json_merge(values: list[Any], random: RandomSource) -> Any:
    first, second, is_deep = values
    if not isinstance(first, dict) or not isinstance(second, dict):
        raise InvalidArguments("the first two arguments must be objects.")
    if is_deep is True:
        raise InvalidArguments("the third argument must be false: only shallow merging is supported.")
    return {**first, **second}


# -- numbers and identifiers --


def math_add(values: list[Any], random: RandomSource) -> Any:
    first, second = rounded(_number(values[0], "first")), rounded(_number(values[1], "second"))
    if any(number not in INTEGERS for number in (first, second, first + second)):
        raise InvalidArguments("the arguments and their sum must be between -2^31 and 2^31 - 1.")
    return first + second


def math_random(values: list[Any], random: RandomSource) -> Any:
    first, last = _truncated(values[0], "first"), _truncated(values[1], "second")
    if first >= last:
        raise InvalidArguments("the start must be below the end.")
    fraction = _seeded(rounded(_number(values[2], "third"))) if len(values) > 2 else random.fraction()
    return first + int(fraction * (last - first))


def _seeded(seed: int) -> float:
    return int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:6]) / (1 << 48)


def uuid(values: list[Any], random: RandomSource) -> Any:
    return random.uuid()


class _Function(NamedTuple):
    call: Callable[[list[Any], RandomSource], Any]
    least: int
    most: int | None


_TABLE = {
    "States.Array": _Function(array, 0, None),
    "States.ArrayPartition": _Function(array_partition, 2, 2),
    "States.ArrayContains": _Function(array_contains, 2, 2),
    "States.ArrayRange": _Function(array_range, 3, 3),
    "States.ArrayGetItem": _Function(array_get_item, 2, 2),
    "States.ArrayLength": _Function(array_length, 1, 1),
    "States.ArrayUnique": _Function(array_unique, 1, 1),
    "States.Base64Encode": _Function(base64_encode, 1, 1),
    "States.Base64Decode": _Function(base64_decode, 1, 1),
    "States.Hash": _Function(hash_of, 2, 2),
    "States.JsonMerge": _Function(json_merge, 3, 3),
    "States.StringToJson": _Function(string_to_json, 1, 1),
    "States.JsonToString": _Function(json_to_string, 1, 1),
    "States.Format": _Function(format_text, 1, None),
    "States.MathAdd": _Function(math_add, 2, 2),
    "States.MathRandom": _Function(math_random, 2, 3),
    "States.StringSplit": _Function(string_split, 2, 2),
    "States.UUID": _Function(uuid, 0, 0),
}
NAMES = frozenset(_TABLE)


def call_function(name: str, values: list[Any], random: RandomSource) -> Any:
    """Returns what a function of NAMES gives for its arguments. Raises InvalidArguments.

    `values`: of the arguments; the template of States.Format may be a FormatTemplate.
    """
    function = _TABLE[name]
    if len(values) < function.least or (function.most is not None and len(values) > function.most):
        raise InvalidArguments(f"{_counted(function.least, function.most)} are expected, not {len(values)}.")
    return function.call(values, random)


def _counted(least: int, most: int | None) -> str:
    if most is None:
        return f"at least {least} arguments"
    return f"{least} arguments" if least == most else f"{least} to {most} arguments"
