"""Functions of queries that make one value of others (spec 18)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from batchyard.evaluators.insights.periods import MAX_MS, MIN_MS, Time
from batchyard.evaluators.insights.values import MAX_TEXT_CHARACTERS, Value, number_of, sort_key, text_of

Function = Callable[[Sequence[Value]], Value]


def _number(function: Callable[[float], float]) -> Function:
    """A function of one number, None where it has no value."""

    def call(arguments: Sequence[Value]) -> Value:
        number = number_of(arguments[0])
        if number is None:
            return None
        try:
            result = function(number)
        except (ValueError, OverflowError):
            return None
        return result if math.isfinite(result) else None

    return call


def _text(function: Callable[[str], Value]) -> Function:
    """A function of one text."""

    def call(arguments: Sequence[Value]) -> Value:
        text = text_of(arguments[0])
        return None if text is None else function(text)

    return call


def _trim(strip: Callable[[str, str | None], str]) -> Function:
    def call(arguments: Sequence[Value]) -> Value:
        text = text_of(arguments[0])
        if text is None:
            return None
        return strip(text, text_of(arguments[1]) if len(arguments) > 1 else None)

    return call


def _extreme(choose: Callable[..., Value]) -> Function:
    def call(arguments: Sequence[Value]) -> Value:
        there = [value for value in arguments if value is not None]
        return choose(there, key=sort_key) if there else None

    return call


def _coalesce(arguments: Sequence[Value]) -> Value:
    return next((value for value in arguments if value is not None), None)


def _concat(arguments: Sequence[Value]) -> Value:
    texts = [text_of(value) or "" for value in arguments]
    return "".join(texts) if sum(map(len, texts)) <= MAX_TEXT_CHARACTERS else None


def _substr(arguments: Sequence[Value]) -> Value:
    text = text_of(arguments[0])
    numbers = [number_of(value) for value in arguments[1:]]
    if text is None or any(number is None for number in numbers):
        return None
    start = max(0, int(numbers[0] or 0))
    if len(numbers) == 1:
        return text[start:]
    return text[start : start + max(0, int(numbers[1] or 0))]


def _replace(arguments: Sequence[Value]) -> Value:
    text, sought, new = (text_of(value) for value in arguments)
    if text is None or not sought or new is None:
        return text
    if len(text) + text.count(sought) * (len(new) - len(sought)) > MAX_TEXT_CHARACTERS:
        return None
    return text.replace(sought, new)


def _strcontains(arguments: Sequence[Value]) -> Value:
    text, sought = text_of(arguments[0]), text_of(arguments[1])
    return None if text is None or sought is None else int(sought in text)


def _from_millis(arguments: Sequence[Value]) -> Value:
    number = number_of(arguments[0])
    return None if number is None or not MIN_MS <= number <= MAX_MS else Time(number)


def _to_millis(arguments: Sequence[Value]) -> Value:
    return int(arguments[0]) if isinstance(arguments[0], Time) else None


# -- addresses --


def _address(value: Value) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text_of(value) or "")
    except ValueError:
        return None


def _is_address(versions: tuple[int, ...]) -> Function:
    def call(arguments: Sequence[Value]) -> Value:
        address = _address(arguments[0])
        return address is not None and address.version in versions

    return call


def _is_in_subnet(versions: tuple[int, ...]) -> Function:
    def call(arguments: Sequence[Value]) -> Value:
        address = _address(arguments[0])
        try:
            network = ip_network(text_of(arguments[1]) or "", strict=False)
        except ValueError:
            return False
        return address is not None and address.version in versions and address in network

    return call


# Each with the fewest and the most arguments that it takes. bin, datefloor, dateceil, now and ispresent are made by the
# compiler, which knows the row and the time.
MANY = 100
FUNCTIONS: dict[str, tuple[Function, int, int]] = {
    "abs": (_number(abs), 1, 1),
    "ceil": (_number(math.ceil), 1, 1),
    "floor": (_number(math.floor), 1, 1),
    "log": (_number(math.log), 1, 1),
    "sqrt": (_number(math.sqrt), 1, 1),
    "greatest": (_extreme(max), 1, MANY),
    "least": (_extreme(min), 1, MANY),
    "coalesce": (_coalesce, 1, MANY),
    "isempty": (lambda arguments: not text_of(arguments[0]), 1, 1),
    "isblank": (lambda arguments: not (text_of(arguments[0]) or "").strip(), 1, 1),
    "concat": (_concat, 1, MANY),
    "ltrim": (_trim(str.lstrip), 1, 2),
    "rtrim": (_trim(str.rstrip), 1, 2),
    "trim": (_trim(str.strip), 1, 2),
    "strlen": (_text(len), 1, 1),
    "toupper": (_text(str.upper), 1, 1),
    "tolower": (_text(str.lower), 1, 1),
    "substr": (_substr, 2, 3),
    "replace": (_replace, 3, 3),
    "strcontains": (_strcontains, 2, 2),
    "frommillis": (_from_millis, 1, 1),
    "tomillis": (_to_millis, 1, 1),
    "isvalidip": (_is_address((4, 6)), 1, 1),
    "isvalidipv4": (_is_address((4,)), 1, 1),
    "isvalidipv6": (_is_address((6,)), 1, 1),
    "isipinsubnet": (_is_in_subnet((4, 6)), 2, 2),
    "isipv4insubnet": (_is_in_subnet((4,)), 2, 2),
    "isipv6insubnet": (_is_in_subnet((6,)), 2, 2),
}
