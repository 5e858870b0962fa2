"""Sends HTTP requests to targets outside: one try within a time-out, bounded answers, no redirects, only to addresses
that targets may have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from batchyard.server.deliveries.http_connections import HttpConnections


MAX_ANSWER_BYTES = 64 * 1024  # of a body: what targets answer is looked at for errors and tokens only


class Unreachable(Exception):
    """No answer came. The text says why, for people. `is_timeout`: within the time-out."""

    def __init__(self, text: str, *, is_timeout: bool = False) -> None:
        super().__init__(text)
        self.is_timeout = is_timeout


class Forbidden(Exception):
    """The target's address is not one that targets may have. The text says what the owner can do."""


class Answer(Struct, frozen=True):
    """`headers`: by lower-case name. `body`: its beginning."""

    status: int
    headers: dict[str, str]
    body: bytes


class HttpClient:
    """Used by one event loop. `allowed`: the owner's `[targets] allow`; `is_guarded`: whether others than this user may
    have the service send requests, as those who have its keys can."""

    def __init__(self, allowed: tuple[str, ...], is_guarded: Callable[[], bool]) -> None:
        self._allowed, self._is_guarded = allowed, is_guarded
        self._connections: HttpConnections | None = None

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout_seconds: float,
        answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> Answer:
        """Sends one request. `answer_bytes`: as many of its answer are read at most. Raises Unreachable or Forbidden,
        and ValueError for what cannot be sent: no http or https URL, or a header that cannot be one."""
        if self._connections is None:
            # Not imported at the start: few services have HTTP targets, and the library takes some time to load.
            from batchyard.server.deliveries.http_connections import HttpConnections

            self._connections = HttpConnections(self._allowed, self._is_guarded)
        return await self._connections.send(method, url, headers, body, timeout_seconds, answer_bytes)

    async def close(self) -> None:
        if self._connections is not None:
            await self._connections.close()
            self._connections = None
