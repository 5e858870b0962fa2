"""Reads a written log stream as observe.logfile reads a log file: pages of events, by place and by time.

A place is a number, `at_ms * PLACES_PER_MS + sequence`: places ascend as the events of the stream do."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from batchyard.observe.logfile import EVENT_OVERHEAD_BYTES, PAGE_BYTES, PAGE_EVENTS, Line
from batchyard.store.logs.log_reader import LAST, LogReader, Position
from batchyard.store.logs.log_records import StoredEvent, WrittenStream

PLACES_PER_MS = 10**12  # more events than a store will ever have
MAX_PLACE = 10**25  # of 13 digits of time, and those 12


class WrittenLine(NamedTuple):
    """One event, as Line is one of a file."""

    start: int
    stop: int
    at_ms: int
    text: str
    ingested_ms: int

    @property
    def event_bytes(self) -> int:
        return len(self.text) + EVENT_OVERHEAD_BYTES


AnyLine = Line | WrittenLine


class AnyPage(Protocol):
    """Lines in their order. `start` and `stop` are where the pages before and after it meet it."""

    @property
    def lines(self) -> Sequence[AnyLine]: ...
    @property
    def start(self) -> int: ...
    @property
    def stop(self) -> int: ...


class EventLog(Protocol):
    """A stream opened for reading, as a context manager: a log file, or written events."""

    @property
    def end(self) -> int: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def first(self) -> AnyLine | None: ...
    def last(self) -> AnyLine | None: ...
    def forward(
        self,
        offset: int,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = PAGE_EVENTS,
        limit_bytes: int = PAGE_BYTES,
    ) -> AnyPage: ...
    def backward(
        self,
        offset: int,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = PAGE_EVENTS,
        limit_bytes: int = PAGE_BYTES,
    ) -> AnyPage: ...


class WrittenPage(NamedTuple):
    lines: list[WrittenLine]
    start: int
    stop: int


class WrittenLog:
    """The events of a stream. `end`: behind the last one that was there when it was opened."""

    def __init__(self, reader: LogReader, stream: WrittenStream) -> None:
        self._reader, self._stream = reader, stream
        self.end = (stream.last_at_ms + 1) * PLACES_PER_MS if stream.ingested_at_ms else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes nothing: connections are the reader's."""

    def forward(
        self,
        offset: int,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = PAGE_EVENTS,
        limit_bytes: int = PAGE_BYTES,
    ) -> WrittenPage:
        """Returns the first events from `offset` on whose times are in [start_ms, end_ms)."""
        low = min(max(_position(offset), (start_ms or 0, 0)), LAST)
        events = self._reader.events_from(
            self._stream.key, low, LAST[0] if end_ms is None else min(end_ms, LAST[0]), limit, limit_bytes
        )
        lines = _bounded(map(_line, events), limit_bytes)
        if not lines:
            place = _place(low)
            return WrittenPage([], place, place)
        return WrittenPage(lines, lines[0].start, lines[-1].stop)

    def backward(
        self,
        offset: int,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = PAGE_EVENTS,
        limit_bytes: int = PAGE_BYTES,
    ) -> WrittenPage:
        """Returns the last events before `offset` whose times are in [start_ms, end_ms), in their order."""
        high = _position(offset)
        if end_ms is not None:
            high = min(high, (max(0, end_ms), 0))
        events = self._reader.events_before(self._stream.key, high, start_ms or 0, limit, limit_bytes)
        lines = _bounded(map(_line, events), limit_bytes)[::-1]
        if not lines:
            place = _place(high)
            return WrittenPage([], place, place)
        return WrittenPage(lines, lines[0].start, lines[-1].stop)

    def first(self) -> WrittenLine | None:
        return next(iter(self.forward(0, limit=1).lines), None)

    def last(self) -> WrittenLine | None:
        return next(iter(self.backward(self.end, limit=1).lines), None)


def _bounded(lines: map[WrittenLine], limit_bytes: int) -> list[WrittenLine]:
    """Returns the first lines within `limit_bytes`, but at least one where there is one."""
    found: list[WrittenLine] = []
    used_bytes = 0
    for line in lines:
        used_bytes += line.event_bytes
        if found and used_bytes > limit_bytes:
            break
        found.append(line)
    return found


def _line(event: StoredEvent) -> WrittenLine:
    place = event.at_ms * PLACES_PER_MS + event.sequence
    return WrittenLine(place, place + 1, event.at_ms, event.message, event.ingested_ms or event.at_ms)


def _place(position: Position) -> int:
    return min(position[0] * PLACES_PER_MS + position[1], MAX_PLACE - 1)


def _position(place: int) -> Position:
    return divmod(max(0, place), PLACES_PER_MS)
