"""The process engine: attempts are processes of this host, run by a supervisor that outlives the server.

This side listens; the supervisor connects (see `supervisor/link.py`). The engine keeps every attempt until its
acknowledgement, so that a new connection, to the same supervisor or to its successor, begins with a recovery of
everything that is alive.
"""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from batchyard import failpoints
from batchyard.clock import SteadyClock
from batchyard.core.model.attempt_node import AttemptNode, parse_node
from batchyard.core.model.records import DEFAULT_CONTAINER, Abilities, TaskSpec
from batchyard.core.model.reports import ContainerExit, Exited, Lost, NotStarted, Report, Started
from batchyard.engines.base import Launch, Recovery, ReportSink, StaleEpochError
from batchyard.engines.file_lock import try_lock
from batchyard.engines.process_nodes import ProcessNodes
from batchyard.engines.supervisor import protocol
from batchyard.engines.supervisor.link import SERVER_LINK
from batchyard.engines.supervisor.protocol import (
    PROTOCOL_VERSION,
    Commands,
    ConnectionRefused,
    FrameBuffer,
    LaunchItem,
    RecoverItem,
    Reports,
    ServerHello,
    StopItem,
    SupervisorHello,
    Task,
)

BASE_VARIABLES = ("PATH", "HOME", "LANG", "TZ")
MAX_SOCKET_PATH_BYTES = 107  # sockaddr_un holds 108 with the ending NUL
CONNECT_SECONDS = 15.0  # a cold Python start on a busy machine, several times over
FIRST_TRY_SECONDS = 0.3  # a supervisor that lives connects within this (link.MAX_PAUSE_SECONDS)
RESTART_PAUSE_SECONDS = 1.0  # between tries to start a supervisor that doesn't come up
LEAVE_SECONDS = 5.0  # for a supervisor with nothing to do to be gone
WATCH_PAUSE_SECONDS = 0.02
MAX_SUPERVISOR_LOG_BYTES = 1024 * 1024  # its own messages; begun anew above this


SUPERVISOR = ("-m", "batchyard.engines.supervisor")  # for the interpreter


class ProcessSettings(NamedTuple):
    """The supervisor's options; None: its own default. `enforce_cgroups` and `allow_root_jobs` are also sent to a
    supervisor that already runs: they hold for later launches. `task_open_files`: the soft limit of open files for
    tasks, where this process has changed its own. `lease_until_ms`: the lease at the start (protocol.ServerHello), of
    a host whose tasks have one (see ProcessEngine.extend_lease)."""

    log_limit_bytes: int | None = None
    idle_seconds: float | None = None
    keep_failed_seconds: float | None = None
    task_open_files: int | None = None
    enforce_cgroups: bool = False
    allow_root_jobs: bool = False
    lease_until_ms: int | None = None


# The members of ProcessSettings that are command line arguments of the supervisor.
ARGUMENTS = ("log_limit_bytes", "idle_seconds", "keep_failed_seconds", "task_open_files", "lease_until_ms")


