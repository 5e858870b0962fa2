"""A real process engine with its real supervisor, in a directory of its own; everything is ended afterwards."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from batchyard.core.model.records import TaskSpec
from batchyard.core.model.reports import Report
from batchyard.core.model.resources import Resources
from batchyard.engines.process import ProcessEngine, ProcessSettings
from batchyard.engines.supervisor.journal import Replay, replay
from batchyard.engines.supervisor.processes import start_ticks
from tests.engines.shell_tasks import ShellTasks
from tests.waiting import until

DEADLINE_SECONDS = 60.0
POLL_SECONDS = 0.002


class ProcessHarness(ShellTasks):
    """`root`: any directory; sockets lie in a short one beside it."""

    def __init__(self, root: Path, settings: ProcessSettings | None = None) -> None:
        self.root = root
        self.runtime_dir = Path(tempfile.mkdtemp(prefix="by-"))
        self.state_dir = root / "supervisor"
        self.logs_dir = root / "logs"
        self.work_dir = root / "work"
        self.trace_dir = root / "trace"
        self.trace_dir.mkdir(parents=True)
        self.settings = settings
        self.now_ms: Callable[[], int] | None = None  # the clock of the next server that connects
        self.loop = asyncio.new_event_loop()
        self.engines: list[ProcessEngine] = []
        self.reports: list[Report] = []
        self.engine: ProcessEngine = self.connect(1)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(work)

    def connect(self, epoch: int) -> ProcessEngine:
        engine = ProcessEngine(
            self.runtime_dir, self.state_dir, self.logs_dir, self.work_dir, self.settings, self.now_ms
        )
        reports: list[Report] = []
        self.engines.append(engine)
        self.run(engine.start(epoch, reports.extend))
        self.engine, self.reports = engine, reports
        return engine

    def until(self, condition: Callable[[], object]) -> None:
        async def wait() -> None:
            deadline = time.monotonic() + DEADLINE_SECONDS
            while not condition():
                assert time.monotonic() < deadline, f"never came true; seen: {self.reports}; {self.supervisor_log()}"
                await asyncio.sleep(POLL_SECONDS)

        self.run(wait())

    def settle(self) -> None:
        """A task behind everything that was asked: when it has ended, the rest has been dealt with too."""
        from tests.engines.conformance import final_of, launch_of

        launch = launch_of(TaskSpec(command=("true",), environment=(), resources=Resources()))
        self.engine.launch([launch])
        self.until(lambda: final_of(self, launch.attempt_id))
        self.engine.acknowledge([launch.attempt_node])
        self.reports[:] = [report for report in self.reports if report.attempt_id != launch.attempt_id]

    # -- Tasks --

    def shell(self, script: str, *, memory_mib: int = 0, **members: Any) -> TaskSpec:
        return self.program("/bin/sh", "-c", script, memory_mib=memory_mib, **members)

    def program(self, *command: str, memory_mib: int = 0, **members: Any) -> TaskSpec:
        members.setdefault("environment", ())
        return TaskSpec(command=command, resources=Resources(1000, memory_mib), **members)

    def traced(self, before: str, after: str) -> TaskSpec:
        trace = shlex.quote(str(self.trace_dir))
        return self.shell(f'{before} echo $$ >> {trace}/"$BATCHYARD_ATTEMPT"; {after}')

    def prints(self) -> TaskSpec:
        return self.traced("", "echo one; echo two >&2; printf three")

    def runs(self, task_id: str) -> int:
        return len(self.pids(task_id))

    def pids(self, task_id: str) -> list[int]:
        trace = self.trace_dir / task_id
        return [int(line) for line in trace.read_text().split()] if trace.exists() else []

    # -- The supervisor --

    def supervisor_log(self) -> str:
        return (self.state_dir / "supervisor.log").read_text(errors="replace")

    def journal(self) -> Replay:
        return replay((self.state_dir / "journal").read_bytes())[0]

    def kill_supervisor(self) -> None:
        """kill -9; returns when it is gone."""
        pid = self.engine.supervisor_pid
        assert pid is not None
        ticks = start_ticks(pid)
        os.kill(pid, signal.SIGKILL)
        self.until(lambda: start_ticks(pid) != ticks or is_zombie(pid))

    def end_everything(self) -> None:
        """No engine answers any more; supervisor and tasks are as they are."""
        for engine in self.engines:
            self.run(engine.close(kill=False))

    def stop_supervisor(self) -> None:
        """Ends the supervisor without a successor, so that a test can change its files."""
        self.end_everything()
        self.kill_supervisor()

    def forget_or_damage(self) -> None:
        self.stop_supervisor()
        path = self.state_dir / "journal"
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
        self.connect(2)

    def close(self) -> None:
        self.end_everything()
        pid = self.engine.supervisor_pid
        ticks = start_ticks(pid) if pid else 0
        if pid and ticks:
            os.kill(pid, signal.SIGKILL)
        self.end_tasks()
        if pid and ticks:
            until(lambda: start_ticks(pid) != ticks or is_zombie(pid))
        self.run(self.loop.shutdown_asyncgens())
        self.loop.close()
        shutil.rmtree(self.runtime_dir)

    def end_tasks(self) -> None:
        """Kills the tasks that were started and still run."""
        for trace in self.trace_dir.iterdir():
            for task in self.pids(trace.name):
                if b"BATCHYARD_ATTEMPT=" + trace.name.encode() in _environment(task):
                    os.killpg(task, signal.SIGKILL)


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def is_zombie(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] in "ZX"
