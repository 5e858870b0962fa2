"""evaluateOnExit, rule by rule (AWS Batch behaviour 7.11)."""

from __future__ import annotations

import pytest

from batchyard.core.model.records import Attempt, Placement
from batchyard.core.tasks.retry import parse_strategy, should_retry


def attempt(code: int | None = 1, reason: str = "", status: str = "Essential container in task exited") -> Attempt:
    return Attempt(1, "local", "process", (Placement("i-1"),), exit_code=code, reason=reason, status_reason=status)


LOST = attempt(None, status="Host EC2 (instance i-0123456789abcdef0) terminated.")
PULL = attempt(None, "CannotPullContainerError: no such image", "Task failed to start")
KILLED = attempt(137, "OutOfMemoryError: Container killed due to memory usage")


def retries(ended: Attempt, *rules: dict[str, str], attempts: int = 3) -> bool:
    return should_retry(parse_strategy({"attempts": attempts, "evaluateOnExit": list(rules)}), ended)


@pytest.mark.parametrize(
    ("ended", "rule", "matches"),
    [
        (attempt(1), {"onExitCode": "1"}, True),
        (attempt(12), {"onExitCode": "1"}, False),
        (attempt(12), {"onExitCode": "1*"}, True),
        (attempt(1), {"onExitCode": "*"}, True),
        (LOST, {"onExitCode": "1*"}, False),  # there is no exit code to match
        (LOST, {"onStatusReason": "Host EC2*"}, True),
        (LOST, {"onStatusReason": "Host EC2"}, False),  # without * it must be equal
        (LOST, {"onStatusReason": "host ec2*"}, False),  # as it is written
        (LOST, {"onStatusReason": "Host EC2 was terminated"}, True),  # what tutorials have: a recorded superset
        (attempt(1), {"onStatusReason": "Host EC2 was terminated"}, False),
        (PULL, {"onReason": "CannotPullContainerError*"}, True),
        (PULL, {"onStatusReason": "Task failed to start"}, True),
        (PULL, {"onReason": "Task failed to start"}, False),  # it is a statusReason
        (attempt(1), {"onReason": "*"}, True),  # the final catch-all matches an absent reason too
        (attempt(1), {"onReason": "Out*"}, False),
        (KILLED, {"onReason": "OutOfMemoryError:*", "onExitCode": "137"}, True),
        (KILLED, {"onReason": "OutOfMemoryError:*", "onExitCode": "1"}, False),  # all that is given must match
    ],
)
def test_a_rule_matches(ended: Attempt, rule: dict[str, str], matches: bool) -> None:
    assert retries(ended, rule | {"action": "EXIT"}) is not matches


def test_the_first_match_decides_and_no_match_retries() -> None:
    assert retries(attempt(1), {"onExitCode": "2", "action": "EXIT"})
    assert not retries(attempt(1), {"onExitCode": "1", "action": "EXIT"}, {"onExitCode": "1", "action": "RETRY"})
    assert retries(attempt(1), {"onExitCode": "1", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"})


@pytest.mark.parametrize("action", ["exit", "Exit", "EXIT", "FAILED", "failed"])
def test_actions_in_any_case_and_failed_as_its_authors_mean_it(action: str) -> None:
    assert not retries(attempt(1), {"onExitCode": "1", "action": action})
    assert retries(attempt(1), {"onExitCode": "1", "action": "retry"}, {"onReason": "*", "action": action})


def test_rules_never_add_attempts() -> None:
    assert not retries(attempt(1), {"onReason": "*", "action": "RETRY"}, attempts=1)
    assert not should_retry(parse_strategy(None), attempt(1))
    assert should_retry(parse_strategy({"attempts": 2}), attempt(1))
