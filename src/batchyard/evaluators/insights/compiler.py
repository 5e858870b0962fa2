"""Makes functions of expressions: from a row to a value."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NoReturn

from batchyard.evaluators.insights.functions import FUNCTIONS
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
from batchyard.evaluators.insights.periods import MAX_MS, MIN_MS, Period, Time
from batchyard.evaluators.insights.values import SYSTEM_FIELDS, Row, Value, is_true, number_of, text_of

Evaluate = Callable[[Row], Value]


def fail(call: Call, message: str) -> NoReturn:
    raise InvalidQuery(f"{message} (at character {call.start})", call.start, call.end)


def compile_expression(node: Node, now_ms: int) -> Evaluate:
    """Returns the function of an expression without aggregates. Raises InvalidQuery. Its depth is bounded by the
    reader's."""
    if isinstance(node, Literal):
        value: Value = node.value
        return lambda row: value
    if isinstance(node, Field):
        return _field(node)
    if isinstance(node, Joined):
        tests = [compile_expression(operand, now_ms) for operand in node.operands]
        if node.is_and:
            return lambda row: all(is_true(test(row)) for test in tests)
        return lambda row: any(is_true(test(row)) for test in tests)
    if isinstance(node, Not):
        negated = compile_expression(node.operand, now_ms)
        return lambda row: not is_true(negated(row))
    if isinstance(node, Compared):
        return _compared(node, now_ms)
    if isinstance(node, Like):
        return _like(node, now_ms)
    if isinstance(node, Within):
        return _within(node, now_ms)
    if isinstance(node, Negative):
        operand = compile_expression(node.operand, now_ms)
        return lambda row: calculated("-", 0.0, operand(row))
    if isinstance(node, Chain):
        return _chain(node, now_ms)
    if isinstance(node, Call):
        return _call(node, now_ms)
    what = "*" if isinstance(node, Star) else f"The period {node.period.number}{node.period.unit}"
    raise InvalidQuery(f"{what} is an argument of a function, and no value", 0, 0)


def _field(node: Field) -> Evaluate:
    name, parts = node.name, node.parts
    system = SYSTEM_FIELDS.get(name)
    if system is None:
        return lambda row: row.field(name, parts)

    def read(row: Row) -> Value:
        if row.record is None or name in row.values:
            return row.values.get(name)
        return system(row.record)

    return read


# -- comparisons --


def compare(operator: str, left: Value, right: Value) -> bool:
    """Compares as numbers where both are, else as texts. What is missing is neither equal nor unequal."""
    if left is None or right is None:
        return False
    one, other = number_of(left), number_of(right)
    if one is not None and other is not None:
        return _ordered(operator, one, other)
    if (one is None) != (other is None) and operator not in ("=", "!="):
        return False
    return _ordered(operator, text_of(left) or "", text_of(right) or "")


def _ordered(operator: str, one: float | str, other: float | str) -> bool:
    if operator == "=":
        return one == other
    if operator == "!=":
        return one != other
    if isinstance(one, str) or isinstance(other, str):
        one, other = str(one), str(other)
        return {"<": one < other, "<=": one <= other, ">": one > other, ">=": one >= other}[operator]
    return {"<": one < other, "<=": one <= other, ">": one > other, ">=": one >= other}[operator]


def _compared(node: Compared, now_ms: int) -> Evaluate:
    left, right = compile_expression(node.left, now_ms), compile_expression(node.right, now_ms)
    operator = node.operator
    return lambda row: compare(operator, left(row), right(row))


def _like(node: Like, now_ms: int) -> Evaluate:
    operand, pattern, is_negated = compile_expression(node.operand, now_ms), node.pattern, node.is_negated
    contains: Callable[[str], bool]
    if isinstance(pattern, str):
        sought = pattern

        def contains(text: str) -> bool:
            return sought in text

    else:
        contains = pattern.found_in

    def test(row: Row) -> bool:
        text = text_of(operand(row))
        return text is not None and contains(text) is not is_negated

    return test


def _within(node: Within, now_ms: int) -> Evaluate:
    operand = compile_expression(node.operand, now_ms)
    items = [compile_expression(item, now_ms) for item in node.items]
    is_negated = node.is_negated

    def test(row: Row) -> bool:
        value = operand(row)
        return value is not None and any(compare("=", value, item(row)) for item in items) is not is_negated

    return test


