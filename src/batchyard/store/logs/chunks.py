"""Chunks: runs of events of one stream, compressed as one value."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import msgspec

from batchyard.store.logs.log_records import StoredEvent

LEVEL = 3  # of zlib: half the time of its default for a tenth more room, on lines of JSON and of plain text

_Columns = tuple[list[int], list[int], list[int], list[str]]
_decoder = msgspec.msgpack.Decoder(_Columns)


def pack(events: Sequence[StoredEvent]) -> bytes:
    """Returns the value of a chunk: the events by column."""
    columns = ([], [], [], []) if not events else tuple(map(list, zip(*events, strict=True)))
    return zlib.compress(msgspec.msgpack.encode(columns), LEVEL)


def unpack(body: bytes) -> list[StoredEvent]:
    return list(map(StoredEvent._make, zip(*_decoder.decode(zlib.decompress(body)), strict=True)))
