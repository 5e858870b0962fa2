"""A JSON value on its way through states: text, value, or both, each made of the other when it is asked for. A value
that a state only passes on keeps its text, and is never decoded."""

from __future__ import annotations

from typing import Any

from batchyard.evaluators.json_text import InvalidJson
from batchyard.evaluators.states.errors import RUNTIME, StateError
from batchyard.evaluators.states.json_values import compact, parse_value

_ABSENT: Any = object()


class Payload:
    __slots__ = ("_text", "_value")

    def __init__(self, text: str | None = None, value: Any = _ABSENT) -> None:
        """`text`, `value`: at least one of them is given; both say the same."""
        self._text = text
        self._value = value

    @property
    def text(self) -> str:
        if self._text is None:
            self._text = compact(self._value)
        return self._text

    @property
    def value(self) -> Any:
        """The value, which must not be changed. Raises StateError if the text is no value that executions take."""
        if self._value is _ABSENT:
            assert self._text is not None, "a payload has a text or a value"
            try:
                self._value = parse_value(self._text)
            except InvalidJson as fault:  # lists of outputs may be nested deeper than each of them
                raise StateError(RUNTIME, f"{fault}.") from fault
        return self._value


def payload_of(value: Any) -> Payload:
    return Payload(value=value)


EMPTY_OBJECT = Payload("{}", {})
