"""Connections to HTTP targets, by httpcore: to addresses that targets may have, judged after the name is resolved."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpcore

from batchyard.server.deliveries.http_client import Answer, Forbidden, Unreachable
from batchyard.server.settings.allowed_targets import is_reachable, parse_address

MAX_CONNECTIONS = 256  # at once, as many as messages that are being sent
MAX_IDLE_CONNECTIONS = 32
IDLE_SECONDS = 30.0
RESOLVER_THREADS = 8  # a name server that does not answer holds up names, and nothing else of the service
MAX_ADDRESSES = 3  # of a host are tried, one after the other


class HttpConnections:
    """A pool; see http_client.HttpClient."""

    def __init__(self, allowed: tuple[str, ...], is_guarded: Callable[[], bool]) -> None:
        self._backend = _GuardedBackend(allowed, is_guarded)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_IDLE_CONNECTIONS,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=self._backend,
        )

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout_seconds: float,
        answer_bytes: int,
    ) -> Answer:
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._send(method, url, headers, body, answer_bytes)
        except (TimeoutError, httpcore.TimeoutException) as error:
            text = f"{_place(url)} did not answer within {timeout_seconds:g} s."
            raise Unreachable(text, is_timeout=True) from error
        except httpcore.LocalProtocolError as error:
            raise ValueError(f"The request cannot be sent: {error}.") from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise Unreachable(f"{_place(url)}: {error or type(error).__name__}") from error

    async def close(self) -> None:
        await self._pool.aclose()
        self._backend.close()

    async def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, answer_bytes: int) -> Answer:
        target = _url(url)
        sent = [("Host", _host_header(target)), ("Content-Length", str(len(body))), ("Accept", "*/*"), *headers.items()]
        pairs = [(name.encode("ascii"), value.encode("latin-1")) for name, value in sent]
        async with self._pool.stream(method, target, headers=pairs, content=body) as response:
            return Answer(response.status, _headers(response.headers), await _start_of(response, answer_bytes))


class _GuardedBackend(httpcore.AnyIOBackend):
    """Connects to addresses that targets may have."""

    def __init__(self, allowed: tuple[str, ...], is_guarded: Callable[[], bool]) -> None:
        self._allowed, self._is_guarded = allowed, is_guarded
        self._resolvers = ThreadPoolExecutor(RESOLVER_THREADS, thread_name_prefix="resolver")

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's seam
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._addresses(host, port)
        error: Exception | None = None
        for address in addresses[:MAX_ADDRESSES]:
            try:
                return await super().connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError as failure:
                error = failure
        assert error is not None, f"{host} has no address"
        raise error

    def close(self) -> None:
        self._resolvers.shutdown(wait=False, cancel_futures=True)

    async def _addresses(self, host: str, port: int) -> list[str]:
        """Returns the addresses of a host. Raises Forbidden where targets may have none of them."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(
                self._resolvers, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            )
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"its name cannot be resolved ({error})") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not self._is_guarded():
            return addresses
        reachable = [one for one in addresses if is_reachable(host, parse_address(one), self._allowed)]
        if not reachable:
            raise Forbidden(
                f"{host} has the address {addresses[0]}, of this machine or a network that is not the internet, which "
                f"targets may not have while the service has keys: add {host} or its network to [targets] allow of the "
                "configuration file."
            )
        return reachable


def _url(text: str) -> httpcore.URL:
    """Raises ValueError."""
    try:
        url = httpcore.URL(text)
    except TypeError as error:
        raise ValueError("The URL must be ASCII: write other characters as %XX, and names as xn--.") from error
    if url.scheme not in (b"http", b"https") or not url.host:
        raise ValueError("The URL must begin with http:// or https:// and name a host.")
    return url


def _host_header(url: httpcore.URL) -> str:
    host = url.host.decode("ascii")
    host = f"[{host}]" if ":" in host else host
    return host if url.port is None else f"{host}:{url.port}"


def _place(url: str) -> str:
    """Returns scheme, host and port: paths and queries of webhooks may hold what is secret."""
    parsed = _url(url)
    return f"{parsed.scheme.decode()}://{_host_header(parsed)}"


def _headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}


async def _start_of(response: httpcore.Response, most_bytes: int) -> bytes:
    """Reads the beginning of a body; the connection is closed where it has more."""
    found = bytearray()
    async for part in response.aiter_stream():
        found += part
        if len(found) >= most_bytes:
            break
    return bytes(found[:most_bytes])
