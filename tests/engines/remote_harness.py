"""A remote engine, and a joined host with its real supervisor, over TLS on loopback; everything is ended afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from batchyard.clock import SteadyClock
from batchyard.core.model.host_records import HostFacts
from batchyard.core.model.reports import Report
from batchyard.core.model.resources import Resources
from batchyard.engines.boot import boot_id
from batchyard.engines.remote.agent import AgentSettings, HostAgent
from batchyard.engines.remote.certificate import fingerprint_in, server_certificate, server_context
from batchyard.engines.remote.engine import LeaseSettings, RemoteEngine
from batchyard.engines.remote.listener import HostListener, JoinRefused
from batchyard.engines.remote.messages import Join
from batchyard.engines.supervisor.processes import start_ticks
from tests.engines.process_harness import DEADLINE_SECONDS, POLL_SECONDS, ProcessHarness, is_zombie

TOKEN = "a token"


class Gate:
    """Implements Admission: one host, which has no instance id, as the attempts of the conformance suite."""

    def __init__(self) -> None:
        self.joins: list[Join] = []
        self.keys: set[str] = set()

    async def admit(self, join: Join) -> str:
        self.joins.append(join)
        if join.token == TOKEN:
            self.keys.add(join.key)
        if join.key not in self.keys:
            raise JoinRefused("This host is not known.")
        return ""

    def has_key(self, instance_id: str, key: str) -> bool:
        return key in self.keys


class Watched:
    """Implements HostWatcher."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def connected(self, instance_id: str) -> None:
        self.seen.append("connected")

    def disconnected(self, instance_id: str) -> None:
        self.seen.append("disconnected")

    def lost(self, instance_id: str) -> None:
        self.seen.append("lost")

    def draining(self, instance_id: str, notice_seconds: float) -> None:
        self.seen.append(f"draining {notice_seconds:g}")


class RemoteHarness(ProcessHarness):
    """As ProcessHarness, with the engine at the other end of a link. `logs_dir` is the server's, `host_dir` the
    host's."""

    engine: RemoteEngine  # type: ignore[assignment]

    def __init__(self, root: Path, lease: LeaseSettings | None = None) -> None:
        self.lease = lease or LeaseSettings(lease_seconds=20.0, heartbeat_seconds=1.0)
        self.certificate = server_certificate(root / "server", datetime.now(UTC))
        self.host_dir = root / "host"
        self.listeners: list[HostListener] = []
        self.gate, self.watched = Gate(), Watched()
        self.said: list[str] = []
        self.agent: HostAgent | None = None
        self.agent_task: asyncio.Task[None] | None = None
        super().__init__(root)
        self.state_dir = self.host_dir / "supervisor"

    # -- the server --

    def connect(self, epoch: int) -> RemoteEngine:  # type: ignore[override]
        engine = RemoteEngine(self.logs_dir, self.lease, SteadyClock().now_ms, self.watched)
        reports: list[Report] = []
        listener = HostListener(engine, self.gate, self.open_service)

        async def start() -> int:
            await engine.start(epoch, reports.extend)
            return await listener.start("127.0.0.1", 0, server_context(*self.certificate))

        before = getattr(self, "engine", None)
        if before is not None and epoch < before.epoch:
            self.until(lambda: before._connections)
        port = self.loop.run_until_complete(start())
        self.engines.append(engine)  # type: ignore[arg-type]
        self.listeners.append(listener)
        previous = self.agent._settings if self.agent is not None else None
        self.dial(port)
        if before is not None and epoch < before.epoch:
            engine.recovered.set()
            assert previous is not None
            try:
                self.run(asyncio.wait_for(engine.failed(), DEADLINE_SECONDS))
            finally:
                self.dial(previous.port)
        self.engine, self.reports = engine, reports
        return engine

    async def open_service(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        raise ConnectionRefusedError("there is no service here")

    # -- the host --

    def dial(self, port: int) -> None:
        """Lets the host dial a server at this port from now on; its connection to another is cut."""
        if self.agent is None:
            settings = AgentSettings(
                host="127.0.0.1",
                port=port,
                state_dir=self.host_dir,
                runtime_dir=self.runtime_dir,
                facts=HostFacts("tests", Resources(4000, 4096), boot_id()),
                token=TOKEN,
                fingerprint=fingerprint_in(self.certificate[0]),
            )
            self.start_agent(settings)
            return
        self.agent._settings = replace(self.agent._settings, port=port)
        if self.agent._session is not None:
            self.agent._session._writer.transport.abort()

    def start_agent(self, settings: AgentSettings) -> None:
        self.agent = HostAgent(settings, self.said.append)
        self.agent_task = self.loop.create_task(self.agent.run())

    def stop_agent(self) -> None:
        """Ends the agent; supervisor and tasks run on."""

        async def stop() -> None:
            assert self.agent_task is not None
            self.agent_task.cancel()
            await asyncio.wait([self.agent_task])

        self.run(stop())

    def until(self, condition: Callable[[], object]) -> None:
        async def wait() -> None:
            deadline = time.monotonic() + DEADLINE_SECONDS
            if not self.engine.recovered.is_set():
                self.engine.recover([])  # as a server does at its start
            while not condition():
                assert time.monotonic() < deadline, f"never came true; seen: {self.reports}; {self.said}"
                if self.agent_task is not None and self.agent_task.done() and not self.agent_task.cancelled():
                    self.agent_task.result()
                await asyncio.sleep(POLL_SECONDS)

        self.run(wait())

    @property
    def supervisor_pid(self) -> int:
        assert self.agent is not None
        return self.agent._engine.supervisor_pid or 0

    def kill_supervisor(self) -> None:
        pid = self.supervisor_pid
        ticks = start_ticks(pid)
        os.kill(pid, signal.SIGKILL)
        self.until(lambda: start_ticks(pid) != ticks or is_zombie(pid))

    def end_everything(self) -> None:
        self.stop_agent()

        async def end() -> None:
            for listener in self.listeners:
                await listener.close()

        self.run(end())
        super().end_everything()

    def stop_supervisor(self) -> None:
        raise NotImplementedError

    def forget_or_damage(self) -> None:
        assert self.agent is not None
        settings = self.agent._settings
        self.until(lambda: self.supervisor_pid)
        self.stop_agent()
        pid = self.supervisor_pid
        ticks = start_ticks(pid)
        os.kill(pid, signal.SIGKILL)
        self.until_without_agent(lambda: start_ticks(pid) != ticks or is_zombie(pid))
        path = self.state_dir / "journal"
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
        self.connect(2)
        self.start_agent(replace(self.agent._settings, token=settings.token))

    def until_without_agent(self, condition: Callable[[], object]) -> None:
        task, self.agent_task = self.agent_task, None
        self.until(condition)
        self.agent_task = task

    def close(self) -> None:
        self.end_everything()
        pid = self.supervisor_pid
        if pid and start_ticks(pid):
            os.kill(pid, signal.SIGKILL)
        self.end_tasks()
        self.run(self.loop.shutdown_asyncgens())
        self.loop.close()
