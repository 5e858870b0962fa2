"""Yields the lines of streams newest first, for queries: by blocks, so that blocks and lines without a text that every
wanted line has cost next to nothing.

Files are open only while a block is read: a query may go over more streams than a process may have files open."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heappop, heapreplace
from pathlib import Path

from batchyard.observe.log_catalogue import AnyStream, EventStream
from batchyard.observe.logfile import TIME_DIGITS, LogFile
from batchyard.observe.written_log import PLACES_PER_MS
from batchyard.store.logs.log_reader import LAST, Position

BLOCK_BYTES = 256 * 1024
MIN_BLOCK_BYTES = 4096
AHEAD_BYTES = 32 * 1024 * 1024  # read ahead over all streams of a query that are merged by time
EVENTS_AT_ONCE = 5000

ScannedLine = tuple[int, int, int, str]  # time, place, time of ingestion, text


class Skipped:
    """Lines that were looked at without being read: `bytes` of their blocks."""

    __slots__ = ("bytes", "lines")

    def __init__(self) -> None:
        self.lines = self.bytes = 0


class Span:
    """What a scan looks for: lines in [start_ms, end_ms) that have all `texts`. `keep_going`: called for each block;
    False ends the scan."""

    def __init__(
        self, start_ms: int, end_ms: int, texts: Sequence[str] = (), keep_going: Callable[[], bool] = lambda: True
    ) -> None:
        self.start_ms, self.end_ms, self.texts = start_ms, end_ms, texts
        self.needles = [text.encode("utf-8", "surrogatepass") for text in texts]
        self.keep_going = keep_going
        self.skipped = Skipped()


def scan(stream: AnyStream, span: Span, block_bytes: int = BLOCK_BYTES) -> Iterator[ScannedLine]:
    """Yields the lines of one stream, newest first."""
    if isinstance(stream, EventStream):
        return _scan_events(stream, span)
    return _scan_file(stream.path, span, block_bytes)


def scan_in_order(streams: Sequence[AnyStream], span: Span) -> Iterator[tuple[AnyStream, ScannedLine]]:
    """Yields the lines of all streams, newest first over all of them."""
    block_bytes = max(MIN_BLOCK_BYTES, min(BLOCK_BYTES, AHEAD_BYTES // max(1, len(streams))))
    heads: list[tuple[int, int, ScannedLine, Iterator[ScannedLine]]] = []
    for number, stream in enumerate(streams):
        lines = scan(stream, span, block_bytes)
        line = next(lines, None)
        if line is not None:
            heads.append((-line[0], number, line, lines))
    heapify(heads)
    while heads:
        _, number, line, lines = heads[0]
        yield streams[number], line
        following = next(lines, None)
        if following is None:
            heappop(heads)
        else:
            heapreplace(heads, (-following[0], number, following, lines))


def _scan_events(stream: EventStream, span: Span) -> Iterator[ScannedLine]:
    texts, skipped = span.texts, span.skipped
    high: Position = min((span.end_ms, 0), LAST)
    while span.keep_going():
        events = stream.reader.events_before(stream.stream.key, high, span.start_ms, EVENTS_AT_ONCE, BLOCK_BYTES)
        if not events:
            return
        for at_ms, sequence, ingested_ms, message in events:
            if all(text in message for text in texts):
                yield at_ms, at_ms * PLACES_PER_MS + sequence, ingested_ms or at_ms, message
            else:
                skipped.lines += 1
                skipped.bytes += len(message)
        high = events[-1].at_ms, events[-1].sequence


def _scan_file(path: Path, span: Span, block_bytes: int) -> Iterator[ScannedLine]:
    with LogFile(path) as log:
        bottom, top = log.first_at(span.start_ms), log.first_at(span.end_ms)
    while top > bottom and span.keep_going():
        with LogFile(path) as log:
            start, block = log.block_before(top, bottom, block_bytes)
        if not block:
            return  # the file was cut short meanwhile: its job was removed
        yield from _lines_of(block, start, span)
        top = start


def _lines_of(block: bytes, start: int, span: Span) -> Iterator[ScannedLine]:
    """Yields the wanted lines of a block of whole lines, the last one first."""
    needles, skipped = span.needles, span.skipped
    if not all(needle in block for needle in needles):
        skipped.lines += block.count(b"\n")
        skipped.bytes += len(block)
        return
    end = start + len(block)
    if not needles and block.isascii():
        yield from _lines_of_ascii(block.decode("ascii"), end, span)
        return
    fallback_ms = span.start_ms  # of a line without a time, which a crash has torn
    for raw in reversed(block.split(b"\n")[:-1]):
        end -= len(raw) + 1
        for needle in needles:
            if needle not in raw:
                skipped.lines += 1
                skipped.bytes += len(raw)
                break
        else:
            head, tab, text = raw.partition(b"\t")
            if tab and len(head) <= TIME_DIGITS and head.isdigit():
                at_ms = int(head)
            else:
                at_ms, text = fallback_ms, raw  # whole, as other readers have it
            if span.start_ms <= at_ms < span.end_ms:
                yield at_ms, end, at_ms, text.decode("utf-8", "replace")


def _lines_of_ascii(block: str, end: int, span: Span) -> Iterator[ScannedLine]:
    """As _lines_of, of a block in which each character is a byte, and all lines are wanted."""
    start_ms, end_ms = span.start_ms, span.end_ms
    for raw in reversed(block.split("\n")[:-1]):
        end -= len(raw) + 1
        head, tab, text = raw.partition("\t")
        if tab and len(head) <= TIME_DIGITS and head.isdigit():
            at_ms = int(head)
        else:
            at_ms, text = start_ms, raw  # whole, as other readers have it
        if start_ms <= at_ms < end_ms:
            yield at_ms, end, at_ms, text
