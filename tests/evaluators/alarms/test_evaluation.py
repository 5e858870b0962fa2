"""Metric alarms: M of N, and missing datapoints, by AWS's tables."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.evaluators.alarms.evaluation import (
    AlarmRule,
    AlarmState,
    Datapoint,
    MissingData,
    evaluation_range,
    judge,
)
from batchyard.evaluators.alarms.reasons import java_double, state_reason, state_reason_data

ALARM, OK, NO_DATA = AlarmState.ALARM, AlarmState.OK, AlarmState.INSUFFICIENT_DATA
START_S = 1_795_775_460  # 2026-11-27 10:31:00


def points(text: str) -> list[Datapoint]:
    """`0 - X`: not breaching, missing, breaching; a period of a minute each."""
    values = {"0": 0.0, "X": 21.5, "-": None}
    return [Datapoint(START_S + 60 * at, values[word]) for at, word in enumerate(text.split())]


def rule(needed: int, periods: int, missing: MissingData = MissingData.MISSING) -> AlarmRule:
    return AlarmRule("GreaterThanThreshold", 21.0, periods, needed, missing)


@pytest.mark.parametrize(
    ("needed", "data", "states"),
    [
        # The guide's tables: missing, ignore, breaching, notBreaching. None keeps the state.
        (3, "0 - X - X", (OK, OK, OK, OK)),
        (3, "0 - - - -", (OK, OK, OK, OK)),
        (3, "- - - - -", (NO_DATA, None, ALARM, OK)),
        (3, "0 X X - X", (ALARM, ALARM, ALARM, ALARM)),
        (3, "- - X - -", (ALARM, None, ALARM, OK)),
        (2, "0 - X - X", (ALARM, ALARM, ALARM, ALARM)),
        (2, "0 0 X 0 X", (ALARM, ALARM, ALARM, ALARM)),
        (2, "0 - X - -", (OK, OK, ALARM, OK)),
        (2, "- - - - 0", (OK, OK, ALARM, OK)),
        (2, "- - - X -", (ALARM, None, ALARM, OK)),
        # Beyond them.
        (2, "X X 0 0 X", (OK, OK, OK, OK)),
        (3, "- - - - X", (None, None, ALARM, OK)),
        (2, "- - - X X", (ALARM, ALARM, ALARM, ALARM)),
        (3, "X X X X X", (ALARM, ALARM, ALARM, ALARM)),
        (3, "X X", (None, None, ALARM, OK)),
        (3, "", (NO_DATA, None, ALARM, OK)),
    ],
)
def test_missing_data(needed: int, data: str, states: tuple[AlarmState | None, ...]) -> None:
    found = tuple(judge(rule(needed, 3, missing), points(data)).state for missing in MissingData)
    assert list(MissingData) == ["missing", "ignore", "breaching", "notBreaching"]
    assert found == states


def test_only_the_evaluation_range_counts() -> None:
    assert evaluation_range(rule(3, 3)) == 5
    assert judge(rule(1, 1), points("X - - -")).state is NO_DATA
    assert judge(rule(1, 1), points("X - -")).state is ALARM


@pytest.mark.parametrize(
    ("comparison", "breaching"),
    [
        ("GreaterThanOrEqualToThreshold", [2, 3]),
        ("GreaterThanThreshold", [3]),
        ("LessThanThreshold", [1]),
        ("LessThanOrEqualToThreshold", [1, 2]),
    ],
)
def test_comparisons(comparison: str, breaching: list[float]) -> None:
    asked = AlarmRule(comparison, 2, 1, 1)
    assert [value for value in (1, 2, 3) if judge(asked, [Datapoint(0, value)]).state is ALARM] == breaching


def test_percentiles_of_few_samples_keep_the_state_when_asked() -> None:
    low = [Datapoint(0, 50.0, is_low_sample=True)]
    assert judge(rule(1, 1)._replace(ignores_low_samples=True), low).state is None
    assert judge(rule(1, 1), low).state is ALARM


# -- why --


def reason(
    needed: int, periods: int, data: str, missing: MissingData = MissingData.MISSING, *, is_m_given: bool = False
) -> str:
    asked = rule(needed, periods, missing)._replace(is_m_given=is_m_given)
    return state_reason(asked, judge(asked, points(data)))


def test_reasons() -> None:
    assert reason(1, 1, "0 X") == (
        "Threshold Crossed: 1 datapoint [21.5 (27/11/26 10:32:00)] was greater than the threshold (21.0)."
    )
    assert reason(1, 1, "0") == (
        "Threshold Crossed: 1 datapoint [0.0 (27/11/26 10:31:00)] was not greater than the threshold (21.0)."
    )
    assert reason(2, 2, "X X") == (
        "Threshold Crossed: 2 datapoints [21.5 (27/11/26 10:32:00), 21.5 (27/11/26 10:31:00)] were greater than the "
        "threshold (21.0)."
    )
    assert reason(1, 1, "-", MissingData.NOT_BREACHING) == (
        "Threshold Crossed: no datapoints were received for 1 period and 1 missing datapoint was treated as "
        "[NonBreaching]."
    )
    assert reason(2, 2, "- - - -", MissingData.BREACHING) == (
        "Threshold Crossed: no datapoints were received for 2 periods and 2 missing datapoints were treated as "
        "[Breaching]."
    )
    assert reason(2, 2, "- - - X", MissingData.BREACHING) == (
        "Threshold Crossed: 1 datapoint [21.5 (27/11/26 10:34:00)] was greater than the threshold (21.0) and 1 missing "
        "datapoint was treated as [Breaching]."
    )
    assert reason(2, 3, "- - - - 0", MissingData.BREACHING) == (
        "Threshold Crossed: 1 datapoint was received for 3 periods and 2 missing datapoints were treated as "
        "[Breaching]."
    )
    assert reason(1, 1, "- - -") == "Insufficient Data: 1 datapoint was unknown."
    assert reason(3, 3, "- - -") == "Insufficient Data: 3 datapoints were unknown."


def test_reasons_where_datapoints_to_alarm_was_given() -> None:
    assert reason(1, 1, "X", is_m_given=True) == (
        "Threshold Crossed: 1 out of the last 1 datapoints [21.5 (27/11/26 10:31:00)] was greater than the threshold "
        "(21.0) (minimum 1 datapoint for OK -> ALARM transition)."
    )
    assert reason(2, 3, "X 0 X", is_m_given=True) == (
        "Threshold Crossed: 2 out of the last 3 datapoints [21.5 (27/11/26 10:33:00), 21.5 (27/11/26 10:31:00)] were "
        "greater than the threshold (21.0) (minimum 2 datapoints for OK -> ALARM transition)."
    )
    assert reason(3, 3, "X 0 X", is_m_given=True) == (
        "Threshold Crossed: 1 out of the last 3 datapoints [0.0 (27/11/26 10:32:00)] was not greater than the "
        "threshold (21.0) (minimum 1 datapoint for ALARM -> OK transition)."
    )
    assert reason(2, 2, "- - - X", MissingData.BREACHING, is_m_given=True) == (
        "Threshold Crossed: 1 out of the last 2 datapoints [21.5 (27/11/26 10:34:00)] was greater than the threshold "
        "(21.0) and 1 missing datapoint was treated as [Breaching] (minimum 2 datapoints for OK -> ALARM transition)."
    )


def test_reason_data() -> None:
    asked = rule(2, 3)
    judgement = judge(asked, points("X 0 X"))
    text = state_reason_data(
        asked, judgement, now_s=START_S + 200.5, period_s=60, statistic="Sum", sample_counts={START_S: 2.0}
    )
    assert json.loads(text) == {
        "version": "1.0",
        "queryDate": "2026-11-27T10:34:20.500+0000",
        "startDate": "2026-11-27T10:31:00.000+0000",
        "statistic": "Sum",
        "period": 60,
        "recentDatapoints": [21.5, 0.0, 21.5],
        "threshold": 21.0,
        "evaluatedDatapoints": [
            {"timestamp": "2026-11-27T10:33:00.000+0000", "value": 21.5},
            {"timestamp": "2026-11-27T10:32:00.000+0000", "value": 0.0},
            {"timestamp": "2026-11-27T10:31:00.000+0000", "sampleCount": 2.0, "value": 21.5},
        ],
    }
    missing = judge(rule(1, 1), points("- -"))
    empty = json.loads(
        state_reason_data(
            rule(1, 1), missing, now_s=0, period_s=60, statistic=None, extended_statistic="p99", unit="Count"
        )
    )
    assert "startDate" not in empty
    assert (empty["unit"], empty["extendedStatistic"], empty["recentDatapoints"]) == ("Count", "p99", [])
    assert empty["evaluatedDatapoints"] == [{"timestamp": "2026-11-27T10:32:00.000+0000"}]
    breaching = rule(1, 1, MissingData.BREACHING)
    filled = state_reason_data(breaching, judge(breaching, points("- -")), now_s=0, period_s=60, statistic="Sum")
    assert json.loads(filled)["evaluatedDatapoints"] == empty["evaluatedDatapoints"]


def test_numbers_as_java_writes_them() -> None:
    values = (0.0, 21.0, -1.5, 1234567.0, 9999999.0, 1e7, 12_500_000.0, 0.001, 0.0001, 1e21, 5e-324)
    assert [java_double(value) for value in values] == [
        "0.0",
        "21.0",
        "-1.5",
        "1234567.0",
        "9999999.0",
        "1.0E7",
        "1.25E7",
        "0.001",
        "1.0E-4",
        "1.0E21",
        "4.940656E-324",
    ]


WORDS = st.lists(st.sampled_from("0X-"), max_size=9).map(" ".join)


@given(st.integers(1, 5), st.integers(0, 4), WORDS, st.sampled_from(MissingData))
def test_any_data_have_a_state_and_a_reason(needed: int, more: int, data: str, missing: MissingData) -> None:
    asked = rule(needed, needed + more, missing)
    judgement = judge(asked, points(data))
    if judgement.state is not None:
        assert state_reason(asked, judgement).endswith(".")
    json.loads(state_reason_data(asked, judgement, now_s=START_S, period_s=60, statistic="Sum"))
    complete = data.split()[-asked.periods :]
    if len(complete) == asked.periods and "-" not in complete:
        assert judgement.state is (ALARM if complete.count("X") >= needed else OK)
    if missing in (MissingData.BREACHING, MissingData.NOT_BREACHING):
        assert judgement.state in (ALARM, OK)
