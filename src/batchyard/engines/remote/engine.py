"""The remote engine: attempts run on hosts that have joined this server, each known by its instance id.

A host dials (`engines.remote.listener` takes its connection), proves who it is, and gets a recovery of everything that
is alive on it: so a connection may end and begin at any time without a loss. What a host ran is given up, and reported
Lost, once its lease is over for certain (`engines.remote.leases`), and at no other time.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.records import DEFAULT_CONTAINER, Abilities
from batchyard.core.model.reports import Report, Started
from batchyard.engines.base import Launch, Recovery, ReportSink, StaleEpochError, log_path
from batchyard.engines.boot import boot_seconds
from batchyard.engines.remote.leases import SILENT_HEARTBEATS, GrantedLease
from batchyard.engines.remote.messages import (
    Commands,
    Draining,
    LogChunk,
    Ping,
    Pong,
    Reports,
    ToHost,
    ToServer,
    Welcome,
    frame,
)
from batchyard.engines.remote.peer import Peer

REMOTE = "remote"  # the engine's name
LOOKS_PER_HEARTBEAT = 4  # how often leases and silent connections are looked at
TASK_ID = re.compile(r"[0-9a-f]{32}")
CONTAINER = re.compile(r"[A-Za-z0-9_-]{1,255}")  # ECS's alphabet


class LeaseSettings(Struct, frozen=True):
    """`lease_seconds`: how long a host may run on without a word from the server; its loss is noticed so much later.
    `heartbeat_seconds`: how often it sends one."""

    lease_seconds: float = 300.0
    heartbeat_seconds: float = 5.0

    @property
    def lease_ms(self) -> int:
        return int(self.lease_seconds * 1000)

    @property
    def silence_seconds(self) -> float:
        """A connection without a frame for so long is cut."""
        return self.heartbeat_seconds * SILENT_HEARTBEATS


class HostWatcher(Protocol):
    """Follows what becomes of hosts: the capacity provider of their instances."""

    def connected(self, instance_id: str) -> None: ...

    def disconnected(self, instance_id: str) -> None:
        """Its connection ended. What runs there may run on, until its lease is over."""

    def lost(self, instance_id: str) -> None:
        """Its lease is over: nothing that it ran lives any more, and all of that was reported as Lost."""

    def draining(self, instance_id: str, notice_seconds: float) -> None:
        """It will end after the notice."""


class HostConnection(Protocol):
    """The server's end of a connection to a host that has proved who it is."""

    def write(self, data: bytes) -> None: ...

    def abort(self) -> None:
        """Closes it at once; nothing that is still under way is handled any more."""


