"""When a message is tried again (observability spec 8.3)."""

from __future__ import annotations

from typing import Any

import pytest

from batchyard.core.model.refusal import Refused
from batchyard.topics.delivery_policies import DEFAULT, check_retry_policy, delivery_policy, pauses


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, (20, 20, 20)),
        ({"numRetries": 5, "minDelayTarget": 1, "maxDelayTarget": 13}, (3, 5, 7, 9, 11)),
        ({"numRetries": 3, "numNoDelayRetries": 1, "numMinDelayRetries": 1, "numMaxDelayRetries": 1}, (0, 20, 20)),
        ({"numRetries": 3, "minDelayTarget": 1, "maxDelayTarget": 81, "backoffFunction": "geometric"}, (3, 9, 27)),
        ({"numRetries": 1, "minDelayTarget": 1, "maxDelayTarget": 101, "backoffFunction": "arithmetic"}, (26,)),
        ({"numRetries": 1, "minDelayTarget": 1, "maxDelayTarget": 101, "backoffFunction": "exponential"}, (7,)),
        ({"numRetries": 0}, ()),
    ],
)
def test_pauses(members: dict[str, Any], expected: tuple[int, ...]) -> None:
    assert pauses({**DEFAULT, **members}) == expected


def test_the_subscriptions_own_policy_comes_before_its_topics() -> None:
    topic = '{"http": {"defaultHealthyRetryPolicy": {"numRetries": 1}}}'
    assert delivery_policy("", topic).max_retries == 1
    assert delivery_policy('{"healthyRetryPolicy": {"numRetries": 2}}', topic).max_retries == 2
    assert delivery_policy('{"throttlePolicy": {}}', "").max_retries == 3


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"numRetries": 101}, "at most 100"),
        ({"minDelayTarget": 0}, "must be 1 to 3600"),
        ({"minDelayTarget": 30}, "in this order"),
        ({"numRetries": 1, "numNoDelayRetries": 2}, "more retries together"),
        ({"backoffFunction": "random"}, "must be one of"),
        ({"numRetries": 100, "minDelayTarget": 3600, "maxDelayTarget": 3600}, "more than 3600 seconds"),
        ({"numRetries": "3"}, "whole"),
    ],
)
def test_policies_beyond_the_bounds_are_refused(members: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=words):
        check_retry_policy(members, "healthyRetryPolicy")


def test_a_text_that_is_no_policy_is_refused() -> None:
    with pytest.raises(Refused, match="must be a JSON object"):
        delivery_policy("[1]", "")
