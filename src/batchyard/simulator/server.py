"""One life of a server: the real machine and the real loop, from opening the store to its end or its death."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from batchyard.core.machine import Machine
from batchyard.core.model import commands as c
from batchyard.core.model.effects import Effect, LaunchTask
from batchyard.core.model.names import Account
from batchyard.core.model.records import Changes, Instance
from batchyard.core.model.refusal import Refused
from batchyard.core.model.resources import Resources
from batchyard.core.state.check import assert_consistent
from batchyard.core.state.world import Limits
from batchyard.engines.base import Engine, Launch, StaleEpochError
from batchyard.loop import Busy, Loop, Stopped
from batchyard.loop.loop import BATCH_COMMANDS
from batchyard.simulator.agenda import Agenda, SkewedClock
from batchyard.simulator.canonical import differences
from batchyard.simulator.cloud import CloudConnection
from batchyard.simulator.disk import CommitLostError, Disk, DiskWriter, Fate
from batchyard.simulator.eventloop import VirtualLoop
from batchyard.simulator.ledger import ViolationError
from batchyard.simulator.site import Connection
from batchyard.simulator.workload import CATALOGUE
from batchyard.store.codec import Rows

ACCOUNT = Account("123456789012", "us-east-1")
# Shorter than in production, so that a minute of virtual time passes all of them.
LIMITS = Limits(
    stop_grace_seconds=1.5,
    scale_down_seconds=2.0,
    blocked_after_seconds=3.0,
    head_kept_after_ms=1000,
    finished_kept_ms=20_000,
    idempotency_kept_ms=60_000,
)
LOOKS_FOR_DIFFERENCES = 0.15  # share of commits after which the store is restored and compared: it costs most

Heard = Callable[[Any], None]  # takes the answer, or the exception that came instead


class NoAnswerError(Exception):
    """The connection broke: the client cannot know what became of its request."""


class WatchedMachine(Machine):
    """The machine itself; every invariant is checked at the end of each batch."""

    def __init__(self, note: Callable[[str], None], limits: Limits) -> None:
        super().__init__(ACCOUNT, limits, CATALOGUE)
        self._note = note
        self._floors: dict[str, Resources] = {}

    def handle(self, command: c.Command, now_ms: int) -> Any:
        before = _extent(self.world.changes, self.world.effects)
        try:
            answer = super().handle(command, now_ms)
        except Refused as refusal:
            after = _extent(self.world.changes, self.world.effects)
            if before != after:
                raise ViolationError(f"{command} was refused and changed {after} instead of {before}") from refusal
            self._note(f"refused {command}: {refusal}")
            raise
        self._note(f"handled {command}")
        if isinstance(command, c.SetHost):
            name = command.instance.instance_id
            self._floors[name] = _below_zero(self.world.rooms[name].free)
        return answer

    def report(self, engine: str, fact: c.Fact, now_ms: int) -> None:
        self._note(f"{engine} reports {fact}")
        super().report(engine, fact, now_ms)

    def take(self) -> tuple[Changes, list[Effect]]:
        taken = super().take()
        assert_consistent(self.world)
        for name, room in self.world.rooms.items():
            floor = self._floors.get(name, Resources())
            if not floor.fits(room.free):
                raise ViolationError(f"instance {name} is over-committed: {room.free} free, {floor} is the least")
            self._floors[name] = _below_zero(room.free)
        return taken


def _below_zero(free: Resources) -> Resources:
    return Resources(min(0, free.milli_vcpus), min(0, free.memory_mib), min(0, free.gpus))


def _extent(changes: Changes, effects: Sequence[Effect]) -> tuple[int, ...]:
    tables = (changes.environments, changes.queues, changes.definitions, changes.documents, changes.jobs)
    return (
        *(len(table) for table in tables),
        len(changes.job_tags),
        len(changes.specs),
        changes.next_key,
        len(effects),
    )


def build_launch(launch: LaunchTask, problem: str = "") -> Launch:
    return Launch(
        attempt_node=launch.attempt_node,
        spec_key=launch.spec_key,
        task=launch.task,
        environment=launch.environment,
        device_ids=launch.device_ids,
        job_id=launch.job_id,
        problem=problem,
    )


class Surroundings:
    """What a server is given by its world; implemented by the simulation."""

    agenda: Agenda
    disk: Disk

    def fate(self, server: Server) -> Fate:
        raise NotImplementedError

    def latency(self) -> int:
        raise NotImplementedError

    def problem(self, server: Server, attempt_id: str) -> str:
        """Why this server must not start the attempt; empty: it may."""
        raise NotImplementedError

    def before_durable(self, server: Server, rows: Rows, now_ms: int) -> None:
        raise NotImplementedError

    def first_commands(self) -> list[c.Command]:
        """What makes an empty store usable."""
        raise NotImplementedError

    def crash(self, server: Server) -> None:
        raise NotImplementedError

    def gone(self, server: Server, error: BaseException | None) -> None:
        raise NotImplementedError

    def note(self, text: str) -> None:
        raise NotImplementedError


class Server:
    """Opens the store, restores the machine, starts the engines, then serves: as server.service.Service does."""

    def __init__(
        self,
        around: Surroundings,
        connections: Sequence[Connection],
        capacity: CloudConnection,
        instances: Sequence[Instance],
        skew_ms: int,
        batch_commands: int,
        compares: Callable[[], bool],
        limits: Limits = LIMITS,
    ) -> None:
        self._around = around
        self.connections = list(connections)
        self.capacity = capacity
        self._instances = instances
        self._compares = compares
        self.epoch = around.disk.claim()
        self._limits = limits
        self.crash_in: int | None = None  # steps
        self.is_serving = False
        self._pending: dict[asyncio.Task[Any], Heard] = {}
        now_ms = around.agenda.now_ms + skew_ms
        snapshot = around.disk.snapshot(now_ms, LIMITS.idempotency_kept_ms)
        self.clock = SkewedClock(around.agenda, skew_ms, snapshot.last_time_ms)
        self._is_new = snapshot.last_time_ms == 0
        self.machine = WatchedMachine(lambda text: around.note(f"server {self.epoch} {text}"), limits)
        self.machine.restore(snapshot)
        self.events = VirtualLoop(around.agenda, self._after_step)
        self.writer = DiskWriter(
            around.disk,
            self.epoch,
            around.agenda,
            lambda: around.fate(self),
            lambda rows, now_ms, _: around.before_durable(self, rows, now_ms),
            self._after_durable,
        )
        engines: dict[str, Engine] = {connection.name: connection for connection in connections}
        if self._is_new:
            batch_commands = BATCH_COMMANDS  # what makes an empty store usable is one commit
        self.loop = Loop(
            self.machine, self.writer, engines, self.clock, self._build_launch, batch_commands, capacity=capacity
        )
        self.events.create_task(self._live()).add_done_callback(self._ended)

    def _build_launch(self, launch: LaunchTask) -> Launch:
        return build_launch(launch, self._around.problem(self, launch.attempt_id))

    async def _live(self) -> None:
        await self.loop.start(self.epoch)
        running = self.events.create_task(self.loop.run())
        abilities = {connection.name: connection.abilities for connection in self.connections}
        first: list[c.Command] = [c.SetHost(instance, abilities) for instance in self._instances]
        if self._is_new:
            first += self._around.first_commands()
        asked = [self.events.create_task(self.loop.ask(command)) for command in first]
        try:
            for one in asked:
                await one
        except (Stopped, asyncio.CancelledError):
            await running  # says why
        self.is_serving = True
        await running
        self.is_serving = False
        for connection in self.connections:
            await connection.close(kill=False)
        self.capacity.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = task.exception()
        if error is None or isinstance(error, CommitLostError | StaleEpochError):
            self._around.gone(self, error)
        else:
            raise ViolationError(f"server {self.epoch} fell over: {type(error).__name__}: {error}") from error

    def _after_step(self) -> None:
        complaint = self.events.complaint
        if complaint is not None:
            error = complaint.get("exception")
            if isinstance(error, ViolationError):
                raise error
            raise ViolationError(f"server {self.epoch}: {complaint['message']}") from error
        if self.crash_in is not None and not self.events.is_dead:
            self.crash_in -= 1
            if self.crash_in < 0:
                self._around.crash(self)

    # -- requests --

    def request(self, make: Callable[[], c.Command], wait_ms: int, heard: Heard) -> None:
        """One HTTP request: `make` reads the store, then the request may wait, then the loop is asked."""

        async def handle() -> Any:
            command = make()
            if wait_ms:
                await asyncio.sleep(wait_ms / 1000)
            return await self.loop.ask(command)

        self._begin(handle(), heard)

    def _begin(self, request: Coroutine[Any, Any, Any], heard: Heard) -> None:
        task = self.events.create_task(request)
        self._pending[task] = heard
        task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[Any]) -> None:
        heard = self._pending.pop(task)
        if task.cancelled():
            heard(NoAnswerError())
            return
        error = task.exception()
        if error is None:
            heard(task.result())
        elif isinstance(error, Stopped | Busy):
            heard(NoAnswerError())
        elif isinstance(error, Refused):
            heard(error)
        else:
            raise ViolationError(f"a request met {type(error).__name__}: {error}") from error

    # -- the end --

    def die(self) -> None:
        """The process is gone: whatever it had in hand is dropped, what it wrote stays."""
        self.writer.is_cut = True
        self.is_serving = False
        for connection in self.connections:
            connection.cut()
        self.capacity.cut()
        self.events.die()
        pending, self._pending = list(self._pending.values()), {}
        for heard in pending:
            self._around.agenda.after(1, lambda heard=heard: heard(NoAnswerError()))  # type: ignore[misc]

    # -- the store and the machine agree --

    def _after_durable(self) -> None:
        if self._compares():
            self.compare()

    def compare(self) -> None:
        """Between a commit and its answer the machine stands still: a machine restored now must be its equal."""
        live = self.machine.world
        restored = Machine(ACCOUNT, self._limits, CATALOGUE)
        now_ms = self.clock.now_ms()
        restored.restore(self._around.disk.snapshot(now_ms, LIMITS.idempotency_kept_ms))
        if live.host is not None:
            restored.handle(c.SetHost(live.host, live.abilities), now_ms)
        found = differences(live, restored.world)
        if found:
            raise ViolationError("what was restored from the store is not what lives:\n  " + "\n  ".join(found))
