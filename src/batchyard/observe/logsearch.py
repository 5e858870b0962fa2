"""Searches many log files at once, in the order of time, as FilterLogEvents does.

A page ends at its limits of events, of bytes returned, of bytes searched and of time, so that a search for a rare
term answers in bounded time with a cursor from which it continues, as on AWS."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heappop, heapreplace
from pathlib import Path
from typing import NamedTuple, Protocol

from batchyard.evaluators.logs.filter_pattern import Matches
from batchyard.observe.logfile import BLOCK_BYTES, PAGE_BYTES, PAGE_EVENTS, LogFile
from batchyard.observe.written_log import AnyLine, EventLog

SEARCH_SECONDS = 5.0  # for one page: many terms take longer over the same bytes
LINES_BETWEEN_LOOKS = 256  # at the time
SCAN_BYTES = 32 * 1024 * 1024  # searched for one page: a fraction of a second
BUFFER_BYTES = 16 * 1024 * 1024  # read ahead over all streams of a search


class Searched(Protocol):
    """A stream that can be searched."""

    @property
    def name(self) -> str: ...
    def open(self) -> EventLog: ...


class Stream(NamedTuple):
    """The stream of one log file."""

    name: str
    path: Path

    def open(self) -> EventLog:
        return LogFile(self.path)


class Cursor(NamedTuple):
    """The position after the last line searched: its time, its stream's name, and where it ended in its file."""

    at_ms: int
    name: str
    stop: int


class Found(NamedTuple):
    name: str
    line: AnyLine


class SearchPage(NamedTuple):
    """One page of a search. `cursor` is None when everything was searched."""

    events: list[Found]
    cursor: Cursor | None


def search(
    streams: Sequence[Searched],
    matches: Matches,
    *,
    start_ms: int | None = None,
    end_ms: int | None = None,
    after: Cursor | None = None,
    limit: int = PAGE_EVENTS,
    scan_bytes: int = SCAN_BYTES,
    clock: Callable[[], float] = time.monotonic,
) -> SearchPage:
    """Returns the next matching lines of all streams by time (then by stream name) in [start_ms, end_ms), `after` a
    cursor."""
    ends_at = clock() + SEARCH_SECONDS
    ahead_bytes = min(BLOCK_BYTES, BUFFER_BYTES // max(1, len(streams)))
    heads: list[tuple[int, str, int, AnyLine, Iterator[AnyLine]]] = []
    for stream in streams:
        lines = _lines(stream, start_ms, end_ms, after, ahead_bytes)
        line = next(lines, None)
        if line is not None:
            heads.append((line.at_ms, stream.name, line.start, line, lines))
    heapify(heads)
    events: list[Found] = []
    given_bytes = scanned_bytes = looked_at = 0
    cursor = after
    while heads:
        _, name, _, line, lines = heads[0]
        if matches(line.text):
            given_bytes += line.event_bytes
            if events and given_bytes > PAGE_BYTES:
                return SearchPage(events, cursor)
            events.append(Found(name, line))
        scanned_bytes += line.event_bytes
        looked_at += 1
        cursor = Cursor(line.at_ms, name, line.stop)
        following = next(lines, None)
        if following is None:
            heappop(heads)
        else:
            heapreplace(heads, (following.at_ms, name, following.start, following, lines))
        is_late = looked_at % LINES_BETWEEN_LOOKS == 0 and clock() > ends_at
        if heads and (len(events) >= limit or scanned_bytes >= scan_bytes or is_late):
            return SearchPage(events, cursor)
    return SearchPage(events, None)


def _lines(
    stream: Searched, start_ms: int | None, end_ms: int | None, after: Cursor | None, ahead_bytes: int
) -> Iterator[AnyLine]:
    """Yields the stream's lines after the cursor. The file is open only while it is read: a search may span more
    streams than a process may have files open."""
    offset = 0
    if after is not None:
        if stream.name == after.name:
            offset = after.stop
        else:
            # Lines of one time come by stream name: those of the streams before the cursor's were returned already.
            low_ms = after.at_ms if stream.name > after.name else after.at_ms + 1
            start_ms = low_ms if start_ms is None else max(start_ms, low_ms)
    while True:
        with stream.open() as log:
            page = log.forward(offset, start_ms=start_ms, end_ms=end_ms, limit_bytes=ahead_bytes)
        yield from page.lines
        if not page.lines:
            return
        offset = page.stop
