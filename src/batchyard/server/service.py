"""A running server: every part is made and connected here, started in order, and ended in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from batchyard.api.readers import Readers
from batchyard.core.model.commands import SetHost
from batchyard.core.model.facts import JobQueueBlocked
from batchyard.core.model.names import Account
from batchyard.core.model.records import HOST_PROVIDER, Instance
from batchyard.core.questions.capacity import AskCapacity
from batchyard.core.state.check import assert_consistent
from batchyard.engines.base import Capacity
from batchyard.engines.host import HostCapacity
from batchyard.loop import Loop
from batchyard.server.access.keys import OPERATOR
from batchyard.server.access.metadata_tokens import Tokens
from batchyard.server.access.peers import PeerLookup
from batchyard.server.access.sessions import LiveRoles, Sessions
from batchyard.server.admin import messages
from batchyard.server.admin.pruning import Pruning
from batchyard.server.admin.service_control import RunningService
from batchyard.server.admin.terminal import complain
from batchyard.server.end_signals import EndSignals, start_deadline
from batchyard.server.engines.choice import DOCKER, wants_docker
from batchyard.server.engines.runtime import EngineSet
from batchyard.server.http.applications import Applications, Identity
from batchyard.server.http.job_listener import JobListener
from batchyard.server.http.server import HttpServer
from batchyard.server.launch.cipher import KeyFileCipher
from batchyard.server.launch.launch_builder import LaunchBuilder
from batchyard.server.launch.secret_resolver import Resolver
from batchyard.server.operations_context import EngineNames, Secrets, State, context_of, instance_id, page_key
from batchyard.server.parts import Parts
from batchyard.server.settings import host
from batchyard.server.settings.config import Settings
from batchyard.server.settings.paths import remove_server_file, write_server_file
from batchyard.server.stored_machines import blames_the_store, load_machines
from batchyard.store.queries import Reader
from batchyard.version import VERSION
from batchyard.wire.messages import Document

# Queries of requests run beside the event loop; more threads than this only wait for each other (one interpreter).
READER_THREADS = 6
READERS_OF_ONE = 3  # of them, one caller's: its slow queries leave the others something
# Of all connections one in so many is for containers on networks of their own, and of those again for one of them.
JOBS_PART = 8
ROLE = "active"  # this server writes the store; a standby is another role
STOP_SECONDS = 4.5  # a stop must take less than 5 s: what is not done then needs nothing that is not durable already
SUPERVISOR_LEAVES_SECONDS = 10.0  # what the supervisor gets on top with --kill
LOOK_SECONDS = 0.05  # how often the end of killed jobs is looked for: only during `down --kill`
KILL_PATIENCE_SECONDS = 20.0  # beyond the jobs' own grace: their reports and commits


def _capacities(settings: Settings) -> dict[str, Capacity]:
    """By the name of the capacity provider."""
    host = HostCapacity(
        settings.boot_seconds,
        settings.spot_interruptions_per_hour,
        settings.spot_notice_seconds,
        random.expovariate,
    )
    return {HOST_PROVIDER: host}


class Service:
    """One running server. `run` once, in the main thread."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._ending = asyncio.Event()
        self._kill = False
        self._signals = EndSignals(parts.paths, self._ending.set)
        settings = parts.settings
        self._host = host.detect(settings)
        self._account = Account(settings.account_id, settings.region)
        stored = load_machines(
            settings, parts.catalogue, parts.prices, parts.store, parts.writer, parts.clock, wall_clock_ms()
        )
        self._is_new, self._facts = stored.is_new, stored.facts
        self._machine = machine = stored.machine
        self._tokens = Tokens(parts.secret)
        self._sessions = Sessions(
            parts.secret,
            self._account,
            LiveRoles(machine, self._account),
            wall_clock_ms,
            parts.s3.keys if parts.s3 is not None and settings.job_credentials else None,
        )
        self._cipher = KeyFileCipher(settings.secrets_key_file, parts.paths.data_dir)
        has_docker = wants_docker(settings, machine.world.environments.values())
        self._job_listener = JobListener(parts.paths.state_dir) if has_docker else None
        build_launch = LaunchBuilder(
            parts.address,
            settings.region,
            settings.job_env,
            self._tokens.token,
            self._sessions.variables if settings.job_credentials else lambda address, attempt_id: (),
            resolver=Resolver(machine.world, self._cipher),
            pulling=[DOCKER],
            s3=parts.s3,
            own_address=self._sessions.address,
            bridge_address=self._job_listener.address if self._job_listener is not None else "",
        )
        self._engines = EngineSet(settings, parts.paths, parts.engines, machine, self._job_listener)
        self._loop = Loop(
            [machine, stored.timers],
            parts.writer,
            parts.engines,
            parts.clock,
            build_launch,
            capacities=_capacities(settings),
            listeners={JobQueueBlocked: messages.blocked},
            delivery=stored.delivery,
        )

    async def run(self) -> None:
        """Until a signal or Shutdown. Raises what ended the loop: a failed commit."""
        self._signals.install()
        starting = asyncio.create_task(self._engines.start(self._loop, self._parts.writer.epoch, is_new=self._is_new))
        ending = asyncio.create_task(self._ending.wait())
        try:
            await asyncio.wait({starting, ending}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await self._run_loop()
        finally:
            start_deadline(STOP_SECONDS + (SUPERVISOR_LEAVES_SECONDS if self._kill else 0.0))
            await _cancel(starting, ending)
            await self._engines.close(kill=self._kill)
            if self._job_listener is not None:
                self._job_listener.close()

    async def _run_loop(self) -> None:
        running = asyncio.create_task(self._loop.run())
        reader = self._parts.store.reader()
        threads = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="reader")
        lookup = PeerLookup()
        try:
            await _while(running, self._begin())
            pruning = Pruning(
                reader,
                self._parts.writer,
                self._parts.paths.logs_dir,
                self._parts.settings.finished_days,
                wall_clock_ms,
                threads,
            )
            applications = self._applications(reader, Readers(threads, READERS_OF_ONE))
            everyone = applications.for_everyone(self._parts.rules)
            async with self._serving_jobs(applications, lookup):
                most, most_of_one = self._parts.most_connections
                if self._job_listener is not None:
                    most -= most // JOBS_PART
                await self._serve(HttpServer(everyone, lookup, (most, min(most, most_of_one))), running, pruning)
        finally:
            self._loop.stop()
            try:
                await running
            except BaseException:
                self._kill = False  # jobs whose ends cannot be committed need their supervisor
                raise
            finally:
                threads.shutdown()
                reader.close()
                self._facts.close()
                lookup.close()

    def end(self, kill: bool) -> None:
        """Begins the end of the service. With `kill` it waits for the jobs, whose end was asked for."""
        self._kill = kill
        self._ending.set()

    # -- start --

    async def _begin(self) -> None:
        """What the machine must know before the first request. On the very first start all of it is one commit."""
        found = self._host
        instance = Instance(
            instance_id(self._parts.secret),
            found.resources,
            found.gpu_ids,
            launched_at_ms=found.booted_at_ms,
        )
        commands = [SetHost(instance, self._engines.abilities()), *self._engines.begin()]
        await asyncio.gather(*(self._loop.ask(command) for command in commands))
        if self._parts.settings.check_on_start:
            with blames_the_store(self._parts.writer):
                assert_consistent(self._machine.world)
        messages.starting(self._parts.paths, self._engines.lines(), found)

    def _applications(self, reader: Reader, readers: Readers) -> Applications:
        parts, settings = self._parts, self._parts.settings
        control = RunningService(settings, parts.paths, parts.address, self._health, self.end)
        context = context_of(
            settings,
            parts.paths,
            self._host,
            state=State(self._loop.ask, reader, readers),
            engines=EngineNames(self._engines.of_new_environments, self._engines.names),
            secrets=Secrets(self._cipher, page_key(parts.secret), self._key_name),
            control=control,
        )
        return Applications(
            settings=settings,
            identity=Identity(parts.keys, parts.operator, self._sessions, self._tokens),
            context=context,
            free_bytes=parts.writer.free_bytes,
            now_ms=wall_clock_ms,
            health=self._health,
            executor_of=self._engines.executor,
        )

    def _health(self) -> Document:
        return {
            "version": VERSION,
            "role": ROLE,
            "engines": self._engines.health(),
            "store": self._parts.store.driver.kind,
        }

    # -- serving --

    @contextlib.asynccontextmanager
    async def _serving_jobs(self, applications: Applications, lookup: PeerLookup) -> AsyncIterator[None]:
        if self._job_listener is None:
            yield
            return
        most = self._parts.most_connections[0] // JOBS_PART
        async with self._job_listener.serving(applications.for_jobs(), lookup, (most, max(1, most // JOBS_PART))):
            yield

    async def _serve(self, server: HttpServer, running: asyncio.Task[None], pruning: Pruning) -> None:
        serving = asyncio.create_task(server.serve([self._parts.listener]))
        ready = asyncio.create_task(server.serving.wait())
        ending = asyncio.create_task(self._ending.wait())
        failing = asyncio.create_task(self._wait_for_failure(pruning))
        await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            write_server_file(self._parts.paths, self._parts.address, VERSION)
            messages.serving(self._parts.address, self._parts.settings, self._parts.rules, has_keys=self._has_keys())
            await asyncio.wait({serving, running, ending, failing}, return_when=asyncio.FIRST_COMPLETED)
        if self._kill:
            await _while(running, self._wait_for_jobs())
        remove_server_file(self._parts.paths)
        if not running.done():
            capacity = await self._loop.ask(AskCapacity())
            messages.ended(capacity.jobs_running, killed=self._kill)
        server.end()
        await serving
        failure = failing.exception() if failing.done() else None
        await _cancel(ready, ending, failing)
        if failure is not None and not self._kill:
            raise failure

    async def _wait_for_failure(self, pruning: Pruning) -> None:
        """Raises when an engine can never serve this server again, or pruning cannot commit."""
        failing = [asyncio.create_task(self._engines.wait_for_failure()), asyncio.create_task(pruning.run())]
        try:
            done, _ = await asyncio.wait(failing, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            await _cancel(*failing)

    async def _wait_for_jobs(self) -> None:
        deadline = time.monotonic() + self._parts.settings.stop_grace_seconds + KILL_PATIENCE_SECONDS
        while time.monotonic() < deadline:
            capacity = await self._loop.ask(AskCapacity())
            if capacity.jobs_running == 0:
                return
            await asyncio.sleep(LOOK_SECONDS)
        complain("Some jobs have not ended; they run on.")

    def _key_name(self, access_key_id: str) -> str:
        """The name that a key was given, or the operator's; without keys anything may sign, and is its own name."""
        if access_key_id == self._parts.operator.access_key_id:
            return OPERATOR
        key = self._parts.keys.current().get(access_key_id)
        return key.name if key is not None and key.name else access_key_id

    def _has_keys(self) -> bool:
        return bool(self._parts.keys.current())


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


def wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000
