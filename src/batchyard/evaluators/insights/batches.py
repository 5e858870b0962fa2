"""Records side by side: a column of values for each field in place of a row for each record. What a query does with
many records costs a fraction of what it does with one after the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from batchyard.evaluators.insights.periods import Time
from batchyard.evaluators.insights.values import LogRecord, Row, Value, document_of, number_of, plain, value_at

T = TypeVar("T")
MakeRecord = Callable[[int, int, int, str], LogRecord]  # of time, place, time of ingestion and text
# Numbers as most logs write them: at most 15 digits, so that each is finite and what number_of() returns.
PLAIN_NUMBERS = re.compile(r"(?:-?[0-9]{1,15}(?:\.[0-9]{1,15})?\n)*")


class Lines(NamedTuple):
    """Lines of one stream, newest first, as columns. `places` and `ingested` are lists of as many, made when asked."""

    times: list[int]
    texts: list[str]
    places: Callable[[], Sequence[int]]
    ingested: Callable[[], Sequence[int]]


class Batch:
    """Records of one stream, and what a query made of them. `made`: columns by name."""

    __slots__ = ("_documents", "_lines", "_make", "_sample", "made", "size")

    def __init__(self, lines: Lines, make: MakeRecord) -> None:
        self._lines, self._make = lines, make
        self._sample = make(0, 0, 0, "")  # for what all records of a stream have in common
        self._documents: list[Any] | None = None
        self.made: dict[str, Sequence[Value]] = {}
        self.size = len(lines.times)

    @property
    def times(self) -> list[int]:
        return self._lines.times

    @property
    def texts(self) -> list[str]:
        return self._lines.texts

    def column(self, name: str, parts: tuple[str, ...]) -> Sequence[Value]:
        """Returns the values of a field, as Row.field() does for one record."""
        made = self.made.get(name)
        if made is not None:
            return made
        sample = self._sample
        if name == "@message":
            return self._lines.texts
        if name == "@timestamp":
            return [Time(at_ms) for at_ms in self._lines.times]
        if name == "@ingestionTime":
            return [Time(at_ms) for at_ms in self._lines.ingested()]
        if name == "@logStream":
            return [sample.stream] * self.size
        if name == "@log":
            return [sample.group] * self.size
        if name == "@ptr":
            return [record.ptr for record in self._records()]
        if name in sample.fields:
            return [sample.fields[name]] * self.size
        if self._documents is None:
            self._documents = [document_of(text) for text in self._lines.texts]
        if len(parts) == 1:
            part = parts[0]
            return [None if document is None else plain(document.get(part)) for document in self._documents]
        return [None if document is None else plain(value_at(document, parts)) for document in self._documents]

    def select(self, positions: Sequence[int]) -> Batch:
        """Returns a batch of the records at these positions, in their order."""
        lines = self._lines
        chosen = Lines(
            [lines.times[at] for at in positions],
            [lines.texts[at] for at in positions],
            lambda: _pick(lines.places(), positions),
            lambda: _pick(lines.ingested(), positions),
        )
        batch = Batch(chosen, self._make)
        batch.made = {name: [column[at] for at in positions] for name, column in self.made.items()}
        if self._documents is not None:
            batch._documents = [self._documents[at] for at in positions]
        return batch

    def rows(self) -> list[Row]:
        """Returns the records as rows."""
        records = self._records()
        if not self.made:
            return [Row(record) for record in records]
        names = list(self.made)
        columns = zip(*self.made.values(), strict=True)
        return [
            Row(record, dict(zip(names, values, strict=True))) for record, values in zip(records, columns, strict=True)
        ]

    def _records(self) -> list[LogRecord]:
        lines = self._lines
        return list(map(self._make, lines.times, lines.places(), lines.ingested(), lines.texts))


def _pick(values: Sequence[int], positions: Sequence[int]) -> list[int]:
    return [values[at] for at in positions]


class Column:
    """What an aggregate is given of a batch: the values of its argument, and the times of their rows."""

    __slots__ = ("_numbers", "_times", "values")

    def __init__(self, values: Sequence[Value], times: Callable[[], Sequence[Value]]) -> None:
        self.values = values
        self._times = times
        self._numbers: Sequence[float | int | None] | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def numbers(self) -> Sequence[float | int | None]:
        """The values as numbers, None where one is none."""
        if self._numbers is None:
            self._numbers = numbers_of(self.values)
        return self._numbers

    @property
    def times(self) -> Sequence[Value]:
        return self._times()

    def pick(self, positions: Sequence[int]) -> Column:
        values, times = self.values, self._times
        picked = Column([values[at] for at in positions], lambda: [times()[at] for at in positions])
        if self._numbers is not None:
            numbers = self._numbers
            picked._numbers = [numbers[at] for at in positions]
        return picked


def mapped(values: Sequence[Value], function: Callable[[Value], T]) -> list[T]:
    """Returns what a function makes of each value: worked out once for texts that come more than once, where many
    do."""
    if set(map(type, values)) == {str}:
        different = set(values)
        if 2 * len(different) <= len(values):
            results = {value: function(value) for value in different}
            return [results[value] for value in values]
    return [function(value) for value in values]


def numbers_of(values: Sequence[Value]) -> Sequence[float | int | None]:
    """Returns number_of() each value."""
    kinds = set(map(type, values))
    if kinds <= {int, float, Time}:
        return values  # type: ignore[return-value]  # just seen
    if kinds == {str}:
        text = "\n".join(values) + "\n"  # type: ignore[arg-type]
        if text.count("\n") == len(values) and PLAIN_NUMBERS.fullmatch(text):
            return list(map(float, values))  # type: ignore[arg-type]
    return mapped(values, number_of)
