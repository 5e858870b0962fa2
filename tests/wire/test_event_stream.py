"""Frames of event streams, read by botocore."""

import json
from collections.abc import Iterator

from botocore.eventstream import EventStreamBuffer

from batchyard.wire.event_stream import StreamEvent, event_frame, initial_response


def read(data: bytes) -> Iterator[tuple[dict[str, str], bytes]]:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    for message in buffer:
        yield message.headers, message.payload


def test_botocore_reads_what_is_framed() -> None:
    content = {"text": "\u00e9\n" * 1000}
    data = initial_response() + event_frame(StreamEvent("sessionUpdate", content))
    data += event_frame(StreamEvent("SessionTimeoutException", {"message": "over"}, True))
    first, event, exception = read(data)
    assert first[0] == {":message-type": "event", ":event-type": "initial-response"}
    assert event[0] == {
        ":message-type": "event",
        ":event-type": "sessionUpdate",
        ":content-type": "application/json",
    }
    assert json.loads(event[1]) == content
    assert exception[0][":message-type"] == "exception"
    assert exception[0][":exception-type"] == "SessionTimeoutException"
