"""When a Wait state ends, and numbers that fields take from the data."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.evaluators.states import path_numbers, waits
from batchyard.evaluators.states.errors import InvalidExpression, StateError
from batchyard.evaluators.states.json_paths import compile_path
from batchyard.evaluators.states.scope import Scope
from batchyard.evaluators.states.timestamps import parse_timestamp
from batchyard.evaluators.states.waits import compile_wait

ISO_WORDS = "ISO-8601 extended offset date-time format string: "
NOW_MS = 1_700_000_000_123
BAD_TIMES = [
    "2016-12-05 21:29:29Z",
    "2016-12-05T21:29:29",
    "2016-13-05T21:29:29Z",
    "2016-12-05T25:29:29Z",
    "05-12-2016T21:29:29Z",
    "2016-12-05t21:29:29Z",
    "2016-12-05T21:29:29z",
    "2016-12-05T21:29:29.Z",
    "2016-12-05T21:29:29+0100",
    "2016-12-05T21:29:60Z",
    "2016-02-30T21:29:29Z",
    "0000-01-01T00:00:00Z",
    "٢016-12-05T21:29:29Z",
    "2016-12-05T21:29:29Z\n",
    "",
]


def due(state: dict[str, Any], document: Any = None) -> int:
    return compile_wait({"Type": "Wait", **state}).due_ms(Scope(document, now_ms=NOW_MS))


def test_seconds_and_timestamps() -> None:
    assert due({"Seconds": 0}) == NOW_MS
    assert due({"Seconds": 60}) == NOW_MS + 60_000
    assert due({"SecondsPath": "$.s"}, {"s": 2}) == due({"SecondsPath": "$.s"}, {"s": "2"}) == NOW_MS + 2_000
    assert due({"SecondsPath": "$.s"}, {"s": 2.0}) == NOW_MS + 2_000
    assert due({"Timestamp": "2016-12-05T21:29:29Z"}) == 1_480_973_369_000
    assert due({"TimestampPath": "$.t"}, {"t": "2016-12-05T22:29:29.5+01:00"}) == 1_480_973_369_500
    assert due({"TimestampPath": "$.t"}, {"t": "2016-03-05T21:29:29.243167252Z"}) == 1_457_213_369_244
    assert compile_wait({"SecondsPath": "$x.s"}).variables == {"x"}
    assert compile_wait({"Seconds": 1}).variables == frozenset()


@pytest.mark.parametrize(
    ("state", "value", "cause"),
    [
        ({"SecondsPath": "$.no"}, 1, "The SecondsPath parameter does not reference an input value: $.no"),
        ({"SecondsPath": "$.p"}, -1, "The SecondsPath parameter references a negative value: $.p == -1"),
        ({"SecondsPath": "$.p"}, 1.5, "The SecondsPath parameter cannot be parsed as a long value: $.p == 1.5"),
        ({"SecondsPath": "$.p"}, -1.5, "The SecondsPath parameter cannot be parsed as a long value: $.p == -1.5"),
        ({"SecondsPath": "$.p"}, "x", "The SecondsPath parameter cannot be parsed as a long value: $.p == x"),
        ({"SecondsPath": "$.p"}, [1], "The SecondsPath parameter cannot be parsed as a long value: $.p == [1]"),
        ({"SecondsPath": "$.p"}, True, "The SecondsPath parameter cannot be parsed as a long value: $.p == true"),
        ({"SecondsPath": "$.p"}, 1e300, "The SecondsPath parameter cannot be parsed as a long value: $.p == 1e300"),
        ({"SecondsPath": "$.p"}, 2**31, "Wait state delay is too long."),
        ({"TimestampPath": "$.no"}, 1, "The TimestampPath parameter does not reference an input value: $.no"),
        ({"TimestampPath": "$.p"}, "2200-01-01T00:00:00Z", "Wait state delay is too long."),
        (
            {"TimestampPath": "$.p"},
            5,
            f"The TimestampPath parameter does not reference a valid {ISO_WORDS}$.p == 5",
        ),
    ],
)
def test_times_of_the_data_fail_with_the_texts_of_aws(state: dict[str, Any], value: Any, cause: str) -> None:
    with pytest.raises(StateError) as failure:
        due(state, {"p": value})
    assert (failure.value.error, failure.value.cause, failure.value.location) == ("States.Runtime", cause, "")


@pytest.mark.parametrize("text", BAD_TIMES)
def test_a_text_that_is_no_timestamp(text: str) -> None:
    with pytest.raises(StateError) as failure:
        due({"TimestampPath": "$"}, text)
    assert failure.value.cause == f"The TimestampPath parameter does not reference a valid {ISO_WORDS}$ == {text}"
    with pytest.raises(StateError) as failure:
        waits.due_of_timestamp(text, NOW_MS)
    assert failure.value.cause == f"The Timestamp field cannot be parsed as an {ISO_WORDS}{text}"
    assert (failure.value.error, failure.value.location) == ("States.QueryEvaluationError", "Timestamp")
    with pytest.raises(InvalidExpression, match="String does not match RFC3339 timestamp"):
        compile_wait({"Timestamp": text})


def test_values_of_expressions() -> None:
    assert waits.due_of_seconds(3, NOW_MS) == waits.due_of_seconds(3.0, NOW_MS) == NOW_MS + 3_000
    assert waits.due_of_timestamp("2016-12-05T21:29:29Z", NOW_MS) == 1_480_973_369_000
    bad: tuple[Any, ...] = (-1, 1.5, "3", None, True, 2**31)
    for value in bad:
        with pytest.raises(StateError) as failure:
            waits.due_of_seconds(value, NOW_MS)
        assert (failure.value.error, failure.value.location) == ("States.QueryEvaluationError", "Seconds")
    for other in (5, None, "9999-01-01T00:00:00Z"):
        with pytest.raises(StateError):
            waits.due_of_timestamp(other, NOW_MS)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"Seconds": 1, "SecondsPath": "$.a"},
        {"Seconds": "1"},
        {"Seconds": -1},
        {"Seconds": 1.5},
        {"Seconds": True},
        {"SecondsPath": 1},
        {"SecondsPath": "a"},
        {"Timestamp": 1},
    ],
)
def test_states_without_a_time_are_refused(state: dict[str, Any]) -> None:
    with pytest.raises(InvalidExpression):
        compile_wait(state)


@given(
    moment=st.datetimes(datetime.datetime(1, 1, 2), datetime.datetime(9999, 12, 30)),
    offset=st.integers(-18 * 60 + 1, 18 * 60 - 1),
)
def test_timestamps_are_read_as_python_writes_them(moment: datetime.datetime, offset: int) -> None:
    zone = datetime.timezone(datetime.timedelta(minutes=offset))
    text = moment.replace(tzinfo=zone).isoformat()
    instant = parse_timestamp(text)
    assert instant is not None
    since = moment.replace(tzinfo=zone) - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    assert instant == (since.days * 86_400 + since.seconds, since.microseconds * 1000)


# -- numbers --


def test_numbers_of_the_data() -> None:
    path = compile_path("$.p")
    assert path_numbers.integer_at(path, Scope({"p": 3}), "MaxConcurrencyPath") == 3
    assert path_numbers.positive_integer_at(path, Scope({"p": 1}), "TimeoutSecondsPath") == 1
    assert path_numbers.tolerated_count_at(path, Scope({"p": 0})) == 0
    assert path_numbers.tolerated_percentage_at(path, Scope({"p": 1.5})) == 1.5


@pytest.mark.parametrize(
    ("read", "value", "cause"),
    [
        ("integer", {}, 'The MaxConcurrencyPath field refers to value "{}" which is not a valid integer: $.p'),
        ("integer", "No", 'The MaxConcurrencyPath field refers to value "No" which is not a valid integer: $.p'),
        ("integer", 1.5, 'The MaxConcurrencyPath field refers to value "1.5" which is not a valid integer: $.p'),
        ("integer", True, 'The MaxConcurrencyPath field refers to value "true" which is not a valid integer: $.p'),
        ("positive", 0, "TimeoutSeconds must be positive."),
        ("count", {}, 'The ToleratedFailureCountPath field refers to value "{}" which is not a valid integer: $.p'),
        ("count", -1, "ToleratedFailureCount cannot be negative."),
        (
            "percent",
            {},
            'The ToleratedFailurePercentagePath field refers to value "{}" which is not a valid float: $.p',
        ),
        ("percent", -1.1, "ToleratedFailurePercentage must be between 0 and 100."),
        ("percent", 100.1, "ToleratedFailurePercentage must be between 0 and 100."),
    ],
)
def test_numbers_that_are_none_fail_with_the_texts_of_aws(read: str, value: Any, cause: str) -> None:
    path, scope = compile_path("$.p"), Scope({"p": value})
    readers: dict[str, Callable[[], float]] = {
        "integer": lambda: path_numbers.integer_at(path, scope, "MaxConcurrencyPath"),
        "positive": lambda: path_numbers.positive_integer_at(path, scope, "TimeoutSecondsPath"),
        "count": lambda: path_numbers.tolerated_count_at(path, scope),
        "percent": lambda: path_numbers.tolerated_percentage_at(path, scope),
    }
    with pytest.raises(StateError) as failure:
        readers[read]()
    assert (failure.value.error, failure.value.cause) == ("States.Runtime", cause)
