"""Reads the expressions of queries."""

from __future__ import annotations

import re
from typing import NoReturn

from batchyard.evaluators.insights.nodes import (
    Call,
    Chain,
    Compared,
    Duration,
    Field,
    InvalidQuery,
    Joined,
    Like,
    Literal,
    Negative,
    Node,
    Not,
    Star,
    Within,
)
from batchyard.evaluators.insights.periods import MAX_COUNT, UNIT_OF, Period
from batchyard.evaluators.regex.regex import Regex
from batchyard.evaluators.regex.syntax import InvalidRegex

MAX_DEPTH = 50  # of parentheses and calls within each other
BLANK = re.compile(r"(?:\s+|#[^\n]*(?:\n|$))*")
# fmt: off
TOKEN = re.compile(
    r"(?P<duration>\d+[a-zA-Z]+)|(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?)"
    r"|(?P<text>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')"
    r"|(?P<name>(?:@?[A-Za-z_]\w*|`[^`]+`)(?:\.(?:@?\w+|`[^`]+`))*)"
    r"|(?P<sign>=~|!=|<=|>=|[-+*/%^=<>()\[\],|])",
    re.ASCII | re.DOTALL,
)
# fmt: on
PART = re.compile(r"`([^`]+)`|([^.`]+)")
COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
REGEX = re.compile(r"/((?:[^/\\\n]|\\.)*)/(i?)")


