"""What a query is made of: expressions and commands, as they were read."""

from __future__ import annotations

from typing import NamedTuple

from batchyard.core.model.refusal import Refused
from batchyard.evaluators.insights.periods import Period
from batchyard.evaluators.regex.regex import Regex


class InvalidQuery(Refused):
    """A query that cannot be read or run. `start`, `end`: the characters of the text that are meant."""

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message, "MalformedQueryException")
        self.start = start
        self.end = end
        location = {"startCharOffset": start, "endCharOffset": end}
        self.members = {"queryCompileError": {"location": location, "message": message}}


# -- expressions --


class Literal(NamedTuple):
    value: str | float


class Duration(NamedTuple):
    period: Period


class Field(NamedTuple):
    """A field by its name; `parts`: what stood between the dots, where a part in backticks may have any characters."""

    name: str
    parts: tuple[str, ...]


class Star(NamedTuple):
    """The `*` of count(*)."""


class Call(NamedTuple):
    name: str
    arguments: tuple[Node, ...]
    start: int
    end: int


class Chain(NamedTuple):
    """Arithmetic from left to right: a first operand, then (operator, operand)."""

    first: Node
    rest: tuple[tuple[str, Node], ...]


class Negative(NamedTuple):
    operand: Node


class Not(NamedTuple):
    operand: Node


class Joined(NamedTuple):
    """Operands that all have to hold (and), or one of them (or)."""

    is_and: bool
    operands: tuple[Node, ...]


class Compared(NamedTuple):
    operator: str
    left: Node
    right: Node


class Like(NamedTuple):
    """Whether a text contains another, or something that a regular expression matches."""

    operand: Node
    pattern: str | Regex
    is_negated: bool


class Within(NamedTuple):
    """Whether a value is one of a list."""

    operand: Node
    items: tuple[Node, ...]
    is_negated: bool


Node = (
    Literal | Duration | Field | Star | Call | Chain | Negative | Not | Joined | Compared | Like | Within
)  # of an expression


# -- commands --


class Named(NamedTuple):
    """An expression and the name of its column."""

    node: Node
    name: str


class Fields(NamedTuple):
    """`fields` or `display`."""

    columns: tuple[Named, ...]
    is_display: bool


class Filter(NamedTuple):
    node: Node


class Stats(NamedTuple):
    columns: tuple[Named, ...]
    by: tuple[Named, ...]


class Sort(NamedTuple):
    """(expression, whether in descending order) from the first key to the last."""

    keys: tuple[tuple[Node, bool], ...]


class Limit(NamedTuple):
    rows: int


class ParseGlob(NamedTuple):
    """`segments`: what stands between the stars."""

    source: Node
    segments: tuple[str, ...]
    names: tuple[str, ...]


class ParseRegex(NamedTuple):
    source: Node
    regex: Regex


class Dedup(NamedTuple):
    nodes: tuple[Node, ...]


class PatternOf(NamedTuple):
    """`pattern`: the patterns of a field's texts, with how often each comes."""

    source: Node


Command = Fields | Filter | Stats | Sort | Limit | ParseGlob | ParseRegex | Dedup | PatternOf


class Query(NamedTuple):
    """`groups`: the log groups that a `SOURCE` in the text names."""

    commands: tuple[Command, ...]
    groups: tuple[str, ...] = ()
