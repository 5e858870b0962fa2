"""The port that hosts dial: TLS, who is admitted, and tunnels from hosts to this service."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable
from typing import Protocol, cast

import msgspec

from batchyard.engines.boot import boot_seconds
from batchyard.engines.remote.engine import RemoteEngine
from batchyard.engines.remote.messages import (
    MAX_FIRST_FRAME_BYTES,
    PROTOCOL_VERSION,
    Join,
    Refused,
    Tunnel,
    frame,
    read_frame,
    to_server_decoder,
)

FIRST_FRAME_SECONDS = 15.0  # a host that has not said who it is by then is cut
MAX_STRANGERS = 256  # connections that have not proved yet who they are: others are cut at once
MAX_UNSENT_BYTES = 64 * 1024 * 1024  # for a host that reads nothing: it is cut, and asked again later
COPY_BYTES = 64 * 1024
REFUSED_PAUSE_SECONDS = 0.5  # before a wrong secret is answered
log = logging.getLogger(__name__)


class JoinRefused(Exception):
    """A host is not admitted. The text is a sentence; `is_final`: another try would be refused, too."""

    def __init__(self, reason: str, *, is_final: bool = True) -> None:
        super().__init__(reason)
        self.is_final = is_final


class Admission(Protocol):
    """Decides which hosts are admitted."""

    async def admit(self, join: Join) -> str:
        """Admits a host by its token or key, durably. Returns its instance id. JoinRefused."""

    def has_key(self, instance_id: str, key: str) -> bool: ...


class _Connection:
    """Implements engine.HostConnection."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._transport = writer.transport

    def write(self, data: bytes) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self._transport.abort()

    def abort(self) -> None:
        self._transport.abort()


OpenStream = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class HostListener:
    """`open_service`: connects to this service, for jobs on hosts: only they are served there."""

    def __init__(self, engine: RemoteEngine, admission: Admission, open_service: OpenStream) -> None:
        self._engine = engine
        self._admission = admission
        self._open_service = open_service
        self._server: asyncio.Server | None = None
        self._strangers = 0
        self._handling: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int, tls: ssl.SSLContext) -> int:
        """Listens. Returns the port. OSError: it can't."""
        self._server = await asyncio.start_server(
            self._connected, host, port, ssl=tls, ssl_handshake_timeout=FIRST_FRAME_SECONDS
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._handling):
            task.cancel()
        if self._handling:
            await asyncio.wait(self._handling)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._handling.add(task)
        try:
            await self._handle(reader, writer)
        except (ConnectionError, TimeoutError, ssl.SSLError) as error:
            log.info("a connection of a host ended: %s", error)
        except (OSError, ValueError, msgspec.MsgspecError) as error:  # such as a full disk: the host comes again
            log.warning("a connection of a host was ended: %s", error)
        except asyncio.CancelledError:
            pass  # the service ends
        finally:
            self._handling.discard(task)
            writer.transport.abort()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._strangers >= MAX_STRANGERS:
            return
        self._strangers += 1
        try:
            async with asyncio.timeout(FIRST_FRAME_SECONDS):
                first = to_server_decoder.decode(await read_frame(reader, MAX_FIRST_FRAME_BYTES))
                heard_at_ms = int(boot_seconds() * 1000)
            if not isinstance(first, Join | Tunnel):
                raise ValueError("a connection begins with Join or Tunnel")
            admitted = await self._admit(first, writer) if isinstance(first, Join) else None
        finally:
            self._strangers -= 1
        if isinstance(first, Tunnel):
            await self._tunnel(first, reader, writer)
        elif admitted is not None:
            await self._serve(admitted, first, heard_at_ms, reader, writer)

    async def _admit(self, join: Join, writer: asyncio.StreamWriter) -> str | None:
        try:
            if join.protocol != PROTOCOL_VERSION:
                raise JoinRefused(
                    f"This host speaks protocol {join.protocol} and the server {PROTOCOL_VERSION}: install the same "
                    "version of batchyard on both."
                )
            await self._engine.recovered.wait()
            if join.instance_id and not self._engine.may_connect(join.instance_id, join.host.boot_id):
                raise JoinRefused(
                    f"Another machine is connected as {join.instance_id}: two must not use one state directory, nor a "
                    "copy of it. Give this one a directory and a token of its own.",
                    is_final=False,
                )
            admitted = await self._admission.admit(join)
            if join.epoch > self._engine.epoch:
                self._engine.outdated(join.epoch)
                raise JoinRefused("This server is out of date: the host obeys a later one.", is_final=False)
            return admitted
        except JoinRefused as refused:
            await asyncio.sleep(REFUSED_PAUSE_SECONDS)
            writer.write(frame(Refused(str(refused), refused.is_final)))
            await writer.drain()
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()
            return None

    async def _serve(
        self,
        instance_id: str,
        join: Join,
        heard_at_ms: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        connection = _Connection(writer)
        self._engine.connected(instance_id, join.host.boot_id, heard_at_ms, connection)
        try:
            while True:
                message = to_server_decoder.decode(await read_frame(reader))
                self._engine.received(instance_id, connection, message)
        finally:
            self._engine.disconnected(instance_id, connection)

    async def _tunnel(self, tunnel: Tunnel, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._admission.has_key(tunnel.instance_id, tunnel.key):
            await asyncio.sleep(REFUSED_PAUSE_SECONDS)
            return
        inner_reader, inner_writer = await self._open_service()
        await join_streams((reader, writer), (inner_reader, inner_writer))


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def join_streams(one: Stream, other: Stream) -> None:
    """Passes on what comes from each to the other, until either ends; then closes both."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(COPY_BYTES):
            writer.write(data)
            await writer.drain()

    copies = [asyncio.create_task(copy(one[0], other[1])), asyncio.create_task(copy(other[0], one[1]))]
    try:
        done, _ = await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        for finished in done:
            if finished is copies[1]:
                with contextlib.suppress(ConnectionError):
                    await one[1].drain()
    finally:
        for task in copies:
            task.cancel()
        await asyncio.gather(*copies, return_exceptions=True)
        for _, writer in (one, other):
            writer.close()
