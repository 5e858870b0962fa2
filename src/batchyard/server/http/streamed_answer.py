"""Answers that are streams of events: sent as they arise, until they end or the caller has disconnected."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from batchyard.server.asyncio_tasks import cancel_tasks
from batchyard.server.http.routes import Receive, Send
from batchyard.wire.event_stream import CONTENT_TYPE, StreamedResult, event_frame, initial_response


class StreamedAnswer(Struct, frozen=True):
    result: StreamedResult
    request_id: str


async def send_stream(answer: StreamedAnswer, receive: Receive, send: Send) -> None:
    headers = [(b"content-type", CONTENT_TYPE.encode()), (b"x-amzn-requestid", answer.request_id.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    sending = asyncio.create_task(_send(answer.result, send))
    leaving = asyncio.create_task(disconnected(receive))
    try:
        await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()
    finally:
        await cancel_tasks(sending, leaving)


async def _send(result: StreamedResult, send: Send) -> None:
    await send({"type": "http.response.body", "body": initial_response(), "more_body": True})
    async for event in result.events:
        await send({"type": "http.response.body", "body": event_frame(event), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def disconnected(receive: Receive) -> None:
    """Returns when the caller of a request whose body was read has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass  # the body was read before
