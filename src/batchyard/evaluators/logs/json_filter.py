"""Filter patterns for JSON (spec 17): `{ $.level = "ERROR" && ($.ms >= 100 || $.user NOT EXISTS) }`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from batchyard.evaluators.logs.filter_tokens import Tokens, fail, number_text

STEP = re.compile(r"\.([^.\[]+)|\[(?:(\d+)|(\*)|\"([^\"]*)\"|'([^']*)')\]")
Steps = tuple[str | int | None, ...]  # None is every element of an array
Test = Callable[[Any], bool]
MAX_FOUND = 1000  # values that one selector with [*] looks at: stars multiply


def parse_selector(text: str) -> Steps:
    """Returns the steps of a selector as the tokens have it (`$.a["b c"][0][*]`)."""
    steps: list[str | int | None] = []
    for name, index, star, double, single in STEP.findall(text[1:]):
        steps.append(int(index) if index else None if star else name or double or single)
    return tuple(steps)


def selected(steps: Steps, document: Any) -> Iterator[Any]:
    """Yields what a selector finds, at most MAX_FOUND values."""
    waiting: list[tuple[Any, int]] = [(document, 0)]
    count = 0
    while waiting and count < MAX_FOUND:
        value, position = waiting.pop()
        count += 1
        if position == len(steps):
            yield value
            continue
        step = steps[position]
        if isinstance(value, dict) and isinstance(step, str):
            if step in value:
                waiting.append((value[step], position + 1))
        elif isinstance(value, list):
            if step is None:
                waiting += [(element, position + 1) for element in reversed(value[:MAX_FOUND])]
            elif isinstance(step, int) and step < len(value):
                waiting.append((value[step], position + 1))


def parse_message(message: str) -> Any:
    """Returns the JSON object or array of a message, or None for another text."""
    if not message.lstrip(" \t\r\n").startswith(("{", "[")):
        return None
    try:
        return msgspec.json.decode(message)
    except (ValueError, RecursionError):  # a lone surrogate is a ValueError, too
        return None


class JsonFilter:
    """A compiled pattern for JSON."""

    def __init__(self, pattern: str) -> None:
        """Raises Refused."""
        self.selectors: list[tuple[str, Steps]] = []
        tokens = Tokens(pattern)
        if not tokens.takes("{"):
            tokens.unexpected("{")
        self._test = self._either(tokens)
        if not tokens.takes("}"):
            tokens.unexpected("&&, || or }")
        if tokens.token is not None:
            tokens.unexpected("the end")

    def matches(self, message: str) -> bool:
        document = parse_message(message)
        return document is not None and self._test(document)

    def extracted(self, message: str) -> dict[str, str]:
        """Returns what the selectors of the pattern find in a message that matches."""
        found = {}
        document = parse_message(message)
        for text, steps in self.selectors:
            for value in selected(steps, document):
                if not isinstance(value, dict | list):
                    found[text] = scalar_text(value)
                    break
        return found

    # -- reading --

    def _either(self, tokens: Tokens) -> Test:
        tokens.deeper()
        tests = [self._both(tokens)]
        while tokens.takes("||"):
            tests.append(self._both(tokens))
        tokens.depth -= 1
        return tests[0] if len(tests) == 1 else lambda document: any(test(document) for test in tests)

    def _both(self, tokens: Tokens) -> Test:
        tests = [self._condition(tokens)]
        while tokens.takes("&&"):
            tests.append(self._condition(tokens))
        return tests[0] if len(tests) == 1 else lambda document: all(test(document) for test in tests)

    def _condition(self, tokens: Tokens) -> Test:
        if tokens.takes("("):
            test = self._either(tokens)
            if not tokens.takes(")"):
                tokens.unexpected(")")
            return test
        token = tokens.token
        if token is None or token.kind != "selector":
            tokens.unexpected("a selector ($.name)")
        tokens.advance()
        steps = parse_selector(token.text)
        self.selectors.append((token.text, steps))
        if tokens.takes_word("IS"):
            return self._is(tokens, steps)
        if tokens.takes_word("EXISTS"):
            return lambda document: any(True for _ in selected(steps, document))
        if tokens.takes_word("NOT"):
            if not tokens.takes_word("EXISTS"):
                tokens.unexpected("EXISTS")
            return lambda document: not any(True for _ in selected(steps, document))
        comparison = tokens.comparison()
        return lambda document: any(comparison.accepts_json(value) for value in selected(steps, document))

    def _is(self, tokens: Tokens, steps: Steps) -> Test:
        for word, wanted in (("NULL", None), ("TRUE", True), ("FALSE", False)):
            if tokens.takes_word(word):
                return lambda document: any(value is wanted for value in selected(steps, document))
        fail("IS is followed by NULL, TRUE or FALSE")
        return None


def scalar_text(value: Any) -> str:
    """Returns a value of JSON, no object or array, as a text."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return {True: "true", False: "false", None: "null"}[value]
    return number_text(value)
