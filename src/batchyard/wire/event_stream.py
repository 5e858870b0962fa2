"""Results that arrive as a stream of events (`application/vnd.amazon.eventstream`), each in a frame of its own.

A frame: the lengths of all of it and of its headers, a checksum of those, headers, payload, a checksum of all."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec

from batchyard.wire.messages import Document

CONTENT_TYPE = "application/vnd.amazon.eventstream"
PRELUDE_BYTES, CHECK_BYTES = 12, 4
TEXT = 7  # the type of a header's value


class StreamEvent(NamedTuple):
    """One event, or with `is_exception` the exception that ends the stream. `name`: the member of the result."""

    name: str
    content: Document
    is_exception: bool = False


class StreamedResult(dict[str, Any]):
    """The result of an operation whose answer is a stream of events."""

    def __init__(self, events: AsyncIterator[StreamEvent]) -> None:
        super().__init__()
        self.events = events


def initial_response() -> bytes:
    """Returns the first frame, which has what is no event: nothing."""
    return frame({":message-type": "event", ":event-type": "initial-response"}, b"{}")


def event_frame(event: StreamEvent) -> bytes:
    kind = "exception" if event.is_exception else "event"
    headers = {":message-type": kind, f":{kind}-type": event.name, ":content-type": "application/json"}
    return frame(headers, msgspec.json.encode(event.content))


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    encoded = b"".join(_header(name, value) for name, value in headers.items())
    length = PRELUDE_BYTES + len(encoded) + len(payload) + CHECK_BYTES
    prelude = length.to_bytes(4) + len(encoded).to_bytes(4)
    body = prelude + zlib.crc32(prelude).to_bytes(4) + encoded + payload
    return body + zlib.crc32(body).to_bytes(4)


def _header(name: str, value: str) -> bytes:
    text = value.encode()
    return bytes([len(name)]) + name.encode() + bytes([TEXT]) + len(text).to_bytes(2) + text
