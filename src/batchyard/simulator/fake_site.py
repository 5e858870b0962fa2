"""A fake host where attempts run, with its faults, and one server's connection to it."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.records import Abilities
from batchyard.core.model.reports import ContainerExit, Report, Started
from batchyard.engines.base import Launch, Recovery, ReportSink
from batchyard.engines.fake import Behaviour, FakeEngine, FakeHost
from batchyard.simulator.attempt_ledger import AttemptLedger
from batchyard.simulator.event_queue import Action, SimulatorEventQueue
from batchyard.simulator.rng import seeded

EXIT_CODES = (0, 0, 0, 0, 0, 0, 0, 1, 1, 42)
CANNOT_START = "CannotStartContainerError: no such program"
MAX_REPORT_DELAY_MS = 3000
SLOWEST_COMMAND_MS = 300

CheckLaunch = Callable[[Launch], str]  # checks a launch at the moment it arrives; returns its instance id
CheckAcknowledged = Callable[[AttemptNode], None]  # checks an acknowledgement at the moment it arrives


class FakeSite:
    """One engine's part of the world. It outlives servers; `calm` ends its faults."""

    def __init__(
        self,
        name: str,
        seed: int,
        noise: float,
        event_queue: SimulatorEventQueue,
        ledger: AttemptLedger,
        check_launch: CheckLaunch,
        check_acknowledged: CheckAcknowledged,
    ) -> None:
        self.name = name
        self.seed = seed
        self.noise = noise
        self._event_queue = event_queue
        self.ledger = ledger
        self._check_launch = check_launch
        self.check_acknowledged = check_acknowledged
        self._sent: dict[tuple[str, str], int] = {}
        self.host = FakeHost(self._plan, self._carry)
        self.host.advance(event_queue.now_ms)

    def calm(self) -> None:
        self.noise = 0.0

    def reconnect(self) -> None:
        """Restores a broken connection: the host repeats what was not acknowledged."""
        if self.host.sink is not None:
            self.host.connect(self.host.epoch, self.host.sink)

    def lose(self, instance_id: str = "") -> None:
        """Kills everything on one instance, or on all."""
        for task_id, life in list(self.ledger.running.items()):
            if not instance_id or life.instance_id == instance_id:
                self.host.lose(task_id)

    def _plan(self, launch: Launch) -> Behaviour:
        self.ledger.record_launch(self.name, launch, self._check_launch(launch))
        rng = seeded(self.seed, "plan", launch.job_id, launch.attempt_id[:16])
        number = rng.random()
        slow_start_ms = rng.choice((0, 0, 1, 20, 2000 if self.noise else 0))
        if number < 0.05:
            return Behaviour(refusal=CANNOT_START, refusal_exit_code=127, starts_after_ms=slow_start_ms)
        behaviour = _behaviour(rng, number)
        lost_after_ms = rng.choice((0, 50, 1000)) if rng.random() < self.noise / 4 else None
        containers = {one.name: _behaviour(rng, rng.random()) for one in launch.task.containers}
        if launch.gang is not None and launch.attempt_node.node != launch.gang.main_node and rng.random() < 0.5:
            behaviour = replace(behaviour, runs_ms=None)  # as workers run: until the main node has ended
        return replace(behaviour, starts_after_ms=slow_start_ms, lost_after_ms=lost_after_ms, containers=containers)

    def _carry(self, report: Report) -> Sequence[int]:
        """Decides when a report arrives: late (so that others overtake it), more than once, or not until it is
        repeated."""
        self.ledger.record_report(report)
        if isinstance(report, Started):
            assert self.host.runs[report.task_id] == 1, f"{report.task_id} was started more than once"
        if not self.noise:
            return (0,)
        kind = type(report).__name__
        times = self._sent[report.task_id, kind] = self._sent.get((report.task_id, kind), 0) + 1
        rng = seeded(self.seed, "carry", report.task_id, kind, times)
        if rng.random() >= self.noise:
            return (rng.choice((0, 0, 1, 5)),)
        late_ms = rng.randrange(MAX_REPORT_DELAY_MS)
        return rng.choice(((), (late_ms,), (0, late_ms), (late_ms, 0, late_ms + 1)))


