"""A small client of the Docker Engine API (Podman serves it too) over its unix socket.

**Promises.** `ApiError` is the daemon's own refusal. After `DaemonUnreachable` it is unknown whether the request was
carried out: the caller checks what Docker shows before it repeats a change. This client never repeats a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

import msgspec

# The newest version whose features are used here; Debian's 20.10 serves it, as does Podman 4. A daemon may serve only
# an older one, and newer daemons no longer serve the oldest: see `negotiate`.
API_VERSION = (1, 41)
MAX_IDLE_CONNECTIONS = 8  # kept for later requests; further connections are closed after their request
# Docker answers in milliseconds. A host so loaded that it takes longer than this is what ECS calls DockerTimeoutError;
# here it only means that the caller looks again.
REQUEST_SECONDS = 240.0
CONNECT_SECONDS = 10.0
MAX_HEADER_BYTES = 64 * 1024
BLOCK_BYTES = 64 * 1024
SWITCHING_PROTOCOLS = 101
_BODILESS = (204, 304)

Query = Mapping[str, str]


class DaemonUnreachable(Exception):
    """The daemon did not answer: it is not running, went away meanwhile, or hangs."""


class ApiError(Exception):
    """The daemon refused. `message`: its reason."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{message} ({status})")
        self.status = status
        self.message = message


class _Reader(asyncio.StreamReader):
    """A reader that returns what had arrived before its connection was reset, then ends: asyncio's own drops it. The
    daemon resets the connection of a command that has ended before it read all its input."""

    reset: OSError | None = None

    def set_exception(self, exc: Exception) -> None:
        if isinstance(exc, ConnectionResetError | BrokenPipeError):
            self.reset = exc
            self.feed_eof()
        else:
            super().set_exception(exc)


