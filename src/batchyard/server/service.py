"""A running server: its parts are started in order, watched, and ended in reverse."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from batchyard.clock import wall_clock_ms
from batchyard.core.registry.machine_gpus import devices_in_use
from batchyard.server.admin import messages
from batchyard.server.admin.retention import Pruning
from batchyard.server.admin.service_control import RunningService
from batchyard.server.admin.terminal import complain
from batchyard.server.assembly import assemble
from batchyard.server.asyncio_tasks import cancel_tasks, run_beside
from batchyard.server.deliveries.channels import free_space, make_channels, make_http_client
from batchyard.server.deliveries.sender import Channel
from batchyard.server.end_signals import EndSignals, start_deadline
from batchyard.server.engines.gpu_watch import GpuWatch
from batchyard.server.first_commands import give_first_commands
from batchyard.server.front_end import FrontEnd
from batchyard.server.http.server import HttpServer
from batchyard.server.job_drain import count_running_jobs, wait_for_jobs
from batchyard.server.log_tasks import LogTasks
from batchyard.server.metrics.metric_upkeep import tend
from batchyard.server.metrics.minute_recorder import MinuteRecorder
from batchyard.server.metrics.process_usage import ProcessUsage
from batchyard.server.parts import Parts
from batchyard.server.settings import host
from batchyard.server.settings.paths import remove_server_file, write_server_file
from batchyard.version import VERSION

STOP_SECONDS = 4.5  # a stop must take less than 5 s: what is unfinished then depends only on durable state
SUPERVISOR_LEAVES_SECONDS = 10.0  # what the supervisor gets on top with --kill


class Service:
    """One running server. `run` once, in the main thread."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._ending = asyncio.Event()
        self._kill = False
        self._signals = EndSignals(parts.paths, self._ending.set)
        self._host = host.detect(parts.settings, state_dir=parts.paths.state_dir)
        self._assembly = assemble(parts, self._host)

    async def run(self) -> None:
        """Runs until a signal or Shutdown. Raises what ended the loop: a failed commit."""
        self._signals.install()
        assembly = self._assembly
        engines = assembly.engines
        starting = asyncio.create_task(
            engines.start(assembly.loop, self._parts.writer.epoch, is_new=assembly.stored.is_new)
        )
        ending = asyncio.create_task(self._ending.wait())
        try:
            await asyncio.wait({starting, ending}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await self._run_loop()
        finally:
            start_deadline(STOP_SECONDS + (SUPERVISOR_LEAVES_SECONDS if self._kill else 0.0))
            await cancel_tasks(starting, ending)
            await engines.close(kill=self._kill)
            if assembly.job_listener is not None:
                assembly.job_listener.close()

    async def _run_loop(self) -> None:
        loop = self._assembly.loop
        running = asyncio.create_task(loop.run())
        if self._parts.telemetry is not None:
            self._parts.telemetry.start()
        front: FrontEnd | None = None
        http = make_http_client(self._parts)
        try:
            await run_beside(running, give_first_commands(self._parts, self._assembly, self._host))
            messages.starting(self._parts.paths, self._assembly.engines.lines(), self._host)
            front = FrontEnd(self._parts, self._assembly, self._host, self._control)
            async with front.serving_jobs(), front.serving_hosts():
                await self._serve(
                    front.server(),
                    running,
                    self._pruning(front),
                    make_channels(self._parts, front.context, http),
                    LogTasks(self._parts, front),
                    partial(self._assembly.workflow_effects.run, front.context, free_space(self._parts), http),
                )
        finally:
            await http.close()
            loop.stop()
            try:
                await running
            except BaseException:
                self._kill = False  # jobs whose ends cannot be committed need their supervisor
                raise
            finally:
                if front is not None:
                    front.close()
                self._assembly.stored.facts.close()
                self._assembly.messages.close()
                for event_maker in self._assembly.event_makers:
                    event_maker.close()

    def end(self, kill: bool) -> None:
        """Begins the end of the service. With `kill` it waits for the jobs, which are being terminated."""
        self._kill = kill
        self._ending.set()

    def _control(self, front: FrontEnd) -> RunningService:
        parts = self._parts
        return RunningService(parts.settings, parts.paths, parts.address, front.health, self.end)

    def _pruning(self, front: FrontEnd) -> Pruning:
        parts = self._parts
        days = parts.settings.finished_days
        return Pruning(front.reader, parts.writer, parts.paths.logs_dir, days, wall_clock_ms, front.threads)

    async def _serve(
        self,
        server: HttpServer,
        running: asyncio.Task[None],
        pruning: Pruning,
        channels: Mapping[str, Channel],
        logs: LogTasks,
        workflows: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        parts = self._parts
        serving = asyncio.create_task(server.serve([parts.listener]))
        ready = asyncio.create_task(server.serving.wait())
        ending = asyncio.create_task(self._ending.wait())
        failing = asyncio.create_task(self._wait_for_failure(pruning, channels, logs, workflows))
        await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            certificate = "" if parts.certificate is None else str(parts.certificate.path)
            write_server_file(parts.paths, parts.address, VERSION, certificate)
            messages.serving(parts.address, parts.settings, parts.rules, has_keys=bool(parts.keys.current()))
            await asyncio.wait({serving, running, ending, failing}, return_when=asyncio.FIRST_COMPLETED)
        if self._kill:
            await run_beside(running, self._end_jobs())
        remove_server_file(parts.paths)
        self._assembly.ring.close()
        if not running.done():
            messages.ended(await count_running_jobs(self._assembly.loop), killed=self._kill)
        self._assembly.waiters.close()
        server.end()
        await serving
        failure = failing.exception() if failing.done() else None
        await cancel_tasks(ready, ending, failing)
        if failure is not None and not self._kill:
            raise failure

    async def _wait_for_failure(
        self,
        pruning: Pruning,
        channels: Mapping[str, Channel],
        logs: LogTasks,
        workflows: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        """Does what runs beside requests. Raises when an engine can never serve this server again, pruning cannot
        commit, or a channel has a fault."""
        gpus = GpuWatch(self._host.gpus, self._assembly.loop.ask, lambda: devices_in_use(self._assembly.machine.world))
        sending = self._assembly.sender.run(channels)
        upkeep = tend(self._parts.metric_store, self._parts.clock.now_ms)
        minutes = self._minute_recorder().run()
        alarms = self._assembly.alarm_evaluator.run()
        beside = (pruning.run(), gpus.run(), sending, upkeep, logs.run(), minutes, alarms, workflows())
        work = (self._assembly.engines.wait_for_failure(), *beside)
        failing = [asyncio.create_task(one) for one in work]
        try:
            done, _ = await asyncio.wait(failing, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            await cancel_tasks(*failing)

    def _minute_recorder(self) -> MinuteRecorder:
        parts, prices = self._parts, self._parts.prices
        has_prices = bool(prices.on_demand or prices.spot)
        after = self._assembly.alarm_evaluator.minute_is_over
        return MinuteRecorder(
            parts.metric_store,
            self._assembly.loop.ask,
            parts.clock.now_ms,
            has_prices=has_prices,
            after=after,
            append=parts.log_writer.append_kept,
            look=ProcessUsage().look,
            also=parts.telemetry.outbox.add_minute if parts.telemetry is not None else lambda data: None,
        )

    async def _end_jobs(self) -> None:
        if not await wait_for_jobs(self._assembly.loop, self._parts.settings.stop_grace_seconds):
            complain("Some jobs have not ended; they run on.")
