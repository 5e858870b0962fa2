"""The HTTP server: uvicorn on our event loop, stopped by us, with the user of each connection looked up at accept."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from batchyard.server.access.peers import PeerLookup, PeerUser, is_loopback
from batchyard.server.http.app import PEER
from batchyard.server.http.connections import MAX_DISCARDED_BYTES, Connections, Phase, caller_of
from batchyard.server.http.joined_writes import JoinedWrites
from batchyard.server.http.tls import TlsProtocol
from batchyard.server.settings.certificates import ServerCertificate

BACKLOG = 2048  # connections the kernel holds while we are busy: more than clients of one machine open at once
# Requests in flight get this long to end: the whole stop must take less than 5 s.
SHUTDOWN_GRACE_SECONDS = 2
TICK_SECONDS = 1.0  # uvicorn refreshes its Date header then; its own ten a second keep an idle processor awake
KEEP_ALIVE_SECONDS = (
    75  # longer than clients keep their side: the client closes first, so no request meets a closing end
)
# Request line and headers of one request, and all else that is not its body: signatures and session tokens take less
# than 8 KiB. The parser has no limit of its own, and gathers one endless header in time that grows with its square.
MAX_HEAD_BYTES = 64 * 1024
HEAD_TOO_LONG = f"The request line and the headers must be at most {MAX_HEAD_BYTES} bytes together."

# The answer to a connection beyond the limit, whatever it requests: SDKs try again after a pause.
TOO_MANY_TEXT = b'{"message": "Too many connections are open: close some, or raise max_connections."}'
TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n"
    b"x-amzn-errortype: ServiceUnavailableException\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s"
    % (len(TOO_MANY_TEXT), TOO_MANY_TEXT)
)

HINTS = {
    errno.EADDRINUSE: "choose another one with --port, or --port 0 for a free one",
    errno.EACCES: "ports below 1024 need rights that this process lacks; choose another one with --port",
    errno.EADDRNOTAVAIL: "no interface of this machine has that address; choose another one with --host",
}


class ListenError(Exception):
    """The address cannot be listened on. The text is a sentence."""


def listening_socket(host: str, port: int) -> socket.socket:
    """Returns a socket bound to the first address of `host`. Raises ListenError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise ListenError(
            f"The host {host!r} has no address: use --host with a name or address of this machine."
        ) from error
    # A name like localhost may have both; most clients try IPv4 for 127.0.0.1 and we print the one taken.
    family, kind, protocol, _, address = sorted(found, key=lambda entry: entry[0] != socket.AF_INET)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        hint = HINTS.get(error.errno or 0, "choose another one with --host or --port")
        raise ListenError(f"Cannot listen on {url_of(host, port)}: {error.strerror}; {hint}.") from error
    listener.setblocking(False)
    return listener


