"""Tokens of filter patterns for JSON and for columns, and comparisons with the values in them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from batchyard.core.model.refusal import Refused
from batchyard.evaluators.glob import glob_of
from batchyard.evaluators.regex.regex import Regex
from batchyard.evaluators.regex.syntax import InvalidRegex

MAX_REGEXES = 2  # AWS's own, in one pattern
MAX_DEPTH = 50  # of parentheses
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
TOKEN = re.compile(
    r"\s*(?:(?P<text>\"(?:[^\"\\]|\\.)*\")|(?P<regex>%(?:[^%\\]|\\.)+%)"
    r"|(?P<selector>\$(?:\.[^\s.\[\]=!<>()&|\"',{}]+|\[(?:\d{1,9}|\*|\"[^\"]*\"|'[^']*')\])*)"
    r"|(?P<sign>\.\.\.|&&|\|\||!=|<=|>=|[=<>(),{}\[\]])|(?P<word>[^\s,=!<>&|()\"{}\[\]]+))",
    re.DOTALL,
)
OPERATORS = ("=", "!=", "<", "<=", ">", ">=")
ORDERED: dict[str, Callable[[float, float], bool]] = {
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}


def fail(reason: str) -> NoReturn:
    raise Refused(f"Invalid filter pattern: {reason}.", "InvalidParameterException")


def unescaped(quoted: str) -> str:
    """Returns the text within double quotes."""
    return re.sub(r"\\(.)", r"\1", quoted[1:-1], flags=re.DOTALL)


def compile_term_regex(quoted: str) -> Regex:
    """Returns the expression within percent signs."""
    try:
        return Regex(quoted[1:-1], has_groups=False)
    except InvalidRegex as error:
        raise Refused(f"Invalid filter pattern: {error}", "InvalidParameterException") from error


class Token(NamedTuple):
    kind: str
    text: str


class Tokens:
    """The tokens of a pattern, one ahead."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.stop = 0
        self.depth = 0
        self.regexes = 0
        self.token: Token | None = None
        self.advance()

    def advance(self) -> None:
        self.start = self.stop
        if not self.text[self.stop :].strip():
            self.token = None
            return
        found = TOKEN.match(self.text, self.stop)
        if found is None or found.lastgroup is None:
            fail(f"it cannot be read from {self.text[self.stop :].strip()[:40]!r} on")
        self.stop = found.end()
        self.token = Token(found.lastgroup, found[found.lastgroup])
        self.regexes += self.token.kind == "regex"
        if self.regexes > MAX_REGEXES:
            fail(f"it has more than {MAX_REGEXES} regular expressions")

    def unexpected(self, expected: str) -> NoReturn:
        rest = self.text[self.start :].strip()[:40]
        fail(f"{expected} is expected at {rest!r}" if rest else f"it ends where {expected} is expected")

    def takes(self, *signs: str) -> str | None:
        """Returns the next token and goes on, if it is one of these signs."""
        if self.token is not None and self.token.kind == "sign" and self.token.text in signs:
            sign = self.token.text
            self.advance()
            return sign
        return None

    def takes_word(self, word: str) -> bool:
        if self.token == Token("word", word):
            self.advance()
            return True
        return False

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            fail(f"it is nested more than {MAX_DEPTH} deep")

    def comparison(self) -> Comparison:
        """Reads an operator and a value."""
        operator = self.takes(*OPERATORS)
        if operator is None:
            self.unexpected("one of = != < <= > >=")
        token = self.token
        if token is None or token.kind not in ("text", "regex", "word"):
            self.unexpected("a value")
        self.advance()
        number = float(token.text) if token.kind == "word" and NUMBER.fullmatch(token.text) else None
        if operator in ORDERED:
            if number is None:
                fail(f"{operator} compares with a number, and {token.text} is none")
            return Comparison(operator, number)
        if token.kind == "regex":
            return Comparison(operator, None, compile_term_regex(token.text).found_in)
        text = unescaped(token.text) if token.kind == "text" else token.text
        return Comparison(operator, number, glob_of(text).matches)


class Comparison(NamedTuple):
    """What a value is compared with: a number where it can be, a text otherwise."""

    operator: str
    number: float | None
    is_text: Callable[[str], bool] | None = None

    def accepts_number(self, value: float) -> bool | None:
        """Whether a number fits; None where only its text can be compared."""
        if self.number is None:
            return None
        ordered = ORDERED.get(self.operator)
        if ordered is not None:
            return ordered(value, self.number)
        return (value == self.number) is (self.operator == "=")

    def accepts_text(self, value: str) -> bool:
        """Whether a text fits; none is less or more than a number."""
        return self.is_text is not None and self.is_text(value) is (self.operator == "=")

    def accepts_column(self, value: str) -> bool:
        """Whether a column fits, as a number where it is one."""
        if self.number is not None and NUMBER.fullmatch(value):
            return bool(self.accepts_number(float(value)))
        return self.accepts_text(value)

    def accepts_json(self, value: Any) -> bool:
        """Whether a value of JSON fits. An object or array fits nothing, `!=` included."""
        if isinstance(value, str):
            return self.accepts_text(value)
        if isinstance(value, bool):
            return self.accepts_text("true" if value else "false")
        if isinstance(value, int | float):
            accepted = self.accepts_number(value)
            return self.accepts_text(number_text(value)) if accepted is None else accepted
        return False


def number_text(value: float) -> str:
    """Returns a number as JSON writes it."""
    return repr(value) if isinstance(value, float) else str(value)
