"""Which errors retriers and catchers match, and how long retriers wait (step functions spec 11)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.evaluators.states.retriers import Retrier, delay_ms, matches, parse_retrier


@pytest.mark.parametrize(
    ("names", "error", "is_matched"),
    [
        (["Mine"], "Mine", True),
        (["Mine"], "Other", False),
        (["States.ALL"], "Anything", True),
        (["States.ALL"], None, True),
        (["States.ALL"], "States.Timeout", True),
        (["States.ALL"], "States.Runtime", False),
        (["States.Runtime"], "States.Runtime", False),
        (["States.ALL"], "States.DataLimitExceeded", False),
        (["States.TaskFailed"], "Batch.ClientException", True),
        (["States.TaskFailed"], None, True),
        (["States.TaskFailed"], "States.Timeout", False),
        (["States.TaskFailed"], "States.QueryEvaluationError", False),
        (["States.Permissions"], "States.Permissions", True),
        (["Batch.BatchException"], "Batch.ServerException", True),
        (["Batch.BatchException"], "SNS.NotFoundException", False),
        (["Nothing", "Mine"], "Mine", True),
    ],
)
def test_names_match(names: list[str], error: str | None, is_matched: bool) -> None:
    assert matches(tuple(names), error) is is_matched


def test_a_missed_heartbeat_is_found_by_either_name_and_a_timeout_by_its_own() -> None:
    heartbeat = ("States.HeartbeatTimeout",)
    assert matches(heartbeat, "States.Timeout", None, ("States.HeartbeatTimeout",))
    assert matches(("States.Timeout",), "States.Timeout", None, ("States.HeartbeatTimeout",))
    assert not matches(heartbeat, "States.Timeout")


def test_a_terminal_error_is_found_by_an_older_name_of_it_alone() -> None:
    assert matches(("States.NoChoiceMatched",), "States.Runtime", None, ("States.NoChoiceMatched",))
    assert not matches(("States.ALL",), "States.Runtime", None, ("States.NoChoiceMatched",))


def test_too_many_requests_of_batch_are_found_by_their_name() -> None:
    cause = "slow down (Service: AWSBatch; Status Code: 429; Error Code: TooManyRequestsException; ...)"
    assert matches(("Batch.TooManyRequestsException",), "Batch.AWSBatchException", cause)
    assert not matches(("Batch.TooManyRequestsException",), "Batch.AWSBatchException", "Error Code: Other")


def test_delays_grow_to_their_bound() -> None:
    retrier = parse_retrier(
        {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 3, "BackoffRate": 2, "MaxDelaySeconds": 20}
    )
    assert [delay_ms(retrier, attempt, "") for attempt in range(5)] == [3000, 6000, 12000, 20000, 20000]


def test_defaults_are_those_of_aws() -> None:
    retrier = parse_retrier({"ErrorEquals": ["A", "B"]})
    assert retrier == Retrier(("A", "B"), 1, 3, 2.0, None, False)


def test_an_endless_growth_stays_a_number() -> None:
    assert delay_ms(Retrier(("A",), backoff_rate=1e300), 99_999_999, "") == 31_622_400_000


@given(st.integers(0, 10), st.text())
def test_jitter_stays_below_the_delay_and_is_repeatable(attempt: int, seed: str) -> None:
    plain = Retrier(("A",), 2, backoff_rate=1.5)
    jittered = Retrier(("A",), 2, backoff_rate=1.5, has_jitter=True)
    found = delay_ms(jittered, attempt, seed)
    assert 0 <= found <= delay_ms(plain, attempt, seed)
    assert found == delay_ms(jittered, attempt, seed)


def test_jitter_differs_between_attempts() -> None:
    retrier = Retrier(("A",), 100, backoff_rate=1.0, has_jitter=True)
    assert len({delay_ms(retrier, 0, str(seed)) for seed in range(20)}) > 15
