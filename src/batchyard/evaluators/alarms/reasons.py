"""Why an alarm has its state, in AWS's words: StateReason and StateReasonData (spec 11.2)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from batchyard.evaluators.alarms.evaluation import AlarmRule, AlarmState, Judgement, MissingData
from batchyard.evaluators.json_text import minified

INITIAL = "Unchecked: Initial alarm creation"
WORDS = {
    "GreaterThanOrEqualToThreshold": "greater than or equal to",
    "GreaterThanThreshold": "greater than",
    "LessThanThreshold": "less than",
    "LessThanOrEqualToThreshold": "less than or equal to",
}
TREATED = {MissingData.BREACHING: "Breaching", MissingData.NOT_BREACHING: "NonBreaching"}
SCIENTIFIC_FROM, SCIENTIFIC_BELOW = 1e7, 1e-3  # where Java, in which AWS writes its numbers, begins with exponents


def java_double(value: float) -> str:
    """Returns a number as AWS's texts have it: `21.0`, `1.0E7`."""
    if value == 0 or SCIENTIFIC_BELOW <= abs(value) < SCIENTIFIC_FROM:
        text = repr(value)
        if "e" not in text:
            return text
    mantissa, _, exponent = f"{value:e}".partition("e")
    shortest = repr(value / 10.0 ** int(exponent)) if -300 < int(exponent) < 300 else mantissa
    return f"{shortest}E{int(exponent)}"


def _points(judgement: Judgement) -> str:
    return ", ".join(
        f"{java_double(point.value)} ({datetime.fromtimestamp(point.at_s, UTC):%d/%m/%y %H:%M:%S})"
        for point in reversed(judgement.judged)
        if point.value is not None
    )


def state_reason(rule: AlarmRule, judgement: Judgement) -> str:
    """Returns the reason of a judgement that has a state."""
    if judgement.state is AlarmState.INSUFFICIENT_DATA:
        return f"Insufficient Data: {_counted(rule.periods, 'datapoint')} unknown."
    is_alarm = judgement.state is AlarmState.ALARM
    real = [point for point in judgement.judged if point.value is not None]
    fits = tuple(point for point in real if point.value is not None and rule.breaches(point.value) is is_alarm)
    fillers = judgement.fillers
    treated = f"{_counted(fillers, 'missing datapoint')} treated as [{TREATED.get(rule.missing_data, '')}]"
    if not fits:
        periods = fillers if not real else rule.periods
        received = _counted(len(real), "datapoint") if real else "no datapoints were"
        return f"Threshold Crossed: {received} received for {periods} period{'s' if periods > 1 else ''} and {treated}."
    listed = _points(judgement._replace(judged=fits))
    verb = "was" if len(fits) == 1 else "were"
    crossed = f"{'' if is_alarm else 'not '}{WORDS[rule.comparison]} the threshold ({java_double(rule.threshold)})"
    filled = f" and {treated}" if fillers else ""
    if not rule.is_m_given:
        datapoints = f"{len(fits)} datapoint{'s' if len(fits) > 1 else ''}"
        return f"Threshold Crossed: {datapoints} [{listed}] {verb} {crossed}{filled}."
    needed = rule.datapoints_to_alarm if is_alarm else rule.periods - rule.datapoints_to_alarm + 1
    change = "OK -> ALARM" if is_alarm else "ALARM -> OK"
    minimum = f"(minimum {needed} datapoint{'s' if needed > 1 else ''} for {change} transition)"
    datapoints = f"{len(fits)} out of the last {rule.periods} datapoints"
    return f"Threshold Crossed: {datapoints} [{listed}] {verb} {crossed}{filled} {minimum}."


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun} was" if count == 1 else f"{count} {noun}s were"


def iso_milliseconds(at_s: float) -> str:
    """Returns a time as alarms have it: `2026-11-27T10:36:00.000+0000`."""
    at_ms = round(at_s * 1000)
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}+0000"


def state_reason_data(
    rule: AlarmRule,
    judgement: Judgement,
    *,
    now_s: float,
    period_s: int,
    statistic: str | None,
    extended_statistic: str | None = None,
    unit: str | None = None,
    sample_counts: Mapping[int, float] | None = None,
) -> str:
    """Returns StateReasonData, a JSON text. `sample_counts`: of datapoints by second, as far as they are known."""
    real = [point for point in judgement.judged if point.value is not None]
    data: dict[str, Any] = {"version": "1.0", "queryDate": iso_milliseconds(now_s)}
    if real:
        data["startDate"] = iso_milliseconds(real[0].at_s)
    if unit is not None:
        data["unit"] = unit
    if statistic is not None:
        data["statistic"] = statistic
    if extended_statistic is not None:
        data["extendedStatistic"] = extended_statistic
    data |= {
        "period": period_s,
        "recentDatapoints": [point.value for point in real],
        "threshold": rule.threshold,
        "evaluatedDatapoints": [],
    }
    for point in reversed(judgement.judged):
        evaluated: dict[str, Any] = {"timestamp": iso_milliseconds(point.at_s)}
        if point.value is not None:
            if sample_counts is not None and point.at_s in sample_counts:
                evaluated["sampleCount"] = sample_counts[point.at_s]
            evaluated["value"] = point.value
        data["evaluatedDatapoints"].append(evaluated)
    return minified(data)
