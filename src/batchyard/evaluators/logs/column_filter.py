"""Filter patterns for columns (spec 17): `[ip, user, time, request = *.html*, status = 4* || status = 5*, ...]`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from batchyard.evaluators.logs.filter_tokens import Tokens, fail

NAME = re.compile(r"[^\W\d][\w-]*")
PLAIN = re.compile(r"\S+")
Test = Callable[[str], bool]


class Column(NamedTuple):
    """One field of a pattern; `test` is None where anything fits."""

    name: str
    test: Test | None


def columns_of(message: str) -> list[str]:
    """Returns the fields of a message: split at blanks; what stands in quotes or brackets is one, without them."""
    found: list[str] = []
    at = 0
    last = {'"': message.rfind('"'), "[": message.rfind("]")}
    while at < len(message):
        character = message[at]
        if character.isspace():
            at += 1
            continue
        if at < last.get(character, -1):
            end = message.index("]" if character == "[" else '"', at + 1)
            found.append(message[at + 1 : end])
            at = end + 1
            continue
        word = PLAIN.match(message, at)
        assert word is not None
        found.append(word[0])
        at = word.end()
    return found


class ColumnFilter:
    """A compiled pattern for columns. `ellipsis`: where any number of fields may stand, or None."""

    def __init__(self, pattern: str) -> None:
        """Raises Refused."""
        self.columns: list[Column] = []
        self.ellipsis: int | None = None
        tokens = Tokens(pattern)
        if not tokens.takes("["):
            tokens.unexpected("[")
        while True:
            if tokens.takes("..."):
                if self.ellipsis is not None:
                    fail("... stands in it twice")
                self.ellipsis = len(self.columns)
            else:
                self.columns.append(self._column(tokens))
            if not tokens.takes(","):
                break
        if not tokens.takes("]"):
            tokens.unexpected(", or ]")
        if tokens.token is not None:
            tokens.unexpected("the end")

    def matches(self, message: str) -> bool:
        return self._fitted(message) is not None

    def extracted(self, message: str) -> dict[str, str]:
        """Returns the fields of a message that matches, as `$name`."""
        return {f"${name}": value for name, value in (self._fitted(message) or {}).items()}

    def _fitted(self, message: str) -> dict[str, str] | None:
        """Returns the fields by name, or None for a message that does not match."""
        found = columns_of(message)
        extra = len(found) - len(self.columns)
        if extra < 0 or (extra > 0 and self.ellipsis is None):
            return None
        values = {}
        for position, column in enumerate(self.columns):
            value = found[position if self.ellipsis is None or position < self.ellipsis else position + extra]
            if column.test is not None and not column.test(value):
                return None
            values[column.name] = value
        return values

    # -- reading --

    def _column(self, tokens: Tokens) -> Column:
        token = tokens.token
        if token is None or token.kind not in ("word", "sign") or (token.kind == "sign" and token.text != "("):
            tokens.unexpected("the name of a field")
        if token.kind == "word":
            start, at = token, (tokens.start, tokens.stop)
            name = self._name(tokens)
            if tokens.token is not None and tokens.token.kind == "sign" and tokens.token.text in (",", "]"):
                return Column(name, None)
            tokens.token, (tokens.start, tokens.stop) = start, at  # read once more, as a condition
        names: list[str] = []
        test = self._either(tokens, names)
        if len(set(names)) != 1:
            fail(f"the conditions of one field name {', '.join(sorted(set(names)))}")
        return Column(names[0], test)

    def _name(self, tokens: Tokens) -> str:
        token = tokens.token
        if token is None or token.kind != "word" or not NAME.fullmatch(token.text):
            tokens.unexpected("the name of a field")
        tokens.advance()
        return token.text

    def _either(self, tokens: Tokens, names: list[str]) -> Test:
        tokens.deeper()
        tests = [self._both(tokens, names)]
        while tokens.takes("||"):
            tests.append(self._both(tokens, names))
        tokens.depth -= 1
        return tests[0] if len(tests) == 1 else lambda value: any(test(value) for test in tests)

    def _both(self, tokens: Tokens, names: list[str]) -> Test:
        tests = [self._condition(tokens, names)]
        while tokens.takes("&&"):
            tests.append(self._condition(tokens, names))
        return tests[0] if len(tests) == 1 else lambda value: all(test(value) for test in tests)

    def _condition(self, tokens: Tokens, names: list[str]) -> Test:
        if tokens.takes("("):
            test = self._either(tokens, names)
            if not tokens.takes(")"):
                tokens.unexpected(")")
            return test
        names.append(self._name(tokens))
        return tokens.comparison().accepts_column
