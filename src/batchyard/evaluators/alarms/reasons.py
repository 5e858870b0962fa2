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
        count = rule.periods
        return f"Insufficient Data: {count} datapoint{'s were' if count > 1 else ' was'} unknown."
    real = [point.value for point in judgement.judged if point.value is not None]
    fillers = judgement.fillers
    treated = f"{fillers} missing datapoint{'s were' if fillers > 1 else ' was'} treated as [%s]" % TREATED.get(
        rule.missing_data, ""
    )
    if not real:
        periods = f"{fillers} period{'s' if fillers > 1 else ''}"
        return f"Threshold Crossed: no datapoints were received for {periods} and {treated}."
    is_alarm = judgement.state is AlarmState.ALARM
    crossed = f"{'' if is_alarm else 'not '}{WORDS[rule.comparison]} the threshold ({java_double(rule.threshold)})"
    if rule.periods == 1:
        return f"Threshold Crossed: 1 datapoint [{_points(judgement)}] was {crossed}."
    counted = [value for value in real if rule.breaches(value) is is_alarm]
    fits = tuple(
        point for point in judgement.judged if point.value is not None and rule.breaches(point.value) is is_alarm
    )
    listed = _points(judgement._replace(judged=fits))
    needed = rule.datapoints_to_alarm if is_alarm else rule.periods - rule.datapoints_to_alarm + 1
    change = "OK -> ALARM" if is_alarm else "ALARM -> OK"
    minimum = f"(minimum {needed} datapoint{'s' if needed > 1 else ''} for {change} transition)"
    if not counted:
        return f"Threshold Crossed: {treated} {minimum}."
    begin = f"Threshold Crossed: {len(counted)} out of the last {rule.periods} datapoints [{listed}]"
    verb = "was" if len(counted) == 1 else "were"
    filled = f" and {treated}" if fillers else ""
    return f"{begin} {verb} {crossed}{filled} {minimum}."


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