def _behaviour(rng: random.Random, number: float) -> Behaviour:
    """Returns how one container behaves. Below 0.02 a container of several cannot be started."""
    code = rng.choice(EXIT_CODES)
    out_of_memory = code == 0 and number > 0.95
    return Behaviour(
        runs_ms=None if 0.05 <= number < 0.15 else rng.choice((0, 1, 20, 100, 400, 2500)),
        exit=ContainerExit(exit_code=137 if out_of_memory else code, out_of_memory=out_of_memory),
        stop_takes_ms=rng.choice((0, 5, 200, None)),
        stop_exit_code=rng.choice((143, 143, 0, 1)),
        refusal=CANNOT_START if number < 0.02 else "",
        refusal_exit_code=127 if number < 0.02 else None,
    )


class CommandChannel:
    """Carries one server's commands, in order, with latency; those in flight when it dies are lost."""

    def __init__(self, event_queue: SimulatorEventQueue, latency: Callable[[], int], before_arrival: Action) -> None:
        self._event_queue = event_queue
        self._latency = latency
        self._before_arrival = before_arrival
        self._due_ms = 0
        self._in_flight: deque[Action] = deque()

    def send(self, command: Action) -> None:
        self._due_ms = max(self._due_ms, self._event_queue.now_ms + self._latency())
        self._in_flight.append(command)
        self._event_queue.at(self._due_ms, self._deliver)

    def arrive(self) -> None:
        """Delivers every command in flight now."""
        while self._in_flight:
            self._deliver()

    def cut(self) -> None:
        self._in_flight.clear()

    def _deliver(self) -> None:
        if self._in_flight:
            self._before_arrival()
            self._in_flight.popleft()()


class Connection:
    """One server's engine: implements engines.base.Engine. A broken connection keeps the
    commands, as that seam promises."""

    def __init__(self, site: FakeSite, event_queue: SimulatorEventQueue, latency: Callable[[], int]) -> None:
        self.name = site.name
        self.site = site
        self._engine = FakeEngine(site.host, site.name)
        self.abilities: Abilities = self._engine.abilities
        self._event_queue = event_queue
        self._latency = latency
        self._channel = CommandChannel(event_queue, latency, lambda: site.host.advance(event_queue.now_ms))
        self._send = self._channel.send

    async def start(self, epoch: int, report: ReportSink) -> None:
        await asyncio.sleep(self._latency() / 1000)
        self.site.host.advance(self._event_queue.now_ms)
        await self._engine.start(epoch, report)

    async def failed(self) -> None:
        await self._engine.failed()

    def launch(self, tasks: Sequence[Launch]) -> None:
        for task in tasks:
            self._send(lambda task=task: self._engine.launch([task]))  # type: ignore[misc]

    def stop(self, attempt_node: AttemptNode, grace_seconds: float) -> None:
        self._send(lambda: self._engine.stop(attempt_node, grace_seconds))

    def acknowledge(self, attempt_nodes: Sequence[AttemptNode]) -> None:
        for attempt_node in attempt_nodes:
            self._send(lambda attempt_node=attempt_node: self._acknowledge(attempt_node))  # type: ignore[misc]

    def recover(self, attempts: Sequence[Recovery]) -> None:
        self._send(lambda: self._engine.recover(attempts))

    async def close(self, *, kill: bool) -> None:
        """Delivers what was sent, then closes."""
        self._channel.arrive()
        await self._engine.close(kill=kill)

    def cut(self) -> None:
        """Cuts the connection: the server is dead."""
        self._channel.cut()

    def _acknowledge(self, attempt_node: AttemptNode) -> None:
        self.site.check_acknowledged(attempt_node)
        self.site.ledger.acknowledged.add(attempt_node.task_id)
        self._engine.acknowledge([attempt_node])
