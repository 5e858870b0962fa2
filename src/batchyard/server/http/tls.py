"""TLS of one connection, between the socket and the protocol that reads requests.

asyncio would call that protocol only after the handshake: connections without one would be in no register, and could
take all files. Here the protocol has its connection from the beginning, so that the limits of plain connections hold
for those with TLS, handshake included."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Any, cast

READ_BYTES = 256 * 1024  # of one call; a record has 16 KiB
HANDSHAKE_TYPE = 0x16  # the first byte of a connection with TLS (RFC 8446, 5.1)
# The answer to a request in clear text, which is all that its sender can read.
PLAIN_TEXT = b'{"message": "This address speaks TLS: use https:// in place of http://."}'
PLAIN = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nx-amzn-errortype: InvalidRequestException\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(PLAIN_TEXT), PLAIN_TEXT)
)


class TlsTransport(asyncio.Transport):
    """The transport of the inner protocol: encrypts what it writes."""

    def __init__(self, outer: asyncio.Transport, context: ssl.SSLContext) -> None:
        super().__init__()
        self._outer = outer
        self._context = context
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._is_shaken = False
        self._early: list[bytes] = []  # written before the handshake was over

    def receive(self, data: bytes) -> bytes:
        """Returns what arrived, in clear text. EOFError: the peer ends the connection. Raises ssl.SSLError."""
        self._incoming.write(data)
        try:
            if not self._is_shaken:
                self._tls.do_handshake()
                self._is_shaken = True
                early, self._early = self._early, []
                self.write(b"".join(early))
            return self._read()
        except ssl.SSLWantReadError:
            return b""
        except ssl.SSLZeroReturnError as error:
            raise EOFError from error
        finally:
            self._flush()

    def _read(self) -> bytes:
        found: list[bytes] = []
        try:
            while piece := self._tls.read(READ_BYTES):
                found.append(piece)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            if not found:
                raise
        else:
            if not found:
                raise EOFError
        return b"".join(found)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not data or self._outer.is_closing():
            return
        if not self._is_shaken:
            self._early.append(bytes(data))
            return
        rest = memoryview(data)
        while rest:
            rest = rest[self._tls.write(rest) :]
        self._flush()

    def answer_plainly(self) -> None:
        """Answers what came without TLS, and closes."""
        self._outer.write(PLAIN)
        self._outer.close()

    def close(self) -> None:
        if self._is_shaken and not self._outer.is_closing():
            with contextlib.suppress(ssl.SSLError):  # the end of the peer is not waited for
                self._tls.unwrap()
            self._flush()
        self._outer.close()

    def abort(self) -> None:
        self._outer.abort()

    def is_closing(self) -> bool:
        return self._outer.is_closing()

    def get_write_buffer_size(self) -> int:
        return self._outer.get_write_buffer_size()

    def pause_reading(self) -> None:
        self._outer.pause_reading()

    def resume_reading(self) -> None:
        self._outer.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "sslcontext":  # by which uvicorn knows that the scheme is https
            return self._context
        return self._outer.get_extra_info(name, default)

    def _flush(self) -> None:
        if (encrypted := self._outgoing.read()) and not self._outer.is_closing():
            self._outer.write(encrypted)


class TlsProtocol(asyncio.Protocol):
    """The protocol of the socket, around `inner`."""

    def __init__(self, context: ssl.SSLContext, inner: asyncio.Protocol) -> None:
        self._context = context
        self._inner = inner
        self._transport: TlsTransport
        self._is_first = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = TlsTransport(cast(asyncio.Transport, transport), self._context)
        self._inner.connection_made(self._transport)

    def data_received(self, data: bytes) -> None:
        if self._is_first and data[0] != HANDSHAKE_TYPE:
            self._transport.answer_plainly()
            return
        self._is_first = False
        try:
            received = self._transport.receive(data)
        except (ssl.SSLError, EOFError):  # no TLS, none that we speak, or its end
            self._transport.close()
            return
        if received and not self._transport.is_closing():
            self._inner.data_received(received)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)
