"""The head and the body of an answer are sent by one call: a server that is killed leaves no head without its body."""

from __future__ import annotations

import asyncio
from asyncio.selector_events import _SelectorSocketTransport  # type: ignore[attr-defined]
from typing import Any

import pytest

from batchyard.server.access.peers import PeerLookup
from batchyard.server.http.joined_writes import JoinedWrites
from batchyard.server.http.routes import send_response
from batchyard.server.http.server import HttpServer, listening_socket
from batchyard.wire.messages import Response

ANSWER = b'{"jobId":"1"}'


class Recorded(asyncio.Transport):
    """A transport that keeps what is written, one entry for each call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def write(self, data: Any) -> None:
        self.calls.append(bytes(data).decode())

    def is_closing(self) -> bool:
        return "close" in self.calls

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")

    def get_write_buffer_size(self) -> int:
        return 100


def test_what_is_written_in_one_turn_is_sent_at_once() -> None:
    async def write() -> list[str]:
        transport = Recorded()
        joined = JoinedWrites(transport, asyncio.get_running_loop())
        joined.write(b"head ")
        joined.write(b"body")
        assert (transport.calls, joined.get_write_buffer_size()) == ([], 109)
        await asyncio.sleep(0)
        joined.write(b"")
        joined.write(b"more")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return transport.calls

    assert asyncio.run(write()) == ["head body", "more"]


@pytest.mark.parametrize(("end", "calls"), [("close", ["head", "close"]), ("abort", ["abort"])])
def test_a_connection_is_closed_after_what_was_written_and_aborted_without(end: str, calls: list[str]) -> None:
    async def write() -> list[str]:
        transport = Recorded()
        joined = JoinedWrites(transport, asyncio.get_running_loop())
        joined.write(b"head")
        getattr(joined, end)()
        await asyncio.sleep(0)
        return transport.calls

    assert asyncio.run(write()) == calls


def test_a_server_sends_an_answer_by_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bytes] = []
    write = _SelectorSocketTransport.write

    def recorded(self: Any, data: Any) -> None:
        calls.append(bytes(data))
        write(self, data)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send_response(scope, send, Response(200, (("content-type", "application/json"),), ANSWER))

    async def ask() -> bytes:
        listener = listening_socket("127.0.0.1", 0)
        lookup = PeerLookup()
        server = HttpServer(app, lookup, (10, 10))
        serving = asyncio.create_task(server.serve([listener]))
        await server.serving.wait()
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(len(ANSWER))
        writer.close()
        server.end()
        await serving
        lookup.close()
        return body

    monkeypatch.setattr(_SelectorSocketTransport, "write", recorded)
    assert asyncio.run(ask()) == ANSWER
    sent = [call for call in calls if not call.startswith(b"GET")]
    assert len(sent) == 1
    assert sent[0].startswith(b"HTTP/1.1 200")
    assert sent[0].endswith(ANSWER)
