"""Retriers and catchers: which errors they match, and how long a retrier waits (step functions spec 11)."""

from __future__ import annotations

import hashlib
from typing import Any

from msgspec import Struct

from batchyard.evaluators.states.errors import DATA_LIMIT_EXCEEDED, RUNTIME

ALL = "States.ALL"
TASK_FAILED = "States.TaskFailed"
TIMEOUT = "States.Timeout"
HEARTBEAT_TIMEOUT = "States.HeartbeatTimeout"
EXCEEDED_TOLERATED_FAILURES = "States.ExceedToleratedFailureThreshold"
ITEM_READER_FAILED = "States.ItemReaderFailed"
TERMINAL = frozenset({RUNTIME, DATA_LIMIT_EXCEEDED})  # they fail the execution, whatever catches them

# Errors of states that are no failures of tasks.
_NOT_OF_TASKS = frozenset(
    {
        TIMEOUT,
        HEARTBEAT_TIMEOUT,
        EXCEEDED_TOLERATED_FAILURES,
        ITEM_READER_FAILED,
        "States.ResultWriterFailed",
        "States.QueryEvaluationError",
        "States.IntrinsicFailure",
        "States.ParameterPathFailure",
        "States.ResultPathMatchFailure",
        "States.NoChoiceMatched",
        "States.BranchFailed",
    }
)
# Names of newer SDKs that match what Batch's errors are called here (step functions spec 14).
_ANY_OF_BATCH, _TOO_MANY_REQUESTS = "Batch.BatchException", "Batch.TooManyRequestsException"
DEFAULT_INTERVAL_SECONDS, DEFAULT_MAX_ATTEMPTS, DEFAULT_BACKOFF_RATE = 1, 3, 2.0
# Longer than any execution lives; it keeps a delay that grows without bound within a number.
LONGEST_DELAY_SECONDS = 31_622_400


class Retrier(Struct, frozen=True):
    """A member of Retry. `max_delay_seconds`: None: no bound."""

    error_equals: tuple[str, ...]
    interval_seconds: int = DEFAULT_INTERVAL_SECONDS
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    backoff_rate: float = DEFAULT_BACKOFF_RATE
    max_delay_seconds: int | None = None
    has_jitter: bool = False


def parse_retrier(document: dict[str, Any]) -> Retrier:
    """Returns the retrier of a checked definition."""
    return Retrier(
        tuple(document["ErrorEquals"]),
        int(document.get("IntervalSeconds", DEFAULT_INTERVAL_SECONDS)),
        int(document.get("MaxAttempts", DEFAULT_MAX_ATTEMPTS)),
        float(document.get("BackoffRate", DEFAULT_BACKOFF_RATE)),
        document.get("MaxDelaySeconds"),
        document.get("JitterStrategy", "NONE") == "FULL",
    )


def matches(
    error_equals: tuple[str, ...], error: str | None, cause: str | None = None, aliases: tuple[str, ...] = ()
) -> bool:
    """Whether a retrier or catcher of these names takes an error. `error`: None: a task or state failed without a name.
    `aliases`: further names of it, by which alone it can be caught where it is terminal."""
    if error in TERMINAL:
        return any(name in aliases for name in error_equals)
    return any(_matches_name(name, error, cause, aliases) for name in error_equals)


def _matches_name(name: str, error: str | None, cause: str | None, aliases: tuple[str, ...]) -> bool:
    if name in (ALL, error) or name in aliases:
        return True
    if name == TASK_FAILED:
        return error not in _NOT_OF_TASKS
    if error == TIMEOUT:
        return name == HEARTBEAT_TIMEOUT and HEARTBEAT_TIMEOUT in aliases
    if error is None or not error.startswith("Batch."):
        return False
    return name == _ANY_OF_BATCH or (name == _TOO_MANY_REQUESTS and "TooManyRequestsException" in (cause or ""))


def delay_ms(retrier: Retrier, attempt: int, seed: str) -> int:
    """Returns the delay before a retry. `attempt`: how many retries of this retrier came before. `seed`: the same text
    gives the same jitter."""
    longest = LONGEST_DELAY_SECONDS if retrier.max_delay_seconds is None else retrier.max_delay_seconds
    try:
        seconds = min(retrier.interval_seconds * retrier.backoff_rate**attempt, longest)
    except OverflowError:
        seconds = longest
    whole_ms = int(seconds * 1000)
    if not retrier.has_jitter:
        return whole_ms
    fraction = int.from_bytes(hashlib.sha256(seed.encode(errors="surrogatepass")).digest()[:8], "big") / 2**64
    return int(whole_ms * fraction)
