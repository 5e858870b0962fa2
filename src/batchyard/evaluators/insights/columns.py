"""Makes functions of expressions: from a batch of records to a column, with the values that compiler.py's have for
each record. An expression that is rare in queries over many records is evaluated row by row."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import add, mul, sub, truediv

from batchyard.evaluators.insights.batches import Batch, mapped, numbers_of
from batchyard.evaluators.insights.compiler import calculated, compare, compile_expression
from batchyard.evaluators.insights.functions import FUNCTIONS
from batchyard.evaluators.insights.nodes import Call, Chain, Compared, Duration, Field, Joined, Like, Literal, Node, Not
from batchyard.evaluators.insights.periods import LENGTH_MS, MAX_MS, Period, Time
from batchyard.evaluators.insights.values import Value, is_true, text_of

EvaluateColumn = Callable[[Batch], Sequence[Value]]


def compile_column(node: Node, now_ms: int) -> EvaluateColumn:
    """Returns the function of an expression that compile_expression() accepts."""
    by_row = compile_expression(node, now_ms)  # refuses what is no expression
    if isinstance(node, Literal):
        value: Value = node.value
        return lambda batch: [value] * batch.size
    if isinstance(node, Field):
        name, parts = node.name, node.parts
        return lambda batch: batch.column(name, parts)
    if isinstance(node, Not):
        negated = compile_column(node.operand, now_ms)
        return lambda batch: [not is_true(value) for value in negated(batch)]
    if isinstance(node, Joined):
        return _joined(node, now_ms)
    if isinstance(node, Compared) and isinstance(node.right, Literal):
        operand, operator, literal = compile_column(node.left, now_ms), node.operator, node.right.value
        return lambda batch: mapped(operand(batch), lambda value: compare(operator, value, literal))
    if isinstance(node, Like):
        return _like(node, now_ms)
    if isinstance(node, Chain):
        return _chain(node, now_ms)
    if isinstance(node, Call):
        found = _call(node, now_ms)
        if found is not None:
            return found
    return lambda batch: [by_row(row) for row in batch.rows()]


def _joined(node: Joined, now_ms: int) -> EvaluateColumn:
    tests = [compile_column(operand, now_ms) for operand in node.operands]
    join = all if node.is_and else any
    return lambda batch: [join(values) for values in zip(*[_truths(test(batch)) for test in tests], strict=True)]


def _truths(values: Sequence[Value]) -> list[bool]:
    return [is_true(value) for value in values]


def _like(node: Like, now_ms: int) -> EvaluateColumn:
    operand, pattern, is_negated = compile_column(node.operand, now_ms), node.pattern, node.is_negated

    def test(batch: Batch) -> Sequence[Value]:
        texts = [text_of(value) for value in operand(batch)]
        if isinstance(pattern, str):
            return [text is not None and (pattern in text) is not is_negated for text in texts]
        found_in = pattern.found_in
        return [text is not None and found_in(text) is not is_negated for text in texts]

    return test


ARITHMETIC: dict[str, Callable[[float, float], float]] = {"+": add, "-": sub, "*": mul, "/": truediv}


def _chain(node: Chain, now_ms: int) -> EvaluateColumn:
    first = compile_column(node.first, now_ms)
    rest = [(operator, compile_column(operand, now_ms)) for operator, operand in node.rest]

    def calculate(batch: Batch) -> Sequence[Value]:
        values = first(batch)
        for operator, operand in rest:
            values = _calculated(operator, values, operand(batch))
        return values

    return calculate


def _calculated(operator: str, left: Sequence[Value], right: Sequence[Value]) -> Sequence[Value]:
    """Returns the results of an operation: at once where there is a number on both sides of each, and its result."""
    ones, others = numbers_of(left), numbers_of(right)
    function = ARITHMETIC.get(operator)
    if function is not None and None not in ones and None not in others:
        try:
            results = list(map(function, map(float, ones), map(float, others)))  # type: ignore[arg-type]
        except (OverflowError, ZeroDivisionError):
            pass
        else:
            if all(map(math.isfinite, results)):
                return results
    return [calculated(operator, one, other) for one, other in zip(ones, others, strict=True)]


def _call(node: Call, now_ms: int) -> EvaluateColumn | None:
    """Returns the function of a call; None: it is made row by row."""
    arguments = node.arguments
    if node.name == "bin" and len(arguments) == 1 and isinstance(arguments[0], Duration):
        return _bin(node, arguments[0].period, now_ms)
    if node.name == "ispresent":
        present = compile_column(arguments[0], now_ms)
        return lambda batch: [value is not None for value in present(batch)]
    entry = FUNCTIONS.get(node.name)
    if entry is None:
        return None
    function = entry[0]
    columns = [compile_column(argument, now_ms) for argument in arguments]
    if len(columns) == 1:
        only = columns[0]
        return lambda batch: mapped(only(batch), lambda value: function([value]))
    return lambda batch: [function(values) for values in zip(*[column(batch) for column in columns], strict=True)]


class _Times(dict[int, Time]):
    """Times by their milliseconds, each made once."""

    def __missing__(self, at_ms: int) -> Time:
        time = self[at_ms] = Time(at_ms)
        return time


def _bin(node: Call, period: Period, now_ms: int) -> EvaluateColumn:
    by_row = compile_expression(node, now_ms)
    length_ms = LENGTH_MS.get(period.unit, 0) * period.number if period.unit != "w" else 0

    def binned(batch: Batch) -> Sequence[Value]:
        times = batch.times
        if not length_ms or "@timestamp" in batch.made or min(times) < 0 or max(times) > MAX_MS:
            return [by_row(row) for row in batch.rows()]
        if max(times) // length_ms == min(times) // length_ms:
            return [Time(times[0] - times[0] % length_ms)] * len(times)
        made = _Times()
        return [made[at_ms - at_ms % length_ms] for at_ms in times]

    return binned
