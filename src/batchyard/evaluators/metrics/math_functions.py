"""Functions of metric math (spec 10)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from batchyard.evaluators.metrics.math_parser import InvalidMath
from batchyard.evaluators.metrics.math_values import Series, Value, array_of, kind_of, mapped, series_of


class Keyword(NamedTuple):
    """A bare word among arguments, such as REPEAT or ASC."""

    word: str


class Range(NamedTuple):
    """The periods that are asked for: [start_s, end_s) in steps of period_s."""

    start_s: int
    end_s: int
    period_s: int

    def times(self) -> range:
        return range(self.start_s - self.start_s % self.period_s, self.end_s, self.period_s)


Argument = Value | Keyword
Function = Callable[[Sequence[Argument], Range], Value]


def call(name: str, arguments: Sequence[Argument], asked: Range) -> Value:
    """Returns the value of a function. Raises InvalidMath."""
    entry = FUNCTIONS.get(name)
    if entry is None:
        raise InvalidMath(f"There is no function {name}.")
    function, fewest, most = entry
    if not fewest <= len(arguments) <= most:
        counts = str(fewest) if fewest == most else f"{fewest} to {most}"
        raise InvalidMath(f"{name} takes {counts} arguments, and has {len(arguments)}.")
    try:
        return function(arguments, asked)
    except _Unfit as error:
        raise InvalidMath(f"{name} takes {error}.") from error


# -- arguments --


class _Unfit(Exception):
    """An argument of another kind than the function takes."""


def _one(argument: Argument) -> Value:
    if isinstance(argument, Keyword):
        raise _Unfit(f"no keyword {argument.word}")
    return argument


def _series(argument: Argument) -> Series:
    if not isinstance(argument, Series):
        raise _Unfit(f"one series, and has {_kind(argument)}")
    return argument


def _number(argument: Argument) -> float:
    if not isinstance(argument, float):
        raise _Unfit(f"a number, and has {_kind(argument)}")
    return argument


def _index(argument: Argument) -> int:
    number = _number(argument)
    if number < 0 or number != int(number):
        raise _Unfit(f"a whole number of at least 0, and has {number:g}")
    return int(number)


def _array(argument: Argument) -> tuple[Series, ...]:
    value = _one(argument)
    if isinstance(value, float):
        raise _Unfit("series, and has a number")
    return array_of([value])


def _word(argument: Argument, *words: str) -> str:
    if not isinstance(argument, Keyword) or argument.word not in words:
        raise _Unfit(f"one of {', '.join(words)}")
    return argument.word


def _kind(argument: Argument) -> str:
    return f"the keyword {argument.word}" if isinstance(argument, Keyword) else kind_of(argument)


# -- statistics --


def _stddev(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))


STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {
    "AVG": lambda values: math.fsum(values) / len(values),
    "MAX": max,
    "MIN": min,
    "SUM": math.fsum,
    "STDDEV": _stddev,
    "DATAPOINT_COUNT": lambda values: float(len(values)),
}


def _statistic(name: str) -> Function:
    """A statistic of one series is a number, of an array a series over what it has at each time."""
    statistic = STATISTICS[name]

    def function(arguments: Sequence[Argument], asked: Range) -> Value:
        value = _one(arguments[0])
        if isinstance(value, float):
            raise _Unfit("series, and has a number")
        if isinstance(value, Series):
            if not value.points:
                if name in ("DATAPOINT_COUNT", "SUM"):
                    return 0.0
                raise InvalidMath(f"{name} of a series without datapoints is no number.")
            return statistic(list(value.points.values()))
        at: dict[int, list[float]] = {}
        for one in value:
            for time, point in one.points.items():
                at.setdefault(time, []).append(point)
        return series_of(((time, statistic(points)) for time, points in at.items()), Series({}, asked.period_s))

    return function


# -- one series to another --


def _each(change: Callable[[Series], Iterable[tuple[int, float | None]]]) -> Function:
    def function(arguments: Sequence[Argument], asked: Range) -> Value:
        value = _one(arguments[0])
        if isinstance(value, float):
            raise _Unfit("series, and has a number")
        if isinstance(value, Series):
            return series_of(change(value), value)
        return tuple(series_of(change(one), one) for one in value)

    return function


def _steps(series: Series) -> Iterable[tuple[int, int, float]]:
    """Yields (time, seconds since the point before, difference to it): none for the first point."""
    before: tuple[int, float] | None = None
    for at, value in series.points.items():
        if before is not None:
            yield at, at - before[0], value - before[1]
        before = (at, value)


def _running_sum(series: Series) -> Iterable[tuple[int, float]]:
    total = 0.0
    for at, value in series.points.items():
        total += value
        yield at, total


def _map(function: Callable[[float], float | None]) -> Function:
    return lambda arguments, asked: mapped(function, _one(arguments[0]))


def _logarithm(function: Callable[[float], float]) -> Callable[[float], float | None]:
    return lambda value: function(value) if value > 0 else None


def _calendar(part: Callable[[datetime], float]) -> Function:
    """A value for every period of the range, whatever the series has."""

    def function(arguments: Sequence[Argument], asked: Range) -> Value:
        series = _series(arguments[0])
        return series_of(((at, float(part(datetime.fromtimestamp(at, UTC)))) for at in asked.times()), series)

    return function


def _time_series(arguments: Sequence[Argument], asked: Range) -> Value:
    number = _number(arguments[0])
    return Series(dict.fromkeys(asked.times(), number), asked.period_s)


# -- choices --


def _if(arguments: Sequence[Argument], asked: Range) -> Value:
    """IF(condition, then[, else]) by the guide's tables: true with a missing `then` is 0, false with a missing `else`
    is dropped, and so is a missing condition. A number as condition picks a whole value."""
    condition, then = _one(arguments[0]), _one(arguments[1])
    otherwise = _one(arguments[2]) if len(arguments) == 3 else None
    for value in (then, otherwise):
        if isinstance(value, tuple):
            raise _Unfit("no arrays as results")
    if isinstance(condition, tuple):
        return tuple(_chosen(one, then, otherwise) for one in condition)
    if isinstance(condition, float):
        if condition:
            return then
        return otherwise if otherwise is not None else Series({}, asked.period_s)
    return _chosen(condition, then, otherwise)


def _chosen(condition: Series, then: Value, otherwise: Value | None) -> Series:
    def point(at: int, value: float) -> float | None:
        chosen = then if value else otherwise
        if isinstance(chosen, Series):
            return chosen.points.get(at, 0.0 if value else None)
        assert chosen is None or isinstance(chosen, float)
        return chosen

    return series_of(((at, point(at, value)) for at, value in condition.points.items()), condition)


def _fill(arguments: Sequence[Argument], asked: Range) -> Value:
    value, filler = _one(arguments[0]), arguments[1]
    if isinstance(filler, Keyword):
        _word(filler, "REPEAT", "LINEAR")
    elif isinstance(filler, tuple):
        raise _Unfit("a number, a series, REPEAT or LINEAR to fill with")
    if isinstance(value, tuple):
        return tuple(_filled(one, filler, asked) for one in value)
    return _filled(_series(value), filler, asked)


def _filled(series: Series, filler: Keyword | float | Series, asked: Range) -> Series:
    points = dict(series.points)
    missing = [at for at in asked.times() if at not in points]
    if isinstance(filler, float):
        return series_of([*points.items(), *((at, filler) for at in missing)], series)
    if isinstance(filler, Series):
        return series_of([*points.items(), *((at, filler.points.get(at)) for at in missing)], series)
    known = list(points.items())
    filled: list[tuple[int, float | None]] = []
    position = 0  # of the first known point after `at`
    for at in missing:
        while position < len(known) and known[position][0] < at:
            position += 1
        before = known[position - 1] if position else None
        after = known[position] if position < len(known) else None
        if before is not None and filler.word == "REPEAT":
            filled.append((at, before[1]))
        elif before is not None and after is not None:
            share = (at - before[0]) / (after[0] - before[0])
            filled.append((at, before[1] + (after[1] - before[1]) * share))
    return series_of([*known, *filled], series)


# -- arrays --


def _slice(arguments: Sequence[Argument], asked: Range) -> Value:
    array, start = _array(arguments[0]), _index(arguments[1])
    if len(arguments) == 3:
        return array[start : _index(arguments[2])]
    return array[start] if start < len(array) else ()


def _sort(arguments: Sequence[Argument], asked: Range) -> Value:
    array = _array(arguments[0])
    statistic = STATISTICS[_word(arguments[1], "AVG", "MIN", "MAX", "SUM")]
    is_descending = _word(arguments[2], "ASC", "DESC") == "DESC"
    full = [one for one in array if one.points]
    full.sort(key=lambda one: statistic(list(one.points.values())), reverse=is_descending)
    found = (*full, *(one for one in array if not one.points))
    return found[: _index(arguments[3])] if len(arguments) == 4 else found


def _end(index: int) -> Function:
    def function(arguments: Sequence[Argument], asked: Range) -> Value:
        array = _array(arguments[0])
        return array[index] if array else ()

    return function


# Each with the fewest and the most arguments that it takes.
FUNCTIONS: dict[str, tuple[Function, int, int]] = {
    **{name: (_statistic(name), 1, 1) for name in STATISTICS},
    "ABS": (_map(abs), 1, 1),
    "CEIL": (_map(lambda value: float(math.ceil(value))), 1, 1),
    "FLOOR": (_map(lambda value: float(math.floor(value))), 1, 1),
    "LOG": (_map(_logarithm(math.log)), 1, 1),
    "LOG10": (_map(_logarithm(math.log10)), 1, 1),
    "DIFF": (_each(lambda series: ((at, change) for at, _, change in _steps(series))), 1, 1),
    "DIFF_TIME": (_each(lambda series: ((at, float(seconds)) for at, seconds, _ in _steps(series))), 1, 1),
    "RATE": (_each(lambda series: ((at, change / seconds) for at, seconds, change in _steps(series))), 1, 1),
    "RUNNING_SUM": (_each(_running_sum), 1, 1),
    "MINUTE": (_calendar(lambda at: at.minute), 1, 1),
    "HOUR": (_calendar(lambda at: at.hour), 1, 1),
    "DAY": (_calendar(lambda at: at.isoweekday()), 1, 1),
    "DATE": (_calendar(lambda at: at.day), 1, 1),
    "MONTH": (_calendar(lambda at: at.month), 1, 1),
    "YEAR": (_calendar(lambda at: at.year), 1, 1),
    "EPOCH": (_calendar(lambda at: at.timestamp()), 1, 1),
    "PERIOD": (lambda arguments, asked: float(_series(arguments[0]).period_s), 1, 1),
    "TIME_SERIES": (_time_series, 1, 1),
    "IF": (_if, 2, 3),
    "FILL": (_fill, 2, 2),
    "METRIC_COUNT": (lambda arguments, asked: float(len(_array(arguments[0]))), 1, 1),
    "REMOVE_EMPTY": (lambda arguments, asked: tuple(one for one in _array(arguments[0]) if one.points), 1, 1),
    "FIRST": (_end(0), 1, 1),
    "LAST": (_end(-1), 1, 1),
    "SLICE": (_slice, 2, 3),
    "SORT": (_sort, 3, 4),
}
