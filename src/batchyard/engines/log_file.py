"""Log files: a task's output on disk, in the layout that `batchyard.engines.base` describes.

Everything read is in the file at once, an unfinished line too, so that the supervisor's death loses nothing. Readers
ignore a last line without LF.

**Size limit.** The first half of the limit goes to the log file itself (the head). Then two segments beside it are
written in turn; when one is full, the older one is dropped, so that the newest quarter to half of the limit survives
(the tail). At the end the tail is appended to the head, behind a mark when something was dropped.
"""

from __future__ import annotations

import codecs
import os
import shutil
from pathlib import Path

from batchyard.engines.base import CUT_MARK, MAX_LOG_LINE_BYTES

DEFAULT_LIMIT_BYTES = 64 * 1024 * 1024  # per container; thousands of chatty jobs must not fill a disk in a day
_CHARACTER_BYTES = 4  # the longest in UTF-8
_COPY_BYTES = 1024 * 1024


class LogFile:
    """One container's log. There is no file before the first byte."""

    def __init__(self, path: Path, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self._path = path
        self._head_limit = limit_bytes // 2
        self._segment_limit = limit_bytes // 4
        self._fd = -1
        self._size = 0
        self._head_end = 0  # 0: still in the head
        self._segment = 0
        self._in_line = False
        self._line_bytes = 0
        self._pending = b""  # the beginning of a character
        self._is_failing = False

    def resume(self) -> None:
        """Goes on with the file of an earlier supervisor."""
        segments = self._segments()
        path = segments[-1] if segments else self._path
        if segments:
            self._head_end, self._segment = _segment_numbers(segments[-1])
        if not path.exists():
            return
        try:
            self._open(path)
        except OSError:  # marked in the file like a failed write, once the disk can be written
            self._is_failing = True
            return
        if self._size and os.pread(self._fd, 1, self._size - 1) != b"\n":
            self._in_line = True
            start = max(0, self._size - MAX_LOG_LINE_BYTES)
            self._line_bytes = len(os.pread(self._fd, MAX_LOG_LINE_BYTES, start).rpartition(b"\n")[2])

    def current_path(self) -> Path:
        """Returns the file with the newest lines."""
        return self._segment_path(self._segment) if self._head_end else self._path

    def write(self, data: bytes, now_ms: int) -> None:
        """Writes output as it was read. When the disk is full it is lost, and marked in the file once there is room."""
        try:
            if self._is_failing:
                self._recover(now_ms)
            self._write_text(self._decoded(data, final=False), now_ms)
        except OSError:
            self._is_failing = True

    def finish(self, now_ms: int) -> None:
        """Ends the last line, and joins head and tail: the file is complete."""
        if self._fd < 0 and not self._pending:
            return
        try:
            if self._is_failing:
                self._recover(now_ms)
            self._write_text(self._decoded(b"", final=True), now_ms)
            if self._in_line:
                self._put(b"\n")
            if self._head_end:
                self._join(now_ms)
        except OSError:
            self._is_failing = True  # the disk is full: what is there stays as it is
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _decoded(self, data: bytes, *, final: bool) -> bytes:
        if self._pending:
            data = self._pending + data
            self._pending = b""
        if data.isascii():
            return data
        text, consumed = codecs.utf_8_decode(data, "replace", final)
        self._pending = data[consumed:]
        return text.encode()

    def _write_text(self, text: bytes, now_ms: int) -> None:
        """Writes text, and cuts lines at their limit, never inside a character."""
        prefix = b"%d\t" % now_ms
        while text:
            room = MAX_LOG_LINE_BYTES - self._line_bytes
            if room < _CHARACTER_BYTES and self._in_line:
                self._put(b"\n")
                self._in_line, self._line_bytes = False, 0
                text = text[1:] if text.startswith(b"\n") else text
                continue
            end = min(room, len(text))
            while end < len(text) and text[end] & 0xC0 == 0x80:  # a continuation byte
                end -= 1
            self._write_piece(text[:end], prefix)
            text = text[end:]

    def _write_piece(self, piece: bytes, prefix: bytes) -> None:
        """Writes a piece that exceeds no line's limit."""
        body = piece if self._in_line else prefix + piece
        last = piece.rfind(b"\n")
        if last < 0:
            self._line_bytes += len(piece)
        else:
            self._line_bytes = len(piece) - last - 1
            body = body.replace(b"\n", b"\n" + prefix)
            if self._line_bytes == 0:
                body = body[: -len(prefix)]
        self._in_line = last < 0 or self._line_bytes > 0
        self._put(body)

    def _put(self, body: bytes) -> None:
        if self._fd < 0:
            self._open(self._path)
        while self._size + len(body) >= (limit := self._segment_limit if self._head_end else self._head_limit):
            # Files end with whole lines: the last that fits, else the one that has begun.
            cut = body.rfind(b"\n", 0, max(0, limit - self._size)) + 1 or body.find(b"\n") + 1
            if not cut:
                break
            self._append(body[:cut])
            self._next_segment()
            body = body[cut:]
        if body:
            self._append(body)

    def _append(self, body: bytes) -> None:
        view = memoryview(body)
        while view:
            written = os.write(self._fd, view)
            self._size += written
            view = view[written:]

    def _open(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        try:
            fd = os.open(path, flags | os.O_NOFOLLOW, 0o640)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, flags | os.O_NOFOLLOW, 0o640)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd
        self._size = os.fstat(fd).st_size

    def _segment_path(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.tail.{self._head_end}.{number}")

    def _segments(self) -> list[Path]:
        return sorted(self._path.parent.glob(f"{self._path.name}.tail.*"), key=_segment_numbers)

    def _next_segment(self) -> None:
        if not self._head_end:
            self._head_end = self._size
        else:
            self._segment += 1
        self._open(self._segment_path(self._segment))
        if self._segment >= 2:
            self._segment_path(self._segment - 2).unlink(missing_ok=True)

    def _recover(self, now_ms: int) -> None:
        """Marks after failed writes that output is missing, if the disk can be written."""
        if self._fd < 0:
            self._open(self._path)
        torn = self._size > 0 and os.pread(self._fd, 1, self._size - 1) != b"\n"
        mark = b"%d\t%s\n" % (now_ms, CUT_MARK.encode())
        self._append(b"\n" + mark if torn else mark)
        self._is_failing, self._in_line, self._line_bytes = False, False, 0

    def _join(self, now_ms: int) -> None:
        """Appends the tail to the head, which is first cut to its length: an interrupted join is repeated."""
        segments = self._segments()
        with os.fdopen(os.open(self._path, os.O_RDWR | os.O_NOFOLLOW), "r+b") as head:
            head.truncate(self._head_end)
            head.seek(0, os.SEEK_END)
            if segments and _segment_numbers(segments[0])[1] > 0:
                head.write(b"%d\t%s\n" % (now_ms, CUT_MARK.encode()))
            for segment in segments:
                with os.fdopen(os.open(segment, os.O_RDONLY | os.O_NOFOLLOW), "rb") as source:
                    shutil.copyfileobj(source, head, _COPY_BYTES)
        for segment in segments:
            segment.unlink()


def _segment_numbers(path: Path) -> tuple[int, int]:
    head_end, number = path.name.rsplit(".", 2)[1:]
    return int(head_end), int(number)
