"""The state of a metric alarm: M of the newest N datapoints, and what missing ones count for (spec 11.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple

EXTRA_PERIODS = 2  # beyond N that are looked at: AWS's tables show 5 for an N of 3


class AlarmState(StrEnum):
    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


class MissingData(StrEnum):
    """TreatMissingData."""

    MISSING = "missing"
    IGNORE = "ignore"
    BREACHING = "breaching"
    NOT_BREACHING = "notBreaching"


COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}


class AlarmRule(NamedTuple):
    """What an alarm asks. `periods`: N; `datapoints_to_alarm`: M."""

    comparison: str
    threshold: float
    periods: int
    datapoints_to_alarm: int
    missing_data: MissingData = MissingData.MISSING
    ignores_low_samples: bool = False  # EvaluateLowSampleCountPercentile
    is_m_given: bool = False  # DatapointsToAlarm was, and is not N by default: the reasons are worded otherwise

    def breaches(self, value: float) -> bool:
        return COMPARISONS[self.comparison](value, self.threshold)


class Datapoint(NamedTuple):
    """One period of the evaluation range. `value`: None where the metric has none. `is_low_sample`: of a percentile
    with too few samples."""

    at_s: int
    value: float | None
    is_low_sample: bool = False


class Judgement(NamedTuple):
    """What an evaluation comes to. `state`: None where the alarm keeps the one it has.

    `judged`: the datapoints that decided, oldest first, missing ones included; `fillers`: how many missing ones were
    counted as breaching or not."""

    state: AlarmState | None
    judged: tuple[Datapoint, ...]
    fillers: int = 0


def evaluation_range(rule: AlarmRule) -> int:
    """Returns how many of the newest periods `judge` wants."""
    return rule.periods + EXTRA_PERIODS


def judge(rule: AlarmRule, data: Sequence[Datapoint]) -> Judgement:
    """Returns what the periods of the evaluation range come to, oldest first. Only whole, past periods count."""
    data = data[-evaluation_range(rule) :]
    newest = tuple(data[-rule.periods :])
    real = [point for point in data if point.value is not None]
    if any(point.value is None for point in newest) or len(newest) < rule.periods:
        newest = tuple(real[-rule.periods :])
    if rule.ignores_low_samples and any(point.is_low_sample for point in newest):
        return Judgement(None, newest)
    breaching = sum(rule.breaches(point.value) for point in newest if point.value is not None)
    if len(newest) == rule.periods:
        return Judgement(_state(breaching >= rule.datapoints_to_alarm), newest)
    fillers = rule.periods - len(newest)
    absent = [point for point in data if point.value is None][-fillers:]
    filled = tuple(sorted((*newest, *absent)))
    if rule.missing_data is MissingData.BREACHING:
        return Judgement(_state(breaching + fillers >= rule.datapoints_to_alarm), filled, fillers)
    if rule.missing_data is MissingData.NOT_BREACHING:
        return Judgement(_state(breaching >= rule.datapoints_to_alarm), filled, fillers)
    if not newest:
        is_ignored = rule.missing_data is MissingData.IGNORE
        return Judgement(None if is_ignored else AlarmState.INSUFFICIENT_DATA, tuple(data[-rule.periods :]))
    if breaching >= rule.datapoints_to_alarm:
        return Judgement(AlarmState.ALARM, newest)
    if breaching < len(newest):
        return Judgement(AlarmState.OK, newest)
    # Too few points, and all of them breach: an alarm only once the oldest has had its M periods of time. One that has
    # just appeared says nothing yet of those to come.
    oldest = next(position for position, point in enumerate(data) if point.value is not None)
    is_old = len(data) - oldest >= rule.datapoints_to_alarm
    return Judgement(AlarmState.ALARM if is_old and rule.missing_data is MissingData.MISSING else None, newest)


def _state(is_alarm: bool) -> AlarmState:
    return AlarmState.ALARM if is_alarm else AlarmState.OK