def url_of(host: str, port: int, scheme: str = "http") -> str:
    """Returns the URL for clients, such as `http://127.0.0.1:8470`: the wildcard address is reached by loopback."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"{scheme}://{host}:{port}"
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"{scheme}://[{address}]:{port}" if address.version == 6 else f"{scheme}://{address}:{port}"


def bound_to_loopback(listener: socket.socket) -> bool:
    return is_loopback(listener.getsockname()[0])


class PeerProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which puts the user of each connection into the state of its requests' scopes, closes
    connections that send more than MAX_HEAD_BYTES without progress in a request, and reports each phase to `book`."""

    lookup: PeerLookup
    book: Connections
    head_bytes = 0  # since the parser's last progress: headers complete, a piece of the body, the end
    caller = ""
    phase = Phase.HEAD
    since = 0.0
    body_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(JoinedWrites(cast(asyncio.Transport, transport), self.loop))
        peer, local = self.client, self.server
        user = PeerUser(None)
        if peer is not None and local is not None and local[1] is not None:
            user = self.lookup.user(peer, (local[0], local[1]))
            self.app_state = {**self.app_state, PEER: user}
        self.caller = caller_of(peer[0] if peer else "", user.uid)
        self.since = self.book.now
        if not self.book.admit(self):
            self.transport.write(TOO_MANY)
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.book.forget(self)
        super().connection_lost(exc)

    def unsent_bytes(self) -> int:
        return self.transport.get_write_buffer_size()

    def drop(self) -> None:
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.phase is Phase.IDLE:
            self._enter(Phase.HEAD)
        self.head_bytes += len(data)
        super().data_received(data)
        if self.head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(HEAD_TOO_LONG)

    def on_headers_complete(self) -> None:
        self.head_bytes = 0
        super().on_headers_complete()
        # A request that is queued after another is not read further: its body is not late.
        self._enter(Phase.ANSWER if self.pipeline else Phase.BODY)

    def on_body(self, body: bytes) -> None:
        self.head_bytes = 0
        self.body_bytes += len(body)
        super().on_body(body)
        if self.cycle.response_complete and self.body_bytes > MAX_DISCARDED_BYTES:
            self.transport.abort()

    def on_message_complete(self) -> None:
        self.head_bytes = 0
        super().on_message_complete()
        self._enter(Phase.IDLE if self.cycle.response_complete else Phase.ANSWER)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.body:
            self.cycle.body = bytearray()  # came before its request was refused
        # uvicorn reads on after each answer; the requests of a pipelining client would fill memory without limit.
        if self.pipeline and not self.transport.is_closing():
            self.flow.pause_reading()
        if not self.cycle.response_complete:  # the last one read
            begins_body = not self.pipeline and self.cycle.more_body
            self._enter(Phase.BODY if begins_body else Phase.ANSWER)
        elif self.phase is not Phase.BODY:  # of one that was refused by its head the body is still to come
            self._enter(Phase.IDLE)

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self.since = self.book.now
        self.body_bytes = 0


def protocol_with(
    lookup: PeerLookup, book: Connections, certificate: ServerCertificate | None = None
) -> Callable[..., asyncio.Protocol]:
    """Returns what makes the protocol of a connection from uvicorn's arguments."""
    plain = type("ConnectedProtocol", (PeerProtocol,), {"lookup": lookup, "book": book})
    if certificate is None:
        return plain
    return lambda **arguments: TlsProtocol(certificate.context, plain(**arguments))


class HttpServer(uvicorn.Server):
    """uvicorn's server, which leaves signals to us, and ends when `end` is called. `most_connections`: in all, and
    of one caller. `certificate`: of TLS; None: plain HTTP."""

    def __init__(
        self,
        app: Callable[..., Any],
        lookup: PeerLookup,
        most_connections: tuple[int, int],
        certificate: ServerCertificate | None = None,
    ) -> None:
        self._certificate = certificate
        self._book = Connections(*most_connections, KEEP_ALIVE_SECONDS, asyncio.get_running_loop().time)
        config = uvicorn.Config(
            app,
            http=cast(type[asyncio.Protocol], protocol_with(lookup, self._book, certificate)),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # a header must not change the caller's identity
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=SHUTDOWN_GRACE_SECONDS,
        )
        super().__init__(config)
        self._ended = asyncio.Event()
        self.serving = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    @contextlib.asynccontextmanager
    async def serving_on(self, listener: socket.socket) -> AsyncIterator[None]:
        """Serves while the block runs; a fault of the server is raised at its end."""
        serving = asyncio.create_task(self.serve([listener]))
        try:
            yield
        finally:
            self.end()
            await serving

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.serving.set()

    async def main_loop(self) -> None:
        counter = 0
        while not await self.on_tick(counter):
            counter += 10  # it counts tenths of a second
            self._book.sweep()
            if self._certificate is not None:
                self._certificate.refresh()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), TICK_SECONDS)

    def end(self, *, force: bool = False) -> None:
        """Stops accepting; requests in flight get their answers, unless forced."""
        self.should_exit = True
        self.force_exit = self.force_exit or force
        self._ended.set()
