"""Evaluates the queries of one GetMetricData or alarm together: metrics, and expressions over them (spec 10)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from batchyard.evaluators.metrics import math_functions
from batchyard.evaluators.metrics.math_functions import Argument, Keyword, Range
from batchyard.evaluators.metrics.math_parser import (
    Array,
    Binary,
    Call,
    InvalidMath,
    Name,
    Node,
    Number,
    Text,
    Unary,
    calls_in,
    names_in,
)
from batchyard.evaluators.metrics.math_values import Series, Value, array_of, binary, mapped

ID = re.compile(r"[a-z][a-zA-Z0-9_]{0,254}", re.ASCII)
MAX_ALARM_QUERIES = 10  # AWS's own


class MetricQuery(NamedTuple):
    """What of a query its default label is made of."""

    metric_name: str
    statistic: str
    period_s: int


def order_of(expressions: Mapping[str, Node], metrics: Collection[str]) -> list[str]:
    """Returns the ids of expressions so that each comes after those it uses. Raises InvalidMath for unknown ids and for
    circles."""
    uses = {}
    for name, node in expressions.items():
        uses[name] = names_in(node)
        for used in sorted(uses[name]):
            if used not in expressions and used not in metrics:
                raise InvalidMath(f"The expression {name} uses {used}, which is the id of no metric or expression.")
        uses[name] &= expressions.keys()
    order: list[str] = []
    waiting = dict(uses)
    while waiting:
        ready = [name for name, used in waiting.items() if not used & waiting.keys()]
        if not ready:
            raise InvalidMath(f"The expressions {', '.join(sorted(waiting))} use each other in a circle.")
        for name in ready:
            del waiting[name]
        order += ready
    return order


def evaluate(
    expressions: Mapping[str, Node], metrics: Mapping[str, Series], asked: Range
) -> dict[str, tuple[Series, ...] | InvalidMath]:
    """Returns the series of each expression, or why it has none. A number alone is no result, though others may use it.
    Metrics carry their ids. Raises InvalidMath for unknown ids and circles."""
    values: dict[str, Value] = dict(metrics)
    results: dict[str, tuple[Series, ...] | InvalidMath] = {}
    for name in order_of(expressions, metrics.keys()):
        broken = next((used for used in sorted(names_in(expressions[name])) if used not in values), None)
        try:
            if broken is not None:
                raise InvalidMath(f"The expression uses {broken}, which has no value.")
            value = _value(expressions[name], values, metrics, asked)
        except InvalidMath as error:
            results[name] = error
            continue
        values[name] = _named(value, name)
        if isinstance(value, float):
            results[name] = InvalidMath("The expression is a number, and has to be a series or an array of series.")
        else:
            results[name] = array_of([values[name]])
    return results


def _named(value: Value, name: str) -> Value:
    """Returns the value of an expression as its own. Series of an array keep the labels of what they are of."""
    if isinstance(value, float):
        return value
    if isinstance(value, Series):
        return replace(value, id=name, label=name)
    return tuple(replace(one, id=name, label=one.label or name) for one in value)


def _value(node: Node, values: Mapping[str, Value], metrics: Mapping[str, Series], asked: Range) -> Value:
    """Returns the value of a node. Its depth is bounded by the parser's."""
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Name):
        if node.name not in values:
            raise InvalidMath(f"{node.name} is the id of no metric or expression.")
        return values[node.name]
    if isinstance(node, Unary):
        return mapped(lambda point: -point, _value(node.operand, values, metrics, asked))
    if isinstance(node, Array):
        return array_of(_value(item, values, metrics, asked) for item in node.items)
    if isinstance(node, Binary):
        # A chain of operators is as deep as it is long: its left side is followed in a loop.
        chain: list[Binary] = []
        left: Node = node
        while isinstance(left, Binary):
            chain.append(left)
            left = left.left
        value = _value(left, values, metrics, asked)
        for link in reversed(chain):
            value = binary(link.operator, value, _value(link.right, values, metrics, asked))
        return value
    if isinstance(node, Call):
        if node.name == "METRICS":
            return _metrics(node.arguments, metrics)
        arguments: list[Argument] = []
        for argument in node.arguments:
            if isinstance(argument, Name) and argument.name.isupper():
                arguments.append(Keyword(argument.name))
            else:
                arguments.append(_value(argument, values, metrics, asked))
        return math_functions.call(node.name, arguments, asked)
    raise InvalidMath(f"The text {node.value!r} is an argument of METRICS alone.")


def _metrics(arguments: Sequence[Node], metrics: Mapping[str, Series]) -> Value:
    if not arguments:
        return array_of(metrics.values())
    if len(arguments) > 1 or not isinstance(arguments[0], Text):
        raise InvalidMath('METRICS takes nothing, or one text of ids: METRICS("errors").')
    return array_of(series for name, series in metrics.items() if arguments[0].value in name)


class AlarmQuery(NamedTuple):
    """One member of an alarm's Metrics: a metric, or an expression. `period_s`: None where it has none of its own."""

    id: str
    expression: Node | None
    period_s: int | None
    returns_data: bool


def check_alarm_queries(queries: Sequence[AlarmQuery]) -> None:
    """Raises InvalidMath for Metrics that no alarm may have: more than ten, two periods, not one result."""
    if len(queries) > MAX_ALARM_QUERIES:
        raise InvalidMath(f"An alarm has at most {MAX_ALARM_QUERIES} metrics and expressions, not {len(queries)}.")
    wrong = [query.id for query in queries if not ID.fullmatch(query.id)]
    if wrong or len({query.id for query in queries}) < len(queries):
        raise InvalidMath("Ids begin with a lower-case letter, have letters, digits and _ after it, and differ.")
    if sum(query.returns_data for query in queries) != 1:
        raise InvalidMath("Exactly one metric or expression of an alarm has ReturnData true.")
    if len({query.period_s for query in queries if query.period_s is not None}) > 1:
        raise InvalidMath("All metrics of an alarm have the same period.")
    expressions = {query.id: query.expression for query in queries if query.expression is not None}
    check_alarm_expressions(expressions, {query.id for query in queries if query.expression is None})


def check_alarm_expressions(expressions: Mapping[str, Node], metrics: Collection[str]) -> None:
    """Raises InvalidMath for what cannot be evaluated whatever the data: unknown functions, ids, and circles."""
    order_of(expressions, metrics)
    for name, node in expressions.items():
        for called in sorted(calls_in(node)):
            if called != "METRICS" and called not in math_functions.FUNCTIONS:
                raise InvalidMath(f"The expression {name} calls {called}, and there is no such function.")


def default_labels(queries: Sequence[MetricQuery]) -> list[str]:
    """Returns the labels of metrics that have none: the name, with statistic and period where these differ between the
    queries (spec 9.2)."""
    has_statistics = len({query.statistic for query in queries}) > 1
    has_periods = len({query.period_s for query in queries}) > 1
    return [
        " ".join(
            part
            for part, is_shown in (
                (query.metric_name, True),
                (query.statistic, has_statistics),
                (str(query.period_s), has_periods),
            )
            if is_shown
        )
        for query in queries
    ]