class ProcessEngine:
    """Implements `batchyard.engines.base.Engine`. `runtime_dir` must be short: a socket's path has 107 bytes."""

    name = "process"
    # No images, a command needed, only binds of a path at itself. Not being confined, a process may be "privileged".
    abilities = Abilities(privileged=True)

    def __init__(
        self,
        runtime_dir: Path,
        state_dir: Path,
        logs_dir: Path,
        work_dir: Path,
        settings: ProcessSettings | None = None,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        """`now_ms`: the service's clock, with which the supervisor stamps attempts and output; None: the machine's."""
        self._now_ms = now_ms or SteadyClock().now_ms
        self.logs_dir = logs_dir
        self._directories = {"runtime": runtime_dir, "state": state_dir, "logs": logs_dir, "work": work_dir}
        self._state_dir = state_dir
        self._socket_path = runtime_dir / "server.sock"
        self._settings = settings or ProcessSettings()
        self._nodes = ProcessNodes(
            work_dir,
            allow_root=self._settings.allow_root_jobs,
            kept_seconds=self._settings.keep_failed_seconds,
        )
        self._epoch = 0
        self._report: ReportSink | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: asyncio.Server | None = None
        self._connection: _Connection | None = None
        self._hello: SupervisorHello | None = None
        self._refused: ConnectionRefused | None = None
        self._live: dict[str, _Live] = {}  # by task id, which is what the supervisor calls an attempt's id
        self._pending = _Pending()
        self._flush_is_due = False
        self._was_connected = False
        self._inodes: dict[Path, int] = {}  # our socket and the link to it, with their inodes
        self._tasks: dict[int, tuple[TaskSpec, Task]] = {}
        self._changed = asyncio.Event()
        self._left: int | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._start_not_before = 0.0
        self._child = 0  # the supervisor, where we started it ourselves and have not reaped it
        self._supervisor_pid: int | None = None

    @property
    def supervisor_pid(self) -> int | None:
        """The pid of the supervisor that answered last."""
        return self._supervisor_pid

    def extend_lease(self, until_ms: int) -> None:
        """Lets the tasks run until this CLOCK_BOOTTIME, at which the supervisor ends them unless it is extended."""
        self._settings = self._settings._replace(lease_until_ms=until_ms)
        if self._connection is not None and self._hello is not None:
            self._connection.send(Commands(lease_until_ms=until_ms))

    # -- The seam --

    async def start(self, epoch: int, report: ReportSink) -> None:
        """Starts or reaches the supervisor. StaleEpochError: a later server has it. OSError, TimeoutError: why it
        can't be reached."""
        self._loop = asyncio.get_running_loop()
        self._nodes.start(self._loop)
        self._epoch = epoch
        self._report = report
        for directory in self._directories.values():
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        _make_traversable(self._directories["work"])
        await self._listen()
        self._watcher = asyncio.create_task(self._watch(), name="supervisor watch")
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                while self._hello is None and self._refused is None:
                    self._changed.clear()
                    if self._watcher.done():
                        break
                    await self._changed.wait()
        except TimeoutError:
            await self.close(kill=False)
            raise TimeoutError(
                f"no supervisor answered within {CONNECT_SECONDS:g} s; its last words: {self._log_tail()}"
            ) from None
        if self._refused is not None:
            refused = self._refused
            await self.close(kill=False)
            raise _refusal(refused, epoch)
        if self._watcher.done():
            self._watcher.result()

    async def failed(self) -> None:
        assert self._watcher is not None, "this engine was not started"
        await asyncio.wait([self._watcher])
        if self._refused is not None:
            raise _refusal(self._refused, self._epoch)
        if not self._watcher.cancelled():
            self._watcher.result()

    def launch(self, tasks: Sequence[Launch]) -> None:
        for launch in tasks:
            known = self._live.get(launch.task_id)
            if known is None:
                self._live[launch.task_id] = _Live(launch)
            self._pending.launch.append(launch)
        self._flush_soon()

    def stop(self, attempt_node: AttemptNode, grace_seconds: float) -> None:
        task_id = attempt_node.task_id
        known = self._live.get(task_id)
        if known is not None:
            known.grace_seconds = grace_seconds
        self._pending.stop.append(StopItem(task_id, grace_seconds))
        self._flush_soon()

    def acknowledge(self, attempt_nodes: Sequence[AttemptNode]) -> None:
        for attempt_node in attempt_nodes:
            task_id = attempt_node.task_id
            known = self._live.pop(task_id, None)
            if known is not None and known.launch.gang is not None:
                alive = {live.launch.attempt_id for live in self._live.values() if live.launch.gang is not None}
                if attempt_node.attempt_id not in alive:
                    self._nodes.forget(attempt_node.attempt_id, alive)
            self._pending.acknowledge.append(task_id)
        self._flush_soon()

    def recover(self, attempts: Sequence[Recovery]) -> None:
        self._nodes.sweep({recovery.launch.attempt_id for recovery in attempts})
        for recovery in attempts:
            live = self._live.setdefault(recovery.launch.task_id, _Live(recovery.launch))
            live.may_launch = recovery.may_launch
            live.known_started = live.known_started or recovery.known_started
        self._pending.recover = (self._pending.recover or []) + [recovery.launch.task_id for recovery in attempts]
        self._flush_soon()

    async def close(self, *, kill: bool) -> None:
        if kill and self._connection is not None:
            await self._end_supervisor()
        await self._nodes.close()
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
        if self._connection is not None:
            self._flush()
            self._connection.close()
        if self._server is not None:
            self._server.close()
            self._unpublish()
        self._reap()

    # -- Sending --

    def _flush_soon(self) -> None:
        """Collects the commands of one turn of the event loop in one message."""
        if not self._flush_is_due:
            assert self._loop is not None, "a command before start"
            self._flush_is_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_is_due = False
        pending = self._pending
        if self._connection is None or self._hello is None or pending.is_empty():
            return  # a new connection begins with a recovery of everything
        self._pending = _Pending()
        specs: dict[int, Task] = {}
        recover: tuple[RecoverItem, ...] | None = None
        if pending.recover is not None:
            recover = tuple(
                RecoverItem(
                    self._item(live.launch, specs), live.may_launch and not live.known_started, live.known_started
                )
                for task_id in pending.recover
                if (live := self._live.get(task_id)) is not None
            )
        self._connection.send(
            Commands(
                specs=specs,
                recover=recover,
                launch=tuple(self._item(launch, specs) for launch in pending.launch),
                stop=tuple(pending.stop),
                acknowledge=tuple(pending.acknowledge),
            )
        )

    def _item(self, launch: Launch, specs: dict[int, Task]) -> LaunchItem:
        key = launch.spec_key
        if key not in specs:
            cached = self._tasks.get(key)
            if cached is None or cached[0] is not launch.task:
                if len(self._tasks) >= MAX_CACHED_TASKS:
                    self._tasks.clear()
                cached = self._tasks[key] = (launch.task, task_of(launch.task))
            specs[key] = cached[1]
        # Secrets travel with the attempt's own variables, so that a supervisor of an earlier version gets them too.
        secrets = tuple(
            (variable, value) for container, variable, value in launch.secrets if container == DEFAULT_CONTAINER
        )
        names = tuple(gpu.name for gpu in launch.assigned_gpus)
        environment = (*secrets, *launch.environment)
        item = LaunchItem(launch.task_id, key, environment, launch.device_ids, names, launch.gpu_vendor)
        return item if launch.gang is None else self._nodes.with_node(item, launch, launch.gang)

    # -- Receiving --

    def _connected(self, connection: _Connection) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = connection
        self._hello = None
        environment = tuple((name, os.environ[name]) for name in BASE_VARIABLES if name in os.environ)
        options = (self._settings.enforce_cgroups, self._settings.allow_root_jobs, self._now_ms())
        lease = self._settings.lease_until_ms or 0
        connection.send(ServerHello(PROTOCOL_VERSION, self._epoch, environment, *options, lease))

    def _disconnected(self, connection: _Connection) -> None:
        if connection is self._connection:
            self._connection = None
            self._hello = None
            self._changed.set()

    def _received(self, connection: _Connection, message: protocol.ToServer) -> None:
        if connection is not self._connection:
            return  # sent before another one connected
        if isinstance(message, Reports):
            self._deliver(message)
        elif isinstance(message, SupervisorHello):
            self._accept_hello(message)
        elif isinstance(message, ConnectionRefused):
            # An older supervisor hands over instead: the watcher starts one of our own now that the lock is free.
            if message.protocol >= PROTOCOL_VERSION or message.epoch > self._epoch:
                self._refused = message
            self._changed.set()
        else:
            self._left = message.remaining
            self._changed.set()

    def _accept_hello(self, hello: SupervisorHello) -> None:
        self._hello = hello
        self._supervisor_pid = hello.pid
        self._start_not_before = 0.0  # it came up: if it dies, the next one is started at once
        self._resend()
        self._changed.set()

    def _resend(self) -> None:
        """Asks about everything that lives: messages sent before may be lost with the connection or the supervisor. A
        launch that was never sent needs no proof that it never ran."""
        pending = self._pending
        unsent = {launch.task_id for launch in pending.launch}
        sent = [task_id for task_id in self._live if task_id not in unsent]
        if sent or self._was_connected:
            pending.recover = [*sent]
        stopping = {stop.attempt_id for stop in pending.stop}
        pending.stop += [
            StopItem(task_id, live.grace_seconds)
            for task_id, live in self._live.items()
            if live.grace_seconds is not None and task_id not in stopping
        ]
        self._was_connected = True
        self._flush()

    def _deliver(self, message: Reports) -> None:
        reports: list[Report] = []
        for item in message.items:
            live = self._live.get(item.attempt_id)
            if live is not None:
                live.known_started = live.known_started or isinstance(item, protocol.StartedItem)
                if live.launch.gang is not None and not isinstance(item, protocol.StartedItem):
                    code = getattr(item, "exit_code", None)
                    self._nodes.ended(live.launch.attempt_node, live.launch.gang, code)
            reports.append(report_of(item))
        assert self._report is not None, "reports came before start"
        self._report(reports)

    # -- The supervisor's life --

    async def _listen(self) -> None:
        path = str(self._socket_path)
        if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
            raise OSError(
                f"the socket path {path} has {len(os.fsencode(path))} bytes and the system allows "
                f"{MAX_SOCKET_PATH_BYTES}; choose a shorter runtime directory"
            )
        self._socket_path.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Connection(self), path)
        self._socket_path.chmod(0o600)
        link = self._state_dir / SERVER_LINK
        temporary = link.with_name(f"{link.name}.{os.getpid()}")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(self._socket_path.absolute())
        temporary.rename(link)
        self._inodes = {path: _inode(path) for path in (self._socket_path, link)}

    def _unpublish(self) -> None:
        """Removes our socket and the link to it, unless a later server has put its own there."""
        for path, inode in self._inodes.items():
            if _inode(path) == inode:
                path.unlink()

    async def _watch(self) -> None:
        """Starts a supervisor whenever none answers and none holds the lock."""
        loop = asyncio.get_running_loop()
        self._start_not_before = loop.time() + (FIRST_TRY_SECONDS if self._lock_is_held() else 0.0)
        while True:
            self._reap()
            if self._hello is not None:
                self._changed.clear()
                await self._changed.wait()
                continue
            if self._refused is not None:
                return
            if loop.time() >= self._start_not_before and not self._child and not self._lock_is_held():
                self._start_supervisor()
                self._start_not_before = loop.time() + RESTART_PAUSE_SECONDS
            await asyncio.sleep(WATCH_PAUSE_SECONDS)

    def _lock_is_held(self) -> bool:
        fd = os.open(self._state_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            return not try_lock(fd)
        finally:
            os.close(fd)

    def _start_supervisor(self) -> None:
        arguments = [sys.executable, "-P", *SUPERVISOR]
        for name, directory in self._directories.items():
            arguments += [f"--{name}-dir", str(directory.absolute())]
        for name in ARGUMENTS:
            value = getattr(self._settings, name)
            if value is not None:
                arguments += [f"--{name.replace('_', '-')}", str(value)]
        passed_on = (*BASE_VARIABLES, "PYTHONPATH", failpoints.VARIABLE, failpoints.HITS_VARIABLE)
        environment = {name: os.environ[name] for name in passed_on if name in os.environ}
        log = self._state_dir / "supervisor.log"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        if log.exists() and log.stat().st_size > MAX_SUPERVISOR_LOG_BYTES:
            flags |= os.O_TRUNC
        self._child = os.posix_spawn(
            sys.executable,
            arguments,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGHUP, signal.SIGINT, signal.SIGTERM],
        )

    def _reap(self) -> None:
        if self._child and os.waitpid(self._child, os.WNOHANG)[0]:
            self._child = 0

    async def _end_supervisor(self) -> None:
        """Asks the supervisor to leave; waits for it when nothing keeps it."""
        assert self._connection is not None, "no supervisor to dismiss"
        if self._watcher is not None:
            self._watcher.cancel()  # no other is to be started in its place
            await asyncio.wait([self._watcher])
        self._flush()
        self._connection.send(Commands(leave=True))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LEAVE_SECONDS
        while loop.time() < deadline and not self._left:
            self._reap()
            if self._connection is None and not self._child and not self._lock_is_held():
                return
            await asyncio.sleep(WATCH_PAUSE_SECONDS)

    def _log_tail(self) -> str:
        log = self._state_dir / "supervisor.log"
        return log.read_text(errors="replace")[-2000:].strip() if log.exists() else "none"


