"""Runs one load on the real machine and the real loop under virtual time, without faults of its own, and records vCPUs
in service, demand, waiting jobs, launches and ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from msgspec import Struct

from batchyard.core.capacity.catalogue import Catalogue, InstanceType
from batchyard.core.machine import Machine
from batchyard.core.model import commands as c
from batchyard.core.model import names
from batchyard.core.model.changes import Changes
from batchyard.core.model.effects import LaunchTask
from batchyard.core.model.records import HOST_PROVIDER, EnvironmentOrder, Instance, InstanceState, Job, Market, Status
from batchyard.core.model.resources import MILLI_PER_VCPU, Resources
from batchyard.core.scheduling.candidates import len_of
from batchyard.core.state.document_kinds import INSTANCE
from batchyard.core.state.runnable import RunnableJobs, ShapeQueue
from batchyard.core.state.world import Limits
from batchyard.engines.base import Launch
from batchyard.engines.event_queue import EventQueue
from batchyard.engines.fake import Behaviour, FakeCapacity, FakeCloud, FakeEngine, FakeHost, InstancePlan
from batchyard.loop import Loop
from batchyard.simulator.driver import BEGINNING_MS, WorldDriver
from batchyard.simulator.event_loop import VirtualLoop
from batchyard.simulator.event_queue import SkewedClock
from batchyard.simulator.server import ACCOUNT, build_launch

BOOT_MS = 1000  # as the service's --boot-seconds
LIMITS = Limits()  # the service's own: --scale-down-seconds 30
ENGINE = "fake"
QUEUE = "work"
HOST_MEMORY_MIB = 1 << 20  # so that only vCPUs limit
NO_CAPACITY = "no Spot capacity"
# EC2's types of these names.
TYPES = (
    InstanceType("c5.large", 2000, 4096),
    InstanceType("c5.xlarge", 4000, 8192),
    InstanceType("c5.2xlarge", 8000, 16384),
)
CATALOGUE = Catalogue({kind.name: kind for kind in TYPES})


class Arrival(Struct, frozen=True):
    """A job, or an array of `count`, that needs `vcpus`; each job takes the next of the run times."""

    at_ms: int
    vcpus: int
    runs_ms: tuple[int, ...]
    count: int = 1


class Storm(Struct, frozen=True):
    """An event: all Spot instances are interrupted, and Spot capacity is refused for a while."""

    at_ms: int
    notice_ms: int
    refused_ms: int


class Fleet(Struct, frozen=True):
    """A MANAGED environment."""

    name: str
    kind: str
    most: int
    least: int = 0
    types: tuple[str, ...] = ("c5.large", "c5.xlarge", "c5.2xlarge")

    def document(self) -> dict[str, Any]:
        strategy = "BEST_FIT_PROGRESSIVE" if self.kind == "EC2" else "SPOT_PRICE_CAPACITY_OPTIMIZED"
        resources = {
            "type": self.kind,
            "minvCpus": self.least,
            "maxvCpus": self.most,
            "instanceTypes": list(self.types),
            "allocationStrategy": strategy,
        }
        return {"computeResources": resources}


class Load(Struct, frozen=True):
    """The fleets and arrivals of one run. The queue tries the fleets in their order."""

    fleets: tuple[Fleet, ...]
    arrivals: tuple[Arrival, ...]
    host_vcpus: int = 64
    storms: tuple[Storm, ...] = ()


class Sample(Struct, frozen=True):
    """The vCPUs and numbers of jobs from `at_ms` (after the beginning) on."""

    at_ms: int
    in_service: dict[str, float]  # by environment: of instances that are READY
    launching: float
    leaving: float  # DRAINING or TERMINATING
    running: float  # held by attempts
    waiting_vcpus: float
    waiting: int

    @property
    def demand(self) -> float:
        return self.running + self.waiting_vcpus


class InstanceEvent(Struct, frozen=True):
    """An instance was launched, refused or terminated. `idle_ms`: for how long it was idle when it was terminated."""

    at_ms: int
    instance_id: str
    environment: str
    vcpus: float
    idle_ms: int = 0
    is_interrupted: bool = False


class Record(Struct):
    """Everything that one run recorded."""

    samples: list[Sample] = []
    launches: list[InstanceEvent] = []
    ends: list[InstanceEvent] = []
    refused: list[InstanceEvent] = []
    waits_ms: dict[str, int] = {}  # by job: from its submission to its first attempt
    failed: int = 0
    succeeded: int = 0

    def until(self, at_ms: int) -> list[Sample]:
        return [sample for sample in self.samples if sample.at_ms <= at_ms]


class ScenarioRunner(WorldDriver):
    """Runs one load, and is the writer of its loop."""

    def __init__(self, load: Load) -> None:
        super().__init__()
        self._load = load
        self._host = FakeHost(self._plan)
        self._cloud = FakeCloud(self._plan_instance, on_end=self._on_end)
        self._refused_until_ms = 0
        self._runs_ms: dict[str, tuple[int, ...]] = {}  # by job id
        self._submitted_ms: dict[str, int] = {}
        self._idle_since: dict[str, int] = {}
        self._known: dict[str, Instance] = {}
        self.record = Record()
        self._machine = Machine(ACCOUNT, LIMITS, CATALOGUE)
        self._event_loop = VirtualLoop(self.event_queue, self._after_step)
        self._loop = Loop(
            [self._machine],
            self,
            {ENGINE: FakeEngine(self._host, ENGINE)},
            SkewedClock(self.event_queue, 0, 0),
            self._build_launch,
            capacities={HOST_PROVIDER: FakeCapacity(self._cloud)},
        )

    def run(self) -> Record:
        """Runs until no event is left."""
        self._event_loop.create_task(self._serve())
        for number, arrival in enumerate(self._load.arrivals, 1):
            self.event_queue.at(BEGINNING_MS + arrival.at_ms, partial(self._submit, number, arrival))
        for storm in self._load.storms:
            self.event_queue.at(BEGINNING_MS + storm.at_ms, partial(self._strike, storm))
        self.run_until_idle()
        self._event_loop.die()
        return self.record

    def fakes(self) -> Sequence[EventQueue]:
        return self._cloud, self._host

    def run_event(self, at_ms: int) -> None:
        """Runs the next event; moves the clocks of the fakes first, since no connection between them and the loop
        does so."""
        self.advance_fakes(at_ms)
        super().run_event(at_ms)

    def _after_step(self) -> None:
        assert self._event_loop.error_context is None, self._event_loop.error_context

    async def _serve(self) -> None:
        await self._loop.start(1)
        running = self._event_loop.create_task(self._loop.run())
        host = Instance("i-host", Resources(self._load.host_vcpus * MILLI_PER_VCPU, HOST_MEMORY_MIB))
        abilities = FakeEngine(self._host, ENGINE).abilities
        commands: list[c.Command[object]] = [c.SetHost(host, {ENGINE: abilities})]
        for one in self._load.fleets:
            document = one.document()
            commands.append(c.CreateComputeEnvironment(one.name, one.name, "MANAGED", "ENABLED", ENGINE, document))
        order = tuple(EnvironmentOrder(number, one.name) for number, one in enumerate(self._load.fleets, 1))
        commands.append(c.CreateJobQueue(QUEUE, "ENABLED", 1, order))
        container = {"image": "busybox", "command": ["true"]}
        commands.append(c.RegisterJobDefinition("work", {"type": "container", "containerProperties": container}))
        for command in commands:
            await self._loop.ask(command)
        await running

    # -- the load --

    def _submit(self, number: int, arrival: Arrival) -> None:
        job_id = f"{number:08x}-0000-4000-8000-000000000000"
        self._runs_ms[job_id] = arrival.runs_ms
        self._submitted_ms[job_id] = self.event_queue.now_ms
        asked = [{"type": "VCPU", "value": str(arrival.vcpus)}, {"type": "MEMORY", "value": "256"}]
        command = c.SubmitJob(
            job_id,
            f"job-{number}",
            QUEUE,
            "work",
            array_size=arrival.count if arrival.count > 1 else 0,
            overrides={"resourceRequirements": asked},
            retry_strategy={"attempts": 10},
        )
        self._event_loop.create_task(self._loop.ask(command)).add_done_callback(lambda answered: answered.result())

    def _strike(self, storm: Storm) -> None:
        self._refused_until_ms = self.event_queue.now_ms + storm.refused_ms
        for instance in self._cloud.alive():
            if instance.market is Market.SPOT:
                self._cloud.interrupt(instance.instance_id, storm.notice_ms)

    def _plan(self, launch: Launch) -> Behaviour:
        job_id, _, index = launch.job_id.partition(":")
        self.record.waits_ms.setdefault(launch.job_id, self.event_queue.now_ms - self._submitted_ms[job_id])
        runs_ms = self._runs_ms[job_id]
        return Behaviour(runs_ms=runs_ms[int(index or 0) % len(runs_ms)])

    def _plan_instance(self, instance: Instance) -> InstancePlan:
        is_refused = instance.market is Market.SPOT and self.event_queue.now_ms < self._refused_until_ms
        return InstancePlan(BOOT_MS, NO_CAPACITY if is_refused else "")

    def _on_end(self, instance_id: str) -> None:
        """Kills what runs on an instance that ended."""
        world = self._machine.world
        for key in world.instances.placed_on(instance_id):
            attempt = world.jobs[key].attempt
            assert attempt is not None
            self._host.lose(names.task_id(key, attempt.number, world.jobs.id_of(key)))

    def _build_launch(self, launch: LaunchTask) -> Launch:
        return build_launch(launch)

    # -- the loop's writer: records what is committed --

    def commit(self, changes: Changes, now_ms: int) -> Future[None]:
        """Implements loop.ChangeWriter."""
        at_ms = now_ms - BEGINNING_MS
        for job in changes.jobs.values():
            self._count(job)
        for (kind, name), record in changes.documents.items():
            if kind == INSTANCE:
                assert record is None or isinstance(record, Instance)
                self._see(name, record, at_ms)
        self._note_idle(at_ms)
        self._sample(at_ms)
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def _count(self, job: Job) -> None:
        if job.array is None:
            self.record.succeeded += job.status is Status.SUCCEEDED
            self.record.failed += job.status is Status.FAILED

    def _see(self, name: str, new: Instance | None, at_ms: int) -> None:
        old = self._known.pop(name, None)
        if new is None:
            assert old is not None, f"{name} is gone and was never there"
            if old.state is InstanceState.LAUNCHING:
                vcpus = old.resources.milli_vcpus / MILLI_PER_VCPU
                self.record.refused.append(InstanceEvent(at_ms, name, old.environment, vcpus))
            return
        self._known[name] = new
        vcpus = new.resources.milli_vcpus / MILLI_PER_VCPU
        if old is None:
            self.record.launches.append(InstanceEvent(at_ms, name, new.environment, vcpus))
        elif new.state is InstanceState.TERMINATING and old.state is not new.state:
            idle_ms = at_ms - self._idle_since.get(name, at_ms)
            self.record.ends.append(InstanceEvent(at_ms, name, new.environment, vcpus, idle_ms, bool(new.ends_at_ms)))

    def _note_idle(self, at_ms: int) -> None:
        world = self._machine.world
        ready = [name for name, one in self._known.items() if one.state is InstanceState.READY]
        idle = [name for name in ready if not world.instances.placed_on(name)]
        self._idle_since = {name: self._idle_since.get(name, at_ms) for name in idle}

    def _sample(self, at_ms: int) -> None:
        world = self._machine.world
        in_service = {one.name: 0.0 for one in self._load.fleets}
        amounts = {"coming": 0.0, "leaving": 0.0}
        for instance in self._known.values():
            vcpus = instance.resources.milli_vcpus / MILLI_PER_VCPU
            if instance.state is InstanceState.READY:
                in_service[instance.environment] += vcpus
            else:
                amounts["coming" if instance.state is InstanceState.LAUNCHING else "leaving"] += vcpus
        placed = (key for key, job in world.jobs.items() if job.attempt is not None)
        running = sum(world.jobs.spec_of(key).task.resources.milli_vcpus for key in placed)
        waiting = [
            (one.shape, len_of(world, key))
            for one in _shape_queues(world.queues.runnable.values())
            for key in one.entries
        ]
        sample = Sample(
            at_ms,
            in_service,
            amounts["coming"],
            amounts["leaving"],
            running / MILLI_PER_VCPU,
            sum(shape.resources.milli_vcpus * count for shape, count in waiting) / MILLI_PER_VCPU,
            sum(count for _, count in waiting),
        )
        if self.record.samples and self.record.samples[-1].at_ms == at_ms:
            self.record.samples.pop()
        self.record.samples.append(sample)


def _shape_queues(runnable: Iterable[RunnableJobs]) -> list[ShapeQueue]:
    return [one for jobs in runnable for one in jobs.shape_queues()]
