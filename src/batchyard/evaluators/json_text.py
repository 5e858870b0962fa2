"""Reads JSON text strictly: no NaN or Infinity, bounded nesting, and one named error."""

from __future__ import annotations

import json
from typing import Any

MAX_INTEGER_DIGITS = 400  # beyond these no double is near


class InvalidJson(ValueError):
    """A text that is not JSON, or nested deeper than the reader goes."""


class JsonNumber(float):
    """A number, with the text it was written as."""

    text: str

    def __new__(cls, text: str) -> JsonNumber:
        number = super().__new__(cls, text)
        number.text = text
        return number

    @property
    def value(self) -> float | int:
        """The double, or the integer that no double is equal to."""
        is_integer = self.text.lstrip("-").isdigit() and len(self.text) < MAX_INTEGER_DIGITS
        return int(self.text) if is_integer and int(self.text) != float(self) else float(self)


class Members(list[tuple[str, Any]]):
    """The members of an object as they were written, repeated keys included."""


def _refuse_constant(name: str) -> Any:
    raise InvalidJson(f"{name} is not a JSON value")


def _loads(text: str, **options: Any) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant, **options)
    except RecursionError as error:
        raise InvalidJson("The text is nested too deeply") from error
    except ValueError as error:
        raise InvalidJson(str(error)) from error


def parse_json(text: str) -> Any:
    """Returns the value of a JSON text; of a repeated key, the last value. Raises InvalidJson."""
    return _loads(text)


def parse_members(text: str) -> Any:
    """Returns the value of a JSON text with objects as Members and numbers as JsonNumber. Raises InvalidJson."""
    return _loads(text, object_pairs_hook=Members, parse_float=JsonNumber, parse_int=JsonNumber)


def minified(value: Any) -> str:
    """Returns a value as JSON text without blanks, as AWS passes it on. It can be encoded: half a surrogate pair stays
    an escape."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text if is_encodable(text) else json.dumps(value, separators=(",", ":"))


def is_encodable(text: str) -> bool:
    """Whether a text has no half of a surrogate pair, which JSON may escape and UTF-8 cannot write."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False
