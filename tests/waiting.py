"""Waiting in tests: poll a condition until it holds, and fail with a story when it never does."""

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

PATIENCE_SECONDS = 60.0  # many times what anything takes: the machine may have ten other things to do
FIRST_PAUSE_SECONDS = 0.001  # most conditions hold within a few milliseconds
MAX_PAUSE_SECONDS = 0.05  # long waits must not burn the processor that the awaited thing needs


def until(
    condition: Callable[[], Value],
    timeout_seconds: float = PATIENCE_SECONDS,
    describe: str | Callable[[], object] = "",
) -> Value:
    """Call `condition` until it returns something true, and return that.

    `describe` says what was awaited: a sentence, or a function asked at the deadline, so that it can show what was
    seen instead. Raises AssertionError at the deadline. An exception from `condition` ends the wait at once: a
    condition that may fail on the way catches the one exception it expects.
    """
    deadline = time.monotonic() + timeout_seconds
    pause_seconds = FIRST_PAUSE_SECONDS
    while True:
        # Read the clock before the condition: a condition gets one whole try after the last pause.
        late = time.monotonic() >= deadline
        value = condition()
        if value:
            return value
        if late:
            story = describe() if callable(describe) else describe or getattr(condition, "__name__", "the condition")
            raise AssertionError(f"still waiting after {timeout_seconds} s for: {story} (last value: {value!r})")
        time.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 2, MAX_PAUSE_SECONDS)
