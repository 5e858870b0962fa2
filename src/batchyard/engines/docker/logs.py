"""A container's output, from Docker into the log file of the seam, live, without loss or repetition.

Docker's own log is the truth: a sequence of lines with times, of which our file always holds a beginning. To go on with
a file (after a lost connection, or another server's death), Docker is asked for everything from a little before the
file's last time on, and the lines that the file has are skipped. For that to be exact the times in the file never
decrease (two outputs of a container race for Docker's log), by a rule that depends on the lines alone and not on when
they are read. Where Docker dropped lines that were not read in time, the cut is marked.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from batchyard.engines.base import CUT_MARK, MAX_LOG_LINE_BYTES, open_log
from batchyard.engines.docker.api import ApiError
from batchyard.engines.docker.containers import milliseconds
from batchyard.engines.docker.daemon import Daemon
from batchyard.engines.log_file import LogFile

# The two outputs of a container are stamped before they wait for each other: at most this far out of order.
MAX_DISORDER_MS = 1000
# The log of a container that ends before this is read once, at its end: one request less.
YOUNG_SECONDS = 0.1
DRAIN_SECONDS = 5.0  # a follower of an ended container is cancelled after this time without new output
NOT_READABLE = "does not support reading"  # from Docker before 20.10, Podman, and drivers without a cache
_HEADER_BYTES = 8
_SECOND_BYTES = len("2026-01-01T00:00:00")
_STAMP_BYTES = len("2026-01-01T00:00:00.000000000Z")
_BLOCK_BYTES = 64 * 1024
_MARK = CUT_MARK.encode()

Line = tuple[int, bytes]  # milliseconds, text without its newline
Tail = tuple[int, list[bytes]]  # milliseconds, the texts of all lines of that time


class Lines:
    """Decodes Docker's frames into lines. A line longer than 16 KiB comes in pieces, with other lines between them."""

    def __init__(self, floor_ms: int) -> None:
        self._last_ms = floor_ms
        self._rest = b""
        self._pieces: dict[int, list[bytes]] = {}
        self._sizes: dict[int, int] = {}
        self._second = b""
        self._second_ms = 0

    def feed(self, block: bytes) -> Iterator[Line]:
        data = self._rest + block if self._rest else block
        at = 0
        while len(data) - at >= _HEADER_BYTES:
            stop = at + _HEADER_BYTES + int.from_bytes(data[at + 4 : at + _HEADER_BYTES], "big")
            if stop > len(data):
                break
            yield from self._frame(data[at], data[at + _HEADER_BYTES : stop])
            at = stop
        self._rest = data[at:]

    def flush(self) -> Iterator[Line]:
        """Yields the unfinished lines, at the end of the log."""
        for output in list(self._pieces):
            yield from self._whole(output)

    def _frame(self, output: int, payload: bytes) -> Iterator[Line]:
        stamp, _, text = payload.partition(b" ")
        self._last_ms = max(self._last_ms, self._time(stamp))
        pieces = self._pieces.get(output)
        if pieces is None and len(text) <= MAX_LOG_LINE_BYTES and text.endswith(b"\n"):
            yield self._last_ms, _as_text(text[:-1])
            return
        self._pieces.setdefault(output, []).append(text)
        self._sizes[output] = self._sizes.get(output, 0) + len(text)
        if text.endswith(b"\n") or self._sizes[output] >= MAX_LOG_LINE_BYTES:
            yield from self._whole(output)

    def _whole(self, output: int) -> Iterator[Line]:
        text = _as_text(b"".join(self._pieces.pop(output)).removesuffix(b"\n"))
        del self._sizes[output]
        while len(text) > MAX_LOG_LINE_BYTES:
            end = MAX_LOG_LINE_BYTES
            while text[end] & 0xC0 == 0x80:  # a continuation byte
                end -= 1
            yield self._last_ms, text[:end]
            text = text[end:]
        yield self._last_ms, text

    def _time(self, stamp: bytes) -> int:
        if len(stamp) != _STAMP_BYTES or stamp[-1:] != b"Z":  # Podman's may be local times
            return milliseconds(stamp.decode("latin-1"))
        if stamp[:_SECOND_BYTES] != self._second:
            self._second = stamp[:_SECOND_BYTES]
            self._second_ms = milliseconds(self._second.decode("latin-1") + "Z")
        return self._second_ms + int(stamp[_SECOND_BYTES + 1 : _SECOND_BYTES + 4])


class Remainder:
    """Skips the lines that a file has already. `known`: all its lines of the time `last_ms`, in order."""

    def __init__(self, last_ms: int, known: list[bytes]) -> None:
        self._last_ms = last_ms
        self._known = known
        self._at = 0

    def take(self, line: Line) -> Iterator[Line]:
        at_ms, text = line
        if at_ms < self._last_ms:
            return
        if self._at < len(self._known):
            if at_ms == self._last_ms and text == self._known[self._at]:
                self._at += 1
                return
            self._at = len(self._known)  # a known line is gone: so are lines that were not read
            yield at_ms, _MARK
        yield line