class Reader:
    """The tokens of a query, one ahead."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.depth = 0
        self.columns: set[str] = set()  # of the last stats: what follows may use them by the text they were made of
        self.start = self.stop = 0  # of the token ahead
        self.before = 0  # where the token before it ended
        self.kind = ""
        self.token = ""
        self.advance()

    def advance(self) -> None:
        self.before = self.stop
        blank = BLANK.match(self.text, self.stop)
        self.start = blank.end() if blank else self.stop
        if self.start >= len(self.text):
            self.kind, self.token, self.stop = "end", "", len(self.text)
            return
        found = TOKEN.match(self.text, self.start)
        if found is None or found.lastgroup is None:
            # A regular expression begins with a sign that stands alone otherwise; anything else is none of ours.
            self.kind, self.token, self.stop = "unknown", self.text[self.start], self.start + 1
            return
        self.kind, self.token, self.stop = found.lastgroup, found[0], found.end()

    def fail(self, message: str) -> NoReturn:
        raise InvalidQuery(f"{message} (at character {self.start})", self.start, max(self.stop, self.start))

    def unexpected(self, wanted: str) -> NoReturn:
        self.fail(f"{self.token!r} where {wanted} is expected" if self.token else f"the end where {wanted} is expected")

    def takes(self, *signs: str) -> str | None:
        """Returns the next sign and goes on, if it is one of these."""
        if self.kind == "sign" and self.token in signs:
            sign = self.token
            self.advance()
            return sign
        return None

    def takes_word(self, *words: str) -> str | None:
        """Returns the next word in lower case and goes on, if it is one of these. Keywords have no case."""
        if self.kind == "name" and self.token.lower() in words:
            word = self.token.lower()
            self.advance()
            return word
        return None

    def expect(self, sign: str) -> None:
        if not self.takes(sign):
            self.unexpected(sign)

    def integer(self) -> int:
        if self.kind != "number" or not self.token.isdigit() or len(self.token) > 9:
            self.unexpected("a whole number")
        value = int(self.token)
        self.advance()
        return value

    def name(self) -> str:
        """Reads the name of a field or column."""
        if self.kind != "name":
            self.unexpected("a name")
        found = field_of(self.token)
        self.advance()
        return found.name

    def string(self) -> str:
        text = unescaped(self.token)
        self.advance()
        return text

    @property
    def is_at_regex(self) -> bool:
        return self.token == "/"

    def regex(self) -> Regex:
        found = REGEX.match(self.text, self.start)
        if found is None:
            self.fail("a regular expression is not closed")
        self.stop = found.end()
        try:
            regex = Regex(f"(?i){found[1]}" if found[2] else found[1])
        except InvalidRegex as error:
            raise InvalidQuery(str(error), self.start, self.stop) from error
        self.advance()
        return regex

    def source(self, start: int) -> str:
        """Returns the text from a position to the last token that was read."""
        return self.text[start : self.before].strip()

    # -- expressions, from loose to tight --

    def expression(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(f"an expression is nested more than {MAX_DEPTH} deep")
        operands = [self._both()]
        while self.takes_word("or"):
            operands.append(self._both())
        self.depth -= 1
        return operands[0] if len(operands) == 1 else Joined(False, tuple(operands))

    def _both(self) -> Node:
        operands = [self._negation()]
        while self.takes_word("and"):
            operands.append(self._negation())
        return operands[0] if len(operands) == 1 else Joined(True, tuple(operands))

    def _negation(self) -> Node:
        count = 0
        while self.takes_word("not"):
            count += 1
        node = self._comparison()
        return Not(node) if count % 2 else node

    def _comparison(self) -> Node:
        node = self._sum()
        if operator := self.takes(*COMPARISONS):
            return Compared(operator, node, self._sum())
        if self.takes("=~"):
            return self._like(node, False)
        is_negated = self.kind == "name" and self.token.lower() == "not"
        if is_negated:
            self.advance()
        if self.takes_word("like"):
            return self._like(node, is_negated)
        if self.takes_word("in"):
            self.expect("[")
            return Within(node, self._items("]"), is_negated)
        if is_negated:
            self.unexpected("like or in")
        return node

    def _like(self, node: Node, is_negated: bool) -> Node:
        if self.is_at_regex:
            return Like(node, self.regex(), is_negated)
        if self.kind != "text":
            self.unexpected("a text or a /regular expression/")
        return Like(node, self.string(), is_negated)

    def _sum(self) -> Node:
        first = self._product()
        rest: list[tuple[str, Node]] = []
        while operator := self.takes("+", "-"):
            rest.append((operator, self._product()))
        return Chain(first, tuple(rest)) if rest else first

    def _product(self) -> Node:
        first = self._signed()
        rest: list[tuple[str, Node]] = []
        while operator := self.takes("*", "/", "%"):
            rest.append((operator, self._signed()))
        return Chain(first, tuple(rest)) if rest else first

    def _signed(self) -> Node:
        count = 0
        while self.takes("-"):
            count += 1
        node = self._power()
        return Negative(node) if count % 2 else node

    def _power(self) -> Node:
        first = self.operand()
        rest: list[tuple[str, Node]] = []
        while self.takes("^"):
            exponent = Negative(self.operand()) if self.takes("-") else self.operand()
            rest.append(("^", exponent))
        return Chain(first, tuple(rest)) if rest else first

    def operand(self) -> Node:
        """Reads a value, a field, a call or what stands in parentheses."""
        if self.takes("("):
            node = self.expression()
            self.expect(")")
            return node
        token, start = self.token, self.start
        if self.kind == "number":
            self.advance()
            return Literal(float(token) if "." in token or "e" in token.lower() else float(int(token)))
        if self.kind == "duration":
            return self._duration()
        if self.kind == "text":
            return Literal(self.string())
        if self.kind != "name":
            self.unexpected("a field, a value or a function")
        self.advance()
        if token.lower() in ("true", "false"):
            return Literal(token.lower())
        if not self.takes("("):
            return field_of(token)
        arguments = self._items(")")
        name = self.source(start)
        if name in self.columns:
            return Field(name, (name,))
        return Call(token.lower(), arguments, start, self.before)

    def _duration(self) -> Node:
        count = re.match(r"\d+", self.token)
        assert count is not None
        unit = UNIT_OF.get(self.token[count.end() :].lower())
        if unit is None or len(count[0]) > 9 or not 0 < int(count[0]) <= MAX_COUNT:
            self.unexpected("a period such as 30s, 5m, 1h, 1d, 1w, 1mo")
        self.advance()
        return Duration(Period(int(count[0]), unit))

    def _items(self, end: str) -> tuple[Node, ...]:
        found: list[Node] = []
        if self.takes(end):
            return ()
        while True:
            if self.kind == "sign" and self.token == "*":
                self.advance()
                found.append(Star())
            else:
                found.append(self.expression())
            if not self.takes(","):
                self.expect(end)
                return tuple(found)


def field_of(token: str) -> Field:
    parts = tuple(quoted or plain for quoted, plain in PART.findall(token))
    return Field(".".join(parts), parts)


def unescaped(token: str) -> str:
    """Returns what a text in quotes says. A backslash stands for itself but before a quote or another backslash."""
    return re.sub(r"\\([\"'\\])", r"\1", token[1:-1])
