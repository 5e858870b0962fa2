"""Append-only files of framed records, for the journals of engines.

Each frame carries checksums of its header and of its payload, and the record's kind in the header, so that a cut end is
distinguished from a corrupted middle.

**Damage.** A cut last record is harmless when its kind hides nothing that matters (`RecordFormat`). Anything else that
can't be read is damage: events that the file does not mention may have happened.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

Record = TypeVar("Record", bound=Struct)

_HEADER = struct.Struct("<IIB")  # payload length, payload crc32, kind
_CHECK = struct.Struct("<I")  # crc32 of the header
_HEADER_BYTES = _HEADER.size + _CHECK.size


class Frame(NamedTuple):
    """One frame of a file. `payload` is None when it is cut (`is_cut`, nothing follows) or damaged (reading goes on
    behind it). `number`: its kind; None: not even that can be read. `stop`: where it ends in the file."""

    number: int | None
    payload: bytes | None
    stop: int
    is_cut: bool = False


def encode_frame(number: int, payload: bytes) -> bytes:
    header = _HEADER.pack(len(payload), zlib.crc32(payload), number)
    return header + _CHECK.pack(zlib.crc32(header)) + payload


def frames(data: bytes) -> Iterator[Frame]:
    """Yields every frame, up to the first that is cut."""
    at = 0
    while at < len(data):
        header = data[at : at + _HEADER.size]
        check = data[at + _HEADER.size : at + _HEADER_BYTES]
        if len(check) < _CHECK.size or _CHECK.unpack(check)[0] != zlib.crc32(header):
            # No valid header: an append was cut so early that its kind is unknown, and may be one that matters. Zeros
            # alone come from a host's crash between growing the file and writing it: never synced, so that nothing was
            # done that relied on it.
            if any(data[at:]):
                yield Frame(None, None, at, is_cut=True)
            return
        length, crc, number = _HEADER.unpack(header)
        payload = data[at + _HEADER_BYTES : at + _HEADER_BYTES + length]
        if len(payload) < length:
            yield Frame(number, None, at, is_cut=True)
            return
        at += _HEADER_BYTES + length
        yield Frame(number, payload if zlib.crc32(payload) == crc else None, at)


class Decoded(NamedTuple, Generic[Record]):
    """One frame of a file, decoded. `record`: None when it can't be read; `is_harmless`: it was read, or nothing that
    matters was lost with it. `stop`: where it ends in the file."""

    record: Record | None
    stop: int
    is_harmless: bool


class RecordFormat(Generic[Record]):
    """The encoding of a file's records: the number of a record's kind, and the record in msgpack.

    `kinds`: the number of a kind is its position, so that kinds are only ever appended. `harmless_when_cut`: the kinds
    whose record may be cut off at the end of the file without hiding anything that matters."""

    def __init__(self, kinds: Sequence[type[Record]], harmless_when_cut: Collection[type[Record]]) -> None:
        self._kinds = kinds
        self._harmless_when_cut = harmless_when_cut
        self._numbers = {kind: number for number, kind in enumerate(kinds)}
        self._decoders = [msgspec.msgpack.Decoder(kind) for kind in kinds]
        self._encoder = msgspec.msgpack.Encoder()

    def encode(self, record: Record) -> bytes:
        return encode_frame(self._numbers[type(record)], self._encoder.encode(record))

    def decode(self, data: bytes) -> Iterator[Decoded[Record]]:
        """Yields every record, in the order of the file. Goes on behind a damaged one, and ends at one that is cut."""
        for frame in frames(data):
            number = frame.number
            if number is None or number >= len(self._kinds):
                yield Decoded(None, frame.stop, is_harmless=False)
            elif frame.payload is not None:
                yield Decoded(self._decoders[number].decode(frame.payload), frame.stop, is_harmless=True)
            else:
                is_harmless = frame.is_cut and self._kinds[number] in self._harmless_when_cut
                yield Decoded(None, frame.stop, is_harmless)


class RecordLog(Generic[Record]):
    """The open file. `append` buffers; `write` hands the buffer to the kernel; `sync` makes it durable."""

    def __init__(self, path: Path, record_format: RecordFormat[Record]) -> None:
        self._path = path
        self._format = record_format
        self._fd = -1
        self._buffer: list[bytes] = []
        self.size_bytes = 0

    def read(self) -> bytes:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return b""

    def rewrite(self, records: Iterable[Record]) -> None:
        """Replaces the whole content by these records, atomically and durably."""
        self._buffer.clear()
        temporary = self._path.with_name(self._path.name + ".new")
        data = b"".join(map(self._format.encode, records))
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _write_all(fd, data)
            os.fsync(fd)
        except OSError:
            os.close(fd)
            raise
        os.rename(temporary, self._path)
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd
        self.size_bytes = len(data)

    def move(self, path: Path) -> None:
        """Renames the file, and goes on writing to it."""
        self._path.rename(path)
        self._path = path

    def append(self, record: Record) -> None:
        self._buffer.append(self._format.encode(record))

    def write(self) -> None:
        """Writes the buffer to the file. OSError (a full disk): nothing was written, and the buffer is kept."""
        if not self._buffer:
            return
        data = b"".join(self._buffer)
        try:
            _write_all(self._fd, data)
        except OSError:
            os.ftruncate(self._fd, self.size_bytes)
            os.lseek(self._fd, self.size_bytes, os.SEEK_SET)
            raise
        self.size_bytes += len(data)
        self._buffer.clear()

    def forget_last(self) -> None:
        """Removes the last appended record, which is still in the buffer."""
        self._buffer.pop()

    def sync(self) -> None:
        """Makes everything durable. After a failed fsync the content of the disk is unknown: the caller must not go
        on."""
        self.write()
        os.fdatasync(self._fd)

    def close(self) -> None:
        self.write()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
