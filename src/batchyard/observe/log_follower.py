"""Follows the output of jobs in a group: the lines that were written since the last look.

Streams are found by the starts of their attempts, so that each look costs what is new, and one read of each stream that
is still written."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from batchyard.observe.log_catalogue import AnyStream, JobStream, LogCatalogue
from batchyard.observe.logfile import LogFile
from batchyard.observe.written_log import AnyLine

# Attempts that start in one millisecond are committed one after the other, and a clock may differ: streams that started
# up to so long before the latest one known are looked for again.
OVERLAP_MS = 5000
STREAMS_AT_ONCE = 1000
PAGE_EVENTS = 5000
MAX_PAGES = 20  # of one stream in one look: others get their turn
MAX_AT_START = 5000  # streams of a group that are looked at when following it begins
# The store is asked in every so many looks whether an attempt has ended: its stream is only forgotten later.
LOOKS_TO_END = 16


class NewLines(NamedTuple):
    """Lines of a stream. `place`: up to where it has been read; None: to its end, some time ago, and it is known no
    more."""

    stream: JobStream
    lines: list[AnyLine]
    place: int | None


class GroupFollower:
    """Follows one group. `since_ms`: the latest start known; 0: begin now, with what is written from here on. `places`:
    by stream, up to where it was read."""

    def __init__(
        self, catalogue: LogCatalogue, group: str, since_ms: int = 0, places: dict[str, int] | None = None
    ) -> None:
        self._catalogue, self._group = catalogue, group
        self.since_ms = since_ms
        self._streams: dict[str, tuple[JobStream, int]] = {}
        self._sizes: dict[str, int] = {}  # of the files, when they were read to their ends
        self._looks = 0
        self._ended: dict[str, JobStream] = {}  # read to their ends: found again while their starts are recent
        for name, place in (places or {}).items():
            stream = catalogue.stream(group, name)
            if isinstance(stream, JobStream):
                self._streams[name] = stream, place

    def begin(self, at_ms: int) -> None:
        """Begins with lines from `at_ms` on, which may be a moment ago."""
        self.since_ms = at_ms
        page = self._catalogue.streams(self._group, "", MAX_AT_START, descending=True, by_time=True)
        for stream in page.streams:
            if not isinstance(stream, JobStream):
                continue
            with LogFile(stream.path) as log:
                place, end = log.first_at(at_ms), log.end
            if place < end or not stream.is_ended:
                self._streams[stream.name] = stream, place
            elif stream.created_at_ms >= at_ms - OVERLAP_MS:
                self._ended[stream.name] = stream

    def places(self) -> dict[str, int]:
        """Returns up to where each stream was read."""
        return {name: place for name, (_, place) in self._streams.items()}

    def look(self) -> Iterator[NewLines]:
        """Yields what is new, stream by stream."""
        self._looks += 1
        self._find()
        for name, (stream, place) in list(self._streams.items()):
            yield from self._look_at(name, stream, place)
        for name, stream in list(self._ended.items()):
            if stream.created_at_ms < self.since_ms - OVERLAP_MS:
                del self._ended[name]
                yield NewLines(stream, [], None)

    def _look_at(self, name: str, stream: JobStream, place: int) -> Iterator[NewLines]:
        # Asked before the read: what an ended attempt wrote is there then.
        is_ended = (self._looks + zlib.crc32(name.encode())) % LOOKS_TO_END == 0 and self._is_ended(stream)
        size = _size_of(stream)
        if size is None or size != self._sizes.get(name):
            for _ in range(MAX_PAGES):
                with stream.open() as log:
                    page = log.forward(place, limit=PAGE_EVENTS)
                if not page.lines:
                    break
                place = page.stop
                self._streams[name] = stream, place
                yield NewLines(stream, list(page.lines), place)
            else:
                return  # the next look goes on
            if size is not None:
                self._sizes[name] = size
        if is_ended:
            del self._streams[name]
            self._sizes.pop(name, None)
            self._ended[name] = stream

    def _is_ended(self, stream: JobStream) -> bool:
        found: AnyStream | None = self._catalogue.stream(self._group, stream.name)
        return not isinstance(found, JobStream) or found.is_ended

    def _find(self) -> None:
        """Adds the streams that have started since."""
        since_ms = max(0, self.since_ms - OVERLAP_MS)
        limit = STREAMS_AT_ONCE
        found = self._catalogue.started_since(self._group, since_ms, limit)
        while len(found) >= limit:
            limit *= 4
            found = self._catalogue.started_since(self._group, since_ms, limit)
        for stream in found:
            assert isinstance(stream, JobStream)
            self.since_ms = max(self.since_ms, stream.created_at_ms)
            if stream.created_at_ms >= since_ms and stream.name not in self._streams and stream.name not in self._ended:
                self._streams[stream.name] = stream, 0


def _size_of(stream: JobStream) -> int | None:
    """Returns the size of a log file; None where it is not there, or was packed."""
    try:
        return os.stat(stream.path).st_size
    except FileNotFoundError:
        return None