class Response:
    """An answer whose body is not read yet, as a context manager: leaving early closes the connection."""

    def __init__(self, reader: _Reader, writer: asyncio.StreamWriter, pool: _Pool) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}  # names in lower case
        self.reader = reader
        self.writer = writer
        self._pool = pool
        self._is_whole = False

    async def read_head(self, *, has_body: bool) -> None:
        while True:
            head = await self.reader.readuntil(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            self.status = int(lines[0].split(" ", 2)[1])
            pairs = (line.split(":", 1) for line in lines[1:] if ":" in line)
            self.headers = {name.strip().lower(): value.strip() for name, value in pairs}
            if self.status >= 200 or self.status == SWITCHING_PROTOCOLS:
                break  # else it is a 100 Continue, and the answer follows
        self._is_whole = not has_body or self.status in _BODILESS or self.headers.get("content-length") == "0"

    async def blocks(self) -> AsyncIterator[bytes]:
        """Yields the body as it arrives. DaemonUnreachable: it was cut."""
        if self._is_whole:
            return
        try:
            if self.headers.get("transfer-encoding", "").lower() == "chunked":
                chunks = _Chunks()
                while not chunks.is_over:
                    data = await self.reader.read(BLOCK_BYTES)
                    if not data:
                        raise DaemonUnreachable("the answer was cut")
                    if block := chunks.feed(data):
                        yield block
            elif "content-length" in self.headers:
                left = int(self.headers["content-length"])
                while left:
                    block = await self.reader.read(min(left, BLOCK_BYTES))
                    if not block:
                        raise DaemonUnreachable("the answer was cut")
                    left -= len(block)
                    yield block
            else:  # until the connection ends
                while block := await self.reader.read(BLOCK_BYTES):
                    yield block
                if self.reader.reset is not None:
                    raise self.reader.reset
                return
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            raise DaemonUnreachable(f"the answer was cut: {error}") from error
        self._is_whole = True

    async def read(self) -> bytes:
        return b"".join([block async for block in self.blocks()])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        keep = self._is_whole and self.headers.get("connection", "").lower() != "close"
        self._pool.give_back(self.reader, self.writer, keep=keep and self.status != SWITCHING_PROTOCOLS)


class _Chunks:
    """Decodes chunked transfer coding. A daemon sends each line of a log as a chunk of its own: all complete chunks are
    decoded at once. https://www.rfc-editor.org/rfc/rfc9112#section-7.1 (no trailers: Docker sends none)."""

    def __init__(self) -> None:
        self.is_over = False
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Returns the content of the chunks that are complete now. ValueError: it is no chunked coding."""
        data = self._rest + data
        at = 0
        found: list[bytes] = []
        while (end := data.find(b"\r\n", at)) >= 0:
            size = int(data[at:end].split(b";")[0], 16)
            stop = end + 2 + size
            if len(data) < stop + 2:
                break
            if data[stop : stop + 2] != b"\r\n":
                raise ValueError("a chunk that does not end where it should")
            at = stop + 2
            if not size:
                self.is_over = True
                break
            found.append(data[end + 2 : stop])
        self._rest = data[at:]
        return b"".join(found)


class _Pool:
    def __init__(self, socket_path: Path) -> None:
        self._socket_path = socket_path
        self._idle: list[tuple[_Reader, asyncio.StreamWriter]] = []
        self.is_closed = False

    async def take(self) -> tuple[_Reader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof() and reader.exception() is None and not writer.is_closing():
                return reader, writer
            writer.close()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await self._connect()
        except (OSError, TimeoutError) as error:
            raise DaemonUnreachable(f"{self._socket_path}: {error or 'no answer'}") from error

    async def _connect(self) -> tuple[_Reader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        reader = _Reader(limit=MAX_HEADER_BYTES, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await loop.create_unix_connection(lambda: protocol, str(self._socket_path))
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    def give_back(self, reader: _Reader, writer: asyncio.StreamWriter, *, keep: bool) -> None:
        if keep and not self.is_closed and len(self._idle) < MAX_IDLE_CONNECTIONS:
            self._idle.append((reader, writer))
        else:
            writer.close()

    def close(self) -> None:
        self.is_closed = True
        while self._idle:
            self._idle.pop()[1].close()


class Api:
    """Requests to one daemon. Paths begin with a slash and have no version: it is prefixed."""

    def __init__(self, socket_path: Path) -> None:
        self._pool = _Pool(socket_path)
        self._prefix = ""

    async def negotiate(self) -> dict[str, Any]:
        """Chooses the API version, and opens a closed client again. Returns the daemon's answer to GET /version."""
        self._pool.is_closed = False
        self._prefix = ""
        found: dict[str, Any] = await self.json("GET", "/version")
        lowest, highest = (_version(found.get(name, "")) for name in ("MinAPIVersion", "ApiVersion"))
        chosen = max(lowest or API_VERSION, min(highest or API_VERSION, API_VERSION))
        self._prefix = f"/v{chosen[0]}.{chosen[1]}"
        return found

    async def json(self, method: str, path: str, query: Query | None = None, body: Any = None) -> Any:
        """Returns the decoded answer; None: it is empty. ApiError, DaemonUnreachable."""
        content = await self.bytes(method, path, query, body)
        if not content:
            return None
        try:
            return msgspec.json.decode(content)
        except msgspec.DecodeError as error:
            raise DaemonUnreachable(f"{method} {path}: an answer that can't be read: {error}") from error

    async def bytes(self, method: str, path: str, query: Query | None = None, body: Any = None) -> bytes:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                async with await self.open(method, path, query, body) as response:
                    return await response.read()
        except TimeoutError:
            raise DaemonUnreachable(f"{method} {path}: no answer within {REQUEST_SECONDS:g} s") from None

    async def head(self, path: str, query: Query | None = None) -> dict[str, str]:
        """Returns the headers of the answer."""
        async with await self.open("HEAD", path, query) as response:
            return response.headers

    async def open(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Sends the request and reads the head of its answer. `body`: bytes as they are, anything else as JSON."""
        reader, writer = await self._pool.take()
        response = Response(reader, writer, self._pool)
        try:
            writer.write(_request(f"{self._prefix}{path}", method, query, body, headers or {}))
            await writer.drain()
            await response.read_head(has_body=method != "HEAD")
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError) as error:
            writer.close()
            raise DaemonUnreachable(f"{method} {path}: {error}") from error
        except BaseException:
            writer.close()
            raise
        if response.status >= 400:
            async with response:
                raise ApiError(response.status, _message(await response.read()))
        return response

    def close(self) -> None:
        self._pool.close()


def _request(path: str, method: str, query: Query | None, body: Any, headers: Mapping[str, str]) -> bytes:
    if query:
        path += "?" + urlencode(query, quote_via=quote)
    lines = [f"{method} {path} HTTP/1.1", "Host: docker"]
    content = b""
    if body is not None:
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        kind = "application/x-tar" if isinstance(body, bytes) else "application/json"
        lines.append(f"Content-Type: {kind}")
    if body is not None or method == "POST":
        lines.append(f"Content-Length: {len(content)}")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


def _message(content: bytes) -> str:
    try:
        found = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = None
    if isinstance(found, dict) and found.get("message"):
        return str(found["message"]).strip()
    return content.decode("utf-8", "replace").strip() or "no reason was given"


def _version(text: str) -> tuple[int, int] | None:
    major, _, minor = text.partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else None
