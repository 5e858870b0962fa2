"""Metric data as callers put it, and the limits of questions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.model.refusal import Refused
from batchyard.evaluators.metrics.metric_data import (
    check_datapoints,
    check_period,
    first_unit,
    read_datum,
    rounded_start,
)
from batchyard.evaluators.metrics.samples import samples_of, statistic_set

NOW_S = 1_795_775_760.0
SET = {"SampleCount": 2.0, "Sum": 3.0, "Minimum": 1.0, "Maximum": 2.0}


def test_values_and_sets() -> None:
    assert read_datum({"Value": 5}, 1, NOW_S) == samples_of([5.0])
    assert read_datum({"Values": [1, 2], "Counts": [3, 0]}, 1, NOW_S) == samples_of([1.0], [3.0])
    assert read_datum({"Values": [1, 2]}, 1, NOW_S) == samples_of([1.0, 2.0])
    assert read_datum({"StatisticValues": SET}, 1, NOW_S) == statistic_set(2, 3, 1, 2)
    assert read_datum({"Values": [1], "StatisticValues": SET}, 1, NOW_S) == samples_of([1.0])


@pytest.mark.parametrize(
    ("datum", "code", "text"),
    [
        (
            {"Value": 1, "Values": [1]},
            "InvalidParameterCombination",
            (
                "The parameters MetricData.member.2.Value and MetricData.member.2.Values are mutually exclusive and "
                "you have specified both."
            ),
        ),
        (
            {"Value": 1, "StatisticValues": SET},
            "InvalidParameterCombination",
            (
                "The parameters MetricData.member.2.Value and MetricData.member.2.StatisticValues are mutually "
                "exclusive and you have specified both."
            ),
        ),
        (
            {"Values": [1, 2], "Counts": [1]},
            "InvalidParameterValue",
            "The parameters MetricData.member.2.Values and MetricData.member.2.Counts must be of the same size.",
        ),
        (
            {"Value": float("nan")},
            "InvalidParameterValue",
            "The value nan for parameter MetricData.member.2.Value is invalid.",
        ),
        (
            {"Value": 1e200},
            "InvalidParameterValue",
            "The value 1e+200 for parameter MetricData.member.2.Value is invalid.",
        ),
    ],
)
def test_texts_of_refusals(datum: dict[str, Any], code: str, text: str) -> None:
    with pytest.raises(Refused) as refusal:
        read_datum(datum, 2, NOW_S)
    assert (refusal.value.code, refusal.value.message) == (code, text)


@pytest.mark.parametrize(
    "datum",
    [
        {},
        {"Values": []},
        {"Values": [1.0] * 151},
        {"Values": [1.0], "Counts": [0.0]},
        {"Values": [1.0], "Counts": [-1.0]},
        {"StatisticValues": {**SET, "SampleCount": 0.0}},
        {"StatisticValues": {**SET, "Minimum": 9.0}},
        {"Value": 1, "Dimensions": [{}] * 31},
        {"Value": 1, "Timestamp": NOW_S - 15 * 86_400},
        {"Value": 1, "Timestamp": NOW_S + 3 * 3600},
    ],
)
def test_other_refusals(datum: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        read_datum(datum, 1, NOW_S)


def test_questions() -> None:
    for period in (1, 30, 60, 300):
        check_period(period)
    for period in (0, 2, 45, 90, -60):
        with pytest.raises(Refused):
            check_period(period)
    check_datapoints(0, 1440 * 60, 60)
    with pytest.raises(Refused) as refusal:
        check_datapoints(0, 86_400, 1)
    assert refusal.value.code == "InvalidParameterCombination"
    assert refusal.value.message == (
        "You have requested up to 86400 datapoints, which exceeds the limit of 1440. You may reduce the datapoints "
        "requested by increasing Period, or decreasing the time range."
    )
    with pytest.raises(Refused, match="StartTime must be less than the parameter EndTime"):
        check_datapoints(60, 60, 60)


def test_the_start_is_rounded_by_its_age() -> None:
    day = 86_400
    assert rounded_start(NOW_S - 5 + 0.0, NOW_S) == 1_795_775_700
    assert rounded_start(NOW_S - 20 * day + 70, NOW_S) % 300 == 0
    assert rounded_start(NOW_S - 80 * day + 70, NOW_S) % 3600 == 0


def test_units() -> None:
    assert first_unit(["Seconds", "Count", "Milliseconds", "Count"]) == (
        "Count",
        "Multiple units returned: '[Count, Milliseconds, Seconds]'",
    )
    assert first_unit(["Count"]) == ("Count", None)
    assert first_unit([]) == (None, None)


NUMBERS = st.floats() | st.integers(-5, 5).map(float)


@given(st.lists(NUMBERS, max_size=4), st.none() | st.lists(NUMBERS, max_size=4))
def test_any_values_are_samples_or_refused(values: list[float], counts: list[float] | None) -> None:
    try:
        samples = read_datum({"Values": values, "Counts": counts}, 1, NOW_S)
    except Refused:
        return
    assert samples.sample_count > 0
    assert samples.minimum <= samples.maximum
