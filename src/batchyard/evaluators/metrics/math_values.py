"""Values of metric math: numbers, series, arrays of series; and what operators make of them (spec 10)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from batchyard.evaluators.metrics.math_parser import InvalidMath

MAX_SERIES = 500  # in one array: ids in arrays of ids would multiply without end


class Series(Struct, frozen=True):
    """Datapoints by second, in ascending order. `id` and `label` say which metric or expression they are of."""

    points: Mapping[int, float]
    period_s: int = 60
    id: str = ""
    label: str = ""


Value = float | Series | tuple[Series, ...]
Operation = Callable[[float, float], float | None]


def series_of(points: Iterable[tuple[int, float | None]], like: Series) -> Series:
    """Returns a series of the points that are numbers, in the order of time."""
    kept = {at: value for at, value in points if value is not None and math.isfinite(value)}
    return replace(like, points=dict(sorted(kept.items())))


def kind_of(value: Value) -> str:
    return "a number" if isinstance(value, float) else "a series" if isinstance(value, Series) else "an array of series"


def array_of(values: Iterable[Value]) -> tuple[Series, ...]:
    """Returns the series of arrays and series as one array."""
    found: list[Series] = []
    for value in values:
        if isinstance(value, float):
            raise InvalidMath("An array holds series, and no numbers.")
        found += [value] if isinstance(value, Series) else value
        if len(found) > MAX_SERIES:
            raise InvalidMath(f"An array has more than {MAX_SERIES} series.")
    return tuple(found)


def binary(operator: str, left: Value, right: Value) -> Value:
    """Applies an operator. A time that one of two series lacks counts as 0 there."""
    operation = OPERATIONS[operator]
    if isinstance(left, tuple) or isinstance(right, tuple):
        if isinstance(left, tuple) and isinstance(right, tuple):
            raise InvalidMath(f"{operator} takes one array at most.")
        pairs = [(one, right) for one in left] if isinstance(left, tuple) else [(left, one) for one in _tuple(right)]
        return array_of(binary(operator, one, other) for one, other in pairs)
    if isinstance(left, float) and isinstance(right, float):
        value = operation(left, right)
        if value is None or not math.isfinite(value):
            raise InvalidMath(f"{left:g} {operator} {right:g} is no number.")
        return value
    if isinstance(left, Series) and isinstance(right, Series):
        times = left.points.keys() | right.points.keys()
        points = ((at, operation(left.points.get(at, 0.0), right.points.get(at, 0.0))) for at in times)
        return series_of(points, replace(left, period_s=max(left.period_s, right.period_s)))
    if isinstance(left, Series) and isinstance(right, float):
        return series_of(((at, operation(value, right)) for at, value in left.points.items()), left)
    assert isinstance(left, float)
    assert isinstance(right, Series)
    return series_of(((at, operation(left, value)) for at, value in right.points.items()), right)


def _tuple(value: Value) -> tuple[Series, ...]:
    assert isinstance(value, tuple)
    return value


def mapped(function: Callable[[float], float | None], value: Value) -> Value:
    """Applies a function to a number, or to every point of a series or array. What is no number is dropped."""
    if isinstance(value, float):
        result = function(value)
        if result is None or not math.isfinite(result):
            raise InvalidMath("The result is no number.")
        return result
    if isinstance(value, Series):
        return series_of(((at, function(point)) for at, point in value.points.items()), value)
    return tuple(series_of(((at, function(point)) for at, point in one.points.items()), one) for one in value)


def _power(base: float, exponent: float) -> float | None:
    try:
        result = base**exponent
    except (OverflowError, ZeroDivisionError):
        return None
    return result if isinstance(result, float) else None  # a root of a negative number is complex


OPERATIONS: dict[str, Operation] = {
    "+": lambda one, other: one + other,
    "-": lambda one, other: one - other,
    "*": lambda one, other: one * other,
    "/": lambda one, other: one / other if other else None,
    "^": _power,
    "==": lambda one, other: float(one == other),
    "!=": lambda one, other: float(one != other),
    "<": lambda one, other: float(one < other),
    "<=": lambda one, other: float(one <= other),
    ">": lambda one, other: float(one > other),
    ">=": lambda one, other: float(one >= other),
    "AND": lambda one, other: float(bool(one) and bool(other)),
    "OR": lambda one, other: float(bool(one) or bool(other)),
}
