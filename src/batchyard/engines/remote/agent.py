"""The agent of a joined host: what `batchyard join` runs. It keeps one connection to the server, and hands on what the
server asks to the process engine of this host, whose supervisor runs the tasks and ends them when the lease is over.

The agent may be killed and started again: the supervisor and its tasks run on, and the server's recovery finds them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchyard.clock import SteadyClock
from batchyard.core.model.host_records import HostFacts
from batchyard.core.model.records import TaskSpec
from batchyard.core.model.reports import Report, Started
from batchyard.engines.base import Launch, Recovery, StaleEpochError
from batchyard.engines.boot import boot_id, boot_seconds
from batchyard.engines.process import ProcessEngine, ProcessSettings
from batchyard.engines.remote.certificate import fingerprint_of, pinned_context
from batchyard.engines.remote.host_proxy import HostProxy
from batchyard.engines.remote.host_state import HostIdentity, HostState
from batchyard.engines.remote.leases import SILENT_HEARTBEATS, HeldLease
from batchyard.engines.remote.log_shipping import LogShipping
from batchyard.engines.remote.messages import (
    HOST_ADDRESS,
    PROTOCOL_VERSION,
    Commands,
    Draining,
    Join,
    LogChunk,
    Ping,
    Pong,
    Refused,
    ToHost,
    ToServer,
    Tunnel,
    Welcome,
    frame,
    read_frame,
    reports_of,
    to_host_decoder,
)

CONNECT_SECONDS = 10.0
KEY_BYTES = 32
FIRST_PAUSE_SECONDS = 0.1
MAX_PAUSE_SECONDS = 2.0  # a server that comes back is found within this
SHIP_SECONDS = 0.25  # between looks at the logs of running tasks
NO_LEASE_YET_MS = 1  # a moment long past: what an earlier agent left is ended, where nothing says that it may run
log = logging.getLogger(__name__)


class NotAdmitted(Exception):
    """The server refuses this host for good. The text is a sentence."""


class AgentSettings(Struct, frozen=True):
    """`fingerprint`: of the server's certificate. `token`: for a host that has not joined yet; `instance_id` and `key`:
    of a host that was named before it joins. `runtime_dir`: short, for sockets. `expires_at`: when the machine is taken
    away (seconds since the epoch), after `notice_seconds` of warning; 0: never."""

    host: str
    port: int
    state_dir: Path
    runtime_dir: Path
    facts: HostFacts
    token: str = ""
    fingerprint: str = ""
    instance_id: str = ""
    key: str = ""
    expires_at: float = 0.0
    notice_seconds: float = 120.0
    process: ProcessSettings = ProcessSettings()


class HostAgent:
    """Runs until the server lets the host go, or refuses it. `say`: emits a line for the person who started it."""

    def __init__(self, settings: AgentSettings, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._say = say
        self._state = HostState(settings.state_dir)
        self._boot_id = boot_id()
        self._clock = SteadyClock()
        self._lease = HeldLease(self._state.lease(self._boot_id))
        until_ms = self._lease.until_ms or NO_LEASE_YET_MS
        self._engine = ProcessEngine(
            settings.runtime_dir,
            settings.state_dir / "supervisor",
            settings.state_dir / "logs",
            settings.state_dir / "work",
            settings.process._replace(lease_until_ms=until_ms),
            self._clock.now_ms,
        )
        self._identity = HostIdentity("", "", settings.fingerprint)
        self._tasks: dict[int, TaskSpec] = {}  # with our own address, by spec key
        self._live: set[str] = set()  # task ids that the server asked for, until it acknowledged them
        self._ended: dict[str, Report] = {}  # final reports that are not acknowledged, by task id
        self._problem = ""  # what was said last about the connection
        self._empty = asyncio.Event()  # nothing is alive here, and all ends are acknowledged
        self._session: _Session | None = None
        self._proxy = HostProxy(self._open_tunnel)
        self._is_leaving = False

    async def run(self) -> None:
        """Raises NotAdmitted, OSError: the supervisor can't be started. Returns when the host has left."""
        self._identity = self._who_we_are()
        port = await self._proxy.start(self._identity.proxy_port)
        self._keep(replace(self._identity, proxy_port=port))
        try:
            await self._engine.start(self._identity.epoch, self._report)
        except StaleEpochError as error:
            raise NotAdmitted(f"The state directory is older than what runs here: {error}") from error
        failing = asyncio.create_task(self._engine.failed())
        connecting = asyncio.create_task(self._connect_always())
        try:
            await asyncio.wait({failing, connecting}, return_when=asyncio.FIRST_COMPLETED)
            for task in (failing, connecting):
                if task.done():
                    task.result()
        finally:
            for task in (failing, connecting):
                task.cancel()
            await asyncio.gather(failing, connecting, return_exceptions=True)
            await self._engine.close(kill=self._is_leaving)
            await self._proxy.close()

    def _who_we_are(self) -> HostIdentity:
        """Returns who this host is; the first time with a new key, or for a pilot with that of its token. Raises
        NotAdmitted."""
        settings, known = self._settings, self._state.read()
        if known is not None and (known.instance_id or known.fingerprint == settings.fingerprint):
            return known
        if not settings.token:
            raise NotAdmitted("This host has not joined yet: give it a token (batchyard hosts token).")
        return HostIdentity(settings.instance_id, settings.key or secrets.token_hex(KEY_BYTES), settings.fingerprint)

    def drain(self, notice_seconds: float) -> None:
        """Reports that this host will end after the notice."""
        if self._session is not None:
            self._session.write(Draining(notice_seconds))

    async def emptied(self) -> None:
        """Returns once the server has acknowledged the ends of all attempts on this host."""
        await self._empty.wait()

    # -- the connection --

    async def _connect_always(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._is_leaving:
            try:
                await self._connect()
                pause = FIRST_PAUSE_SECONDS
            except (OSError, ValueError, msgspec.MsgspecError) as error:  # TimeoutError and ssl.SSLError are OSErrors
                problem = f"No connection to {self._settings.host}:{self._settings.port}: {error or 'no answer'}."
                if problem != self._problem:
                    self._say(problem)
                self._problem = problem
            if not self._is_leaving:
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, MAX_PAUSE_SECONDS)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Opens a connection to the server whose certificate is pinned. OSError, ValueError: it is another one."""
        expected = self._identity.fingerprint
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(
                self._settings.host, self._settings.port, ssl=pinned_context()
            )
        secured = writer.get_extra_info("ssl_object")
        assert isinstance(secured, ssl.SSLObject | ssl.SSLSocket), "a connection to the server without TLS"
        found = fingerprint_of(secured.getpeercert(binary_form=True) or b"")
        if found != expected:
            writer.transport.abort()
            raise ValueError(f"the server's certificate is {found}, and the token was made for {expected}")
        return reader, writer

    async def _open_tunnel(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await self._open()
        writer.write(frame(Tunnel(self._identity.instance_id, self._identity.key)))
        return reader, writer

    async def _connect(self) -> None:
        """Serves one connection until it ends. OSError, ValueError: it could not be made, or was not good."""
        reader, writer = await self._open()
        try:
            session = await self._join(reader, writer)
            self._session = session
            self._problem = ""
            self._say(f"Connected to {self._settings.host}:{self._settings.port} as {session.instance_id}.")
            await session.run()
        finally:
            self._session = None
            self._lease.forget_pings()
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Session:
        identity = self._identity
        number = self._lease.ping(_boot_ms())
        token = "" if identity.instance_id else self._settings.token
        join = Join(PROTOCOL_VERSION, identity.key, self._settings.facts, token, identity.instance_id, identity.epoch)
        writer.write(frame(join))
        async with asyncio.timeout(CONNECT_SECONDS):
            answer = to_host_decoder.decode(await read_frame(reader))
        if isinstance(answer, Refused):
            if answer.is_final:
                raise NotAdmitted(answer.reason)
            raise ConnectionRefusedError(answer.reason)
        if not isinstance(answer, Welcome):
            raise ValueError("the server did not answer as one")
        if answer.epoch < identity.epoch:
            raise ConnectionRefusedError("the server is older than one that was obeyed before")
        self._keep(replace(identity, instance_id=answer.instance_id, epoch=answer.epoch))
        self._clock.catch_up(answer.now_ms)
        session = _Session(self, reader, writer, answer)
        self._renew(number, answer.lease_ms)
        return session

    def _keep(self, identity: HostIdentity) -> None:
        if identity != self._identity or not identity.instance_id:
            self._state.write(identity)
            self._identity = identity

    # -- the lease --

    def _renew(self, number: int, lease_ms: int) -> None:
        if self._lease.pong(number, lease_ms):
            self._engine.extend_lease(self._lease.until_ms)
            self._state.write_lease(self._boot_id, self._lease.until_ms)

    # -- what the server asks --

    def _carry_out(self, commands: Commands, logs: LogShipping) -> None:
        if commands.recover is not None:
            recoveries = [self._own_recovery(one) for one in commands.recoveries()]
            self._live = {recovery.launch.task_id for recovery in recoveries}
            for one in commands.recover:
                logs.begin(one.launch.task_id, one.log_bytes)
            self._engine.recover(recoveries)
        launches = [self._own(launch) for launch in commands.launches()]
        for launch in launches:
            if launch.task_id not in self._live:
                self._live.add(launch.task_id)
                logs.begin(launch.task_id)
        self._engine.launch(launches)
        for stop in commands.stop:
            self._engine.stop(stop.attempt_node, stop.grace_seconds)
        for attempt_node in commands.acknowledge:
            self._live.discard(attempt_node.task_id)
            self._ended.pop(attempt_node.task_id, None)
            logs.remove(attempt_node.task_id)
        self._engine.acknowledge(commands.acknowledge)
        if self._live:
            self._empty.clear()
        else:
            self._empty.set()
        if commands.leave:
            self._is_leaving = True
            self._state.forget()

    def _own_recovery(self, recovery: Recovery) -> Recovery:
        return replace(recovery, launch=self._own(recovery.launch))

    def _own(self, launch: Launch) -> Launch:
        """Returns a launch with this host's own address of the service in its environment."""
        task = self._tasks.get(launch.spec_key)
        if task is None:
            if len(self._tasks) >= MAX_CACHED_TASKS:
                self._tasks.clear()
            task = replace(launch.task, environment=self._addressed(launch.task.environment))
            self._tasks[launch.spec_key] = task
        return replace(launch, task=task, environment=self._addressed(launch.environment))

    def _addressed(self, environment: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        address = f"http://127.0.0.1:{self._proxy.port}"
        return tuple((name, value.replace(HOST_ADDRESS, address)) for name, value in environment)

    # -- what the engine reports --

    def _report(self, reports: Sequence[Report]) -> None:
        for report in reports:
            if not isinstance(report, Started):
                self._ended[report.task_id] = report
        if self._session is not None:
            self._session.report(reports)


class _Session:
    """One connection after the server's welcome."""

    def __init__(
        self, agent: HostAgent, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, welcome: Welcome
    ) -> None:
        self._agent = agent
        self._reader = reader
        self._writer = writer
        self._heartbeat_seconds = welcome.heartbeat_ms / 1000
        self.instance_id = welcome.instance_id
        self._logs = LogShipping(agent._engine.logs_dir, self._send_chunk)
        self._is_recovered = False
        self._ending: set[asyncio.Task[None]] = set()

    def write(self, message: ToServer) -> None:
        self._writer.write(frame(message))

    async def run(self) -> None:
        """Serves the connection. Raises OSError or ValueError when it ends, and nothing when the host has left."""
        others = [asyncio.create_task(work()) for work in (self._ping, self._ship, self._drain_in_time)]
        try:
            while not self._agent._is_leaving:
                async with asyncio.timeout(self._heartbeat_seconds * SILENT_HEARTBEATS):
                    payload = await read_frame(self._reader)
                if self._agent._lease.is_over(_boot_ms()):
                    raise ConnectionResetError("the lease is over: what the server sent may be out of date")
                self._handle(to_host_decoder.decode(payload))
                for task in others:
                    if task.done():
                        task.result()
        except TimeoutError:
            raise ConnectionResetError("the server was not heard of for too long") from None
        finally:
            for task in (*others, *self._ending):
                task.cancel()
            await asyncio.gather(*others, *self._ending, return_exceptions=True)

    def _handle(self, message: ToHost) -> None:
        if isinstance(message, Pong):
            self._agent._clock.catch_up(message.now_ms)
            self._agent._renew(message.number, message.lease_ms)
        elif isinstance(message, Commands):
            is_first = not self._is_recovered and message.recover is not None
            self._agent._carry_out(message, self._logs)
            if is_first:
                self._is_recovered = True
                self.report([*self._agent._ended.values()])
        else:
            raise ValueError(f"a {type(message).__name__} within a connection")

    def report(self, reports: Sequence[Report]) -> None:
        """Sends reports; the end of an attempt after the last of its log."""
        if not self._is_recovered:
            return  # all ends are sent once it is known how much the server has of their logs
        ready: list[Report] = []
        for report in reports:
            if not isinstance(report, Started) and self._logs.is_behind(report.task_id):
                task = asyncio.create_task(self._end(report))
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)
            else:
                ready.append(report)
        if ready:
            self.write(reports_of(ready))

    async def _end(self, report: Report) -> None:
        with contextlib.suppress(ConnectionError):
            await self._logs.ship(report.task_id)
            self.write(reports_of([report]))

    async def _send_chunk(self, chunk: LogChunk) -> None:
        self.write(chunk)
        await self._writer.drain()

    async def _ping(self) -> None:
        while True:
            self.write(Ping(self._agent._lease.ping(_boot_ms())))
            await asyncio.sleep(self._heartbeat_seconds)

    async def _ship(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_seconds if self._logs.is_idle else SHIP_SECONDS)
            await self._logs.ship_all()

    async def _drain_in_time(self) -> None:
        settings = self._agent._settings
        if settings.expires_at:
            due_ms = int((settings.expires_at - settings.notice_seconds) * 1000)
            await asyncio.sleep(max(0.0, (due_ms - self._agent._clock.now_ms()) / 1000))
            left = max(0.0, settings.expires_at - self._agent._clock.now_ms() / 1000)
            self.write(Draining(left))


MAX_CACHED_TASKS = 1024  # with our own address, by spec key


def _boot_ms() -> int:
    return int(boot_seconds() * 1000)
