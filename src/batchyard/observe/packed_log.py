"""Compressed log files: what a log file becomes when its attempt has ended.

A packed file stands beside where the log file was (`packed_path`): blocks of lines, each compressed on its own, and
behind them an index with the place and the time of each block, so that a page costs the decompression of a block or
two. Offsets are those of the log file: tokens of readers stay good."""

from __future__ import annotations

import os
import struct
import zlib
from bisect import bisect_left, bisect_right
from pathlib import Path

import msgspec
from msgspec import Struct

from batchyard.engines.base import open_log

BLOCK_BYTES = 256 * 1024  # of lines: larger ones hardly compress better, and cost each page more
LEVEL = 6
TIME_DIGITS = 19
MAGIC = b"batchyard-log-1\n"
TRAILER = struct.Struct("<QII16s")  # the index: its place, length and checksum
CACHED_BLOCKS = 2  # a page at the border of two reads both


class _Index(Struct, array_like=True):
    """By block: the offset of its first byte in the log file and in this one, and the time of its first line; the last
    entry of the places is where the blocks end."""

    starts: list[int]
    places: list[int]
    times: list[int]
    end: int


def packed_path(path: Path) -> Path:
    return path.with_name(path.name + ".z")


class PackedLog:
    """A packed file, open for reading by `descriptor`, which it closes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        size = os.fstat(descriptor).st_size
        place, length, check, magic = TRAILER.unpack(os.pread(descriptor, TRAILER.size, size - TRAILER.size))
        body = os.pread(descriptor, length, place)
        assert magic == MAGIC, "a packed log ends otherwise"
        assert zlib.crc32(body) == check, "the index of a packed log is damaged"
        self._index = msgspec.msgpack.decode(body, type=_Index)
        self.size = self._index.end
        self._blocks: dict[int, bytes] = {}

    def close(self) -> None:
        os.close(self._descriptor)

    def read(self, size: int, offset: int) -> bytes:
        """Returns bytes of the log file, as os.pread does."""
        found: list[bytes] = []
        index = self._index
        while size > 0 and offset < self.size:
            number = bisect_right(index.starts, offset) - 1
            at = offset - index.starts[number]
            part = self._block(number)[at : at + size]
            found.append(part)
            size -= len(part)
            offset += len(part)
        return b"".join(found)

    def span_of(self, at_ms: int) -> tuple[int, int]:
        """Returns the part of the log file in which the first line at or after `at_ms` begins, or whose end it is."""
        number = bisect_left(self._index.times, at_ms)
        starts = self._index.starts or [0]
        return starts[max(0, number - 1)], starts[number] if number < len(starts) else self.size

    def _block(self, number: int) -> bytes:
        block = self._blocks.get(number)
        if block is None:
            place, end = self._index.places[number : number + 2]
            block = zlib.decompress(os.pread(self._descriptor, end - place, place))
            while len(self._blocks) >= CACHED_BLOCKS:
                del self._blocks[next(iter(self._blocks))]
            self._blocks[number] = block
        return block


def open_packed(path: Path) -> PackedLog | None:
    """Opens what became of the log file `path`, if it was packed."""
    descriptor = open_log(packed_path(path))
    return PackedLog(descriptor) if descriptor >= 0 else None


def remove_log(path: Path) -> None:
    """Removes a log file, packed or not."""
    path.unlink(missing_ok=True)
    packed_path(path).unlink(missing_ok=True)


def pack(path: Path) -> int:
    """Packs the log file of an attempt that has ended, and removes it. Returns the bytes gained; 0: there was none."""
    descriptor = open_log(path)
    if descriptor < 0:
        return 0
    target = packed_path(path)
    unfinished = target.with_name(target.name + ".new")
    try:
        status = os.fstat(descriptor)
        with open(unfinished, "wb", opener=_private) as file:
            file.write(_packed(descriptor, status.st_size))
            file.flush()
            os.fsync(file.fileno())
    finally:
        os.close(descriptor)
    os.utime(unfinished, ns=(status.st_atime_ns, status.st_mtime_ns))  # the time of the newest line, for retention
    os.rename(unfinished, target)
    path.unlink(missing_ok=True)
    return status.st_size - target.stat().st_size


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o640)


def _packed(descriptor: int, size: int) -> bytes:
    starts: list[int] = []
    places: list[int] = []
    times: list[int] = []
    blocks: list[bytes] = []
    offset = place = time_ms = 0
    begins_line = True
    while offset < size:
        block = os.pread(descriptor, min(BLOCK_BYTES, size - offset), offset)
        if offset + len(block) < size:  # blocks hold whole lines, but for a line longer than a block
            block = block[: block.rfind(b"\n") + 1] or block
        if begins_line:
            head, tab, _ = os.pread(descriptor, TIME_DIGITS + 1, offset).partition(b"\t")
            time_ms = max(time_ms, int(head)) if tab and head.isdigit() else time_ms
        begins_line = block.endswith(b"\n")
        packed = zlib.compress(block, LEVEL)
        starts.append(offset)
        places.append(place)
        times.append(time_ms)
        blocks.append(packed)
        offset += len(block)
        place += len(packed)
    places.append(place)
    index = msgspec.msgpack.encode(_Index(starts, places, times, offset))
    return b"".join([*blocks, index, TRAILER.pack(place, len(index), zlib.crc32(index), MAGIC)])
