"""The service on a joined host's own loopback, where AWS's SDKs take credentials from: each connection is passed on to
the server through a TLS connection of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from batchyard.engines.remote.listener import OpenStream, join_streams

LOOPBACK = "127.0.0.1"
MAX_CONNECTIONS = 256  # at once; one more is closed, as by a busy server
log = logging.getLogger(__name__)


class HostProxy:
    def __init__(self, open_tunnel: OpenStream) -> None:
        self.port = 0
        self._open_tunnel = open_tunnel
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.Task[None]] = set()

    async def start(self, preferred_port: int) -> int:
        """Listens at the port that running tasks may know already (0: none), else at a free one. Returns it."""
        try:
            self._server = await asyncio.start_server(self._connected, LOOPBACK, preferred_port)
        except OSError:
            self._server = await asyncio.start_server(self._connected, LOOPBACK, 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self.port

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._passing):
            task.cancel()
        if self._passing:
            await asyncio.wait(self._passing)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a connection outside of a task"
        if len(self._passing) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._passing.add(task)
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await join_streams((reader, writer), await self._open_tunnel())
        except (OSError, ValueError) as error:
            log.info("a job's connection to the service failed: %s", error)
        finally:
            self._passing.discard(task)
            writer.transport.abort()
