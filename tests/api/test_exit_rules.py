"""What evaluateOnExit may hold (AWS Batch behaviour 7.11): characters, lengths, numbers."""

from typing import Any

import pytest

from batchyard.api.batch.rules.definition_rules import check_retry
from tests.api.service import refusal_of

RESTRICTED = "Evaluate on exit condition contains restricted characters."
TOO_LONG = "Evaluate on exit condition cannot exceed 512 characters."
REASONS = ["onReason", "onStatusReason"]


def strategy(*rules: dict[str, Any], attempts: int = 2) -> dict[str, Any]:
    return {"attempts": attempts, "evaluateOnExit": list(rules)}


@pytest.mark.parametrize("member", REASONS)
@pytest.mark.parametrize("pattern", ["*", "a", "Host EC2*", "Out.of:Memory*", "a\tb", "x" * 512, "x" * 511 + "*"])
def test_a_reason_may_be(member: str, pattern: str) -> None:
    check_retry(strategy({"action": "RETRY", member: pattern}))


@pytest.mark.parametrize("member", REASONS)
@pytest.mark.parametrize("pattern", ["a?", "a*b", "*a", "**", "a**", "a(", "a)", "a-b", "a/b", "a_b", "a,b", "é"])
def test_a_reason_may_not_be(member: str, pattern: str) -> None:
    assert refusal_of(lambda: check_retry(strategy({"action": "RETRY", member: pattern}))) == RESTRICTED


@pytest.mark.parametrize("pattern", ["*", "0", "137", "1*", "1" * 512])
def test_an_exit_code_may_be(pattern: str) -> None:
    check_retry(strategy({"action": "EXIT", "onExitCode": pattern}))


@pytest.mark.parametrize("pattern", ["a", "1a", "*1", "1**", "-1", " 1", "1.5", "\u0661"])
def test_an_exit_code_may_not_be(pattern: str) -> None:
    assert refusal_of(lambda: check_retry(strategy({"action": "EXIT", "onExitCode": pattern}))) == RESTRICTED


@pytest.mark.parametrize("member", [*REASONS, "onExitCode"])
def test_a_pattern_has_no_more_than_512_characters(member: str) -> None:
    assert refusal_of(lambda: check_retry(strategy({"action": "EXIT", member: "1" * 513}))) == TOO_LONG


def test_five_rules_and_one_to_ten_attempts() -> None:
    one = {"action": "EXIT", "onExitCode": "1"}
    for attempts in (1, 10):
        check_retry(strategy(*[one] * 5, attempts=attempts))
    assert refusal_of(lambda: check_retry(strategy(*[one] * 6))) == "Up to 5 evaluateOnExit condition can be specified."
    for attempts in (0, 11):
        text = refusal_of(lambda: check_retry(strategy(attempts=attempts)))  # noqa: B023
        assert text == f"RetryAttempts must be between 1 and 10, got {attempts}."
