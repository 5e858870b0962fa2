"""Watches Docker: its engine is started when a daemon answers, and the machine is informed when it is away.

An absent daemon affects nothing else: jobs of containers wait, with the reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from batchyard.engines.docker.engine import DockerEngine
from batchyard.engines.docker.sockets import Probe, probe
from batchyard.server.admin.terminal import Failure

LOOK_SECONDS = 1.0  # between checks of the daemon: a restart that is over sooner need not be noticed
PROBE_SECONDS = 5.0  # a healthy daemon answers in milliseconds
# At the end the containers of attempts that have just ended are still being removed: what is left then is removed at
# the next start, which may be much later. The whole stop must take less than 5 s, and with --kill 10 more.
REMOVING_SECONDS = 2.0
REMOVING_SECONDS_OF_KILL = 8.0
QUIET_SECONDS = 0.05  # between checks whether that is done
NOT_YET = "the daemon has not answered yet"


class DockerWatch:
    """Watches one daemon; `run` once. `problem`: why the engine can't be used now, empty when it
    can; `looked` is set once that is known.

    `make`: makes an engine on a socket; `start`: gives it to the loop; `tell`: called at each change of `problem`."""

    def __init__(
        self,
        environ: Mapping[str, str],
        make: Callable[[Path], DockerEngine],
        start: Callable[[DockerEngine], Awaitable[None]],
        tell: Callable[[], Awaitable[None]],
    ) -> None:
        self._environ = environ
        self._make = make
        self._start = start
        self._on_change = tell
        self._failing: asyncio.Task[None] | None = None
        self.engine: DockerEngine | None = None
        self.found = Probe(None, problem=NOT_YET)
        self.problem = NOT_YET
        self.looked = asyncio.Event()

    async def run(self) -> None:
        """Checks the daemon periodically. Raises Failure when the engine can never serve this server again."""
        while True:
            before = self.problem
            self.problem = await self._look()
            was_told = self.looked.is_set()
            self.looked.set()
            if was_told and self.problem != before:
                await self._on_change()
            await asyncio.sleep(LOOK_SECONDS)

    async def close(self, *, kill: bool) -> None:
        if self._failing is not None:
            self._failing.cancel()
            await asyncio.wait({self._failing})
        if self.engine is not None:
            seconds = REMOVING_SECONDS_OF_KILL if kill else REMOVING_SECONDS
            while self.engine.is_up and not self.engine.is_quiet and seconds > 0:
                await asyncio.sleep(QUIET_SECONDS)
                seconds -= QUIET_SECONDS
            await self.engine.close(kill=kill)

    async def _look(self) -> str:
        if self.engine is None:
            return await self._try_to_start()
        if self._failing is not None and self._failing.done():
            try:
                self._failing.result()
            except Exception as error:
                raise Failure(f"The docker engine is gone: {error}. Nothing that was answered is lost.") from error
        return "" if self.engine.is_up else f"the daemon at {self.found.socket_path} does not answer any more"

    async def _try_to_start(self) -> str:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                self.found = await probe(self._environ)
        except TimeoutError:
            return f"no daemon answered within {PROBE_SECONDS:g} s"
        if self.found.problem or self.found.socket_path is None:
            return self.found.problem
        engine = self._make(self.found.socket_path)
        try:
            await self._start(engine)
        except RuntimeError as error:  # a later server has connected before
            raise Failure(f"The docker engine cannot be started: {error}.") from error
        except OSError as error:  # TimeoutError is one
            return str(error) or NOT_YET
        self.engine = engine
        self._failing = asyncio.create_task(engine.failed())
        return ""
