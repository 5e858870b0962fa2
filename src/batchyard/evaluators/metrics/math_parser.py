"""Reads expressions of metric math (spec 10) into nodes."""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

MAX_EXPRESSION_CHARACTERS = 2048  # AWS's own
MAX_DEPTH = 50  # of parentheses, calls and signs within each other
TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?)|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<text>\"[^\"]*\"|'[^']*')|(?P<sign>==|!=|<=|>=|&&|\|\||[-+*/^<>()\[\],]))",
    re.ASCII,
)
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
# What AWS has beyond this, by name.
NOT_BUILT = (
    "SEARCH",
    "ANOMALY_DETECTION_BAND",
    "INSIGHT_RULE_METRIC",
    "SERVICE_QUOTA",
    "DB_PERF_INSIGHTS",
    "LAMBDA",
)


class InvalidMath(ValueError):
    """An expression that cannot be read or evaluated. Its argument is the reason, in our words."""


class Number(NamedTuple):
    value: float


class Text(NamedTuple):
    value: str


class Name(NamedTuple):
    """The id of a metric or expression, or a keyword of a function such as REPEAT."""

    name: str


class Array(NamedTuple):
    items: tuple[Node, ...]


class Call(NamedTuple):
    name: str
    arguments: tuple[Node, ...]


class Unary(NamedTuple):
    operand: Node


class Binary(NamedTuple):
    operator: str
    left: Node
    right: Node


Node = Number | Text | Name | Array | Call | Unary | Binary


def parse_math(text: str) -> Node:
    """Returns the node of an expression. Raises InvalidMath."""
    if len(text) > MAX_EXPRESSION_CHARACTERS:
        raise InvalidMath(f"The expression has {len(text)} characters, at most {MAX_EXPRESSION_CHARACTERS}.")
    if re.match(r"\s*SELECT\b", text):
        raise InvalidMath("Metrics Insights queries (SELECT ...) are not built; name metrics with MetricStat instead.")
    parser = _Parser(text)
    node = parser.either()
    if parser.token is not None:
        parser.fail("an operator")
    return node


def names_in(node: Node) -> set[str]:
    """Returns the ids that an expression uses. METRICS() uses others, which the caller knows."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Name):
            if node.name[:1].islower():
                found.add(node.name)
        elif isinstance(node, Array):
            waiting += node.items
        elif isinstance(node, Call):
            waiting += node.arguments
        elif isinstance(node, Unary):
            waiting.append(node.operand)
        elif isinstance(node, Binary):
            waiting += (node.left, node.right)
    return found


def calls_in(node: Node) -> set[str]:
    """Returns the functions that an expression calls."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Call):
            found.add(node.name)
            waiting += node.arguments
        elif isinstance(node, Array):
            waiting += node.items
        elif isinstance(node, Unary):
            waiting.append(node.operand)
        elif isinstance(node, Binary):
            waiting += (node.left, node.right)
    return found


class _Parser:
    """Recursive descent, one token ahead. From loose to tight: OR, AND, comparisons, + -, * /, unary -, ^."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.depth = 0
        self.stop = 0
        self.token: tuple[str, str] | None = None
        self.advance()

    def advance(self) -> None:
        self.start = self.stop
        if not self.text[self.stop :].strip():
            self.token = None
            return
        found = TOKEN.match(self.text, self.stop)
        if found is None or found.lastgroup is None:
            raise InvalidMath(f"The expression cannot be read from {self.text[self.stop :].strip()[:20]!r} on.")
        self.token = (found.lastgroup, found[found.lastgroup])
        self.stop = found.end()

    def fail(self, expected: str) -> NoReturn:
        rest = self.text[self.start :].strip()[:20]
        raise InvalidMath(f"The expression has {rest!r} where {expected} is expected.")

    def takes(self, *signs: str) -> str | None:
        """Returns the next token and goes on, if it is one of these signs or words."""
        if self.token is not None and self.token[0] in ("sign", "name") and self.token[1] in signs:
            sign = self.token[1]
            self.advance()
            return sign
        return None

    def expect(self, sign: str) -> None:
        if not self.takes(sign):
            self.fail(sign)

    def either(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise InvalidMath(f"The expression is nested more than {MAX_DEPTH} deep.")
        node = self.both()
        while self.takes("OR", "||"):
            node = Binary("OR", node, self.both())
        self.depth -= 1
        return node

    def both(self) -> Node:
        node = self.comparison()
        while self.takes("AND", "&&"):
            node = Binary("AND", node, self.comparison())
        return node

    def comparison(self) -> Node:
        node = self.total()
        while operator := self.takes(*COMPARISONS):
            node = Binary(operator, node, self.total())
        return node

    def total(self) -> Node:
        node = self.product()
        while operator := self.takes("+", "-"):
            node = Binary(operator, node, self.product())
        return node

    def product(self) -> Node:
        node = self.signed()
        while operator := self.takes("*", "/"):
            node = Binary(operator, node, self.signed())
        return node

    def signed(self) -> Node:
        if not self.takes("-"):
            return self.power()
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise InvalidMath(f"The expression is nested more than {MAX_DEPTH} deep.")
        node = Unary(self.signed())
        self.depth -= 1
        return node

    def power(self) -> Node:
        node = self.operand()
        while self.takes("^"):
            exponent: Node = Unary(self.operand()) if self.takes("-") else self.operand()
            node = Binary("^", node, exponent)
        return node

    def operand(self) -> Node:
        if self.token is None:
            self.fail("a metric, a number or a function")
        kind, text = self.token
        if kind == "number":
            self.advance()
            return Number(float(text))
        if kind == "text":
            self.advance()
            return Text(text[1:-1])
        if self.takes("("):
            node = self.either()
            self.expect(")")
            return node
        if self.takes("["):
            return Array(self.items("]"))
        if kind == "name":
            self.advance()
            if not self.takes("("):
                return Name(text)
            if text in NOT_BUILT:
                raise InvalidMath(f"{text} is not built. Functions over given metrics are: see METRICS().")
            return Call(text, self.items(")"))
        self.fail("a metric, a number or a function")
        return None

    def items(self, end: str) -> tuple[Node, ...]:
        found: list[Node] = []
        if self.takes(end):
            return ()
        while True:
            found.append(self.either())
            if not self.takes(","):
                self.expect(end)
                return tuple(found)
