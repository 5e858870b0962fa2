"""Yields the lines of streams newest first, for queries: by blocks, so that blocks and lines without a text that every
wanted line has cost next to nothing.

Files are open only while a block is read: a query may go over more streams than a process may have files open."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heappop, heapreplace
from itertools import accumulate
from pathlib import Path

from batchyard.evaluators.insights.batches import Lines
from batchyard.observe.log_catalogue import AnyStream, EventStream
from batchyard.observe.logfile import TIME_DIGITS, LogFile
from batchyard.observe.written_log import PLACES_PER_MS
from batchyard.store.logs.log_reader import LAST, Position
from batchyard.store.logs.log_records import StoredEvent

BLOCK_BYTES = 256 * 1024
MIN_BLOCK_BYTES = 4096
AHEAD_BYTES = 32 * 1024 * 1024  # read ahead over all streams of a query that are merged by time
EVENTS_AT_ONCE = 5000
USUAL_DIGITS = 13  # of the milliseconds from 2001 to 2286
USUAL_LINES = re.compile(rb"(?:[0-9]{13}\t[^\n]*\n)+")

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
    for lines in scan_blocks(stream, span, block_bytes):
        yield from zip(lines.times, lines.places(), lines.ingested(), lines.texts, strict=True)


def scan_blocks(stream: AnyStream, span: Span, block_bytes: int = BLOCK_BYTES) -> Iterator[Lines]:
    """Yields the lines of one stream block by block, newest first; none without a line."""
    blocks = (
        _scan_events(stream, span) if isinstance(stream, EventStream) else _scan_file(stream.path, span, block_bytes)
    )
    return (lines for lines in blocks if lines.times)


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


def _scan_events(stream: EventStream, span: Span) -> Iterator[Lines]:
    texts, skipped = span.texts, span.skipped
    high: Position = min((span.end_ms, 0), LAST)
    while span.keep_going():
        events = stream.reader.events_before(stream.stream.key, high, span.start_ms, EVENTS_AT_ONCE, BLOCK_BYTES)
        if not events:
            return
        high = events[-1].at_ms, events[-1].sequence
        wanted = [event for event in events if all(text in event.message for text in texts)]
        skipped.lines += len(events) - len(wanted)
        skipped.bytes += sum(len(event.message) for event in events) - sum(len(event.message) for event in wanted)
        yield _lines_of_events(wanted)


def _lines_of_events(events: Sequence[StoredEvent]) -> Lines:
    return Lines(
        [event.at_ms for event in events],
        [event.message for event in events],
        lambda: [event.at_ms * PLACES_PER_MS + event.sequence for event in events],
        lambda: [event.ingested_ms or event.at_ms for event in events],
    )


def _scan_file(path: Path, span: Span, block_bytes: int) -> Iterator[Lines]:
    with LogFile(path) as log:
        bottom, top = log.first_at(span.start_ms), log.first_at(span.end_ms)
    while top > bottom and span.keep_going():
        with LogFile(path) as log:
            start, block = log.block_before(top, bottom, block_bytes)
        if not block:
            return  # the file was cut short meanwhile: its job was removed
        yield _lines_of(block, start, span)
        top = start


def _lines_of(block: bytes, start: int, span: Span) -> Lines:
    """Returns the wanted lines of a block of whole lines, the last one first."""
    skipped, needles = span.skipped, span.needles
    if needles:
        ends, raws = _with_needles(block, needles)
        skipped.lines += block.count(b"\n") - len(raws)
        skipped.bytes += len(block) - sum(map(len, raws)) - len(raws)
    else:
        ends, raws = [], block.split(b"\n")[-2::-1]
    times, texts = _read(block, raws, span.start_ms, is_whole=not needles)

    def places() -> list[int]:
        """Where the lines begin."""
        if needles:
            return [start + end - len(raw) for end, raw in zip(ends, raws, strict=True)]
        return list(accumulate(map(len, raws), lambda place, length: place - length - 1, initial=start + len(block)))[
            1:
        ]

    if times and span.start_ms <= min(times) and max(times) < span.end_ms:
        return Lines(times, texts, places, lambda: times)
    inside = [at for at, at_ms in enumerate(times) if span.start_ms <= at_ms < span.end_ms]
    inside_times = [times[at] for at in inside]
    return Lines(inside_times, [texts[at] for at in inside], lambda: _chosen(places(), inside), lambda: inside_times)


def _chosen(values: Sequence[int], positions: Sequence[int]) -> list[int]:
    return [values[at] for at in positions]


def _with_needles(block: bytes, needles: Sequence[bytes]) -> tuple[list[int], list[bytes]]:
    """Returns the lines that have all needles, the last one first, and where they end: what lies between the first
    needle's places is not looked at."""
    ends: list[int] = []
    raws: list[bytes] = []
    first, others = needles[0], needles[1:]
    if any(b"\n" in needle for needle in needles) or not all(needle in block for needle in needles):
        return ends, raws
    at = len(block)
    while (found := block.rfind(first, 0, at)) >= 0:
        at, end = block.rfind(b"\n", 0, found) + 1, block.find(b"\n", found)
        raw = block[at:end]
        if all(needle in raw for needle in others):
            ends.append(end)
            raws.append(raw)
    return ends, raws


def _read(block: bytes, raws: Sequence[bytes], fallback_ms: int, *, is_whole: bool) -> tuple[list[int], list[str]]:
    """Returns times and texts of lines. `is_whole`: they are all lines of the block. `fallback_ms`: of a line without
    a time, which a crash has torn."""
    if is_whole and USUAL_LINES.fullmatch(block):
        times = [int(raw[:USUAL_DIGITS]) for raw in raws]
        if block.isascii():
            return times, [text[USUAL_DIGITS + 1 :] for text in block.decode("ascii").split("\n")[-2::-1]]
        return times, [raw[USUAL_DIGITS + 1 :].decode("utf-8", "replace") for raw in raws]
    times, texts = [], []
    for raw in raws:
        head, tab, text = raw.partition(b"\t")
        if tab and len(head) <= TIME_DIGITS and head.isdigit():
            times.append(int(head))
        else:
            times.append(fallback_ms)
            text = raw  # whole, as other readers have it
        texts.append(text.decode("utf-8", "replace"))
    return times, texts
