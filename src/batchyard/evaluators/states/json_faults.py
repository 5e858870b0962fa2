"""Where and why a text is no JSON, in the words of the parser that AWS uses (step functions spec 3, 6)."""

from __future__ import annotations

import re

from msgspec import Struct

MAX_SOURCE_CHARACTERS = 500  # of the text that a location shows
VALUES = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
ANY_VALUE = "expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')"

_BLANKS = re.compile(r"[ \t\r\n]*")
_WORD = re.compile(r"[\w$]+")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_LITERALS = ("true", "false", "null")


class JsonFault(Struct, frozen=True):
    """The first fault of a text. `message`: what is wrong; `source`: where, as AWS prints it."""

    message: str
    source: str | None

    @property
    def text(self) -> str:
        return self.message if self.source is None else f"{self.message}\n at {self.source}"


class _Fault(Exception):
    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message = message
        self.position = position


def find_fault(text: str) -> JsonFault | None:
    """Returns the first fault of a text, None for JSON. What is nested deeply is walked with a stack of its own."""
    try:
        _walk(text)
    except _Fault as fault:
        before = text[: fault.position]
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        shown = text[:MAX_SOURCE_CHARACTERS]
        cut = len(text) - len(shown)
        quoted = f'"{shown}"' + (f"[truncated {cut} chars]" if cut else "")
        return JsonFault(fault.message, f"[Source: (String){quoted}; line: {line}, column: {column}]")
    return None


def _walk(text: str) -> None:
    """Reads one value. `open_brackets`: those not closed yet; an object's is `{`."""
    open_brackets: list[str] = []
    position = _blanks(text, 0)
    while True:
        if text[position : position + 1] in ("{", "["):
            bracket = text[position]
            position = _blanks(text, position + 1)
            open_brackets.append(bracket)
            if text[position : position + 1] == ("}" if bracket == "{" else "]"):
                open_brackets.pop()
                position += 1
            else:
                position = _name(text, position) if bracket == "{" else position
                continue
        else:
            position = _scalar(text, position)
        while open_brackets:  # what comes after a value inside of something
            position = _blanks(text, position)
            closing = "}" if open_brackets[-1] == "{" else "]"
            following = text[position : position + 1]
            if following == closing:
                open_brackets.pop()
                position += 1
            elif following == ",":
                position = _blanks(text, position + 1)
                position = _name(text, position) if open_brackets[-1] == "{" else position
                break
            else:
                entries = "Object" if closing == "}" else "Array"
                raise _unexpected(text, position, f"was expecting comma to separate {entries} entries", open_brackets)
        else:
            position = _blanks(text, position)
            if position < len(text):
                _scalar_or_bracket(text, position)
            return


def _blanks(text: str, position: int) -> int:
    found = _BLANKS.match(text, position)
    assert found is not None, "it matches the empty text"
    return found.end()


def _name(text: str, position: int) -> int:
    """Reads the name of a member and its colon; returns where its value begins."""
    if text[position : position + 1] != '"':
        raise _unexpected(text, position, "was expecting double-quote to start field name", ["{"])
    position = _blanks(text, _string(text, position))
    if text[position : position + 1] != ":":
        raise _unexpected(text, position, "was expecting a colon to separate field name and value", ["{"])
    return _blanks(text, position + 1)


def _scalar_or_bracket(text: str, position: int) -> None:
    """Raises for what follows the value of a whole text."""
    if text[position] in "{[":
        raise _Fault("Trailing token (of type START) found after value: not allowed", position + 1)
    _scalar(text, position)
    raise _Fault("Trailing token found after value: not allowed", position + 1)


def _scalar(text: str, position: int) -> int:
    """Reads a string, number, true, false or null; returns its end."""
    first = text[position : position + 1]
    if first == '"':
        return _string(text, position)
    if first == "-" or "0" <= first <= "9":
        number = _NUMBER.match(text, position)
        if number is None:
            raise _unexpected(text, position + 1, "in numeric value", [])
        return number.end()
    word = _WORD.match(text, position)
    if word is None:
        raise _unexpected(text, position, ANY_VALUE, [])
    if word[0] not in _LITERALS:
        raise _Fault(f"Unrecognized token '{word[0]}': was expecting {VALUES}", word.end())
    return word.end()


def _string(text: str, position: int) -> int:
    found = _STRING.match(text, position)
    if found is None:
        raise _Fault("Unexpected end-of-input or illegal character in VALUE_STRING", len(text))
    return found.end()


def _unexpected(text: str, position: int, what: str, open_brackets: list[str]) -> _Fault:
    if position >= len(text):
        if not open_brackets:
            return _Fault("Unexpected end-of-input", position)
        kind = "Object" if open_brackets[-1] == "{" else "Array"
        return _Fault(f"Unexpected end-of-input: expected close marker for {kind}", position)
    character = text[position]
    return _Fault(f"Unexpected character ('{character}' (code {ord(character)})): {what}", position + 1)
