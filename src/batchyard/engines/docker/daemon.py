"""The connection to the Docker daemon: its state, its events, and retries until it is back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from batchyard.engines.docker.api import Api, ApiError, DaemonUnreachable
from batchyard.engines.docker.containers import ATTEMPT, STORE

FIRST_PAUSE_SECONDS = 0.05  # between tries to reach a daemon that went away
MAX_PAUSE_SECONDS = 2.0
MAX_EVENT_BYTES = 1024 * 1024  # one event is a few hundred; labels of images may make it long

Value = TypeVar("Value")
log = logging.getLogger(__name__)


class Daemon:
    """`woken` is called with the attempt of each event, and with "" when the daemon is back: all attempts."""

    def __init__(self, socket_path: Path, woken: Callable[[str], None]) -> None:
        self.api = Api(socket_path)
        self.version: dict[str, Any] = {}
        self._woken = woken
        self._up = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None
        self._store = ""

    @property
    def is_up(self) -> bool:
        return self._up.is_set()

    async def connect(self, store: str) -> None:
        """Connects, and follows the events of our containers. DaemonUnreachable, ApiError: why not."""
        self._store = store
        self.version = await self.api.negotiate()
        self._watcher = asyncio.create_task(self._watch(), name="docker events")
        await self._up.wait()

    async def failed(self) -> None:
        assert self._watcher is not None, "the daemon was never reached"
        await asyncio.wait([self._watcher])
        if not self._watcher.cancelled():
            self._watcher.result()

    async def until_it_answers(self, ask: Callable[[], Awaitable[Value]]) -> Value:
        """Returns the answer of `ask`, which is repeated whenever the daemon is back: only for idempotent requests."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            await self._up.wait()
            try:
                return await ask()
            except DaemonUnreachable as error:
                log.info("the Docker daemon does not answer: %s", error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, MAX_PAUSE_SECONDS)

    async def _watch(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._events()
                log.warning("the Docker daemon ended its events")
            except (DaemonUnreachable, ApiError) as error:
                log.log(logging.WARNING if self._up.is_set() else logging.DEBUG, "the Docker daemon is away: %s", error)
            if self._up.is_set():
                self._up.clear()
                pause = FIRST_PAUSE_SECONDS
            await asyncio.sleep(pause)
            pause = min(pause * 2, MAX_PAUSE_SECONDS)

    async def _events(self) -> None:
        """Follows the events. The daemon counts as up once they are followed: no event is missed after a look."""
        filters = msgspec.json.encode({"type": ["container"], "label": [f"{STORE}={self._store}"]}).decode()
        async with await self.api.open("GET", "/events", {"filters": filters}) as response:
            self._up.set()
            self._woken("")
            rest = b""
            async for block in response.blocks():
                *lines, rest = (rest + block).split(b"\n")
                for line in lines:
                    if line.strip():
                        self._woken(_attempt_of(line))
                if len(rest) > MAX_EVENT_BYTES:
                    raise DaemonUnreachable("an event without an end")

    async def close(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
        self.api.close()


def _attempt_of(line: bytes) -> str:
    """Returns the attempt of an event; "" for an event without one: all attempts are woken."""
    try:
        event = msgspec.json.decode(line)
        return str(event["Actor"]["Attributes"].get(ATTEMPT, ""))
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return ""
