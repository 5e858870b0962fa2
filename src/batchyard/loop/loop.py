"""The one loop: drain the inbox, let the machine handle each command, schedule once, commit everything in one
transaction, and only then answer callers and act on the world.

It touches the world only through what it is handed (writer, engines, clock), so that a simulator can run the same code.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future as CommitFuture
from typing import Any, Protocol, TypeVar

from batchyard import failpoints
from batchyard.clock import Clock
from batchyard.core.machine import Machine
from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.commands import Answer, Command
from batchyard.core.model.effects import (
    AcknowledgeTask,
    Effect,
    JobQueueBlocked,
    LaunchInstance,
    LaunchTask,
    RecoverTask,
    StopTask,
    TaskEffect,
    TerminateInstance,
)
from batchyard.core.model.records import Changes
from batchyard.core.model.refusal import Refused
from batchyard.core.model.reports import Fact, InstanceReport, NotStarted, Report
from batchyard.engines.base import RECOVERED_SILENT, Capacity, Engine, Launch, Recovery, ReportSink
from batchyard.loop import transitions

INBOX_COMMANDS = 10_000  # callers beyond this get TooManyRequestsException rather than an ever longer wait
BATCH_COMMANDS = 2_000  # in one transaction: keeps a commit under about 0.1 s


class Busy(Exception):  # noqa: N818  (an answer, not a fault)
    """The inbox is full. Callers get 429 TooManyRequestsException, which every SDK retries."""


class Stopped(Exception):  # noqa: N818  (an answer, not a fault)
    """The loop has ended: nothing was done."""


class ChangeWriter(Protocol):
    """What the loop needs of the store: everything in one durable transaction, or a future that fails."""

    def commit(self, changes: Changes, now_ms: int) -> CommitFuture[None]: ...


BuildLaunch = Callable[[LaunchTask], Launch]
Kind = TypeVar("Kind", bound=Effect)
Publish = Callable[[JobQueueBlocked], None]


class Loop:
    """Hosts the machine. `ask` from any coroutine of its event loop; `run` once."""

    def __init__(
        self,
        machine: Machine,
        writer: ChangeWriter,
        engines: dict[str, Engine],
        clock: Clock,
        build_launch: BuildLaunch,
        batch_commands: int = BATCH_COMMANDS,
        capacity: Capacity | None = None,
        publish: Publish = lambda fact: None,
    ) -> None:
        self._machine = machine
        self._writer = writer
        self._engines = engines  # those that `start` starts
        self._clock = clock
        self._build_launch = build_launch
        self._batch_commands = batch_commands
        self._capacity = capacity
        self._publish = publish
        self._commands: deque[tuple[Command[object], asyncio.Future[Any]]] = deque()
        self._reports: deque[tuple[str, Fact]] = deque()
        self._arrived: deque[Engine] = deque()  # they were started, and not asked yet about their attempts
        self._started: dict[str, Engine] = {}
        self._problems: dict[str, Launch] = {}  # by attempt id: recovered ones that were not to be started
        self._wake = asyncio.Event()
        self._stopping = False
        self._ended = False

    # -- the inbox --

    async def ask(self, command: Command[Answer]) -> Answer:
        """The machine's answer, given after the commit that holds it. Raises Refused, Busy or Stopped."""
        if self._ended:
            raise Stopped
        if len(self._commands) >= INBOX_COMMANDS:
            raise Busy
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._commands.append((command, answer))
        self._wake.set()
        return await answer

    def sink(self, engine: str) -> ReportSink:
        """Where an engine delivers its reports. They are never refused."""

        def deliver(facts: Sequence[Report]) -> None:
            self._reports.extend((engine, fact) for fact in facts)
            self._wake.set()

        return deliver

    def _take_facts(self, facts: Sequence[InstanceReport]) -> None:
        self._reports.extend(("", fact) for fact in facts)
        self._wake.set()

    # -- running --

    async def start(self, epoch: int) -> None:
        """Before `run`: starts all engines and asks them about every attempt that was placed before."""
        for engine in self._engines.values():
            await self.start_engine(engine, epoch)
        self._take_arrived()

    async def start_engine(self, engine: Engine, epoch: int) -> None:
        """Starts one engine, at any time. It is asked about the attempts that were placed on it before it gets anything
        new; until then they stay as they are. Raises what Engine.start does."""
        await engine.start(epoch, self.sink(engine.name))
        self._arrived.append(engine)
        self._wake.set()

    async def run(self) -> None:
        """Until `stop`. A failed commit ends it: memory is never ahead of a disk it serves from."""
        if self._capacity is not None:
            self._capacity.start(self._take_facts)
            for kind in (LaunchInstance, TerminateInstance):
                for effect in self._asked_again(kind):
                    self._act_on_instances(effect)
        try:
            while True:
                await self._wait()
                if self._stopping and not self._commands:
                    return
                await self._batch()
        finally:
            self._ended = True
            for _, answer in self._commands:
                if not answer.done():
                    answer.set_exception(Stopped())
            self._commands.clear()

    def stop(self) -> None:
        """Ends `run` after the commands that were accepted. Jobs run on; engines keep what they report meanwhile."""
        self._stopping = True
        self._wake.set()

    async def _wait(self) -> None:
        if self._commands or self._reports or self._arrived or self._stopping:
            self._wake.clear()
            return
        deadline_ms = self._machine.next_deadline()
        if deadline_ms is None:
            await self._wake.wait()
        else:
            seconds = max(0.0, (deadline_ms - self._clock.now_ms()) / 1000)
            handle = asyncio.get_running_loop().call_later(seconds, self._wake.set)
            await self._wake.wait()
            handle.cancel()
        self._wake.clear()

    async def _batch(self) -> None:
        self._take_arrived()
        now_ms = self._clock.now_ms()
        answers: list[tuple[asyncio.Future[Any], Any]] = []
        for _ in range(min(len(self._reports), self._batch_commands)):
            engine, fact = self._reports.popleft()
            if self._problems:
                fact = self._with_reason(fact)
            self._machine.report(engine, fact, now_ms)
            if failpoints.armed:
                failpoints.reach("after-report-before-commit", transitions.of_changes(self._machine.world.changes))
        for _ in range(min(len(self._commands), self._batch_commands)):
            command, answer = self._commands.popleft()
            try:
                answers.append((answer, self._machine.handle(command, now_ms)))
            except Refused as refusal:
                answers.append((answer, refusal))
        self._machine.schedule(now_ms)
        changes, effects = self._machine.take()
        if failpoints.armed:
            failpoints.reach("before-commit", transitions.of_changes(changes))
        if not changes.is_empty():
            try:
                await asyncio.wrap_future(self._writer.commit(changes, now_ms))
            except BaseException:
                for answer, _ in answers:
                    answer.cancel()
                raise
        if failpoints.armed:
            failpoints.reach("after-commit-before-answer", transitions.of_changes(changes))
        for answer, result in answers:
            if answer.done():
                continue  # its caller is gone; the command was carried out all the same
            if isinstance(result, Refused):
                answer.set_exception(result)
            else:
                answer.set_result(result)
        self._act(effects)

    def _asked_again(self, kind: type[Kind]) -> list[Kind]:
        """What the machine asks after a restart, of one kind."""
        return [effect for effect in self._machine.recover() if isinstance(effect, kind)]

    def _take_arrived(self) -> None:
        """Between two batches, when everything decided is committed."""
        if self._arrived:
            arrived = {engine.name: engine for engine in self._arrived}
            self._arrived.clear()
            self._started |= arrived
            effects = [effect for effect in self._asked_again(TaskEffect) if effect.engine in arrived]
            self._act(effects)
            for name in sorted(arrived.keys() - {effect.engine for effect in effects}):
                arrived[name].recover([])  # what it still has is nobody's

    def _act(self, effects: Sequence[Effect]) -> None:
        """Acknowledgements first, then launches, then stops, so that a stop finds what it stops. What concerns an
        engine that was not started is left out: it hears of it when it is (Machine.recover)."""
        if failpoints.armed:
            failpoints.reach("before-launch", transitions.of_launches(effects))
        launches: dict[str, list[Launch]] = {}
        recoveries: dict[str, list[Recovery]] = {}
        acknowledged: dict[str, list[AttemptNode]] = {}
        stops: list[StopTask] = []
        others: list[Effect] = []
        for effect in effects:
            if not isinstance(effect, TaskEffect):
                others.append(effect)
                continue
            if effect.engine not in self._started:
                continue
            if isinstance(effect, LaunchTask):
                launch = self._build_launch(effect)
                if launch.problem:
                    # The engine never hears of it: what the machine is told takes its turn like an engine's report.
                    self.sink(effect.engine)([_not_started(launch, self._clock.now_ms())])
                else:
                    launches.setdefault(effect.engine, []).append(launch)
            elif isinstance(effect, AcknowledgeTask):
                acknowledged.setdefault(effect.engine, []).append(effect.attempt_node)
            elif isinstance(effect, RecoverTask):
                recoveries.setdefault(effect.engine, []).append(self._recovery(effect))
            else:
                assert isinstance(effect, StopTask), f"unknown effect {effect!r}"
                stops.append(effect)
        for name, attempts in acknowledged.items():
            self._started[name].acknowledge(attempts)
        for name, recovered in recoveries.items():
            self._started[name].recover(recovered)
        for name, tasks in launches.items():
            self._started[name].launch(tasks)
        for stop in stops:
            self._problems.pop(stop.attempt_node.task_id, None)  # if it never started, then because it was stopped
            self._started[stop.engine].stop(stop.attempt_node, stop.grace_seconds)
        for effect in others:
            self._act_on_instances(effect)

    def _recovery(self, effect: RecoverTask) -> Recovery:
        """One that can't be started now is asked about, and left alone where it runs. An engine that is silent about it
        says that it never ran; the reason is then what kept it from being started."""
        launch = self._build_launch(effect.launch)
        if launch.problem and effect.may_launch:
            self._problems[launch.task_id] = launch
        return Recovery(launch, effect.may_launch and not launch.problem, effect.known_started)

    def _with_reason(self, fact: Fact) -> Fact:
        launch = self._problems.pop(fact.task_id, None) if isinstance(fact, Report) else None
        if launch is not None and isinstance(fact, NotStarted) and fact.reason == RECOVERED_SILENT:
            return _not_started(launch, fact.at_ms)
        return fact

    def _act_on_instances(self, effect: Effect) -> None:
        if isinstance(effect, JobQueueBlocked):
            self._publish(effect)
            return
        assert self._capacity is not None, f"{effect!r} without anything that launches instances"
        if isinstance(effect, LaunchInstance):
            self._capacity.launch([effect.instance])
        else:
            assert isinstance(effect, TerminateInstance), f"unknown effect {effect!r}"
            self._capacity.terminate([effect.instance_id])


def _not_started(launch: Launch, at_ms: int) -> NotStarted:
    return NotStarted(
        launch.attempt_id, at_ms, launch.problem, container=launch.problem_container, node=launch.attempt_node.node
    )
