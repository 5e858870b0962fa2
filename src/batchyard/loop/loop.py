"""The one loop: drain the inbox, let the machines handle each command, schedule once, commit everything in one
transaction, and only then answer callers and act on the world.

It hosts several machines (loop.hosted_machine): each command and report goes to the machine that takes its type, and
what all of them changed in one batch is one transaction. It acts only through the writer, engines and clock that it
is given, so that a simulator can run the same code.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future as CommitFuture
from typing import Any, NamedTuple, Protocol

from batchyard import failpoints
from batchyard.clock import Clock
from batchyard.core.model.changes import Changes
from batchyard.core.model.commands import Answer, Command
from batchyard.core.model.effects import Effect, TaskEffect
from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.refusal import Refused
from batchyard.core.model.reports import InstanceReport, Report
from batchyard.engines.base import Capacity, Engine, InstanceReportSink, ReportSink
from batchyard.loop import transitions
from batchyard.loop.effect_handlers import BuildLaunch, CapacityEffects, EffectHandler, EffectTable, EngineEffects
from batchyard.loop.fact_delivery import FactDelivery, FactListener
from batchyard.loop.hosted_machine import FactObserver, HostedMachine

INBOX_COMMANDS = 10_000  # callers beyond this get TooManyRequestsException rather than an ever longer wait
BATCH_COMMANDS = 2_000  # in one transaction: keeps a commit under about 0.1 s
MAX_EXCHANGES = 100  # rounds of reports between machines in one batch; more are two machines that answer each other

# Makes, of a command's answer or of its Refused, a report to another machine of the loop; None: nothing is reported.
MakeReport = Callable[[Any], Any]


class Busy(Exception):
    """The inbox is full. Callers get 429 TooManyRequestsException, which every SDK retries."""


class Stopped(Exception):
    """The loop has ended: nothing was done."""


class Withdrawn(Exception):
    """The condition of a command no longer held when its turn came: nothing was done."""


class ChangeWriter(Protocol):
    """The part of the store that the loop needs: it writes everything in one durable transaction, or returns a
    future that fails."""

    def commit(self, changes: Changes, now_ms: int) -> CommitFuture[None]: ...


class Loop:
    """Hosts machines. `ask` from any coroutine of its event loop; `run` once.

    `handlers`: they carry out all effects but those about attempts and instances. `listeners` get each fact once
    after its commit, and miss what a crash keeps from them; `delivery` has the durable consumers."""

    def __init__(
        self,
        machines: Sequence[HostedMachine],
        writer: ChangeWriter,
        engines: dict[str, Engine],
        clock: Clock,
        build_launch: BuildLaunch,
        batch_commands: int = BATCH_COMMANDS,
        capacities: Mapping[str, Capacity] | None = None,
        handlers: Mapping[type[Effect], EffectHandler] | None = None,
        listeners: Mapping[type[Fact], FactListener] | None = None,
        delivery: FactDelivery | None = None,
    ) -> None:
        self._machines = tuple(machines)
        self._by_command = _routes(self._machines, lambda machine: machine.command_types)
        self._by_report = _routes(self._machines, lambda machine: machine.report_types)
        self._observers = [machine for machine in self._machines if isinstance(machine, FactObserver)]
        self._writer = writer
        self._engines = engines  # those that `start` starts
        self._clock = clock
        self._batch_commands = batch_commands
        self._capacities = capacities or {}  # by the name of the provider
        self._engine_effects = EngineEffects(build_launch, clock, lambda engine, report: self.sink(engine)([report]))
        self._table = EffectTable()
        self._table.add(EngineEffects.TYPES, self._engine_effects.carry_out)
        self._table.add(CapacityEffects.TYPES, CapacityEffects(self._capacities).carry_out)
        for effect_type, handler in (handlers or {}).items():
            self._table.add([effect_type], handler)
        self._listeners = dict(listeners or {})
        self._delivery = delivery or FactDelivery(_NoFacts(), {}, 0)
        self._wanted: frozenset[type[Fact]] = frozenset()  # the facts that the machines are asked to make
        self._commands: deque[_Asked] = deque()
        self._reports: deque[tuple[str, Any]] = deque()
        self._arrived: deque[Engine] = deque()  # engines that were started, and not asked yet about their attempts
        self._wake = asyncio.Event()
        self._stopping = False
        self._ended = False

    # -- the inbox --

    async def ask(
        self,
        command: Command[Answer],
        then: MakeReport | None = None,
        only_if: Callable[[], bool] | None = None,
    ) -> Answer:
        """Returns the answer of the command's machine, after the commit of its batch. Raises Refused, Busy or
        Stopped.

        `then`: what it makes of the answer, or of the Refused, is reported within the same batch. What the command
        changed and what follows from its answer in another machine are so one transaction. `only_if`: asked in that
        batch, just before the command is handled; where it returns False, nothing is done, and Withdrawn is raised."""
        if self._ended:
            raise Stopped
        if len(self._commands) >= INBOX_COMMANDS:
            raise Busy
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._commands.append(_Asked(command, answer, then, only_if))
        self._wake.set()
        return await answer

    def sink(self, engine: str) -> ReportSink:
        """Returns the function to which an engine delivers its reports. They are never refused."""

        def deliver(reports: Sequence[Report]) -> None:
            self._reports.extend((engine, report) for report in reports)
            self._wake.set()

        return deliver

    def report(self, report: Any) -> None:
        """Delivers a report of what carries out effects. It is never refused, and handled in a later batch."""
        self._reports.append(("", report))
        self._wake.set()

    def _instance_sink(self, provider: str) -> InstanceReportSink:
        """Returns the function to which a capacity provider delivers its reports."""

        def deliver(reports: Sequence[InstanceReport]) -> None:
            self._reports.extend((provider, report) for report in reports)
            self._wake.set()

        return deliver

    # -- running --

    async def start(self, epoch: int) -> None:
        """Starts all engines and asks them about every attempt that was placed before. Called before `run`."""
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
        """Runs until `stop`. A failed commit ends it, so that what it serves from memory is never ahead of the disk."""
        for provider, capacity in self._capacities.items():
            capacity.start(self._instance_sink(provider))
        self._table.carry_out([effect for effect in self._recovered() if not isinstance(effect, TaskEffect)])
        self._delivery.begin(self._wake.set)
        try:
            while True:
                await self._wait()
                self._delivery.check()
                if self._stopping and not self._commands:
                    return
                await self._batch()
        finally:
            self._ended = True
            await self._delivery.end()
            for asked in self._commands:
                if not asked.answer.done():
                    asked.answer.set_exception(Stopped())
            self._commands.clear()

    def stop(self) -> None:
        """Ends `run` after the commands that were accepted. Jobs run on; engines keep what they report meanwhile."""
        self._stopping = True
        self._wake.set()

    async def _wait(self) -> None:
        if self._commands or self._reports or self._arrived or self._stopping or self._delivery.has_moved:
            self._wake.clear()
            return
        deadlines = [due for machine in self._machines if (due := machine.next_deadline()) is not None]
        if not deadlines:
            await self._wake.wait()
        else:
            seconds = max(0.0, (min(deadlines) - self._clock.now_ms()) / 1000)
            handle = asyncio.get_running_loop().call_later(seconds, self._wake.set)
            await self._wake.wait()
            handle.cancel()
        self._wake.clear()

    async def _batch(self) -> None:
        self._take_arrived()
        self._want_facts()
        now_ms = self._clock.now_ms()
        self._handle_reports(now_ms)
        answers = self._handle_commands(now_ms)
        self._schedule(now_ms)
        changes, effects = self._take()
        facts = changes.facts
        self._delivery.add_to(changes)
        if failpoints.armed:
            failpoints.reach("before-commit", transitions.of_changes(changes))
        if not changes.is_empty():
            try:
                await asyncio.wrap_future(self._writer.commit(changes, now_ms))
            except BaseException:
                for answer, _ in answers:
                    answer.cancel()
                raise
        self._delivery.committed()
        if failpoints.armed:
            failpoints.reach("after-commit-before-answer", transitions.of_changes(changes))
        for answer, result in answers:
            if answer.done():
                continue  # its caller is gone; the command was carried out all the same
            if isinstance(result, Refused | Withdrawn):
                answer.set_exception(result)
            else:
                answer.set_result(result)
        if failpoints.armed:
            failpoints.reach("before-launch", transitions.of_launches(effects))
        self._table.carry_out(effects)
        for fact in facts:
            listener = self._listeners.get(type(fact))
            if listener is not None:
                listener(fact)

    def _want_facts(self) -> None:
        observed = (observer.observed_facts for observer in self._observers)
        wanted = self._delivery.stored_types.union(self._listeners, *observed)
        if wanted != self._wanted:
            self._wanted = wanted
            for machine in self._machines:
                machine.want_facts(wanted)

    def _handle_reports(self, now_ms: int) -> None:
        for _ in range(min(len(self._reports), self._batch_commands)):
            source, report = self._reports.popleft()
            report = self._engine_effects.with_reason(report)
            machine = self._receiver(report)
            machine.report(source, report, now_ms)
            if failpoints.armed:
                failpoints.reach("after-report-before-commit", transitions.of_changes(machine.pending_changes))

    def _handle_commands(self, now_ms: int) -> list[tuple[asyncio.Future[Any], Any]]:
        """Handles the commands. Returns the callers' futures, each with the answer or the exception that it gets after
        the commit."""
        answers: list[tuple[asyncio.Future[Any], Any]] = []
        for _ in range(min(len(self._commands), self._batch_commands)):
            asked = self._commands.popleft()
            machine = self._by_command.get(type(asked.command))
            assert machine is not None, f"no machine handles {type(asked.command).__name__}"
            if asked.only_if is not None and not asked.only_if():
                answers.append((asked.answer, Withdrawn()))
                continue
            result: Any
            try:
                result = machine.handle(asked.command, now_ms)
            except Refused as refusal:
                result = refusal
            answers.append((asked.answer, result))
            report = asked.then(result) if asked.then is not None else None
            if report is not None:
                self._receiver(report).report("", report, now_ms)
        return answers

    def _schedule(self, now_ms: int) -> None:
        """Runs `schedule` of all machines, and again of those that others reported to, until none has reports left."""
        waiting: Collection[HostedMachine] = self._machines
        seen = [0] * len(self._machines)
        for _ in range(MAX_EXCHANGES):
            for machine in waiting:
                machine.schedule(now_ms)
            receivers: dict[int, HostedMachine] = {}  # by index in self._machines, the order in which they run
            for sender in self._machines:
                for report in sender.outgoing():
                    receiver = self._receiver(report)
                    receiver.report("", report, now_ms)
                    receivers[self._machines.index(receiver)] = receiver
            if self._observers:
                receivers |= self._notify_observers(seen, now_ms)
            if not receivers:
                return
            waiting = [receivers[place] for place in sorted(receivers)]
        raise AssertionError(f"the machines still report to each other after {MAX_EXCHANGES} rounds of one batch")

    def _notify_observers(self, seen: list[int], now_ms: int) -> dict[int, HostedMachine]:
        """Passes to the observers the facts that other machines have made since the last round. `seen`: how many
        facts of each machine were passed before. Returns the observers that got any, by their indexes."""
        found: dict[int, HostedMachine] = {}
        for number, machine in enumerate(self._machines):
            facts = machine.pending_changes.facts[seen[number] :]
            seen[number] += len(facts)
            for observer in self._observers if facts else ():
                asked = [fact for fact in facts if type(fact) in observer.observed_facts]
                if asked and observer is not machine:
                    observer.observe(asked, now_ms)
                    found[self._machines.index(observer)] = observer
        return found

    def _receiver(self, report: Any) -> HostedMachine:
        machine = self._by_report.get(type(report))
        assert machine is not None, f"no machine takes {report!r}"
        return machine

    def _take(self) -> tuple[Changes, list[Effect]]:
        """Returns what all machines changed in this batch, as one transaction, and their effects."""
        changes, effects = self._machines[0].take()
        for machine in self._machines[1:]:
            more, further = machine.take()
            changes.absorb(more)
            effects += further
        return changes, effects

    def _recovered(self) -> list[Effect]:
        """Returns the effects that the machines repeat after a restart."""
        return [effect for machine in self._machines for effect in machine.recover()]

    def _take_arrived(self) -> None:
        """Takes in engines that were started meanwhile; runs between two batches, when everything decided is
        committed."""
        if self._arrived:
            arrived = {engine.name: engine for engine in self._arrived}
            self._arrived.clear()
            asked = [effect for effect in self._recovered() if isinstance(effect, TaskEffect)]
            effects = [effect for effect in asked if effect.engine in arrived]
            if failpoints.armed:
                failpoints.reach("before-launch", transitions.of_launches(effects))
            self._engine_effects.begin(arrived, effects)


class _Asked(NamedTuple):
    """A command in the inbox, and who waits for its answer."""

    command: Command[Any]
    answer: asyncio.Future[Any]
    then: MakeReport | None
    only_if: Callable[[], bool] | None


class _NoFacts:
    """A fact log that is empty, for a loop without consumers."""

    async def read(self, after: int, limit: int) -> Sequence[tuple[int, Sequence[Fact]]]:
        raise AssertionError("nothing stores facts here, but a consumer asks for them")


def _routes(
    machines: Sequence[HostedMachine], types_of: Callable[[HostedMachine], Iterable[type[Any]]]
) -> dict[type[Any], HostedMachine]:
    """Returns, by type, the one machine that takes it."""
    found: dict[type[Any], HostedMachine] = {}
    for machine in machines:
        for one in types_of(machine):
            assert one not in found, f"two machines take {one.__name__}"
            found[one] = machine
    return found
