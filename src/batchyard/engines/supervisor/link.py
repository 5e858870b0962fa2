"""The supervisor's connection to the server, made anew whenever it is lost.

The server listens in its runtime directory and points the symbolic link `<state-dir>/server` at its socket. While
connected, the supervisor watches that link: when it leads to another server, it reads that one's hello, and serves the
one with the higher epoch.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Callable
from pathlib import Path

from batchyard.engines.supervisor import protocol
from batchyard.engines.supervisor.protocol import (
    PROTOCOL_VERSION,
    Commands,
    ConnectionRefused,
    FrameBuffer,
    ServerHello,
)

SERVER_LINK = "server"
FIRST_PAUSE_SECONDS = 0.02  # a server that restarts listens within this
MAX_PAUSE_SECONDS = 0.2  # people notice no delay; a try costs a few microseconds
WATCH_SECONDS = 0.5  # while connected, between looks at the link
_RECEIVE_BYTES = 256 * 1024
_Identity = tuple[int, int]


class Connection:
    """One connected socket with its buffers."""

    def __init__(self, endpoint: socket.socket, identity: _Identity) -> None:
        self.socket = endpoint
        self.identity = identity  # of the link that led here
        self._incoming = FrameBuffer()
        self._outgoing = bytearray()

    def receive(self) -> list[protocol.ToSupervisor]:
        """Returns the messages that have arrived. ConnectionError: the server is gone. ValueError: it speaks another
        protocol."""
        try:
            data = self.socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return []
        if not data:
            raise ConnectionResetError("the server closed the connection")
        return [protocol.to_supervisor_decoder.decode(payload) for payload in self._incoming.feed(data)]

    def send(self, message: protocol.ToServer) -> None:
        """Buffers a message, and sends what the socket takes. ConnectionError: the server is gone."""
        self._outgoing += protocol.frame(message)
        self.flush()

    def flush(self) -> None:
        while self._outgoing:
            try:
                sent = self.socket.send(self._outgoing)
            except BlockingIOError:
                return
            del self._outgoing[:sent]

    @property
    def is_full(self) -> bool:
        return bool(self._outgoing)


class ServerLink:
    """At most two connections: the one that is served, and one whose hello has not come yet."""

    def __init__(
        self,
        state_dir: Path,
        epoll: select.epoll,
        lowest_epoch: Callable[[], int],
        accepted: Callable[[ServerHello], None],
        is_ours: Callable[[], bool],
        hand_over: Callable[[], None],
    ) -> None:
        """`is_ours`: whether the directory is still the one whose lock we hold; no server of another is served.
        `hand_over`: makes way for a supervisor that speaks a newer server's protocol."""
        self._path = state_dir / SERVER_LINK
        self._epoll = epoll
        self._lowest_epoch = lowest_epoch
        self._accepted = accepted
        self._is_ours = is_ours
        self._hand_over = hand_over
        self._current: Connection | None = None
        self._candidate: Connection | None = None
        self._refused: _Identity | None = None
        self._pause = FIRST_PAUSE_SECONDS
        self.next_try = 0.0

    @property
    def is_connected(self) -> bool:
        return self._current is not None

    def seek(self, now: float) -> None:
        """Tries to connect when a try is due."""
        if now < self.next_try:
            return
        if not self._is_ours():
            self._leave()
            return
        if self._current is None and self._candidate is None:
            self._connect()
            self.next_try = now + self._pause
            self._pause = min(self._pause * 2, MAX_PAUSE_SECONDS)
        else:
            self.next_try = now + WATCH_SECONDS
            if self._current is not None and self._candidate is None and self._identity() != self._current.identity:
                self._connect()

    def owns(self, fd: int) -> bool:
        return any(c is not None and c.socket.fileno() == fd for c in (self._current, self._candidate))

    def handle(self, fd: int) -> list[Commands]:
        """Reads from `fd`. Returns the commands of the server that is served."""
        commands: list[Commands] = []
        connection = self._current
        if connection is None or connection.socket.fileno() != fd:
            connection = self._candidate
        if connection is None:
            return commands
        try:
            connection.flush()
            for message in connection.receive():
                if isinstance(message, Commands):
                    if connection is self._current:
                        commands.append(message)
                elif not self._judge(connection, message):
                    return commands
            self._watch(connection)
        except (ConnectionError, ValueError) as error:
            print(f"the connection to the server ended: {error}", flush=True)
            self._drop(connection)
        return commands

    def send(self, message: protocol.ToServer) -> None:
        """Sends to the server that is served. Drops the message without one: a new connection begins with all
        reports."""
        connection = self._current
        if connection is None:
            return
        try:
            connection.send(message)
            self._watch(connection)
        except ConnectionError as error:
            print(f"the connection to the server ended: {error}", flush=True)
            self._drop(connection)

    def close(self) -> None:
        for connection in (self._current, self._candidate):
            if connection is not None:
                self._drop(connection)

    def _leave(self) -> None:
        """Disconnects and makes no connection any more."""
        self.close()
        self.next_try = float("inf")

    def _identity(self) -> _Identity | None:
        try:
            status = os.lstat(self._path)
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def _connect(self) -> None:
        identity = self._identity()
        if identity is None or identity == self._refused:
            return
        endpoint = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            endpoint.connect(os.readlink(self._path))
        except OSError:  # no server listens there yet, or its queue is full: the next try comes soon
            endpoint.close()
            return
        self._candidate = Connection(endpoint, identity)
        self._epoll.register(endpoint.fileno(), select.EPOLLIN)

    def _judge(self, connection: Connection, hello: ServerHello) -> bool:
        """Returns whether the server of this hello is to be served."""
        if hello.protocol > PROTOCOL_VERSION and hello.epoch >= self._lowest_epoch():
            self._hand_over()
            connection.send(ConnectionRefused(PROTOCOL_VERSION, self._lowest_epoch()))
            self._leave()
            return False
        if hello.protocol != PROTOCOL_VERSION or hello.epoch < self._lowest_epoch():
            self._refused = connection.identity
            connection.send(ConnectionRefused(PROTOCOL_VERSION, self._lowest_epoch()))
            self._drop(connection)
            return False
        if connection is self._candidate:
            previous, self._current, self._candidate = self._current, connection, None
            if previous is not None:
                with contextlib.suppress(ConnectionError):  # most likely it is dead
                    previous.send(ConnectionRefused(PROTOCOL_VERSION, hello.epoch))
                self._drop(previous)
        self._pause = FIRST_PAUSE_SECONDS
        self._accepted(hello)
        return True

    def _watch(self, connection: Connection) -> None:
        if connection.socket.fileno() >= 0:
            events = select.EPOLLIN | (select.EPOLLOUT if connection.is_full else 0)
            self._epoll.modify(connection.socket.fileno(), events)

    def _drop(self, connection: Connection) -> None:
        if connection is self._current:
            self._current = None
        if connection is self._candidate:
            self._candidate = None
        if connection.socket.fileno() >= 0:
            self._epoll.unregister(connection.socket.fileno())
            connection.socket.close()
        self.next_try = 0.0
