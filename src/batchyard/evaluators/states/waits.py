"""When a Wait state ends: after seconds, or at a timestamp (step functions spec 7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchyard.evaluators.states.errors import QUERY_EVALUATION_ERROR, RUNTIME, InvalidExpression, StateError
from batchyard.evaluators.states.json_paths import Missing, Path, compile_path
from batchyard.evaluators.states.json_values import compact, is_number
from batchyard.evaluators.states.scope import Scope
from batchyard.evaluators.states.timestamps import Instant, parse_timestamp

MAX_WAIT_SECONDS = 2**31 - 1  # AWS's own: 24,855 days
FIELDS = ("Seconds", "SecondsPath", "Timestamp", "TimestampPath")


class Wait:
    """The time of a Wait state that says JSONPath."""

    __slots__ = ("_field", "_operand")

    def __init__(self, field: str, operand: Path | Instant | int) -> None:
        self._field = field
        self._operand = operand

    @property
    def variables(self) -> frozenset[str]:
        """The names of the variables that it reads."""
        return self._operand.variables if isinstance(self._operand, Path) else frozenset()

    def due_ms(self, scope: Scope) -> int:
        """Returns when the state ends, in epoch milliseconds. A time in the past is returned as it is.

        `scope.now_ms` is when the state was entered. Raises StateError (States.Runtime) with AWS's text.
        """
        if isinstance(self._operand, Path):
            return self._due_by_path(self._operand, scope)
        if isinstance(self._operand, Instant):
            return _at(self._operand, scope.now_ms)
        return _after(self._operand, scope.now_ms)

    def _due_by_path(self, path: Path, scope: Scope) -> int:
        try:
            value = path.value(scope)
        except Missing:
            raise StateError(
                RUNTIME, f"The {self._field} parameter does not reference an input value: {path.text}"
            ) from None
        shown = f"{path.text} == {value if isinstance(value, str) else compact(value)}"
        if self._field == "SecondsPath":
            seconds = _seconds(value)
            if seconds is None:
                raise StateError(RUNTIME, f"The SecondsPath parameter cannot be parsed as a long value: {shown}")
            if seconds < 0:
                raise StateError(RUNTIME, f"The SecondsPath parameter references a negative value: {shown}")
            return _after(seconds, scope.now_ms)
        instant = parse_timestamp(value) if isinstance(value, str) else None
        if instant is None:
            raise StateError(
                RUNTIME,
                "The TimestampPath parameter does not reference a valid ISO-8601 extended offset date-time format "
                f"string: {shown}",
            )
        return _at(instant, scope.now_ms)


def compile_wait(state: Mapping[str, Any]) -> Wait:
    """Returns the time of a Wait state that says JSONPath. Raises InvalidExpression."""
    given = [field for field in FIELDS if field in state]
    if len(given) != 1:
        raise InvalidExpression(
            f"A Wait state has exactly one of {', '.join(FIELDS)}, not {', '.join(given) or 'none'}."
        )
    field, operand = given[0], state[given[0]]
    if field.endswith("Path"):
        if not isinstance(operand, str):
            raise InvalidExpression(f"{field} is a path, such as $.time.")
        return Wait(field, compile_path(operand))
    if field == "Timestamp":
        instant = parse_timestamp(operand) if isinstance(operand, str) else None
        if instant is None:
            raise InvalidExpression("String does not match RFC3339 timestamp")
        return Wait(field, instant)
    if not isinstance(operand, int) or isinstance(operand, bool) or operand < 0:
        raise InvalidExpression("Seconds is an integer of at least 0.")
    return Wait(field, operand)


def due_of_seconds(value: Any, now_ms: int) -> int:
    """Returns the end of a wait of some seconds, in epoch milliseconds, of a state that says JSONata. Raises StateError
    (States.QueryEvaluationError) for a value that is no integer of at least 0."""
    if not is_number(value) or value != value // 1 or value < 0:
        raise StateError(
            QUERY_EVALUATION_ERROR,
            f"The Seconds field must be an integer of at least 0, but was: {compact(value)}",
            "Seconds",
        )
    return _after(int(value), now_ms, QUERY_EVALUATION_ERROR, "Seconds")


def due_of_timestamp(value: Any, now_ms: int) -> int:
    """Returns a timestamp in epoch milliseconds, of a state that says JSONata. Raises StateError
    (States.QueryEvaluationError) with AWS's text."""
    instant = parse_timestamp(value) if isinstance(value, str) else None
    if instant is None:
        shown = value if isinstance(value, str) else compact(value)
        raise StateError(
            QUERY_EVALUATION_ERROR,
            f"The Timestamp field cannot be parsed as an ISO-8601 extended offset date-time format string: {shown}",
            "Timestamp",
        )
    return _at(instant, now_ms, QUERY_EVALUATION_ERROR, "Timestamp")


def _after(seconds: int, now_ms: int, error: str = RUNTIME, location: str = "") -> int:
    if seconds > MAX_WAIT_SECONDS:
        raise StateError(error, "Wait state delay is too long.", location)
    return now_ms + seconds * 1000


def _at(instant: Instant, now_ms: int, error: str = RUNTIME, location: str = "") -> int:
    if instant.epoch_ms - now_ms > MAX_WAIT_SECONDS * 1000:
        raise StateError(error, "Wait state delay is too long.", location)
    return instant.epoch_ms


def _seconds(value: Any) -> int | None:
    """Returns an integer, also one that is written as a text; None for any other value."""
    if isinstance(value, str):
        text = value.strip()
        return int(text) if text.removeprefix("-").isdecimal() and text.isascii() and len(text) < 20 else None
    if not is_number(value) or value != value // 1 or abs(value) >= 2**63:
        return None
    return int(value)
