"""Metric data as PutMetricData takes it, and the limits of questions for it (spec 9.1, 9.2)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from batchyard.core.model.refusal import Refused
from batchyard.evaluators.metrics.samples import Samples, samples_of, statistic_set

MAX_VALUE = 2.0**360  # AWS's own, as are the next ones
MAX_VALUES = 150
MAX_DIMENSIONS = 30
MAX_DATAPOINTS = 1440
OLDEST_S, NEWEST_S = 14 * 86_400, 2 * 3600  # how far from now a time may be: two weeks back, two hours ahead
SUB_MINUTE_PERIODS = (1, 5, 10, 20, 30)


def read_datum(datum: Mapping[str, Any], number: int, now_s: float) -> Samples:
    """Returns the samples of one entry of MetricData, the `number`th from 1. Raises Refused with AWS's text."""
    where = f"MetricData.member.{number}"
    given = [name for name in ("Value", "Values", "StatisticValues") if datum.get(name) is not None]
    if "Value" in given and len(given) > 1:
        _refuse(
            f"The parameters {where}.Value and {where}.{given[1]} are mutually exclusive and you have specified both.",
            "InvalidParameterCombination",
        )
    if not given:
        _refuse(
            f"The parameter {where}.Value, {where}.Values or {where}.StatisticValues is required.", "MissingParameter"
        )
    if len(datum.get("Dimensions") or ()) > MAX_DIMENSIONS:
        _refuse(f"The collection {where}.Dimensions must not have a size greater than {MAX_DIMENSIONS}.")
    at_s = datum.get("Timestamp")
    if at_s is not None and not now_s - OLDEST_S <= at_s <= now_s + NEWEST_S:
        _refuse(f"The parameter {where}.Timestamp must be within two weeks before and two hours after now.")
    if "Value" in given:
        return samples_of([_number(datum["Value"], f"{where}.Value")])
    if "Values" in given:
        return _read_values(datum, where)
    return _read_set(datum["StatisticValues"], f"{where}.StatisticValues")


def _read_values(datum: Mapping[str, Any], where: str) -> Samples:
    values, counts = datum["Values"], datum.get("Counts")
    if counts is not None and len(counts) != len(values):
        _refuse(f"The parameters {where}.Values and {where}.Counts must be of the same size.")
    if not 0 < len(values) <= MAX_VALUES:
        _refuse(f"The collection {where}.Values must not be empty or have a size greater than {MAX_VALUES}.")
    numbers = [_number(value, f"{where}.Values.member.{at}") for at, value in enumerate(values, 1)]
    times = [1.0] * len(numbers)
    if counts is not None:
        times = [_number(count, f"{where}.Counts.member.{at}") for at, count in enumerate(counts, 1)]
    if any(count < 0 for count in times) or not any(times):
        _refuse(f"The parameter {where}.Counts must not be negative, and one of them must not be 0.")
    return samples_of(numbers, times)


def _read_set(values: Mapping[str, float], where: str) -> Samples:
    names = ("SampleCount", "Sum", "Minimum", "Maximum")
    count, total, low, high = (_number(values[name], f"{where}.{name}") for name in names)
    if count <= 0 or low > high:
        _refuse(f"The parameter {where} must have samples, and a Minimum that is not above its Maximum.")
    return statistic_set(count, total, low, high)


def _number(value: float, where: str) -> float:
    if not math.isfinite(value) or abs(value) > MAX_VALUE:
        _refuse(f"The value {value} for parameter {where} is invalid.")
    return float(value)


def _refuse(message: str, code: str = "InvalidParameterValue") -> NoReturn:
    raise Refused(message, code)


# -- questions --


def check_period(period_s: int) -> None:
    """Raises Refused for a period that metrics do not have."""
    if period_s not in SUB_MINUTE_PERIODS and (period_s < 60 or period_s % 60):
        _refuse(f"The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60, and is {period_s}.")


def check_datapoints(start_s: float, end_s: float, period_s: int) -> None:
    """Raises Refused for a GetMetricStatistics that asks too much, or for no time at all."""
    if start_s >= end_s:
        _refuse("The parameter StartTime must be less than the parameter EndTime.")
    count = math.ceil((end_s - start_s) / period_s)
    if count > MAX_DATAPOINTS:
        _refuse(
            f"You have requested up to {count} datapoints, which exceeds the limit of {MAX_DATAPOINTS}. You may reduce "
            "the datapoints requested by increasing Period, or decreasing the time range.",
            "InvalidParameterCombination",
        )


def rounded_start(start_s: float, now_s: float) -> int:
    """Returns the start of a question, rounded down by its age: to minutes, five minutes or hours."""
    age_days = (now_s - start_s) / 86_400
    unit = 60 if age_days < 15 else 300 if age_days < 63 else 3600
    return int(start_s // unit * unit)


def first_unit(units: Sequence[str]) -> tuple[str | None, str | None]:
    """Returns the unit that GetMetricData answers with where none was asked for, and its message where there are
    several."""
    ordered = sorted(set(units))
    if not ordered:
        return None, None
    message = f"Multiple units returned: '[{', '.join(ordered)}]'" if len(ordered) > 1 else None
    return ordered[0], message
