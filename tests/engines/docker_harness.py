"""A real Docker engine on a real daemon, in a directory of its own; its containers are removed afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from batchyard.core.model.records import ContainerSpec, Mount, TaskSpec
from batchyard.core.model.reports import Report
from batchyard.core.model.resources import Resources
from batchyard.engines.base import StaleEpochError
from batchyard.engines.docker.engine import DockerEngine, DockerSettings
from tests.engines.conformance import Part
from tests.engines.dockerd import IMAGE, Dockerd
from tests.engines.shell_tasks import ShellTasks
from tests.waiting import until

DEADLINE_SECONDS = 120.0  # on a loaded machine a flood of output alone takes half a minute
POLL_SECONDS = 0.005


class DockerHarness(ShellTasks):
    def __init__(self, root: Path, daemon: Dockerd, settings: DockerSettings | None = None) -> None:
        self.daemon = daemon
        self.root = root
        self.state_dir, self.logs_dir, self.work_dir = root / "state", root / "logs", root / "work"
        self.trace_dir = root / "trace"
        self.trace_dir.mkdir(parents=True, exist_ok=True)
        self.settings = settings or DockerSettings(environ={"HOME": str(root)})
        self.loop = asyncio.new_event_loop()
        self.engines: list[DockerEngine] = []
        self.reports: list[Report] = []
        self.engine: DockerEngine = self.connect(1)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def connect(self, epoch: int) -> DockerEngine:
        engine = DockerEngine(self.daemon.socket_path, self.state_dir, self.logs_dir, self.work_dir, self.settings)
        reports: list[Report] = []
        self.engines.append(engine)
        self.run(engine.start(epoch, reports.extend))
        self.engine, self.reports = engine, reports
        return engine

    def until(self, condition: Callable[[], object]) -> None:
        async def wait() -> None:
            deadline = time.monotonic() + DEADLINE_SECONDS
            while not condition():
                assert time.monotonic() < deadline, f"never came true; seen: {self.reports}"
                if (failure := self.engine._failure) is not None and failure.done():
                    failure.result()
                await asyncio.sleep(POLL_SECONDS)

        self.run(wait())

    def until_asked(self, condition: Callable[[], object]) -> None:
        """The condition asks the daemon itself; the engine works on between the questions."""
        until(lambda: self.run(asyncio.sleep(POLL_SECONDS)) or condition(), DEADLINE_SECONDS)

    def settle(self) -> None:
        self.until(lambda: self.engine.is_quiet)

    # -- Tasks --

    def shell(self, script: str, **members: Any) -> TaskSpec:
        return self.program("sh", "-c", script, **members)

    def program(self, *command: str, memory_mib: int = 64, **members: Any) -> TaskSpec:
        members.setdefault("environment", ())
        members.setdefault("image", IMAGE)
        return TaskSpec(command=command, resources=Resources(1000, memory_mib), **members)

    def traced(self, before: str, after: str) -> TaskSpec:
        script = f"{before} echo $$ >> /trace/$BATCHYARD_ATTEMPT; {after}"
        return self.shell(script, mounts=self.traces())

    def traces(self) -> tuple[Mount, ...]:
        return (Mount(str(self.trace_dir), "/trace"),)

    def prints(self) -> TaskSpec:
        return self.traced("", "echo one; sleep 0.01; echo two >&2; sleep 0.01; printf three")

    def several(self, *parts: Part) -> TaskSpec:
        does = {
            "exits": "exit {code}",
            "sleeps": "exec sleep 1000",
            "ignores_term": 'trap "" TERM; while :; do sleep 0.05; done',
        }
        containers = []
        for part in parts:
            # One line for the task, whichever of its containers writes it last.
            trace = "echo $$ > /trace/$BATCHYARD_ATTEMPT"
            script = f"{trace}; echo {part.name}; {does.get(part.does, '').format(code=part.code)}"
            containers.append(
                ContainerSpec(
                    part.name,
                    ("no-such-program-anywhere",) if part.does == "missing" else ("sh", "-c", script),
                    resources=Resources(1000, 64),
                    image=IMAGE,
                    mounts=self.traces(),
                    essential=part.essential,
                    depends_on=part.after,
                    stop_timeout_seconds=part.stop_timeout_seconds,
                    start_timeout_seconds=part.start_timeout_seconds,
                    is_pause=part.is_pause,
                )
            )
        total = Resources(1000 * len(parts), 64 * len(parts))
        return TaskSpec((), (), total, containers=tuple(containers))

    def runs(self, task_id: str) -> int:
        trace = self.trace_dir / task_id
        return len(trace.read_text().split()) if trace.exists() else 0

    # -- Docker --

    def label(self) -> str:
        return f"batchyard.store={(self.state_dir / 'docker' / 'store-id').read_text()}"

    def containers(self) -> list[dict[str, Any]]:
        return self.daemon.containers(self.label())

    def volumes(self) -> list[dict[str, Any]]:
        return self.daemon.volumes(self.label())

    def inspect(self, name: str) -> Any:
        return self.daemon.json("GET", f"/containers/{name}/json")

    def drop(self) -> None:
        """The server is gone; what it had under way is not."""
        for engine in self.engines:
            self.run(engine.close(kill=False))
        for earlier in self.engines[:-1]:  # each ends when it sees a later server; few tests wait for that
            assert earlier._failure is None or isinstance(earlier._failure.exception(), StaleEpochError | None)
        self.engines.clear()

    def forget_or_damage(self) -> None:
        self.drop()
        path = self.state_dir / "docker" / "notes"
        data = bytearray(path.read_bytes() or b"\x01")
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
        self.connect(2)

    def close(self) -> None:
        self.drop()
        for one in self.containers():
            self.daemon.json("DELETE", f"/containers/{one['Id']}", {"force": "1", "v": "1"})
        self.run(self.loop.shutdown_asyncgens())
        self.run(asyncio.sleep(0))  # connections that were being closed
        left = asyncio.all_tasks(self.loop)
        assert not left, f"the engine left {left} behind"
        self.loop.close()
