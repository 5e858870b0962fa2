"""Reads match expressions, the objects in a pattern's arrays (`{"prefix": "a"}`), with AWS's texts of refusals."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any, NoReturn

from batchyard.evaluators.events import conditions
from batchyard.evaluators.events.conditions import Test
from batchyard.evaluators.glob import Glob
from batchyard.evaluators.json_text import JsonNumber, Members

ONE_KEY = "Only one key allowed in match expression"
TOO_MANY_ELEMENTS = "Too many elements in numeric expression"  # AWS says so of other operators too
MAX_REPEATED_SEGMENTS = 3  # equal texts between stars in one wildcard: AWS refuses "*:*:*:*:*:event-bus/*"
MAX_STARS_WITH_REPEATS = 8  # stars in one wildcard that repeats any text: AWS's own threshold is unpublished
TOO_COMPLEX = (
    "Rule is too complex - try using fewer wildcard characters or fewer repeating character sequences after a "
    "wildcard character"
)
IPV4_BITS, IPV6_BITS = 32, 128


class InvalidExpression(Exception):
    """A match expression that AWS refuses. `reason`: AWS's text."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def fail(reason: str) -> NoReturn:
    raise InvalidExpression(reason)


def token_text(value: Any) -> str:
    """Returns a value of a pattern as AWS's texts show it: its first token."""
    if isinstance(value, Members):
        return "{"
    if isinstance(value, list):
        return "["
    if isinstance(value, JsonNumber):
        return value.text
    return {True: "true", False: "false", None: "null"}[value] if not isinstance(value, str) else value


def read_expression(members: Members, *, is_sns: bool) -> Test | float | bool:
    """Returns what an expression asks: a test, the number it has to equal, or False for `exists: false`.

    `is_sns`: as filter policies of topics have it, where `anything-but` knows prefixes alone (spec 8.4)."""
    if not members:
        fail("Match expression name not found")
    name, argument = members[0]
    reader = READERS.get(name)
    if reader is None:
        if name != "anything-but":
            fail(f"Unrecognized match type {name}")
        found: Test | float | bool = anything_but(argument, is_sns=is_sns)
    else:
        found = reader(argument)
    if len(members) > 1:
        fail(TOO_MANY_ELEMENTS if name in ("numeric", "anything-but") else ONE_KEY)
    return found


# -- texts --


def prefix(argument: Any) -> Test:
    if isinstance(argument, Members):
        return conditions.starts_with_ignoring_case(_ignoring_case(argument, "Prefix"))
    if not isinstance(argument, str):
        fail("prefix match pattern must be a string")
    return conditions.starts_with((argument,))


def suffix(argument: Any) -> Test:
    if isinstance(argument, Members):
        return conditions.ends_with_ignoring_case(_ignoring_case(argument, "Suffix"))
    if not isinstance(argument, str):
        fail("suffix match pattern must be a string")
    return conditions.ends_with((argument,))


def _ignoring_case(members: Members, kind: str) -> str:
    """Returns the text of `{"equals-ignore-case": text}`, the one object that a prefix or suffix may be."""
    if not members:
        fail(f"{kind} expression name not found")
    name, text = members[0]
    if name != "equals-ignore-case":
        fail(f"Unsupported {kind.lower()} pattern: {name}")
    if not isinstance(text, str):
        fail("equals-ignore-case match pattern must be a string")
    if len(members) > 1:
        fail(ONE_KEY)
    return text


def equals_ignore_case(argument: Any) -> Test:
    if not isinstance(argument, str):
        fail("equals-ignore-case match pattern must be a string")
    return conditions.equals_ignoring_case((argument,))


def wildcard(argument: Any) -> Test:
    if not isinstance(argument, str):
        fail("wildcard match pattern must be a string")
    return conditions.matches_glob((read_wildcard(argument),))


def read_wildcard(text: str) -> Glob:
    r"""Returns the glob of a wildcard: `\*` and `\\` are characters. Positions in texts count bytes, quote first."""
    segments, segment, at = [], "", 0
    while at < len(text):
        character, following = text[at], text[at + 1 : at + 2]
        if character == "*" and following == "*":
            fail(f"Consecutive wildcard characters at pos {_byte_position(text, at)}")
        if character == "\\":
            if following not in ("*", "\\"):
                fail(f"Invalid escape character at pos {_byte_position(text, at)}")
            segment += following
            at += 1
        elif character == "*":
            segments.append(segment)
            segment = ""
        else:
            segment += character
        at += 1
    segments.append(segment)
    between = [part for part in segments[1:-1] if part]
    repeats = max((between.count(part) for part in set(between)), default=0)
    if repeats > MAX_REPEATED_SEGMENTS or (repeats > 1 and len(segments) - 1 > MAX_STARS_WITH_REPEATS):
        fail(TOO_COMPLEX)
    return Glob(tuple(segments))


def _byte_position(text: str, at: int) -> int:
    return len(text[:at].encode(errors="surrogatepass")) + 1


# -- numbers, presence, addresses --


def numeric(argument: Any) -> Test | float:
    if not isinstance(argument, list) or isinstance(argument, Members):
        fail("Value of numeric must be an array.")
    if not argument or not isinstance(argument[0], str):
        fail(f"Invalid member in numeric match: {token_text(argument[0]) if argument else ']'}")
    operator, values = argument[0], argument[1:]
    if operator not in ("=", ">=", ">", "<=", "<"):
        fail(f"Unrecognized numeric range operator: {operator}")
    if not values or not isinstance(values[0], JsonNumber):
        fail(f"Value of {'equals' if operator == '=' else operator} must be numeric")
    number = _comparable(values[0])
    if operator in ("=", "<=", "<"):
        if len(values) > 1:
            fail(TOO_MANY_ELEMENTS)
        if operator == "=":
            return number
        return conditions.is_between(None, number, includes_top=operator == "<=")
    if len(values) == 1:
        return conditions.is_between(number, None, includes_bottom=operator == ">=")
    return _range(number, operator == ">=", values[1:])