def _make_traversable(work_dir: Path) -> None:
    """Lets other users pass through the directory: their tasks have scratch directories in it."""
    fd = os.open(work_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fchmod(fd, stat.S_IMODE(os.fstat(fd).st_mode) | 0o111)
    finally:
        os.close(fd)


MAX_CACHED_TASKS = 1024  # converted specs, by key; a spec is a few hundred bytes


class _Live:
    """An attempt from its launch or recovery to its acknowledgement."""

    __slots__ = ("grace_seconds", "known_started", "launch", "may_launch")

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.may_launch = True
        self.known_started = False
        self.grace_seconds: float | None = None  # a stop was asked


class _Pending:
    """The content of the next message."""

    def __init__(self) -> None:
        self.recover: list[str] | None = None
        self.launch: list[Launch] = []
        self.stop: list[StopItem] = []
        self.acknowledge: list[str] = []

    def is_empty(self) -> bool:
        return self.recover is None and not (self.launch or self.stop or self.acknowledge)


class _Connection(asyncio.Protocol):
    def __init__(self, engine: ProcessEngine) -> None:
        self._engine = engine
        self._incoming = FrameBuffer()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class
        self._engine._connected(self)

    def data_received(self, data: bytes) -> None:
        for payload in self._incoming.feed(data):
            self._engine._received(self, protocol.to_server_decoder.decode(payload))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._engine._disconnected(self)

    def send(self, message: protocol.ToSupervisor) -> None:
        if self._transport is not None:
            self._transport.write(protocol.frame(message))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _inode(path: Path) -> int:
    """Returns the inode of a path; 0: it does not exist."""
    try:
        return path.lstat().st_ino
    except FileNotFoundError:
        return 0


def task_of(task: TaskSpec) -> Task:
    return Task(
        command=task.command,
        environment=task.environment,
        memory_mib=task.resources.memory_mib,
        user=task.user,
        ulimits=tuple((ulimit.name, ulimit.soft, ulimit.hard) for ulimit in task.ulimits),
        mounts=tuple((mount.source, mount.target) for mount in task.mounts),
        working_directory=task.working_directory,
        milli_vcpus=task.resources.milli_vcpus,
    )


def report_of(item: protocol.ReportItem) -> Report:
    attempt_id, node = parse_node(item.attempt_id)
    if isinstance(item, protocol.StartedItem):
        return Started(attempt_id, item.at_ms, node=node)
    if isinstance(item, protocol.NotStartedItem):
        return NotStarted(attempt_id, item.at_ms, item.reason, item.exit_code, node=node)
    if isinstance(item, protocol.LostItem):
        return Lost(attempt_id, item.at_ms, item.reason, item.started_at_ms, node=node)
    container = ContainerExit(
        exit_code=item.exit_code,
        signal=item.signal,
        out_of_memory=item.out_of_memory,
        peak_memory_mib=item.peak_memory_mib,
        cpu_ms=item.cpu_ms,
        reason=item.reason,
    )
    return Exited(attempt_id, item.started_at_ms, item.stopped_at_ms, (container,), node=node)


def _refusal(refused: ConnectionRefused, epoch: int) -> RuntimeError:
    if refused.epoch <= epoch:
        return RuntimeError(
            f"the supervisor that runs speaks protocol {refused.protocol} and this server {PROTOCOL_VERSION}; "
            "end its jobs or wait for them, then start again"
        )
    return StaleEpochError(
        f"the supervisor serves a server of epoch {refused.epoch}, this one has {epoch}: it is out of date and must end"
    )
