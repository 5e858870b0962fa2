"""A running server: its two sides are started in order, watched, and ended in reverse."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from batchyard.core.model.commands import SetHost
from batchyard.core.model.records import Instance
from batchyard.core.questions.capacity import AskCapacity
from batchyard.core.state.check import assert_consistent
from batchyard.server.admin import messages
from batchyard.server.admin.retention import Pruning
from batchyard.server.admin.service_control import RunningService
from batchyard.server.admin.terminal import complain
from batchyard.server.assembly import assemble, wall_clock_ms
from batchyard.server.end_signals import EndSignals, start_deadline
from batchyard.server.http.front_end import FrontEnd
from batchyard.server.http.server import HttpServer
from batchyard.server.operations_context import instance_id
from batchyard.server.parts import Parts
from batchyard.server.settings import host
from batchyard.server.settings.paths import remove_server_file, write_server_file
from batchyard.server.stored_machines import blames_the_store
from batchyard.version import VERSION

STOP_SECONDS = 4.5  # a stop must take less than 5 s: what is not done then needs nothing that is not durable already
SUPERVISOR_LEAVES_SECONDS = 10.0  # what the supervisor gets on top with --kill
LOOK_SECONDS = 0.05  # how often the end of killed jobs is looked for: only during `down --kill`
KILL_PATIENCE_SECONDS = 20.0  # beyond the jobs' own grace: their reports and commits


class Service:
    """One running server. `run` once, in the main thread."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._ending = asyncio.Event()
        self._kill = False
        self._signals = EndSignals(parts.paths, self._ending.set)
        self._host = host.detect(parts.settings)
        self._inner = assemble(parts)

    async def run(self) -> None:
        """Until a signal or Shutdown. Raises what ended the loop: a failed commit."""
        self._signals.install()
        inner = self._inner
        starting = asyncio.create_task(inner.engines.start(inner.loop, self._parts.writer.epoch, is_new=inner.is_new))
        ending = asyncio.create_task(self._ending.wait())
        try:
            await asyncio.wait({starting, ending}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await self._run_loop()
        finally:
            start_deadline(STOP_SECONDS + (SUPERVISOR_LEAVES_SECONDS if self._kill else 0.0))
            await _cancel(starting, ending)
            await inner.engines.close(kill=self._kill)
            if inner.job_listener is not None:
                inner.job_listener.close()

    async def _run_loop(self) -> None:
        loop, parts = self._inner.loop, self._parts
        running = asyncio.create_task(loop.run())
        front: FrontEnd | None = None
        try:
            await _while(running, self._begin())
            front = FrontEnd(parts, self._inner, self._host, self._control)
            days, logs_dir = parts.settings.finished_days, parts.paths.logs_dir
            pruning = Pruning(front.reader, parts.writer, logs_dir, days, wall_clock_ms, front.threads)
            async with front.serving_jobs():
                await self._serve(front.server(), running, pruning)
        finally:
            loop.stop()
            try:
                await running
            except BaseException:
                self._kill = False  # jobs whose ends cannot be committed need their supervisor
                raise
            finally:
                if front is not None:
                    front.close()
                self._inner.facts.close()

    def end(self, kill: bool) -> None:
        """Begins the end of the service. With `kill` it waits for the jobs, whose end was asked for."""
        self._kill = kill
        self._ending.set()

    def _control(self, front: FrontEnd) -> RunningService:
        parts = self._parts
        return RunningService(parts.settings, parts.paths, parts.address, front.health, self.end)

    async def _begin(self) -> None:
        """Hands the machine what it must know before the first request. On the very first start all of it is one
        commit."""
        found, inner = self._host, self._inner
        own_id = instance_id(self._parts.secret)
        instance = Instance(own_id, found.resources, found.gpu_ids, launched_at_ms=found.booted_at_ms)
        commands = [SetHost(instance, inner.engines.abilities()), *inner.engines.begin()]
        await asyncio.gather(*(inner.loop.ask(command) for command in commands))
        if self._parts.settings.check_on_start:
            with blames_the_store(self._parts.writer):
                assert_consistent(inner.machine.world)
        messages.starting(self._parts.paths, inner.engines.lines(), found)

    async def _serve(self, server: HttpServer, running: asyncio.Task[None], pruning: Pruning) -> None:
        parts = self._parts
        serving = asyncio.create_task(server.serve([parts.listener]))
        ready = asyncio.create_task(server.serving.wait())
        ending = asyncio.create_task(self._ending.wait())
        failing = asyncio.create_task(self._wait_for_failure(pruning))
        await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            write_server_file(parts.paths, parts.address, VERSION)
            messages.serving(parts.address, parts.settings, parts.rules, has_keys=bool(parts.keys.current()))
            await asyncio.wait({serving, running, ending, failing}, return_when=asyncio.FIRST_COMPLETED)
        if self._kill:
            await _while(running, self._wait_for_jobs())
        remove_server_file(parts.paths)
        if not running.done():
            capacity = await self._inner.loop.ask(AskCapacity())
            messages.ended(capacity.jobs_running, killed=self._kill)
        server.end()
        await serving
        failure = failing.exception() if failing.done() else None
        await _cancel(ready, ending, failing)
        if failure is not None and not self._kill:
            raise failure

    async def _wait_for_failure(self, pruning: Pruning) -> None:
        """Raises when an engine can never serve this server again, or pruning cannot commit."""
        failing = [asyncio.create_task(self._inner.engines.wait_for_failure()), asyncio.create_task(pruning.run())]
        try:
            done, _ = await asyncio.wait(failing, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            await _cancel(*failing)

    async def _wait_for_jobs(self) -> None:
        deadline = time.monotonic() + self._parts.settings.stop_grace_seconds + KILL_PATIENCE_SECONDS
        while time.monotonic() < deadline:
            capacity = await self._inner.loop.ask(AskCapacity())
            if capacity.jobs_running == 0:
                return
            await asyncio.sleep(LOOK_SECONDS)
        complain("Some jobs have not ended; they run on.")


async def _while(running: asyncio.Task[None], work: Any) -> None:
    """Does `work`, unless the loop fails meanwhile: then that is raised, and not what it did to the work."""
    task = asyncio.ensure_future(work)
    await asyncio.wait({task, running}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        task.cancel()
        await asyncio.wait({task})
        running.result()
    await task


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