def _comparable(number: JsonNumber) -> float:
    if isinstance(number.value, int):
        fail(f"Cannot compare number : {number.text}")
    return float(number)


def _range(bottom: float, includes_bottom: bool, values: Sequence[Any]) -> Test:
    operator = values[0]
    if not isinstance(operator, str):
        fail(f"Bad value in numeric range: {token_text(operator)}")
    if operator not in ("<", "<="):
        fail(f"Bad numeric range operator: {operator}")
    if len(values) < 2 or not isinstance(values[1], JsonNumber):
        fail(f"Value of {operator} must be numeric")
    if len(values) > 2:
        fail("Too many terms in numeric range expression")
    top = _comparable(values[1])
    if not bottom < top:
        fail("Bottom must be less than top")
    return conditions.is_between(bottom, top, includes_bottom=includes_bottom, includes_top=operator == "<=")


def exactly(argument: Any) -> Test:
    if not isinstance(argument, str):
        fail("exact match pattern must be a string")
    return conditions.is_string_of((argument,))


def exists(argument: Any) -> Test | bool:
    if argument is True:
        return conditions.is_there
    if argument is False:
        return False
    fail("exists match pattern must be either true or false.")


def cidr(argument: Any) -> Test:
    if not isinstance(argument, str):
        fail("prefix match pattern must be a string")
    parts = argument.rstrip("/").split("/")
    if len(parts) != 2:
        fail("Malformed CIDR, one '/' required")
    digits = parts[1].removeprefix("+").removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        fail("Malformed CIDR, mask bits must be an integer")
    if parts[1].startswith("-") and int(digits):
        fail("Malformed CIDR, mask bits must not be negative")
    address, bits = parts[0], int(digits) if len(digits) < 10 else IPV6_BITS
    is_v6 = ":" in address
    allowed = "0123456789abcdefABCDEF:" if is_v6 else "0123456789."
    if set(address) - set(allowed) or (not is_v6 and (address.count(".") != 3 or not all(address.split(".")))):
        fail(f"Nonstandard IP address: {address}")
    most = IPV6_BITS if is_v6 else IPV4_BITS
    try:
        network = ip_network(f"{address}/{min(bits, most)}", strict=False)
    except ValueError as error:
        raise InvalidExpression(f"Invalid IP address: {address}") from error
    if bits >= most:
        fail(f"IPv{6 if is_v6 else 4} mask bits must be < {most}")
    return conditions.is_inside(network)


# -- anything-but --


def anything_but(argument: Any, *, is_sns: bool) -> Test:
    if isinstance(argument, Members):
        return _anything_but_expression(argument, is_sns=is_sns)
    if isinstance(argument, str):
        return conditions.unless(conditions.is_string_of((argument,)))
    if isinstance(argument, JsonNumber):
        return conditions.unless(conditions.is_number_of((argument.value,)))
    if not isinstance(argument, list):
        fail("Value of anything-but must be an array or single string/number value.")
    if not all(isinstance(value, str | JsonNumber) for value in argument):
        fail("Inside anything but list, start|null|boolean is not supported.")
    numbers = [value.value for value in argument if isinstance(value, JsonNumber)]
    texts = [value for value in argument if isinstance(value, str)]
    if bool(numbers) == bool(texts):
        fail("Inside anything but list, either all values are number or string, mixed type is not supported")
    return conditions.unless(conditions.is_number_of(numbers) if numbers else conditions.is_string_of(texts))


def _anything_but_expression(members: Members, *, is_sns: bool) -> Test:
    if not members:
        fail("Anything-But expression name not found")
    name, argument = members[0]
    if name not in (("prefix",) if is_sns else ("equals-ignore-case", "prefix", "suffix", "wildcard")):
        fail(f"Unsupported anything-but pattern: {name}")
    if is_sns and not isinstance(argument, str):
        fail("prefix match pattern must be a string")
    if not isinstance(argument, str | JsonNumber | list) or isinstance(argument, Members):
        fail("Value of anything-but must be an array or single string/number value.")
    texts: list[str] = []
    for text in argument if isinstance(argument, list) else [argument]:
        if not isinstance(text, str):
            fail(NOT_A_STRING[name])
        if not text and name in ("prefix", "suffix"):
            fail("Null prefix/suffix not allowed")
        texts.append(text)
    if len(members) > 1:
        fail(TOO_MANY_ELEMENTS)
    if name == "equals-ignore-case":
        return conditions.unless(conditions.equals_ignoring_case(texts))
    if name == "wildcard":
        return conditions.unless(conditions.matches_glob(tuple(map(read_wildcard, texts))))
    ends = conditions.starts_with if name == "prefix" else conditions.ends_with
    return conditions.unless(ends(tuple(texts)))


NOT_A_STRING = {
    "equals-ignore-case": "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported.",
    "wildcard": "wildcard match pattern must be a string",
    "prefix": "prefix/suffix match pattern must be a string",
    "suffix": "prefix/suffix match pattern must be a string",
}
READERS = {
    "exactly": exactly,
    "prefix": prefix,
    "suffix": suffix,
    "equals-ignore-case": equals_ignore_case,
    "wildcard": wildcard,
    "numeric": numeric,
    "exists": exists,
    "cidr": cidr,
}
