"""The server's side of joined hosts: its engine and certificate, the port that hosts dial, and the application that
jobs on hosts reach through them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct

from batchyard.api.context import HostAccess, OfferedToken
from batchyard.engines.remote.certificate import fingerprint_in, server_certificate, server_context
from batchyard.engines.remote.engine import LeaseSettings, RemoteEngine
from batchyard.engines.remote.listener import Admission, HostListener
from batchyard.server.access.peers import PeerLookup
from batchyard.server.hosts.joined_capacity import JoinedCapacity
from batchyard.server.hosts.tokens import digest_of, new_token
from batchyard.server.http.server import HttpServer, ListenError
from batchyard.server.settings.config import Settings
from batchyard.server.settings.paths import PathError, Paths
from batchyard.version import VERSION

LOOPBACK = "127.0.0.1"
LEASE_FILE = "hosts-longest-lease-ms"


class HostService(Struct, frozen=True):
    """What there is for hosts where `hosts_port` is set. `fingerprint`: of the certificate, for tokens."""

    engine: RemoteEngine
    capacity: JoinedCapacity
    certificate: tuple[Path, Path]
    fingerprint: str
    host: str
    port: int


def open_host_service(settings: Settings, paths: Paths, now_ms: Callable[[], int]) -> HostService | None:
    """Makes engine and certificate; None: hosts can't join, by the settings. Raises PathError."""
    if not settings.hosts_port:
        return None
    try:
        certificate = server_certificate(paths.data_dir, datetime.now(UTC))
        fingerprint = fingerprint_in(certificate[0])
    except (OSError, ValueError) as error:
        raise PathError(f"The certificate for hosts in {paths.data_dir} can't be used: {error}.") from error
    capacity = JoinedCapacity()
    leases = LeaseSettings(settings.host_lease_seconds, settings.host_heartbeat_seconds)
    longest_ms = longest_lease_ms(paths.data_dir / LEASE_FILE, leases.lease_ms)
    engine = RemoteEngine(paths.logs_dir, leases, now_ms, capacity, VERSION, longest_ms)
    capacity.dismiss = engine.dismiss
    return HostService(engine, capacity, certificate, fingerprint, settings.hosts_address, settings.hosts_port)


def longest_lease_ms(path: Path, lease_ms: int) -> int:
    """Returns the longest lease that a server of this data directory has ever granted, this one included, and keeps it
    before it is granted: hosts may hold one of an earlier server, whose setting was another. Raises PathError."""
    try:
        before = path.read_text().strip() if path.exists() else "0"
        longest = max(int(before) if before.isdigit() else 0, lease_ms)
        if before != str(longest):
            temporary = path.with_name(f"{path.name}.new")
            temporary.write_text(f"{longest}\n")
            temporary.rename(path)
    except OSError as error:
        raise PathError(f"{path} can't be used: {error.strerror}.") from error
    return longest


def host_access(service: HostService | None) -> HostAccess | None:
    """Returns how machines can join, for operations; None: they can't."""
    if service is None:
        return None

    def offered() -> OfferedToken:
        token = new_token(service.fingerprint)
        return OfferedToken(token.token_id, digest_of(token.secret), token.text)

    return HostAccess(service.port, offered)


@contextlib.asynccontextmanager
async def serving_hosts(
    service: HostService | None,
    admission: Admission,
    app: Callable[..., Any],
    lookup: PeerLookup,
    most_connections: tuple[int, int],
) -> AsyncIterator[None]:
    """Takes hosts as long as the context lasts, and answers what runs on them with `app`, which serves jobs and no
    other caller. Raises ListenError."""
    if service is None:
        yield
        return
    inner = socket.create_server((LOOPBACK, 0))
    inner.setblocking(False)
    server = HttpServer(app, lookup, most_connections)
    serving = asyncio.create_task(server.serve([inner]), name="listener of jobs on hosts")
    address = inner.getsockname()

    async def open_service() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(address[0], address[1])

    listener = HostListener(service.engine, admission, open_service)
    try:
        try:
            await listener.start(service.host, service.port, server_context(*service.certificate))
        except OSError as error:
            raise ListenError(
                f"Hosts can't be taken at {service.host}:{service.port}: {error.strerror}; choose another port with "
                "--hosts-port."
            ) from error
        yield
    finally:
        await listener.close()
        server.end()
        await serving
