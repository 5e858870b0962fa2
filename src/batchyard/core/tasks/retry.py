"""retryStrategy and evaluateOnExit: decides after a failed attempt (AWS Batch behaviour 7.10, 7.11)."""

from __future__ import annotations

from typing import Any

from batchyard.core.model.records import Attempt, ExitRule, RetryStrategy

HOST_LOSS_PREFIX = "Host EC2"
# Widely copied from tutorials; AWS never sends this text. Its authors mean a host loss: a recorded superset.
HOST_LOSS_ALIAS = "Host EC2 was terminated"


def should_retry(strategy: RetryStrategy, attempt: Attempt) -> bool:
    """True when the job goes back to RUNNABLE after this failed attempt: attempts are left, and the first matching
    rule retries or no rule matches."""
    if attempt.number >= strategy.attempts:
        return False
    for rule in strategy.rules:
        if _matches(rule, attempt):
            return rule.action == "RETRY"
    return True


def _matches(rule: ExitRule, attempt: Attempt) -> bool:
    """Whether all conditions of the rule hold."""
    code = "" if attempt.exit_code is None else str(attempt.exit_code)
    return (
        _pattern_matches(rule.on_exit_code, code)
        and _pattern_matches(rule.on_reason, attempt.reason)
        and _status_reason_matches(rule.on_status_reason, attempt.status_reason)
    )


def _pattern_matches(pattern: str, text: str) -> bool:
    """Whether a value equals the pattern, or starts with what is before its trailing `*`. A lone `*` matches an
    absent value too."""
    if not pattern or pattern == "*":
        return True
    if not text:
        return False
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


def _status_reason_matches(pattern: str, text: str) -> bool:
    if pattern == HOST_LOSS_ALIAS and text.startswith(HOST_LOSS_PREFIX):
        return True
    return _pattern_matches(pattern, text)


def parse_strategy(document: dict[str, Any] | None) -> RetryStrategy:
    """Parses RetryStrategy as a caller sent it, checked for shape. `FAILED` is accepted as EXIT (a recorded
    superset)."""
    if not document:
        return RetryStrategy()
    rules = tuple(
        ExitRule(
            action="RETRY" if str(rule["action"]).upper() == "RETRY" else "EXIT",
            on_exit_code=rule.get("onExitCode", ""),
            on_reason=rule.get("onReason", ""),
            on_status_reason=rule.get("onStatusReason", ""),
        )
        for rule in document.get("evaluateOnExit", ())
    )
    return RetryStrategy(attempts=document.get("attempts", 1), rules=rules)
