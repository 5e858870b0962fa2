"""All engines of a running server together: starts, watches and closes them, and reports them to the machine and in
messages."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec.structs import replace

from batchyard.core.machine import Machine
from batchyard.core.model.commands import Command, SetAway
from batchyard.core.model.records import Abilities
from batchyard.core.model.refusal import Refused
from batchyard.engines.base import Engine
from batchyard.engines.docker.engine import DockerEngine
from batchyard.loop import Busy, Loop, Stopped
from batchyard.server.admin.terminal import Failure
from batchyard.server.asyncio_tasks import cancel_tasks
from batchyard.server.engines import default_environments
from batchyard.server.engines.choice import (
    AUTO,
    DOCKER,
    PROCESS,
    Choice,
    choose,
    describe,
    docker_maker,
    wants_docker,
)
from batchyard.server.engines.docker_watch import DockerWatch
from batchyard.server.http.job_listener import JobListener
from batchyard.server.settings import host
from batchyard.server.settings.config import Settings
from batchyard.server.settings.paths import Paths
from batchyard.server.settings.table import DOCUMENTATION_OF_CONTAINERS

BUSY_SECONDS = 0.1  # between tries while the inbox is full of callers' commands
FIRST_LOOK_SECONDS = 6.0  # at Docker, before requests are served without it; a healthy daemon takes milliseconds


class EngineSet:
    """The engines of a server. Call `start`, then `begin` for the machine, then
    `wait_for_failure` while it serves, and `close`."""

    def __init__(
        self,
        settings: Settings,
        paths: Paths,
        engines: dict[str, Engine],
        machine: Machine,
        job_listener: JobListener | None = None,
    ) -> None:
        self._settings = settings
        self._paths = paths
        self._engines = engines
        self._machine = machine
        self._job_listener = job_listener
        self._is_new = False
        self._docker: DockerWatch | None = None
        self._watching: asyncio.Task[None] | None = None
        self._choice = Choice(PROCESS, "")

    async def start(self, loop: Loop, epoch: int, *, is_new: bool) -> None:
        """Starts the engines. Raises Failure."""
        self._is_new = is_new
        try:
            await loop.start(epoch)
        except (RuntimeError, OSError) as error:  # TimeoutError is one
            raise Failure(f"The process engine cannot be started: {error}. `batchyard doctor` may say more.") from error
        if wants_docker(self._settings, self._machine.world.environments.values()):
            await self._look_for_docker(loop, epoch)
        found = self._docker.found if self._docker is not None else None
        self._choice = choose(self._settings, found, self.problem, is_new=is_new)

    async def _look_for_docker(self, loop: Loop, epoch: int) -> None:
        async def start(engine: DockerEngine) -> None:
            await loop.start_engine(engine, epoch)

        async def tell() -> None:
            await self._send_changed_commands(loop.ask)

        listen = self._job_listener.listen if self._job_listener is not None else None
        make = docker_maker(self._settings, self._paths, listen)
        self._docker = DockerWatch(os.environ, make, start, tell)
        self._watching = asyncio.create_task(self._docker.run())
        looked = asyncio.create_task(self._docker.looked.wait())
        await asyncio.wait({self._watching, looked}, timeout=FIRST_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        looked.cancel()
        if self._watching.done():
            self._watching.result()

    async def _send_changed_commands(self, ask: Callable[[Command[object]], Awaitable[Any]]) -> None:
        """Sends the commands of `begin` again, when they have changed."""
        for command in [self._away(), *self._missing()]:
            while True:
                try:
                    await ask(command)
                except Busy:
                    await asyncio.sleep(BUSY_SECONDS)
                    continue
                except (Stopped, Refused):  # the service ends; or a caller has just taken the name and keeps it
                    pass
                break

    # -- commands for the machine --

    @property
    def problem(self) -> str:
        """Returns why Docker can't be used now; empty when it can."""
        return self._docker.problem if self._docker is not None else "--engine process"

    @property
    def names(self) -> tuple[str, ...]:
        return (*self._engines, DOCKER) if self._docker is not None else tuple(self._engines)

    @property
    def of_new_environments(self) -> str:
        """Returns the engine of environments that callers create: as settings name it, else that of `local`."""
        local = self._machine.world.environments.get(default_environments.LOCAL)
        return self._choice.name if local is None or self._settings.engine != AUTO else local.engine

    def abilities(self) -> dict[str, Abilities]:
        """Returns the abilities of each engine. All run on this machine: Docker's socket is a local one."""
        known = {name: engine.abilities for name, engine in self._engines.items()}
        if self._docker is not None:
            known[DOCKER] = DockerEngine.abilities
        architecture = host.architecture(platform.machine())
        return {name: replace(abilities, architecture=architecture) for name, abilities in known.items()}

    def begin(self) -> list[Command[object]]:
        """Returns the commands for the machine's begin, except the host: the engines that can't be used now, and the
        missing environments and queues."""
        return [self._away(), *self._missing()]

    def _away(self) -> SetAway:
        return SetAway({DOCKER: self.problem} if self._docker is not None and self.problem else {})

    def _missing(self) -> list[Command[object]]:
        is_new, self._is_new = self._is_new, False
        has_docker = self._docker is not None and not self.problem
        return default_environments.missing(
            self._machine.world, is_new=is_new, engine=self._choice.name, has_docker=has_docker
        )

    def executor(self, engine: str) -> DockerEngine | None:
        """Returns the engine of that name if it is present and can run second commands."""
        return self._docker.engine if self._docker is not None and engine == DOCKER else None

    # -- texts for people --

    def lines(self) -> list[tuple[str, str]]:
        """Returns the lines at the start: a heading and a text each."""
        world = self._machine.world
        local = world.environments.get(default_environments.LOCAL)
        name = local.engine if local is not None else self._choice.name
        reason = self._choice.reason if name == self._choice.name else "as at the first start"
        queues = default_environments.kinds_of_queues(world)
        said = [("Engine", f"{name} ({reason})")]
        if queues:
            said.append(("Queues", ", ".join(f"{queue} ({kind})" for queue, kind in queues)))
        if self._settings.hosts_port:
            where = f"{self._settings.hosts_address}:{self._settings.hosts_port}"
            said.append(("Hosts", f"may join at {where}, with a token (batchyard hosts token)"))
        if self._docker is None:
            return said
        runs_images = any(e.engine == DOCKER for e in world.environments.values())
        if self.problem and runs_images:
            said.append(("WARNING", f"Jobs of containers wait: Docker cannot be used now ({self.problem})."))
        elif not self.problem and name == PROCESS:
            said.append(("Docker", f"{describe(self._docker.found)}; see {DOCUMENTATION_OF_CONTAINERS}"))
        return said

    def health(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = [{"name": name, "available": True, "reason": ""} for name in self._engines]
        if self._docker is not None:
            reason = self.problem or describe(self._docker.found)
            found.append({"name": DOCKER, "available": not self.problem, "reason": reason})
        local = self._machine.world.environments.get(default_environments.LOCAL)
        for engine in found:
            if not engine["reason"]:
                engine["reason"] = self._choice.reason if local and local.engine == engine["name"] else "always there"
        return found

    # -- while it serves, and at the end --

    async def wait_for_failure(self) -> None:
        """Raises Failure when an engine can never serve this server again."""
        failing = [asyncio.create_task(_failed(engine)) for engine in self._engines.values()]
        watched = [] if self._watching is None else [self._watching]
        try:
            done, _ = await asyncio.wait([*failing, *watched], return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            await cancel_tasks(*failing)

    async def close(self, *, kill: bool) -> None:
        if self._watching is not None:
            await cancel_tasks(self._watching)
        if self._docker is not None:
            await self._docker.close(kill=kill)
        for engine in self._engines.values():
            await engine.close(kill=kill)


async def _failed(engine: Engine) -> None:
    """Raises Failure when the engine is gone: a launch would never run, so the server has to end."""
    try:
        await engine.failed()
    except (RuntimeError, OSError) as error:
        raise Failure(f"The {engine.name} engine is gone: {error}. Nothing that was answered is lost.") from error
