"""Reads what follows the root of a path, in the dialect of Jayway's JsonPath that AWS uses (step functions spec 9).

`.name`, `['name']`, `.['name']`, `['a','b']`, `[n]`, `[-n]`, `[a,b]`, `[a:b]`, `[*]`, `.*`, `..name`, `..*`, and
filters `[?(@.x == 1 && !(@.y in ['a','b']))]`. Functions such as `length()` are refused.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple, NoReturn

from batchyard.evaluators.regex.regex import Regex
from batchyard.evaluators.regex.syntax import InvalidRegex
from batchyard.evaluators.states.errors import InvalidExpression

MAX_FILTER_DEPTH = 10  # of filters and parentheses within filters
NAME = re.compile(r"[^\s.\[\]()*'\"]+")
NAME_IN_FILTER = re.compile(r"[^\s.\[\]()*'\"=!<>&|,~]+")
INDEX = re.compile(r"-?\d{1,9}(?!\d)")
BLANKS = re.compile(r"\s*")
NUMBER = re.compile(r"-?\d{1,300}(?:\.\d{1,300})?(?:[eE][+-]?\d{1,3})?")
WORD = re.compile(r"[a-z]+")
OPERATOR = re.compile(r"==|!=|<=|>=|=~|<|>|(?:in|nin|contains|size|empty|subsetof|anyof|noneof)(?![\w.])")
PATTERN = re.compile(r"/((?:[^/\\]|\\.)*)/([a-zA-Z]*)")
WORDS = {"true": True, "false": False, "null": None}


class Names(NamedTuple):
    """Several members: as the last segment one object with those, before others each of them."""

    names: tuple[str, ...]


class Indexes(NamedTuple):
    indexes: tuple[int, ...]


class Slice(NamedTuple):
    start: int | None
    end: int | None


class Wildcard(NamedTuple):
    """Every item of a list, every member of an object."""


class Descent(NamedTuple):
    """The value and everything below it, to which the next segment is applied."""


class Query(NamedTuple):
    """A path within a filter. `is_rooted`: it begins at `$`, not at the item (`@`)."""

    is_rooted: bool
    segments: tuple[Segment, ...]

    @property
    def is_definite(self) -> bool:
        return all(isinstance(segment, str | int) for segment in self.segments)


class Literal(NamedTuple):
    value: Any


class Pattern(NamedTuple):
    """A regular expression that has to match the whole text."""

    regex: Regex


Operand = Query | Literal | Pattern


class Comparison(NamedTuple):
    left: Operand
    operator: str
    right: Operand


class Exists(NamedTuple):
    query: Query


class Not(NamedTuple):
    condition: Condition


class AllOf(NamedTuple):
    conditions: tuple[Condition, ...]


class AnyOf(NamedTuple):
    conditions: tuple[Condition, ...]


Condition = Comparison | Exists | Not | AllOf | AnyOf


class Filter(NamedTuple):
    condition: Condition


Segment = str | int | Names | Indexes | Slice | Wildcard | Descent | Filter


def parse_segments(text: str, start: int) -> tuple[Segment, ...]:
    """Returns the segments of a path whose root ends at `start`. Raises InvalidExpression."""
    parser = _Parser(text, start)
    segments = parser.segments(NAME)
    if parser.at < len(text):
        parser.fail("a member (.name), ['name'] or [0] is expected")
    return segments


class _Parser:
    """Reads one path from left to right. `at`: the position of the next character; `depth`: of filters."""

    def __init__(self, text: str, at: int) -> None:
        self.text = text
        self.at = at
        self.depth = 0

    def fail(self, what: str) -> NoReturn:
        rest = self.text[self.at : self.at + 30]
        raise InvalidExpression(f"{self.text!r} is no path: {what} at {rest!r}.")

    def takes(self, token: str) -> bool:
        """Whether a token comes next; if so it is passed."""
        if not self.text.startswith(token, self.at):
            return False
        self.at += len(token)
        return True

    def blanks(self) -> None:
        found = BLANKS.match(self.text, self.at)
        assert found is not None
        self.at = found.end()

    def expect(self, token: str) -> None:
        self.blanks()
        if not self.takes(token):
            self.fail(f"{token!r} is expected")
        self.blanks()

    # -- segments --

    def segments(self, names: re.Pattern[str]) -> tuple[Segment, ...]:
        found: list[Segment] = []
        while True:
            if self.takes(".."):
                found.append(Descent())
                found.append(self.bracket() if self.takes("[") else self.member(names))
            elif self.takes("."):  # a dot before a bracket means nothing: Metaflow writes `$.['a','b']` and `$.[0]`
                found.append(self.bracket() if self.takes("[") else self.member(names))
            elif self.takes("["):
                found.append(self.bracket())
            else:
                return tuple(found)

    def member(self, names: re.Pattern[str]) -> Segment:
        if self.takes("*"):
            return Wildcard()
        found = names.match(self.text, self.at)
        if found is None:
            self.fail("the name of a member is expected")
        self.at = found.end()
        if self.text.startswith("(", self.at):
            self.fail("functions are not supported by Step Functions:")
        return found.group()

    def bracket(self) -> Segment:
        self.blanks()
        segment: Segment
        if self.takes("*"):
            segment = Wildcard()
        elif self.takes("?"):
            segment = self.filter()
        elif self.text[self.at : self.at + 1] in ("'", '"'):
            names = [self.quoted()]
            while self.comma():
                names.append(self.quoted())
            segment = names[0] if len(names) == 1 else Names(tuple(names))
        else:
            segment = self.numbers()
        self.blanks()
        if not self.takes("]"):
            self.fail("] is expected")
        return segment

    def comma(self) -> bool:
        self.blanks()
        found = self.takes(",")
        self.blanks()
        return found

    def numbers(self) -> Segment:
        first = self.integer()
        self.blanks()
        if self.takes(":"):
            self.blanks()
            return Slice(first, self.integer())
        if first is None:
            self.fail("an index, a quoted name, * or a filter is expected")
        indexes = [first]
        while self.comma():
            index = self.integer()
            if index is None:
                self.fail("an index is expected")
            indexes.append(index)
        return indexes[0] if len(indexes) == 1 else Indexes(tuple(indexes))

    def integer(self) -> int | None:
        found = INDEX.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        return int(found.group())

    def quoted(self) -> str:
        """Returns a quoted name or text. A backslash stands before the quote or another backslash; before any other
        character it is a character of its own, as AWS has it."""
        quote = self.text[self.at : self.at + 1]
        if quote not in ("'", '"') or not quote:
            self.fail("a quoted name is expected")
        characters = []
        at = self.at + 1
        while at < len(self.text) and self.text[at] != quote:
            if self.text[at] == "\\" and self.text[at + 1 : at + 2] in (quote, "\\") and at + 1 < len(self.text):
                at += 1
            characters.append(self.text[at])
            at += 1
        if at >= len(self.text):
            self.fail("a closing quote is missing")
        self.at = at + 1
        return "".join(characters)

    # -- filters --

    def filter(self) -> Filter:
        self.blanks()
        if not self.text.startswith("(", self.at):
            self.fail("a filter in parentheses, such as ?(@.x == 1), is expected")
        return Filter(self.group())

    def group(self) -> Condition:
        self.depth += 1
        if self.depth > MAX_FILTER_DEPTH:
            self.fail(f"filters are nested more than {MAX_FILTER_DEPTH} levels deep")
        self.expect("(")
        condition = self.any_of()
        self.expect(")")
        self.depth -= 1
        return condition

    def any_of(self) -> Condition:
        found = [self.all_of()]
        while self.takes("||"):
            found.append(self.all_of())
        return found[0] if len(found) == 1 else AnyOf(tuple(found))

    def all_of(self) -> Condition:
        found = [self.one()]
        while self.takes("&&"):
            found.append(self.one())
        return found[0] if len(found) == 1 else AllOf(tuple(found))

    def one(self) -> Condition:
        self.blanks()
        negations = 0
        while self.text.startswith("!", self.at):
            self.at += 1
            negations += 1
            self.blanks()
        condition = self.group() if self.text.startswith("(", self.at) else self.comparison()
        self.blanks()
        return Not(condition) if negations % 2 else condition

    def comparison(self) -> Condition:
        left = self.operand()
        self.blanks()
        found = OPERATOR.match(self.text, self.at)
        if found is None:
            if not isinstance(left, Query):
                self.fail("an operator such as == is expected")
            return Exists(left)
        self.at = found.end()
        self.blanks()
        right = self.operand()
        if (found.group() == "=~") != isinstance(right, Pattern):
            self.fail("=~ compares with /a regular expression/, and no other operator does;")
        return Comparison(left, found.group(), right)

    def operand(self) -> Operand:
        character = self.text[self.at : self.at + 1]
        if character in ("@", "$") and character:
            self.at += 1
            return Query(character == "$", self.segments(NAME_IN_FILTER))
        if character == "/":
            return self.pattern()
        return Literal(self.literal())

    def literal(self) -> Any:
        if self.text[self.at : self.at + 1] in ("'", '"'):
            return self.quoted()
        if self.takes("["):
            return self.literals()
        found = NUMBER.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
            return json.loads(found.group().lstrip("0") or "0") if found.group().isdigit() else float(found.group())
        word = WORD.match(self.text, self.at)
        if word is None or word.group() not in WORDS:
            self.fail("a path, a number, a quoted text, true, false or null is expected")
        self.at = word.end()
        return WORDS[word.group()]

    def literals(self) -> list[Any]:
        self.blanks()
        if self.takes("]"):
            return []
        found = [self.scalar()]
        while self.comma():
            found.append(self.scalar())
        self.expect("]")
        return found

    def scalar(self) -> Any:
        if self.text.startswith("[", self.at):
            self.fail("a list within a list of a filter is not supported:")
        return self.literal()

    def pattern(self) -> Pattern:
        found = PATTERN.match(self.text, self.at)
        if found is None:
            self.fail("a regular expression between slashes is expected")
        if found[2]:
            self.fail("a regular expression without flags is expected; write [aA] for both cases;")
        try:
            regex = Regex(f"^(?:{found[1]})$")
        except InvalidRegex as error:
            self.fail(f"{str(error).rstrip('.')};")
        self.at = found.end()
        return Pattern(regex)
