"""The listener for containers that are not on the host's network: at the address from which AWS's SDKs take
credentials, on the network that the Docker engine makes for them (`engines.docker.network`).

It serves jobs, and no other caller: task metadata and credentials by their tokens, and requests that are signed with
an attempt's session. The port is reserved before the address exists on this machine (IP_FREEBIND), since jobs get it
first, and kept over restarts, since they may run on. Once the network is there, the socket is tied to its interface:
the same address may then be on the networks of several daemons, and nothing else of this machine, nor of its own
network, comes to it.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from batchyard.engines.docker.network import ADDRESS
from batchyard.server.access.peers import PeerLookup
from batchyard.server.http.server import BACKLOG, HttpServer, url_of

FIRST_PORT = 51679  # where the ECS agent serves the same
PORTS = 1000  # tried: one for each service of this machine
PORT_FILE = "job-port"
PORT_DIGITS = 5
_IP_FREEBIND = 15  # linux/in.h; Python has no name for it
log = logging.getLogger(__name__)


class JobListener:
    """The second listener. `address`: the one that jobs get; empty where no port is free: `problem` is the reason."""

    def __init__(self, state_dir: Path) -> None:
        self.address = ""
        self.problem = ""
        self._port_file = state_dir / PORT_FILE
        self._socket: socket.socket | None = None
        before, interface = read_port(self._port_file)
        try:
            self._socket = reserve(ADDRESS, before, preferred_port(state_dir))
        except OSError as error:
            self.problem = f"no port at {ADDRESS} can be had: {error}"
            log.warning("containers on a network of their own won't reach this service: %s", self.problem)
            return
        self._port = self._socket.getsockname()[1]
        self.address = url_of(ADDRESS, self._port)
        # At once, where the network still exists: running containers may make requests before Docker is asked.
        if interface in (name for _, name in socket.if_nameindex()):
            with contextlib.suppress(OSError):  # the engine tries again, and reports what is wrong
                self._tie(interface)
        if self._port != before:
            try:
                self._keep("")
            except OSError as error:  # a full disk: jobs are served, but if they outlive us won't find the next server
                log.warning("the port of jobs can't be kept for the next start: %s", error)

    def listen(self, interface: str) -> None:
        """Accepts connections from this interface only. OSError: it can't."""
        if self._socket is None:
            raise OSError(errno.EADDRNOTAVAIL, self.problem)
        self._tie(interface)
        self._keep(interface)

    def _tie(self, interface: str) -> None:
        assert self._socket is not None, "there is no socket to be tied"
        # The same name may be another interface later: it is looked up here each time.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())

    def _keep(self, interface: str) -> None:
        self._port_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._port_file.write_text(f"{self._port} {interface}\n")

    @contextlib.asynccontextmanager
    async def serving(
        self, app: Callable[..., Any], lookup: PeerLookup, most_connections: tuple[int, int]
    ) -> AsyncIterator[None]:
        """Answers with `app` as long as the context lasts. `most_connections`: in all, and of one container."""
        if self._socket is None:
            yield
            return
        async with HttpServer(app, lookup, most_connections).serving_on(self._socket):
            yield

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


def preferred_port(state_dir: Path) -> int:
    """Returns the port at which a service begins its search for a free one: derived from its directory, so that a
    starting service does not take the port of another that is down for a moment, and whose containers run on."""
    return FIRST_PORT + zlib.crc32(os.fsencode(state_dir.absolute())) % PORTS


def reserve(address: str, before: int, preferred: int) -> socket.socket:
    """Returns a listening socket on the previous port (0: there was none), or else on the next free one from
    `preferred` on, at an address that need not exist yet. OSError: there is none."""
    ports = [*([before] if before else []), *range(preferred, FIRST_PORT + PORTS), *range(FIRST_PORT, preferred)]
    for port in ports:
        reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            reserved.setsockopt(socket.SOL_IP, _IP_FREEBIND, 1)
            # Connections of the previous server may linger. The listening socket owns the port all the same.
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reserved.bind((address, port))
            reserved.listen(BACKLOG)  # from now on it is taken
        except OSError as error:
            reserved.close()
            if error.errno != errno.EADDRINUSE or port == ports[-1]:
                raise
            continue
        reserved.setblocking(False)
        return reserved
    raise AssertionError("no port was tried")


def read_port(port_file: Path) -> tuple[int, str]:
    """Reads the previous port and interface; 0: none that can be used."""
    try:
        port, _, interface = port_file.read_bytes().decode("ascii", "replace").strip().partition(" ")
    except FileNotFoundError:
        return 0, ""
    except OSError as error:
        log.warning("the port that jobs were told of can't be read: %s", error)
        return 0, ""
    usable = port.isascii() and port.isdigit() and len(port) <= PORT_DIGITS and 0 < int(port) < 1 << 16
    return (int(port), interface) if usable else (0, "")