class ContainerLog:
    """One container's log file, written by this server alone. `check`: raises once a later server writes it."""

    def __init__(
        self, daemon: Daemon, container: str, path: Path, limit_bytes: int, floor_ms: int, check: Callable[[], None]
    ) -> None:
        self._daemon = daemon
        self._container = container
        self._path = path
        self._floor_ms = floor_ms
        self._check = check
        self._file = LogFile(path, limit_bytes)
        self._file.resume()
        self._follower: asyncio.Task[None] | None = None
        self._is_young = True  # the follower has sent no request yet
        self._blocks = 0  # read so far

    def follow(self) -> None:
        """Follows the log in the background. Called again, it restarts a follower whose stream the daemon has ended."""
        if self._follower is not None and self._follower.done():
            self._follower.result()
            self._follower = None
        if self._follower is None:
            self._follower = asyncio.create_task(self._follow(), name=f"log of {self._container}")

    async def seal(self) -> None:
        """Completes the file of a container that has ended. DaemonUnreachable: call again."""
        await self._end_follower()
        await self._copy(follow=False)
        self._file.finish(self._last()[0])

    async def leave(self) -> None:
        """Cancels the follower; the file stays as it is. Raises the follower's failure."""
        if self._follower is None:
            return
        follower, self._follower = self._follower, None
        follower.cancel()
        await asyncio.wait([follower])
        if not follower.cancelled():
            follower.result()

    async def _end_follower(self) -> None:
        """Waits until the follower has read everything. Raises its failure, which is a fault of ours."""
        if self._follower is None:
            return
        progress = -1
        while not self._is_young and not self._follower.done() and self._blocks != progress:
            progress = self._blocks
            await asyncio.wait([self._follower], timeout=DRAIN_SECONDS)
        if not self._follower.done():
            self._follower.cancel()
            await asyncio.wait([self._follower])
        if not self._follower.cancelled():
            self._follower.result()
        self._follower = None

    async def _follow(self) -> None:
        self._is_young = True
        await asyncio.sleep(YOUNG_SECONDS)
        self._is_young = False
        await self._daemon.until_it_answers(lambda: self._copy(follow=True))

    async def _copy(self, *, follow: bool) -> None:
        last_ms, known = self._last()
        since = max(0, last_ms - MAX_DISORDER_MS)
        query = {"stdout": "1", "stderr": "1", "timestamps": "1", "follow": "1" if follow else "0"}
        if since:
            query["since"] = f"{since // 1000}.{since % 1000:03d}000000"
        lines, remainder = Lines(self._floor_ms), Remainder(last_ms, known)
        try:
            response = await self._daemon.api.open("GET", f"/containers/{self._container}/logs", query)
        except ApiError as error:
            # Removed, never started, or with a log driver that can't be read: the file has all there is.
            if error.status in (404, 409) or NOT_READABLE in error.message:
                return
            raise
        async with response:
            async for block in response.blocks():
                self._blocks += 1
                self._write([new for line in lines.feed(block) for new in remainder.take(line)])
        if not follow:
            self._write([new for line in lines.flush() for new in remainder.take(line)])

    def _write(self, lines: list[Line]) -> None:
        """Writes lines, those of one time together."""
        if not lines:
            return
        self._check()
        start = 0
        for at in range(1, len(lines) + 1):
            if at == len(lines) or lines[at][0] != lines[start][0]:
                self._file.write(b"".join(text + b"\n" for _, text in lines[start:at]), lines[start][0])
                start = at

    def _last(self) -> Tail:
        """Returns the last lines of the file; 0 milliseconds: it is empty."""
        return last_lines(self._file.current_path())


def last_lines(path: Path) -> Tail:
    fd = open_log(path)
    if fd < 0:
        return 0, []
    try:
        last_ms, texts = 0, list[bytes]()
        for line in _backwards(fd):
            stamp, tab, text = line.partition(b"\t")
            if not tab or not stamp.isdigit() or (texts and int(stamp) != last_ms):
                break
            last_ms = int(stamp)
            texts.append(text)
        texts.reverse()
        return last_ms, [text for text in texts if text != _MARK]
    finally:
        os.close(fd)


def _backwards(fd: int) -> Iterator[bytes]:
    """Yields the complete lines of a file, the last first, without their newlines."""
    start = os.fstat(fd).st_size
    rest = b""
    is_whole = False  # the bytes behind the last newline are an unfinished line
    while start > 0:
        end, start = start, max(0, start - _BLOCK_BYTES)
        data = os.pread(fd, end - start, start) + rest
        if not is_whole:
            data = data[: data.rfind(b"\n") + 1]
            is_whole = bool(data)
        lines = data.split(b"\n")[:-1]
        rest = lines.pop(0) + b"\n" if start and lines else b""
        yield from reversed(lines)


def _as_text(data: bytes) -> bytes:
    return data if data.isascii() else data.decode("utf-8", "replace").encode()