class RemoteEngine:
    """Implements `batchyard.engines.base.Engine`. `watcher`: of hosts for which `watch` names no other."""

    name = REMOTE
    abilities = Abilities(privileged=True)  # those of the process engine, which a joined host runs

    def __init__(
        self,
        logs_dir: Path,
        settings: LeaseSettings,
        now_ms: Callable[[], int],
        watcher: HostWatcher,
        version: str = "",
        longest_lease_ms: int = 0,
    ) -> None:
        """`now_ms`: the service's clock. `longest_lease_ms`: of those that servers before this one may have granted."""
        self._longest_lease_ms = max(longest_lease_ms, settings.lease_ms)
        self.settings = settings
        self.epoch = 0
        self._later_epoch = 0  # of a server that a host obeys instead
        self._version = version
        self._logs_dir = logs_dir
        self._now_ms = now_ms
        self._watcher = watcher
        self._watchers: dict[str, HostWatcher] = {}
        self._peers: dict[str, Peer] = {}
        self._connections: dict[str, HostConnection] = {}
        self._heard: dict[str, float] = {}  # connected host -> when its last frame came
        self._owners: dict[str, str] = {}  # task id -> the host of an attempt that lives, or whose end was reported
        self._unsent: set[str] = set()  # hosts with commands that are sent at the end of this turn of the event loop
        self._report: ReportSink | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._looking: asyncio.Task[None] | None = None
        self.recovered = asyncio.Event()  # only from then on hosts can be welcomed

    def watch(self, instance_id: str, watcher: HostWatcher) -> None:
        """Names another watcher for a host, whose lease counts from now on if it was not known."""
        self._watchers[instance_id] = watcher
        self._peer(instance_id)

    # -- The seam --

    async def start(self, epoch: int, report: ReportSink) -> None:
        self._loop = asyncio.get_running_loop()
        self.epoch, self._report = epoch, report
        self._looking = asyncio.create_task(self._look_often(), name="leases of hosts")

    async def failed(self) -> None:
        assert self._looking is not None, "this engine was not started"
        await asyncio.wait([self._looking])
        if self._later_epoch:
            raise StaleEpochError(
                f"a host obeys a server of epoch {self._later_epoch}, this one has {self.epoch}: it is out of date and "
                "must end"
            )
        if not self._looking.cancelled():
            self._looking.result()

    def launch(self, tasks: Sequence[Launch]) -> None:
        for launch in tasks:
            peer = self._peer(launch.attempt_node.instance_id)
            self._owners[launch.task_id] = peer.instance_id
            peer.launch(launch)
            self._send_soon(peer)

    def stop(self, attempt_node: AttemptNode, grace_seconds: float) -> None:
        owner = attempt_node.instance_id or self._owners.get(attempt_node.task_id, "")
        if owner in self._peers:
            self._peers[owner].stop(attempt_node, grace_seconds)
            self._send_soon(self._peers[owner])

    def acknowledge(self, attempt_nodes: Sequence[AttemptNode]) -> None:
        for attempt_node in attempt_nodes:
            owner = self._owners.pop(attempt_node.task_id, attempt_node.instance_id)
            if owner in self._peers:
                self._peers[owner].acknowledge(attempt_node)
                self._send_soon(self._peers[owner])

    def recover(self, attempts: Sequence[Recovery]) -> None:
        for recovery in attempts:
            peer = self._peer(recovery.launch.attempt_node.instance_id)
            self._owners[recovery.launch.task_id] = peer.instance_id
            peer.recover(recovery)
        self.recovered.set()

    async def close(self, *, kill: bool) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        for instance_id in list(self._unsent):
            self._send(instance_id)
        for connection in list(self._connections.values()):
            connection.abort()
        self._connections.clear()

    # -- Sending --

    def _peer(self, instance_id: str) -> Peer:
        peer = self._peers.get(instance_id)
        if peer is None:
            lease = GrantedLease(_boot_ms(), self._longest_lease_ms)
            peer = self._peers[instance_id] = Peer(instance_id, lease, self._log_bytes)
        return peer

    def _send_soon(self, peer: Peer) -> None:
        """Collects the commands of one turn of the event loop in one message."""
        if not self._unsent:
            assert self._loop is not None, "a command before start"
            self._loop.call_soon(self._send_all)
        self._unsent.add(peer.instance_id)

    def _send_all(self) -> None:
        unsent, self._unsent = self._unsent, set()
        for instance_id in sorted(unsent):
            self._send(instance_id)

    def _send(self, instance_id: str) -> None:
        connection, peer = self._connections.get(instance_id), self._peers[instance_id]
        if connection is None:
            return  # a new connection begins with a recovery of everything
        commands = peer.take()
        if commands is not None:
            connection.write(frame(commands))

    def _write(self, instance_id: str, message: ToHost) -> None:
        if instance_id in self._connections:
            self._connections[instance_id].write(frame(message))

    def dismiss(self, instance_id: str) -> bool:
        """Lets a host leave on which nothing runs. Returns whether it was connected."""
        peer = self._peers.pop(instance_id, None)
        assert peer is None or not peer.live, f"the host {instance_id} leaves with attempts on it"
        self._write(instance_id, Commands(leave=True))
        self._watchers.pop(instance_id, None)
        self._heard.pop(instance_id, None)
        return self._connections.pop(instance_id, None) is not None

    # -- Hosts come and go --

    def outdated(self, epoch: int) -> None:
        """A host has obeyed a later server: this one must end."""
        self._later_epoch = epoch
        if self._looking is not None:
            self._looking.cancel()

    def may_connect(self, instance_id: str, boot_id: str) -> bool:
        """Whether a host is not connected already from another place: a copy of it would run everything twice."""
        peer = self._peers.get(instance_id)
        return peer is None or not peer.is_connected or peer.boot_id == boot_id

    def connected(self, instance_id: str, boot_id: str, heard_at_ms: int, connection: HostConnection) -> None:
        """Takes over the connection of a host. `heard_at_ms`: CLOCK_BOOTTIME at which its Join came."""
        peer, previous = self._peer(instance_id), self._connections.get(instance_id)
        if previous is not None:
            previous.abort()
        self._expire(peer, _boot_ms())  # before its lease is renewed: what is lost is not asked about again
        peer.is_connected, peer.is_given_up, peer.boot_id = True, False, boot_id
        self._connections[instance_id] = connection
        self._heard[instance_id] = boot_seconds()
        lease_ms, heartbeat_ms = self.settings.lease_ms, int(self.settings.heartbeat_seconds * 1000)
        peer.lease.grant(heard_at_ms, lease_ms)
        welcome = Welcome(instance_id, self.epoch, lease_ms, heartbeat_ms, self._now_ms(), self._version)
        connection.write(frame(welcome))
        connection.write(frame(peer.reconnect()))
        self._watcher_of(instance_id).connected(instance_id)

    def disconnected(self, instance_id: str, connection: HostConnection) -> None:
        """Notes the end of a connection, unless another has taken its place."""
        if self._connections.get(instance_id) is not connection:
            return
        del self._connections[instance_id]
        self._heard.pop(instance_id, None)
        self._peers[instance_id].is_connected = False
        self._watcher_of(instance_id).disconnected(instance_id)

    def received(self, instance_id: str, connection: HostConnection, message: ToServer) -> None:
        """Handles what a host has sent. ValueError: a host does not send this."""
        if self._connections.get(instance_id) is not connection:
            return  # sent before another one connected, or before its lease was over
        self._heard[instance_id] = boot_seconds()
        if isinstance(message, Ping):
            lease_ms = self.settings.lease_ms
            self._peers[instance_id].lease.grant(_boot_ms(), lease_ms)
            connection.write(frame(Pong(message.number, lease_ms, self._now_ms())))
        elif isinstance(message, Reports):
            self._deliver(instance_id, message.all())
        elif isinstance(message, LogChunk):
            self._keep_log(instance_id, message)
        elif isinstance(message, Draining):
            self._watcher_of(instance_id).draining(instance_id, message.notice_seconds)
        else:
            raise ValueError(f"a {type(message).__name__} within a connection")

    def _watcher_of(self, instance_id: str) -> HostWatcher:
        return self._watchers.get(instance_id, self._watcher)

    def _deliver(self, instance_id: str, reports: Sequence[Report]) -> None:
        """Passes on what a host reports of its own attempts, and of those that are no one's any more, which are then
        acknowledged."""
        own: list[Report] = []
        for report in reports:
            owner = self._owners.get(report.task_id)
            if owner is None and not isinstance(report, Started):
                self._owners[report.task_id] = owner = instance_id
            if owner == instance_id:
                own.append(report)
        self._peers[instance_id].note(own)
        assert self._report is not None, "reports came before start"
        if own:
            self._report(own)

    # -- Leases --

    async def _look_often(self) -> None:
        while True:
            await asyncio.sleep(self.settings.heartbeat_seconds / LOOKS_PER_HEARTBEAT)
            self._look()

    def _look(self) -> None:
        now = boot_seconds()
        for instance_id, heard_at in list(self._heard.items()):
            if now - heard_at >= self.settings.silence_seconds:
                self._cut(instance_id)
        for peer in list(self._peers.values()):
            self._expire(peer, int(now * 1000))

    def _cut(self, instance_id: str) -> None:
        connection = self._connections[instance_id]
        self.disconnected(instance_id, connection)
        connection.abort()

    def _expire(self, peer: Peer, now_ms: int) -> None:
        """Gives up what a host ran, once its lease is over."""
        if not peer.lease.is_lost(now_ms) or (peer.is_given_up and all(one.is_lost for one in peer.live.values())):
            return
        peer.is_given_up = True
        if peer.instance_id in self._connections:
            self._cut(peer.instance_id)  # what it sent meanwhile comes too late
        lost = peer.lose(self._now_ms())
        assert self._report is not None, "a lease ended before start"
        self._report(lost)
        self._watcher_of(peer.instance_id).lost(peer.instance_id)

    # -- Logs --

    def _log_bytes(self, task_id: str) -> int:
        try:
            return log_path(self._logs_dir, task_id).stat().st_size
        except FileNotFoundError:
            return 0

    def _keep_log(self, instance_id: str, chunk: LogChunk) -> None:
        """Writes a part of a log at its place, where it may be already."""
        if not (TASK_ID.fullmatch(chunk.task_id) and CONTAINER.fullmatch(chunk.container) and chunk.offset >= 0):
            raise ValueError(f"a log of {chunk.task_id!r}, {chunk.container!r}")
        live = self._peers[instance_id].live.get(chunk.task_id)
        if live is None or live.is_lost:
            return
        path = log_path(self._logs_dir, chunk.task_id, chunk.container or DEFAULT_CONTAINER)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            os.pwrite(fd, chunk.data, chunk.offset)
        finally:
            os.close(fd)


def _boot_ms() -> int:
    return int(boot_seconds() * 1000)
