"""Conditions of event patterns: what one field of an event may be (spec 4.2-4.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from batchyard.evaluators.glob import Glob

Test = Callable[[Any], bool]


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def double(value: Any) -> float | None:
    """Returns a number as the double that AWS compares by, or None for an integer that no double is equal to."""
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if number == value else None


def folded(text: str) -> str:
    """Returns a text for comparisons that ignore case, which AWS makes character by character."""
    if text.isascii():
        return text.lower()
    return "".join(lower if len(lower := character.lower()) == 1 else character for character in text)


class Condition:
    """The alternatives of one field. `is_absent`: that the field is not there is one of them."""

    __slots__ = ("is_absent", "numbers", "strings", "tests", "words")

    def __init__(
        self,
        strings: Iterable[str] = (),
        numbers: Iterable[float] = (),
        words: Iterable[bool | None] = (),
        tests: Iterable[Test] = (),
        is_absent: bool = False,
    ) -> None:
        self.strings = frozenset(strings)
        self.numbers = frozenset(numbers)
        self.words = tuple(words)
        self.tests = tuple(tests)
        self.is_absent = is_absent

    def accepts(self, value: Any) -> bool:
        """Whether one value of an event, no object or list, is one of the alternatives."""
        if isinstance(value, str):
            if value in self.strings:
                return True
        elif value is None or isinstance(value, bool):
            if any(value is word for word in self.words):
                return True
        elif self.numbers and (double(value) in self.numbers or value in self.numbers):
            return True
        return any(test(value) for test in self.tests)

    def literals(self) -> frozenset[str] | None:
        """Returns the strings where nothing but these is accepted."""
        if self.numbers or self.words or self.tests or self.is_absent:
            return None
        return self.strings


# -- tests of a value, one for each operator --


def is_there(_: Any) -> bool:
    return True


def starts_with(prefixes: tuple[str, ...]) -> Test:
    return lambda value: isinstance(value, str) and value.startswith(prefixes)


def ends_with(suffixes: tuple[str, ...]) -> Test:
    return lambda value: isinstance(value, str) and value.endswith(suffixes)


def equals_ignoring_case(texts: Iterable[str]) -> Test:
    wanted = frozenset(map(folded, texts))
    return lambda value: isinstance(value, str) and folded(value) in wanted


def starts_with_ignoring_case(prefix: str) -> Test:
    wanted = folded(prefix)
    return lambda value: isinstance(value, str) and folded(value).startswith(wanted)


def ends_with_ignoring_case(suffix: str) -> Test:
    wanted = folded(suffix)
    return lambda value: isinstance(value, str) and folded(value).endswith(wanted)


def matches_glob(globs: tuple[Glob, ...]) -> Test:
    return lambda value: isinstance(value, str) and any(glob.matches(value) for glob in globs)


def is_string_of(texts: Iterable[str]) -> Test:
    wanted = frozenset(texts)
    return lambda value: isinstance(value, str) and value in wanted


def is_number_of(numbers: Iterable[float]) -> Test:
    wanted = frozenset(numbers)
    return lambda value: is_number(value) and (double(value) in wanted or value in wanted)


def unless(test: Test) -> Test:
    return lambda value: not test(value)


def is_between(
    bottom: float | None, top: float | None, *, includes_bottom: bool = False, includes_top: bool = False
) -> Test:
    """A test for numbers of a range, open at an end that is None."""

    def test(value: Any) -> bool:
        if not is_number(value):
            return False
        number = double(value)
        if number is None:
            return False
        if bottom is not None and not (number > bottom or (includes_bottom and number == bottom)):
            return False
        return top is None or number < top or (includes_top and number == top)

    return test


def is_inside(network: IPv4Network | IPv6Network) -> Test:
    def test(value: Any) -> bool:
        if not isinstance(value, str):
            return False
        try:
            address = ip_address(value)
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and (address.ipv4_mapped is not None or address.scope_id is not None):
            return False  # AWS reads no mapped addresses and no zones
        return address in network

    return test
