"""Where attempts run: a fake engine's host with its faults, and one server's connection to it."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.commands import ContainerExit, Report, Started
from batchyard.core.model.records import Abilities
from batchyard.engines.base import Launch, Recovery, ReportSink
from batchyard.engines.fake import Behaviour, FakeEngine, FakeHost
from batchyard.simulator.agenda import Action, Agenda
from batchyard.simulator.ledger import Ledger
from batchyard.simulator.lots import lot

EXIT_CODES = (0, 0, 0, 0, 0, 0, 0, 1, 1, 42)
CANNOT_START = "CannotStartContainerError: no such program"
SLOWEST_REPORT_MS = 3000
SLOWEST_COMMAND_MS = 300

Welcome = Callable[[Launch], str]  # checks a launch at the moment it arrives; returns its instance id
Farewell = Callable[[str], None]  # checks an acknowledgement at the moment it arrives


class Site:
    """One engine's part of the world. It outlives servers; `calm` ends its faults."""

    def __init__(
        self,
        name: str,
        seed: int,
        noise: float,
        agenda: Agenda,
        ledger: Ledger,
        welcome: Welcome,
        farewell: Farewell,
    ) -> None:
        self.name = name
        self.seed = seed
        self.noise = noise
        self._agenda = agenda
        self.ledger = ledger
        self._welcome = welcome
        self.farewell = farewell
        self._sent: dict[tuple[str, str], int] = {}
        self.host = FakeHost(self._plan, self._carry)
        self.host.advance(agenda.now_ms)

    def calm(self) -> None:
        self.noise = 0.0

    def reconnect(self) -> None:
        """The connection was broken and is there again: the host repeats what nobody acknowledged."""
        if self.host.sink is not None:
            self.host.connect(self.host.epoch, self.host.sink)

    def lose(self, instance_id: str = "") -> None:
        """Everything on an instance dies, or everything at all."""
        for attempt_id, life in list(self.ledger.alive.items()):
            if not instance_id or life.instance_id == instance_id:
                self.host.lose(attempt_id)

    def _plan(self, launch: Launch) -> Behaviour:
        self.ledger.launched(launch, self._welcome(launch))
        draw = lot(self.seed, "plan", launch.job_id, launch.attempt_id[:16])
        number = draw.random()
        slow_start_ms = draw.choice((0, 0, 1, 20, 2000 if self.noise else 0))
        if number < 0.05:
            return Behaviour(refusal=CANNOT_START, refusal_exit_code=127, starts_after_ms=slow_start_ms)
        behaviour = _behaviour(draw, number)
        lost_after_ms = draw.choice((0, 50, 1000)) if draw.random() < self.noise / 4 else None
        containers = {one.name: _behaviour(draw, draw.random()) for one in launch.task.containers}
        return replace(behaviour, starts_after_ms=slow_start_ms, lost_after_ms=lost_after_ms, containers=containers)

    def _carry(self, report: Report) -> Sequence[int]:
        """When a report arrives: late (so that others overtake it), more than once, or not before it is repeated."""
        self.ledger.reported(report)
        if isinstance(report, Started):
            assert self.host.runs[report.attempt_id] == 1, f"{report.attempt_id} was started more than once"
        if not self.noise:
            return (0,)
        kind = type(report).__name__
        times = self._sent[report.attempt_id, kind] = self._sent.get((report.attempt_id, kind), 0) + 1
        draw = lot(self.seed, "carry", report.attempt_id, kind, times)
        if draw.random() >= self.noise:
            return (draw.choice((0, 0, 1, 5)),)
        late_ms = draw.randrange(SLOWEST_REPORT_MS)
        return draw.choice(((), (late_ms,), (0, late_ms), (late_ms, 0, late_ms + 1)))


def _behaviour(draw: random.Random, number: float) -> Behaviour:
    """Of a container that could be started, but for one in many of several."""
    code = draw.choice(EXIT_CODES)
    out_of_memory = code == 0 and number > 0.95
    return Behaviour(
        runs_ms=None if 0.05 <= number < 0.15 else draw.choice((0, 1, 20, 100, 400, 2500)),
        exit=ContainerExit(exit_code=137 if out_of_memory else code, out_of_memory=out_of_memory),
        stop_takes_ms=draw.choice((0, 5, 200, None)),
        stop_exit_code=draw.choice((143, 143, 0, 1)),
        refusal=CANNOT_START if number < 0.02 else "",
        refusal_exit_code=127 if number < 0.02 else None,
    )


class Way:
    """How one server's commands travel: in order, and those on the way when it dies are lost."""

    def __init__(self, agenda: Agenda, latency: Callable[[], int], before_arrival: Action) -> None:
        self._agenda = agenda
        self._latency = latency
        self._before_arrival = before_arrival
        self._due_ms = 0
        self._on_the_way: deque[Action] = deque()

    def send(self, command: Action) -> None:
        self._due_ms = max(self._due_ms, self._agenda.now_ms + self._latency())
        self._on_the_way.append(command)
        self._agenda.at(self._due_ms, self._deliver)

    def arrive(self) -> None:
        """All of them, now."""
        while self._on_the_way:
            self._deliver()

    def cut(self) -> None:
        self._on_the_way.clear()

    def _deliver(self) -> None:
        if self._on_the_way:
            self._before_arrival()
            self._on_the_way.popleft()()


class Connection:
    """One server's engine: implements engines.base.Engine. A broken connection keeps the commands, as the promises
    say."""

    def __init__(self, site: Site, agenda: Agenda, latency: Callable[[], int]) -> None:
        self.name = site.name
        self.site = site
        self._far_end = FakeEngine(site.host, site.name)
        self.abilities: Abilities = self._far_end.abilities
        self._agenda = agenda
        self._latency = latency
        self._way = Way(agenda, latency, lambda: site.host.advance(agenda.now_ms))
        self._send = self._way.send

    async def start(self, epoch: int, report: ReportSink) -> None:
        await asyncio.sleep(self._latency() / 1000)
        self.site.host.advance(self._agenda.now_ms)
        await self._far_end.start(epoch, report)

    async def failed(self) -> None:
        await self._far_end.failed()

    def launch(self, tasks: Sequence[Launch]) -> None:
        for task in tasks:
            self._send(lambda task=task: self._far_end.launch([task]))  # type: ignore[misc]

    def stop(self, attempt_node: AttemptNode, grace_seconds: float) -> None:
        self._send(lambda: self._far_end.stop(attempt_node, grace_seconds))

    def acknowledge(self, attempt_nodes: Sequence[AttemptNode]) -> None:
        for attempt_node in attempt_nodes:
            self._send(lambda attempt_node=attempt_node: self._acknowledge(attempt_node))  # type: ignore[misc]

    def recover(self, attempts: Sequence[Recovery]) -> None:
        self._send(lambda: self._far_end.recover(attempts))

    async def close(self, *, kill: bool) -> None:
        """Lets go in good order: what was sent arrives."""
        self._way.arrive()
        await self._far_end.close(kill=kill)

    def cut(self) -> None:
        """The server is dead."""
        self._way.cut()

    def _acknowledge(self, attempt_node: AttemptNode) -> None:
        self.site.farewell(attempt_node.task_id)
        self.site.ledger.acknowledged.add(attempt_node.task_id)
        self._far_end.acknowledge([attempt_node])
