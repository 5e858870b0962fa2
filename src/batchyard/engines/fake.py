"""An engine and a source of instances, in memory and under virtual time: for the simulator and for tests.

`FakeHost` outlives a server as a host does: it runs each attempt as `plan` decides, and moves only when `advance`
is called. `FakeEngine` is one server's connection to it. `FakeCloud` and `FakeCapacity` are the same for instances.
Nothing here waits, draws random numbers or reads a clock: plans and deliveries decide on faults, perhaps by a seed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.records import Abilities, Instance, InstanceState, containers_of
from batchyard.core.model.reports import (
    ContainerExit,
    Exited,
    InstanceGone,
    InstanceInterrupted,
    InstanceReady,
    InstanceRefused,
    InstanceReport,
    Lost,
    NotStarted,
    Report,
    Started,
)
from batchyard.engines.base import (
    RECOVERED_SILENT,
    STOP_GRACE_SECONDS,
    InstanceReportSink,
    Launch,
    Recovery,
    ReportSink,
    StaleEpochError,
    log_path,
)
from batchyard.engines.container_group import ContainerGroup, grace_of
from batchyard.engines.event_queue import ReportQueue
from batchyard.engines.log_file import LogFile

SIGKILL_EXIT_CODE = 137
SIGTERM_EXIT_CODE = 143
SIGKILL_NUMBER = 9
SIGTERM_NUMBER = 15
LOST = "The host lost the attempt."
DAMAGED = "The journal is damaged, so that nobody can tell whether the attempt ran."


class Behaviour(Struct, frozen=True):
    """The behaviour of one attempt. Milliseconds count from its launch (`starts_after_ms`) or its start (the others).

    Of a task of several containers only `refusal`, `starts_after_ms` and `lost_after_ms` are the attempt's;
    `containers` has what each does, where `starts_after_ms` counts from the moment it may start."""

    runs_ms: int | None = 0  # None: until it is stopped
    exit: ContainerExit = ContainerExit(exit_code=0)
    starts_after_ms: int = 0
    refusal: str = ""  # reason of NotStarted
    refusal_exit_code: int | None = None
    lost_after_ms: int | None = None
    stop_takes_ms: int | None = 0  # from SIGTERM to its end; None: it ignores SIGTERM
    stop_exit_code: int = SIGTERM_EXIT_CODE
    output: tuple[tuple[int, str], ...] = ()  # when, what
    containers: dict[str, Behaviour] = {}


Plan = Callable[[Launch], Behaviour]
# After how many milliseconds a report arrives: once for each number. (): never, until it is repeated.
Delivery = Callable[[Report], Sequence[int]]


def immediately(_report: object) -> Sequence[int]:
    return (0,)


class _Attempt:
    def __init__(self, launch: Launch, behaviour: Behaviour) -> None:
        self.launch = launch
        self.attempt_id, self.node = launch.attempt_id, launch.attempt_node.node
        self.behaviour = behaviour
        self.group = ContainerGroup(containers_of(launch.task))
        self.is_several = bool(launch.task.containers)
        self.begun: set[str] = set()  # containers that are being started, were, or could not be
        self.is_running = False  # the first of its containers was started
        self.is_started = False  # it was reported so
        self.started_at_ms = 0
        self.stopping: set[str] = set()
        self.final: Report | None = None
        self.logs: dict[str, LogFile] = {}

    def behaviour_of(self, container: str) -> Behaviour:
        if not self.is_several:
            return self.behaviour
        return self.behaviour.containers.get(container, Behaviour())


class FakeHost(ReportQueue[Report]):
    """Runs attempts under virtual time, and remembers them across servers as a supervisor does."""

    def __init__(self, plan: Plan, delivery: Delivery = immediately, logs_directory: Path | None = None) -> None:
        super().__init__(delivery)
        self._plan = plan
        self._logs_directory = logs_directory
        self._attempts: dict[str, _Attempt] = {}
        self._acknowledged: set[str] = set()
        self._is_intact = True
        self.epoch = 0
        self.refused_commands = 0
        self.runs: dict[str, int] = {}  # task id -> how often it was really started

    # -- Faults --

    def lose(self, task_id: str) -> None:
        """Ends a live attempt without an outcome. Ignores others."""
        attempt = self._attempts.get(task_id)
        if attempt is not None and attempt.final is None:
            self._end(attempt, Lost(attempt.attempt_id, self.now_ms, LOST, attempt.started_at_ms, node=attempt.node))

    def damage(self) -> None:
        """From now on an unknown attempt may have run, until a server has accounted for all its attempts."""
        self._is_intact = False

    def alive(self) -> list[str]:
        return [task_id for task_id, attempt in self._attempts.items() if attempt.final is None]

    # -- Commands --

    def connect(self, epoch: int, sink: ReportSink) -> None:
        if epoch < self.epoch:
            raise StaleEpochError(f"the host serves a server of epoch {self.epoch}, this one has {epoch}")
        self.epoch = epoch
        self.sink = sink
        for attempt in self._attempts.values():
            self._repeat(attempt)

    def accepts(self, epoch: int) -> bool:
        if epoch < self.epoch:
            self.refused_commands += 1
            return False
        return True

    def launch(self, launch: Launch) -> None:
        known = self._attempts.get(launch.task_id)
        if known is not None:
            self._repeat(known, even_acknowledged=True)
            return
        attempt = _Attempt(launch, self._plan(launch))
        self._attempts[launch.task_id] = attempt
        self._after(attempt.behaviour.starts_after_ms, lambda: self._start(attempt))

    def stop(self, task_id: str, grace_seconds: float) -> None:
        attempt = self._attempts.get(task_id)
        if attempt is None or attempt.final is not None:
            return
        if not attempt.is_running:
            self._end(attempt, NotStarted(attempt.attempt_id, self.now_ms, RECOVERED_SILENT, node=attempt.node))
            return
        attempt.group.cancel_pending()
        self._stop_all(attempt, grace_seconds)
        self._follow(attempt)

    def acknowledge(self, task_id: str) -> None:
        attempt = self._attempts.get(task_id)
        if attempt is not None and attempt.final is not None:
            self._acknowledged.add(task_id)

    def recover(self, attempts: Sequence[Recovery]) -> None:
        for recovery in attempts:
            task_id = recovery.launch.task_id
            if task_id in self._attempts:
                self._repeat(self._attempts[task_id], even_acknowledged=True)
            elif recovery.may_launch and self._is_intact:
                self.launch(recovery.launch)
            else:
                attempt = _Attempt(recovery.launch, Behaviour())
                self._attempts[task_id] = attempt
                if self._is_intact and not recovery.known_started:
                    self._end(attempt, NotStarted(attempt.attempt_id, self.now_ms, RECOVERED_SILENT, node=attempt.node))
                else:
                    self._end(
                        attempt,
                        Lost(attempt.attempt_id, self.now_ms, LOST if self._is_intact else DAMAGED, node=attempt.node),
                    )
        self._is_intact = True

    # -- What happens --

    def _start(self, attempt: _Attempt) -> None:
        if attempt.final is not None:
            return
        behaviour = attempt.behaviour
        if behaviour.refusal:
            self._end(
                attempt,
                NotStarted(
                    attempt.attempt_id, self.now_ms, behaviour.refusal, behaviour.refusal_exit_code, node=attempt.node
                ),
            )
            return
        self._follow(attempt)

    def _follow(self, attempt: _Attempt) -> None:
        """Takes the steps that follow from the state of the containers."""
        if attempt.final is not None:
            return
        group = attempt.group
        for name in group.startable():
            if name not in attempt.begun:
                attempt.begun.add(name)
                after_ms = attempt.behaviour_of(name).starts_after_ms if attempt.is_several else 0
                if after_ms:
                    self._after(after_ms, lambda name=name: self._begin(attempt, name))  # type: ignore[misc]
                else:
                    self._begin(attempt, name)
        if group.is_ending:
            self._stop_all(attempt, STOP_GRACE_SECONDS, again=False)
        if group.ever_ran and not group.waiting() and not attempt.is_started:
            attempt.is_started = True
            attempt.started_at_ms = self.now_ms
            self._send(Started(attempt.attempt_id, self.now_ms, node=attempt.node))
        if group.is_over and attempt.final is None:
            self._finish(attempt)

    def _finish(self, attempt: _Attempt) -> None:
        exits = attempt.group.exits()
        if attempt.is_started:
            self._end(attempt, Exited(attempt.attempt_id, attempt.started_at_ms, self.now_ms, exits, node=attempt.node))
        else:
            cause = next(one for one in exits if one.name in attempt.begun)
            self._end(
                attempt,
                NotStarted(
                    attempt.attempt_id, self.now_ms, cause.reason, cause.exit_code, cause.name, node=attempt.node
                ),
            )

    def _begin(self, attempt: _Attempt, name: str) -> None:
        """Starts a container."""
        if attempt.final is not None or name not in attempt.group.waiting():
            return
        behaviour, task_id = attempt.behaviour_of(name), attempt.launch.task_id
        if attempt.is_several and behaviour.refusal:
            attempt.group.ended(ContainerExit(name, behaviour.refusal_exit_code, reason=behaviour.refusal))
            self._follow(attempt)
            return
        if not attempt.is_running:
            attempt.is_running = True
            self.runs[task_id] = self.runs.get(task_id, 0) + 1
            if attempt.behaviour.lost_after_ms is not None:
                self._after(attempt.behaviour.lost_after_ms, lambda: self.lose(task_id))
        attempt.group.started(name)
        if self._logs_directory is not None:
            attempt.logs[name] = LogFile(log_path(self._logs_directory, task_id, name))
        for after_ms, text in behaviour.output:
            self._after(after_ms, lambda text=text: self._print(attempt, name, text))  # type: ignore[misc]
        if behaviour.runs_ms is not None:
            self._after(behaviour.runs_ms, lambda: self._exit(attempt, name, behaviour.exit))
        start_timeout = attempt.group.specs[name].start_timeout_seconds
        if start_timeout:
            self._after(start_timeout * 1000, lambda: self._time_out(attempt, name))
        self._follow(attempt)

    def _time_out(self, attempt: _Attempt, name: str) -> None:
        attempt.group.start_timed_out(name)
        self._follow(attempt)

    def _stop_all(self, attempt: _Attempt, grace_seconds: float, *, again: bool = True) -> None:
        """Sends SIGTERM to every running container, once; SIGKILL after the grace, each time."""
        for name in attempt.group.stoppable():
            is_new = name not in attempt.stopping
            if is_new or again:
                attempt.stopping.add(name)
                self._stop_one(attempt, name, grace_of(attempt.group.specs[name], grace_seconds), is_new)

    def _stop_one(self, attempt: _Attempt, name: str, grace_seconds: float, is_new: bool) -> None:
        behaviour = attempt.behaviour_of(name)
        if behaviour.stop_takes_ms is not None and is_new and grace_seconds > 0:
            number = SIGTERM_NUMBER if behaviour.stop_exit_code == SIGTERM_EXIT_CODE else 0
            stopped = ContainerExit(exit_code=behaviour.stop_exit_code, signal=number)
            self._after(behaviour.stop_takes_ms, lambda: self._exit(attempt, name, stopped))
        killed = ContainerExit(exit_code=SIGKILL_EXIT_CODE, signal=SIGKILL_NUMBER)
        self._after(int(grace_seconds * 1000), lambda: self._exit(attempt, name, killed))

    def _print(self, attempt: _Attempt, name: str, text: str) -> None:
        if attempt.final is None and name in attempt.group.running() and name in attempt.logs:
            attempt.logs[name].write(text.encode(), self.now_ms)

    def _exit(self, attempt: _Attempt, name: str, container: ContainerExit) -> None:
        if attempt.final is None and name in attempt.group.running():
            when = self.now_ms if attempt.is_several else 0
            attempt.group.ended(replace(container, name=name, stopped_at_ms=when))
            if name in attempt.logs:
                attempt.logs[name].finish(self.now_ms)
            self._follow(attempt)

    def _end(self, attempt: _Attempt, final: Report) -> None:
        for name in attempt.group.running():
            if name in attempt.logs:
                attempt.logs[name].finish(self.now_ms)
        attempt.final = final
        self._send(final)

    def _repeat(self, attempt: _Attempt, *, even_acknowledged: bool = False) -> None:
        task_id = attempt.launch.task_id
        if attempt.final is not None:
            if even_acknowledged or task_id not in self._acknowledged:
                self._send(attempt.final)
        elif attempt.is_started:
            self._send(Started(attempt.attempt_id, attempt.started_at_ms, node=attempt.node))


class FakeEngine:
    """Implements `batchyard.engines.base.Engine` for one server; `host.advance` makes things happen."""

    def __init__(self, host: FakeHost, name: str = "fake", abilities: Abilities | None = None) -> None:
        self.name = name
        self.abilities = abilities or Abilities(
            images=True, needs_command=False, any_mount=True, multiple_containers=True, networks=True
        )
        self.host = host
        self._epoch = 0
        self._report: ReportSink | None = None

    async def start(self, epoch: int, report: ReportSink) -> None:
        self._epoch = epoch
        self._report = report
        self.host.connect(epoch, report)

    async def failed(self) -> None:
        await asyncio.Event().wait()  # its world has no such end: a later server's epoch silences it

    def launch(self, tasks: Sequence[Launch]) -> None:
        if self.host.accepts(self._epoch):
            for launch in tasks:
                self.host.launch(launch)

    def stop(self, attempt_node: AttemptNode, grace_seconds: float) -> None:
        if self.host.accepts(self._epoch):
            self.host.stop(attempt_node.task_id, grace_seconds)

    def acknowledge(self, attempt_nodes: Sequence[AttemptNode]) -> None:
        if self.host.accepts(self._epoch):
            for attempt_node in attempt_nodes:
                self.host.acknowledge(attempt_node.task_id)

    def recover(self, attempts: Sequence[Recovery]) -> None:
        if self.host.accepts(self._epoch):
            self.host.recover(attempts)

    async def close(self, *, kill: bool) -> None:
        if self.host.sink is self._report:
            self.host.sink = None  # attempts run on; their reports wait for the next server


# -- instances --


class InstancePlan(Struct, frozen=True):
    """What happens to one instance. Milliseconds count from its launch (`boots_ms`), from the end of its boot
    (`interrupted_after_ms`, `lost_after_ms`), from the notice (`notice_ms`), or from its termination (`ends_ms`)."""

    boots_ms: int = 0
    refusal: str = ""  # it can't be had: reported when its boot would have ended
    interrupted_after_ms: int | None = None  # Spot
    notice_ms: int = 0  # then it is gone, terminated or not
    lost_after_ms: int | None = None  # gone without a notice
    ends_ms: int = 0


PlanInstance = Callable[[Instance], InstancePlan]
# As `Delivery`, for reports about instances.
InstanceDelivery = Callable[[InstanceReport], Sequence[int]]


class _FakeInstance:
    """An instance as the cloud sees it."""

    def __init__(self, instance: Instance, plan: InstancePlan) -> None:
        self.instance = instance
        self.plan = plan
        self.is_ready = False
        self.is_ending = False
        self.last: InstanceReport | None = None  # refused or gone: nothing comes after it


class FakeCloud(ReportQueue[InstanceReport]):
    """Boots instances under virtual time, and remembers them across servers. `on_end` is called when one has ended,
    before that is reported: what ran on it has died with it."""

    def __init__(
        self,
        plan_instance: PlanInstance = lambda instance: InstancePlan(),
        delivery: InstanceDelivery = immediately,
        on_end: Callable[[str], None] = lambda instance_id: None,
    ) -> None:
        super().__init__(delivery)
        self._plan_instance = plan_instance
        self._on_end = on_end
        self._instances: dict[str, _FakeInstance] = {}
        self.boots: dict[str, int] = {}  # instance id -> how often it was really booted

    # -- Faults --

    def alive(self) -> list[Instance]:
        """Returns the instances that boot or are up, in the order of their launches."""
        return [fake.instance for fake in self._instances.values() if fake.last is None]

    def is_up(self, instance_id: str) -> bool:
        fake = self._instances.get(instance_id)
        return fake is not None and fake.last is None and fake.is_ready

    def interrupt(self, instance_id: str, notice_ms: int) -> None:
        """Gives notice to an instance, and ends it after the notice. Ignores an instance that is not up."""
        fake = self._instances.get(instance_id)
        if fake is not None and self.is_up(instance_id) and not fake.is_ending:
            self._send(InstanceInterrupted(instance_id, notice_ms / 1000))
            self._after(notice_ms, lambda: self.lose(instance_id))

    def lose(self, instance_id: str) -> None:
        """Ends an instance without a notice."""
        fake = self._instances.get(instance_id)
        if fake is not None:
            self._end(fake, InstanceGone(instance_id))

    def forget(self) -> None:
        """Forgets every instance, as one host does at its reboot: after the next `launch` boots begin again, and
        instances that were up are up."""
        self._instances.clear()
        self._events.clear()
        self.boots.clear()

    # -- Commands --

    def launch(self, instance: Instance) -> None:
        known = self._instances.get(instance.instance_id)
        if known is not None:
            self._repeat(known)
            return
        fake = self._instances[instance.instance_id] = _FakeInstance(instance, self._plan_instance(instance))
        if instance.state is InstanceState.LAUNCHING:
            self._after(fake.plan.boots_ms, lambda: self._boot(fake))
        else:
            self._come_up(fake)

    def terminate(self, instance_id: str) -> None:
        fake = self._instances.get(instance_id)
        if fake is None or fake.last is not None:
            self._send(InstanceGone(instance_id))
        elif not fake.is_ending:
            fake.is_ending = True
            self._after(fake.plan.ends_ms, lambda: self._end(fake, InstanceGone(instance_id)))

    # -- What happens --

    def _boot(self, fake: _FakeInstance) -> None:
        instance_id = fake.instance.instance_id
        if fake.last is not None or fake.is_ending:
            return
        if fake.plan.refusal:
            self._end(fake, InstanceRefused(instance_id, fake.plan.refusal))
            return
        self.boots[instance_id] = self.boots.get(instance_id, 0) + 1
        self._come_up(fake)
        self._send(InstanceReady(instance_id))

    def _come_up(self, fake: _FakeInstance) -> None:
        fake.is_ready = True
        instance_id, plan = fake.instance.instance_id, fake.plan
        if plan.interrupted_after_ms is not None:
            self._after(plan.interrupted_after_ms, lambda: self.interrupt(instance_id, plan.notice_ms))
        if plan.lost_after_ms is not None:
            self._after(plan.lost_after_ms, lambda: self.lose(instance_id))

    def _end(self, fake: _FakeInstance, last: InstanceReport) -> None:
        if fake.last is None:
            fake.last = last
            self._on_end(fake.instance.instance_id)
            self._send(last)

    def _repeat(self, fake: _FakeInstance) -> None:
        if fake.last is not None:
            self._send(fake.last)
        elif fake.is_ready:
            self._send(InstanceReady(fake.instance.instance_id))


class FakeCapacity:
    """Implements `batchyard.engines.base.Capacity` for one server; `cloud.advance` makes things happen."""

    def __init__(self, cloud: FakeCloud) -> None:
        self.cloud = cloud
        self._report: InstanceReportSink | None = None

    def start(self, report: InstanceReportSink) -> None:
        self._report = self.cloud.sink = report

    def launch(self, instances: Sequence[Instance]) -> None:
        for instance in instances:
            self.cloud.launch(instance)

    def terminate(self, instance_ids: Sequence[str]) -> None:
        for instance_id in instance_ids:
            self.cloud.terminate(instance_id)

    def close(self) -> None:
        if self.cloud.sink is self._report:
            self.cloud.sink = None  # instances live on; reports about them are repeated on request