# -- arithmetic --


def _chain(node: Chain, now_ms: int) -> Evaluate:
    first = compile_expression(node.first, now_ms)
    rest = [(operator, compile_expression(operand, now_ms)) for operator, operand in node.rest]

    def calculate(row: Row) -> Value:
        value = first(row)
        for operator, operand in rest:
            value = calculated(operator, value, operand(row))
        return value

    return calculate


def calculated(operator: str, left: Value, right: Value) -> Value:
    """Returns the result of an operation on two numbers, None where there is none."""
    one, other = number_of(left), number_of(right)
    if one is None or other is None:
        return None
    try:
        result = _result(operator, float(one), float(other))
    except (OverflowError, ZeroDivisionError):
        return None
    return result if isinstance(result, float) and math.isfinite(result) else None  # a root may be complex


def _result(operator: str, one: float, other: float) -> object:
    if operator == "+":
        return one + other
    if operator == "-":
        return one - other
    if operator == "*":
        return one * other
    if operator == "/":
        return one / other
    if operator == "%":
        return math.fmod(one, other) if other else None
    return one**other


# -- functions --


def _call(node: Call, now_ms: int) -> Evaluate:
    if node.name in TIMES:
        return _rounded(node, now_ms)
    if node.name == "now":
        check_count(node, 0, 0)
        return lambda row: Time(now_ms)
    if node.name == "ispresent":
        check_count(node, 1, 1)
        present = compile_expression(node.arguments[0], now_ms)
        return lambda row: present(row) is not None
    entry = FUNCTIONS.get(node.name)
    if entry is None:
        fail(node, f"There is no function {node.name} here")
    function, fewest, most = entry
    check_count(node, fewest, most)
    arguments = [compile_expression(argument, now_ms) for argument in node.arguments]
    return lambda row: function([argument(row) for argument in arguments])


def check_count(node: Call, fewest: int, most: int) -> None:
    if not fewest <= len(node.arguments) <= most:
        counts = str(fewest) if fewest == most else f"{fewest} to {most}"
        fail(node, f"{node.name} takes {counts} arguments, and has {len(node.arguments)}")


TIMES: dict[str, Callable[[Period, int], Time]] = {
    "bin": Period.floor,
    "datefloor": Period.floor,
    "dateceil": Period.ceil,
}


def _rounded(node: Call, now_ms: int) -> Evaluate:
    """bin(5m) rounds the row's own time; datefloor(t, 5m) and dateceil(t, 5m) any."""
    check_count(node, 1, 2) if node.name == "bin" else check_count(node, 2, 2)
    period = node.arguments[-1]
    if not isinstance(period, Duration):
        fail(node, f"{node.name} takes a period such as 5m")
    source: Node = node.arguments[0] if len(node.arguments) == 2 else Field("@timestamp", ("@timestamp",))
    read, round_to, length = compile_expression(source, now_ms), TIMES[node.name], period.period

    def rounded(row: Row) -> Value:
        at_ms = number_of(read(row))
        return None if at_ms is None or not MIN_MS <= at_ms <= MAX_MS else round_to(length, int(at_ms))

    return _binned(length, rounded) if node.name == "bin" and len(node.arguments) == 1 else rounded


def _binned(length: Period, rounded: Evaluate) -> Evaluate:
    """bin(5m): neighbours are mostly in one period, which is worked out once for them."""
    first_ms, end_ms, period = 0, 0, Time(0)

    def binned(row: Row) -> Value:
        nonlocal first_ms, end_ms, period
        record = row.record
        if record is None or "@timestamp" in row.values:
            return rounded(row)
        at_ms = record.at_ms
        if not first_ms <= at_ms < end_ms:
            if not 0 <= at_ms <= MAX_MS:
                return rounded(row)
            period = length.floor(at_ms)
            first_ms, end_ms = period, max(at_ms + 1, length.ceil(at_ms))
        return period

    return binned


def required_texts(nodes: Sequence[Node]) -> list[str]:
    """Returns texts that the message of every record has that passes these filters: storage may look for them first."""
    found: list[str] = []
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if isinstance(node, Joined) and node.is_and:
            waiting += node.operands
        elif isinstance(node, Like) and not node.is_negated and node.operand == Field("@message", ("@message",)):
            text = node.pattern if isinstance(node.pattern, str) else node.pattern.literal
            found += [text] if text else []
    return found
