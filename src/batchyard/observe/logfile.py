"""Reads the log file of one container (layout: engines/base.py): pages of whole lines, by byte offset and by time.

The file may not exist yet (nothing was written), grows while it is read (a last line without its LF is not returned
yet), and holds its lines in the order of their times. Offsets come from callers' tokens: any number is safe, and one
inside a line means the next line's start. A line that cannot be read as `<milliseconds> TAB <text>` (a write torn by
a crash) is returned whole, with the time of the line before it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from batchyard.engines.base import log_path, open_log
from batchyard.observe.packed_log import open_packed

__all__ = ["Line", "LogFile", "Page", "log_path"]

# GetLogEvents' own bounds: 1 MB of a page, counted as UTF-8 text plus 26 bytes for each event, and 10,000 events.
PAGE_BYTES = 1024 * 1024
PAGE_EVENTS = 10_000
EVENT_OVERHEAD_BYTES = 26

BLOCK_BYTES = 64 * 1024  # one read: large enough to make calls cheap, small enough for a page of short lines
SHORT_BYTES = 256  # the first read in search of a line's end: most lines are shorter
TIME_DIGITS = 19  # more digits than this are no milliseconds since 1970, and int() of a huge text would be slow


class Line(NamedTuple):
    """One whole line: `[start, stop)` are its bytes in the file, LF included; `at_ms` is its time."""

    start: int
    stop: int
    at_ms: int
    text: str

    @property
    def ingested_ms(self) -> int:
        return self.at_ms

    @property
    def event_bytes(self) -> int:
        """The size that CloudWatch Logs counts for the line (close enough for a bound: bytes of the file, not of the
        text alone)."""
        return self.stop - self.start + EVENT_OVERHEAD_BYTES


class Page(NamedTuple):
    """Lines in the order of the file. `start` and `stop` are where the pages before and after it meet it."""

    lines: list[Line]
    start: int
    stop: int


def parse_line(raw: bytes, start: int, fallback_ms: int) -> Line:
    """Returns the Line of `raw`, which ends with its LF and begins at offset `start`."""
    head, tab, text = raw[:-1].partition(b"\t")
    if tab and head.isdigit() and len(head) <= TIME_DIGITS:
        return Line(start, start + len(raw), int(head), text.decode("utf-8", "replace"))
    return Line(start, start + len(raw), fallback_ms, raw[:-1].decode("utf-8", "replace"))


class LogFile:
    """A log file opened for reading, as a context manager. `end`: where its whole lines ended when it was opened. One
    that was packed meanwhile reads alike."""

    def __init__(self, path: Path) -> None:
        self._descriptor = open_log(path)
        self._packed = open_packed(path) if self._descriptor < 0 else None
        if self._packed is not None:
            size = self._packed.size
        elif self._descriptor < 0:
            self.end = 0
            return
        else:
            size = os.fstat(self._descriptor).st_size
        self.end = self._line_start_before(size)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._packed is not None:
            self._packed.close()
        elif self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    # -- pages --

    def forward(
        self,
        offset: int,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = PAGE_EVENTS,
        limit_bytes: int = PAGE_BYTES,
    ) -> Page:
        """Returns the first lines from `offset` on whose times are in [start_ms, end_ms), at most `limit` and
        `limit_bytes`, but at least one line where there is one. `stop` of an empty page is where reading continues
        later."""
        begin = self._line_start_after(offset)
        if start_ms is not None:
            begin = max(begin, self.first_at(start_ms))
        lines: list[Line] = []
        used_bytes = 0
        stop = begin
        for line in self.lines(begin, min(BLOCK_BYTES, max(SHORT_BYTES, limit_bytes))):
            if start_ms is not None and line.at_ms < start_ms:
                continue
            used_bytes += line.event_bytes
            if (end_ms is not None and line.at_ms >= end_ms) or (lines and used_bytes > limit_bytes):
                break
            lines.append(line)
            stop = line.stop
            if len(lines) >= limit:
                break
        return Page(lines, lines[0].start if lines else stop, stop)

    def backward(
        self,
        offset: int,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = PAGE_EVENTS,
        limit_bytes: int = PAGE_BYTES,
    ) -> Page:
        """Returns the last lines before `offset` whose times are in [start_ms, end_ms), in the order of the file."""
        bottom = 0 if start_ms is None else self.first_at(start_ms)
        top = self._line_start_after(offset)
        if end_ms is not None:
            top = min(top, self.first_at(end_ms))
        lines: list[Line] = []
        used_bytes = 0
        for line in self._lines_before(top, bottom):
            if (start_ms is not None and line.at_ms < start_ms) or (end_ms is not None and line.at_ms >= end_ms):
                continue
            used_bytes += line.event_bytes
            if lines and used_bytes > limit_bytes:
                break
            lines.append(line)
            if len(lines) >= limit:
                break
        lines.reverse()
        return Page(lines, lines[0].start if lines else top, lines[-1].stop if lines else top)

    def first(self) -> Line | None:
        return next(self.lines(0), None)

    def last(self) -> Line | None:
        return next(self._lines_before(self.end, 0), None)

    def first_at(self, at_ms: int) -> int:
        """Returns the offset of a line before which every line is earlier than `at_ms`: the first line at or after
        that time, where all lines can be read; `end` when all are earlier."""
        low, high = (0, self.end) if self._packed is None else self._packed.span_of(at_ms)
        high = min(high, self.end)
        found = high
        while low < high:
            middle = (low + high) // 2
            start = self._line_start_after(middle)
            if start >= high:
                high = middle
                continue
            time_ms = self._time_at(start)
            # A line without a time settles nothing: going on before it can only give an earlier offset than the best.
            if time_ms is None or time_ms >= at_ms:
                found = start
                high = middle
            else:
                low = start + 1
        return found

    def block_before(self, top: int, bottom: int, size: int) -> tuple[int, bytes]:
        """Returns the last whole lines in [bottom, top), which are line starts: about `size` bytes of them, at least
        one line; and the offset where they begin."""
        start = max(bottom, self._line_start_before(max(bottom, top - size)))
        return start, self._read(top - start, start)

    # -- lines --

    def lines(self, start: int, block_bytes: int = 0) -> Iterator[Line]:
        """Yields every whole line from the line start `start` on, read in blocks of `block_bytes` (0: BLOCK_BYTES)."""
        rest = b""
        position = start  # of rest's first byte
        last_ms = 0
        while position + len(rest) < self.end:
            at = position + len(rest)
            block = self._read(min(block_bytes or BLOCK_BYTES, self.end - at), at)
            if not block:
                return  # the file was cut short meanwhile: its job was removed
            *whole, tail = (rest + block).split(b"\n") if b"\n" in block else [rest + block]
            for raw in whole:
                line = parse_line(raw + b"\n", position, last_ms)
                last_ms = line.at_ms
                yield line
                position = line.stop
            rest = tail

    def _lines_before(self, top: int, bottom: int) -> Iterator[Line]:
        """Yields every line in [bottom, top), the last one first; both are line starts."""
        rest = b""  # the beginning of lines already read, complete to its right
        position = top
        while position > bottom:
            size = min(BLOCK_BYTES, position - bottom)
            block = self._read(size, position - size)
            if len(block) < size:
                return  # the file was cut short meanwhile: its job was removed
            position -= size
            data = block + rest
            # Whole lines begin after the first LF, or at once where nothing is left before this block.
            cut = 0 if position == bottom else data.find(b"\n") + 1
            if position > bottom and cut in (0, len(data)):  # one line, which began before this block
                rest = data
                continue
            yield from self._reversed(data[cut:], position + cut)
            rest = data[:cut]

    @staticmethod
    def _reversed(data: bytes, start: int) -> Iterator[Line]:
        lines: list[Line] = []
        last_ms = 0
        for raw in data.split(b"\n")[:-1]:
            line = parse_line(raw + b"\n", start, last_ms)
            last_ms = line.at_ms
            lines.append(line)
            start = line.stop
        return reversed(lines)

    # -- line starts --

    def _line_start_after(self, offset: int) -> int:
        """Returns the first line start at or after `offset`, at most `end`."""
        if offset <= 0:
            return 0
        position = offset - 1  # an LF there makes `offset` itself a start
        while position < self.end:
            size = SHORT_BYTES if position < offset else BLOCK_BYTES
            block = self._read(min(size, self.end - position), position)
            if not block:
                break
            found = block.find(b"\n")
            if found >= 0:
                return position + found + 1
            position += len(block)
        return self.end

    def _line_start_before(self, offset: int) -> int:
        """Returns the last line start at or before `offset`."""
        while offset > 0:
            size = min(BLOCK_BYTES, offset)
            found = self._read(size, offset - size).rfind(b"\n")
            if found >= 0:
                return offset - size + found + 1
            offset -= size
        return 0

    def _time_at(self, start: int) -> int | None:
        head, tab, _ = self._read(TIME_DIGITS + 1, start).partition(b"\t")
        return int(head) if tab and head.isdigit() else None

    def _read(self, size: int, offset: int) -> bytes:
        return os.pread(self._descriptor, size, offset) if self._packed is None else self._packed.read(size, offset)
