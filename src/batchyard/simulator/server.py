"""One simulated server process: the real machine and the real loop, from opening the store to its end or its death."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from batchyard.core.machine import Machine
from batchyard.core.model import commands as c
from batchyard.core.model import reports
from batchyard.core.model.changes import Changes, Snapshot
from batchyard.core.model.effects import Effect, LaunchTask
from batchyard.core.model.names import Account
from batchyard.core.model.queue_actions import ActOnQueue
from batchyard.core.model.records import HOST_PROVIDER, Instance
from batchyard.core.model.refusal import Refused
from batchyard.core.model.resources import Resources
from batchyard.core.state.check import assert_consistent
from batchyard.core.state.world import Limits
from batchyard.engines.base import Engine, Launch, StaleEpochError
from batchyard.loop import Busy, Loop, Stopped
from batchyard.loop.loop import BATCH_COMMANDS
from batchyard.simulator.attempt_ledger import ViolationError
from batchyard.simulator.disk import CommitLostError, CommitOutcome, Disk, DiskWriter
from batchyard.simulator.event_loop import VirtualLoop
from batchyard.simulator.event_queue import SimulatorEventQueue, SkewedClock
from batchyard.simulator.fake_cloud import CloudConnection
from batchyard.simulator.fake_site import Connection
from batchyard.simulator.state_digest import differences
from batchyard.simulator.workflow_carrier import EFFECTS, WorkflowCarrier
from batchyard.simulator.workflow_oracle import WorkflowOracle
from batchyard.simulator.workload import CATALOGUE
from batchyard.store.codec import Rows
from batchyard.workflows.machine import WorkflowsMachine
from batchyard.workflows.registry import Registry

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
COMPARE_SHARE = 0.15  # share of commits after which the store is restored and compared, the most expensive check
GPUS_AGAIN_MS = 100  # between tries of a watch whose command the loop did not take

OnAnswer = Callable[[Any], None]  # takes the answer, or the exception that came instead


class NoAnswerError(Exception):
    """The connection broke: the client cannot know the result of its request."""


class WatchedMachine(Machine):
    """The real machine, whose invariants are all checked at the end of each batch."""

    def __init__(self, note: Callable[[str], None], limits: Limits) -> None:
        super().__init__(ACCOUNT, limits, CATALOGUE)
        self._note = note
        self._floors: dict[str, Resources] = {}
        self.gpus_of_batch: c.SetGpus | None = None  # the latest, until a commit has it

    def handle(self, command: c.Command[c.Answer], now_ms: int) -> c.Answer:
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
            self._floors[name] = _below_zero(self.world.instances.available[name].free)
        elif isinstance(command, c.SetGpus):
            name = self.world.instances.providers[command.provider].machine.instance_id
            self._floors[name] = _below_zero(self.world.instances.available[name].free)
            self.gpus_of_batch = command
        return answer

    def report(self, source: str, fact: reports.AnyReport | ActOnQueue, now_ms: int) -> None:
        self._note(f"{source} reports {fact}")
        super().report(source, fact, now_ms)

    def take(self) -> tuple[Changes, list[Effect]]:
        taken = super().take()
        assert_consistent(self.world)
        for name, room in self.world.instances.available.items():
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
        gang=launch.gang,
    )


def restored_workflows(snapshot: Snapshot) -> WorkflowsMachine:
    registry = Registry(ACCOUNT)
    registry.restore(snapshot.documents)
    machine = WorkflowsMachine(ACCOUNT, registry)
    machine.restore(snapshot)
    return machine


class ServerContext(Protocol):
    """The part of its world that a server needs; implemented by simulation.Simulation."""

    @property
    def event_queue(self) -> SimulatorEventQueue: ...

    @property
    def disk(self) -> Disk: ...

    def commit_outcome(self, server: Server) -> CommitOutcome: ...

    def latency(self) -> int: ...

    def problem(self, server: Server, task_id: str) -> str:
        """Returns why this server must not start the attempt, or the node of one; empty: it may."""
        ...

    def before_durable(self, server: Server, rows: Rows, now_ms: int) -> None: ...

    def gpus(self) -> c.SetGpus:
        """Returns the command with the GPUs that are there now."""
        ...

    def first_commands(self) -> list[c.Command[object]]:
        """Returns the commands that make an empty store usable."""
        ...

    def crash(self, server: Server) -> None: ...

    def on_exit(self, server: Server, error: BaseException | None) -> None: ...

    def note(self, text: str) -> None: ...


class Server:
    """Opens the store, restores the machine, starts the engines, then serves: as server.service.Service does."""

    def __init__(
        self,
        context: ServerContext,
        connections: Sequence[Connection],
        capacity: CloudConnection,
        instances: Sequence[Instance],
        skew_ms: int,
        batch_commands: int,
        should_compare: Callable[[], bool],
        limits: Limits = LIMITS,
        *,
        has_workflows: bool = False,
    ) -> None:
        self._context = context
        self.connections = list(connections)
        self.capacity = capacity
        self._instances = instances
        self._should_compare = should_compare
        self.epoch = context.disk.claim()
        self._limits = limits
        self.crash_in: int | None = None  # steps
        self.is_serving = False
        self._pending: dict[asyncio.Task[Any], OnAnswer] = {}
        now_ms = context.event_queue.now_ms + skew_ms
        snapshot = context.disk.snapshot(now_ms, LIMITS.idempotency_kept_ms)
        self.clock = SkewedClock(context.event_queue, skew_ms, snapshot.last_time_ms)
        self._is_new = snapshot.last_time_ms == 0
        self.machine = WatchedMachine(lambda text: context.note(f"server {self.epoch} {text}"), limits)
        self.machine.restore(snapshot)
        self.workflows = restored_workflows(snapshot) if has_workflows else None
        self.event_loop = VirtualLoop(context.event_queue, self._after_step)
        self.writer = DiskWriter(
            context.disk,
            self.epoch,
            context.event_queue,
            lambda: context.commit_outcome(self),
            lambda rows, now_ms, _: context.before_durable(self, rows, now_ms),
            self._after_durable,
        )
        engines: dict[str, Engine] = {connection.name: connection for connection in connections}
        if self._is_new:
            batch_commands = BATCH_COMMANDS  # what makes an empty store usable is one commit
        carrier = self._carrier()
        self.loop = Loop(
            [self.machine, *([self.workflows] if self.workflows is not None else [])],
            self.writer,
            engines,
            self.clock,
            self._build_launch,
            batch_commands,
            capacities={HOST_PROVIDER: capacity},
            handlers=dict.fromkeys(EFFECTS, carrier.carry_out) if carrier is not None else None,
        )
        if carrier is not None:
            carrier.loop = self.loop
        self.event_loop.create_task(self._live()).add_done_callback(self._ended)

    def _carrier(self) -> WorkflowCarrier | None:
        if self.workflows is None:
            return None
        start = self.event_loop.create_task
        disk, latency = self._context.disk, self._context.latency
        return WorkflowCarrier(ACCOUNT, self.epoch, self.workflows, disk, latency, start)

    def _build_launch(self, launch: LaunchTask) -> Launch:
        return build_launch(launch, self._context.problem(self, launch.attempt_node.task_id))

    async def _live(self) -> None:
        await self.loop.start(self.epoch)
        running = self.event_loop.create_task(self.loop.run())
        abilities = {connection.name: connection.abilities for connection in self.connections}
        first: list[c.Command[object]] = [c.SetHost(instance, abilities) for instance in self._instances]
        if self._is_new:
            first += self._context.first_commands()
        asked = [self.event_loop.create_task(self.loop.ask(command)) for command in first]
        try:
            for one in asked:
                await one
        except (Stopped, asyncio.CancelledError):
            await running  # raises the reason
        self.is_serving = True
        if self._context.gpus() != c.SetGpus(self._instances[-1].gpu_ids, ()):  # also what was lost before the start
            self.send_gpus()
        await running
        self.is_serving = False
        for connection in self.connections:
            await connection.close(kill=False)
        self.capacity.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = task.exception()
        if error is None or isinstance(error, CommitLostError | StaleEpochError):
            self._context.on_exit(self, error)
        else:
            raise ViolationError(f"server {self.epoch} fell over: {type(error).__name__}: {error}") from error

    def _after_step(self) -> None:
        error_context = self.event_loop.error_context
        if error_context is not None:
            error = error_context.get("exception")
            if isinstance(error, ViolationError):
                raise error
            raise ViolationError(f"server {self.epoch}: {error_context['message']}") from error
        if self.crash_in is not None and not self.event_loop.is_dead:
            self.crash_in -= 1
            if self.crash_in < 0:
                self._context.crash(self)

    # -- requests --

    def request(self, make: Callable[[], c.Command[object]], wait_ms: int, on_answer: OnAnswer) -> None:
        """Simulates one HTTP request: `make` reads the store, then the request may wait, then the loop is asked."""

        async def handle() -> Any:
            command = make()
            if wait_ms:
                await asyncio.sleep(wait_ms / 1000)
            return await self.loop.ask(command)

        self._begin(handle(), on_answer)

    def send_gpus(self) -> None:
        """Sends the GPUs that are there now, as the watch of the service does: until the loop has them."""
        if self.is_serving:
            self.request(self._context.gpus, 0, self._gpus_sent)

    def _gpus_sent(self, answer: Any) -> None:
        if isinstance(answer, NoAnswerError):
            self._context.event_queue.after(GPUS_AGAIN_MS, self.send_gpus)
        else:
            assert answer is None, f"SetGpus was answered with {answer!r}"

    def _begin(self, request: Coroutine[Any, Any, Any], on_answer: OnAnswer) -> None:
        task = self.event_loop.create_task(request)
        self._pending[task] = on_answer
        task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[Any]) -> None:
        on_answer = self._pending.pop(task)
        if task.cancelled():
            on_answer(NoAnswerError())
            return
        error = task.exception()
        if error is None:
            on_answer(task.result())
        elif isinstance(error, Stopped | Busy):
            on_answer(NoAnswerError())
        elif isinstance(error, Refused):
            on_answer(error)
        else:
            raise ViolationError(f"a request met {type(error).__name__}: {error}") from error

    # -- the end --

    def die(self) -> None:
        """Kills the process: what it was doing is dropped, what it wrote stays."""
        self.writer.is_cut = True
        self.is_serving = False
        for connection in self.connections:
            connection.cut()
        self.capacity.cut()
        self.event_loop.die()
        pending, self._pending = list(self._pending.values()), {}
        for on_answer in pending:
            self._context.event_queue.after(1, lambda on_answer=on_answer: on_answer(NoAnswerError()))  # type: ignore[misc]

    # -- the store and the machine agree --

    def _after_durable(self) -> None:
        if self._should_compare():
            self.compare()

    def compare(self) -> None:
        """Compares the machine with one restored from the store: between a commit and its answer they must be equal."""
        snapshot = self._context.disk.snapshot(self.clock.now_ms(), LIMITS.idempotency_kept_ms)
        if self.workflows is not None:
            WorkflowOracle(self._context.disk).compare(self.workflows, restored_workflows(snapshot))
        live = self.machine.world
        restored = Machine(ACCOUNT, self._limits, CATALOGUE)
        now_ms = self.clock.now_ms()
        restored.restore(snapshot)
        for name, provider in live.instances.providers.items():
            restored.handle(c.SetHost(provider.machine, live.abilities, name), now_ms)
        found = differences(live, restored.world)
        if found:
            raise ViolationError("what was restored from the store is not what lives:\n  " + "\n  ".join(found))
