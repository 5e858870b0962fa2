"""A machine in a test's hands: commits kept in memory, engines played by the test, crashes on demand."""

from __future__ import annotations

import itertools
from typing import Any

from batchyard.core.capacity.catalogue import Catalogue, InstanceType
from batchyard.core.machine import Machine
from batchyard.core.model import commands as c
from batchyard.core.model import reports
from batchyard.core.model.attempt_node import parse_node
from batchyard.core.model.changes import Changes, Snapshot
from batchyard.core.model.effects import (
    AcknowledgeTask,
    Effect,
    LaunchInstance,
    LaunchTask,
    RecoverTask,
    StopTask,
    TerminateInstance,
)
from batchyard.core.model.fact_kinds import kinds
from batchyard.core.model.facts import JobQueueBlocked
from batchyard.core.model.names import Account, parse_job_id
from batchyard.core.model.records import (
    HOST_PROVIDER,
    Abilities,
    EnvironmentOrder,
    Instance,
    InstanceState,
    Job,
    JobSpec,
    Status,
)
from batchyard.core.model.resources import Resources
from batchyard.core.state.arrays import virtual_child
from batchyard.core.state.check import assert_consistent, never_over_committed
from tests.core.fact_ledger import FactLedger

ACCOUNT = Account("123456789012", "us-east-1")
HOST = "i-0123456789abcdef0"
ENGINE = "process"


def _type(name: str, vcpus: int, memory_mib: int, gpus: int = 0) -> InstanceType:
    return InstanceType(name, vcpus * 1000, memory_mib, gpus, "NVIDIA" if gpus else "")


# A handful of types with round numbers beside EC2's own.
CATALOGUE = Catalogue(
    {
        kind.name: kind
        for kind in (
            _type("c5.large", 2, 4096),
            _type("c5.xlarge", 4, 8192),
            _type("c5.2xlarge", 8, 16384),
            _type("r5.large", 2, 16384),
            _type("g5.xlarge", 4, 16384, 1),
            _type("m5.24xlarge", 96, 393216),
        )
    }
)


class Kept:
    """What a store would hold after the commits so far."""

    def __init__(self) -> None:
        self.environments: dict[str, Any] = {}
        self.queues: dict[str, Any] = {}
        self.definitions: dict[Any, Any] = {}
        self.documents: dict[Any, Any] = {}
        self.revisions: dict[str, int] = {}
        self.specs: dict[int, JobSpec] = {}
        self.jobs: dict[int, Job] = {}
        self.job_tags: dict[int, dict[str, str]] = {}
        self.next_key = 1

    def commit(self, changes: Changes) -> None:
        for mine, theirs in (
            (self.environments, changes.environments),
            (self.queues, changes.queues),
            (self.definitions, changes.definitions),
            (self.documents, changes.documents),
        ):
            for key, record in theirs.items():
                if record is None:
                    mine.pop(key, None)
                else:
                    mine[key] = record
        self.revisions.update(changes.revisions)
        self.specs.update({s.key: s for s in changes.specs})
        self.jobs.update(changes.jobs)
        self.job_tags.update(changes.job_tags)
        self.next_key = max(self.next_key, changes.next_key)

    def snapshot(self) -> Snapshot:
        open_specs = [s for s in self.specs.values() if not self.jobs[s.key].status.is_final]
        ids = {s.job_id: s for s in self.specs.values()}
        finished: dict[str, str] = {}
        for spec in open_specs:
            for dependency in spec.depends_on:
                wanted = parse_job_id(dependency.job_id)
                if wanted.uuid in ids:
                    job = self.job(dependency.job_id)
                    if job.status.is_final:
                        finished[dependency.job_id] = job.status
        return Snapshot(
            environments=list(self.environments.values()),
            queues=list(self.queues.values()),
            definitions=list(self.definitions.values()),
            documents=dict(self.documents),
            revisions=dict(self.revisions),
            specs=open_specs,
            jobs=[j for j in self.jobs.values() if not j.status.is_final],
            finished=finished,
            next_key=self.next_key,
        )

    def job(self, job_id: str) -> Job:
        wanted = parse_job_id(job_id)
        spec = next(s for s in self.specs.values() if s.job_id == wanted.uuid)
        if wanted.index is None:
            return self.jobs[spec.key]
        row = self.jobs.get(spec.key + 1 + wanted.index)
        if row is not None:
            return row
        child = virtual_child(spec, self.jobs[spec.key], wanted.index)
        assert child is not None, f"{job_id} is neither a row nor virtual"
        return child


class Driver:
    """Gives commands, plays the engine, checks every invariant after each step."""

    def __init__(self, vcpus: int = 4, memory_mib: int = 4096, gpus: int = 0) -> None:
        self.now_ms = 1_700_000_000_000
        self.kept = Kept()
        self.launched: dict[str, LaunchTask] = {}  # by task id (of plain jobs the attempt's), not yet ended
        self.running: set[str] = set()
        self.may_shrink = False  # a machine may have less than its jobs hold
        self.stops: list[StopTask] = []
        self.ever_launched: list[str] = []
        self.acknowledged: set[str] = set()
        self.ids = itertools.count(1)
        self.host = Instance(HOST, Resources(vcpus * 1000, memory_mib, gpus), tuple(range(gpus)))
        self.machines: dict[str, Instance] = {}  # by the name of their capacity provider, beside the host
        self.launching: dict[str, Instance] = {}  # asked for, not ready yet
        self.terminated: list[str] = []
        self.facts: list[JobQueueBlocked] = []
        self.ledger = FactLedger()
        self.machine = self.new_machine()
        self.machine.want_facts(kinds().values())
        self.set_host()
        self.do(c.CreateComputeEnvironment("local", "u", "UNMANAGED", "ENABLED", ENGINE, {}, is_settled=True))
        self.do(c.CreateJobQueue("default", "ENABLED", 1, (EnvironmentOrder(1, "local"),), is_settled=True))

    def queue(self, name: str, *environments: str, priority: int = 1, **members: Any) -> None:
        order = tuple(EnvironmentOrder(number, one) for number, one in enumerate(environments or ("local",), 1))
        self.do(c.CreateJobQueue(name, "ENABLED", priority, order, **members))

    def new_machine(self) -> Machine:
        return Machine(ACCOUNT, catalogue=CATALOGUE)

    def set_host(self) -> None:
        self.do(c.SetHost(self.host, {ENGINE: Abilities()}))
        for provider, machine in self.machines.items():
            self.do(c.SetHost(machine, {ENGINE: Abilities()}, provider))

    # -- one step --

    def do(self, command: c.Command[c.Answer]) -> c.Answer:
        self.now_ms += 1
        try:
            answer = self.machine.handle(command, self.now_ms)
        finally:
            self._finish_batch()
        return answer

    def tick(self, milliseconds: int) -> None:
        self.now_ms += milliseconds
        self._finish_batch()

    def _finish_batch(self) -> None:
        self.machine.schedule(self.now_ms)
        changes, effects = self.machine.take()
        self.kept.commit(changes)
        self.ledger.take(changes.facts)
        self.facts += [fact for fact in changes.facts if isinstance(fact, JobQueueBlocked)]
        for effect in effects:
            self._act(effect)
        assert_consistent(self.machine.world)
        assert self.may_shrink or never_over_committed(self.machine.world)

    def _act(self, effect: Effect) -> None:
        if isinstance(effect, LaunchTask):
            task_id = effect.attempt_node.task_id
            assert task_id not in self.ever_launched, "a node of an attempt is launched twice"
            self.ever_launched.append(task_id)
            self.launched[task_id] = effect
        elif isinstance(effect, StopTask):
            self.stops.append(effect)
        elif isinstance(effect, AcknowledgeTask):
            self.acknowledged.add(effect.attempt_node.task_id)
        elif isinstance(effect, LaunchInstance):
            self.launching[effect.instance.instance_id] = effect.instance
        elif isinstance(effect, TerminateInstance):
            self.launching.pop(effect.instance_id, None)
            self.terminated.append(effect.instance_id)

    # -- managed environments --

    def fleet(
        self, name: str, *types: str, most: int = 16, kind: str = "EC2", provider: str = HOST_PROVIDER, **members: Any
    ) -> None:
        """A MANAGED environment, and a queue of its name."""
        resources = {"type": kind, "maxvCpus": most, **members}
        if kind in ("EC2", "SPOT"):
            resources = {"minvCpus": 0, "instanceTypes": list(types or ("c5.large",)), **resources}
            resources.setdefault("allocationStrategy", "BEST_FIT_PROGRESSIVE" if kind == "EC2" else "BEST_FIT")
        document = {"computeResources": resources}
        self.do(
            c.CreateComputeEnvironment(name, f"uuid-{name}", "MANAGED", "ENABLED", ENGINE, document, provider=provider)
        )
        self.queue(name, name)

    def booted(self, *instance_ids: str) -> list[str]:
        """What is being launched (or these) becomes ready; returns their ids."""
        ready = list(instance_ids or self.launching)
        for instance_id in ready:
            del self.launching[instance_id]
            self.fact(reports.InstanceReady(instance_id))
        return ready

    def fact(self, fact: reports.InstanceReport) -> None:
        self.now_ms += 1
        self.machine.report(HOST_PROVIDER, fact, self.now_ms)
        self._finish_batch()

    def gone(self) -> list[str]:
        """What was told to end has ended; returns their ids."""
        ended, self.terminated = self.terminated, []
        for instance_id in ended:
            self.fact(reports.InstanceGone(instance_id))
        return ended

    def instances(self, environment: str) -> list[Instance]:
        world = self.machine.world
        return [world.instances[i] for i in world.instances.launched_in.get(environment, ())]

    # -- submissions --

    def define(self, name: str = "work", **document: Any) -> None:
        container = {
            "image": "busybox",
            "command": ["true"],
            "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
            **document.pop("container", {}),
        }
        self.do(c.RegisterJobDefinition(name, {"type": "container", "containerProperties": container, **document}))

    def define_nodes(
        self, name: str = "gang", count: int = 3, main: int = 0, vcpus: str = "1", **document: Any
    ) -> None:
        """A definition of a multi-node job, all of whose nodes run the same."""
        container = {
            "image": "busybox",
            "command": ["true"],
            "resourceRequirements": [{"type": "VCPU", "value": vcpus}, {"type": "MEMORY", "value": "64"}],
        }
        ranges = document.pop("ranges", [{"targetNodes": ":", "container": container}])
        nodes = {"numNodes": count, "mainNode": main, "nodeRangeProperties": ranges}
        self.do(c.RegisterJobDefinition(name, {"type": "multinode", "nodeProperties": nodes, **document}))

    def submit(self, definition: str = "work", **members: Any) -> str:
        if (definition, 1) not in self.machine.world.definitions:
            self.define(definition)
        job_id = f"00000000-0000-4000-8000-{next(self.ids):012d}"
        depends_on = tuple(members.pop("depends_on", ()))
        finished = {}
        arrays = {}
        for dependency in depends_on:
            if dependency.job_id and dependency.job_id.split(":")[0] in {s.job_id for s in self.kept.specs.values()}:
                job = self.kept.job(dependency.job_id)
                if job.status.is_final:
                    finished[dependency.job_id] = str(job.status)
                    if job.array is not None:
                        arrays[dependency.job_id] = c.FinishedArray(job.array.size, job.array.failed)
        queue = members.pop("queue", "default")
        command = c.SubmitJob(
            job_id,
            "name",
            queue,
            definition,
            depends_on=depends_on,
            finished=finished,
            finished_arrays=arrays,
            **members,
        )
        return str(self.do(command).job_id)

    # -- the engine's part --

    def attempt_of(self, job_id: str) -> str:
        found = [a for a, launch in self.launched.items() if launch.job_id == job_id]
        assert len(found) == 1, f"{job_id} has the placed attempts {found}"
        return found[0]

    def report(self, fact: reports.Report) -> None:
        self.now_ms += 1
        self.machine.report(ENGINE, fact, self.now_ms)
        self._finish_batch()

    def started(self, job_id: str) -> None:
        attempt = self.attempt_of(job_id)
        self.running.add(attempt)
        attempt, node = parse_node(attempt)
        self.report(reports.Started(attempt, self.now_ms, node=node))

    def exited(self, job_id: str, code: int = 0, **members: Any) -> None:
        attempt = self.attempt_of(job_id)
        self._forget(attempt)
        attempt, node = parse_node(attempt)
        ended = (reports.ContainerExit(exit_code=code, **members),)
        self.report(reports.Exited(attempt, self.now_ms, self.now_ms + 1, ended, node=node))

    def not_started(self, job_id: str, reason: str = "CannotStartContainerError: no such program") -> None:
        attempt = self.attempt_of(job_id)
        self._forget(attempt)
        attempt, node = parse_node(attempt)
        self.report(reports.NotStarted(attempt, self.now_ms, reason, 127, node=node))

    def lost(self, job_id: str) -> None:
        attempt = self.attempt_of(job_id)
        self._forget(attempt)
        attempt, node = parse_node(attempt)
        self.report(reports.Lost(attempt, self.now_ms, "gone", node=node))

    def _forget(self, attempt: str) -> None:
        del self.launched[attempt]
        self.running.discard(attempt)

    def crash(self) -> None:
        """The server dies; a new one starts from what was committed. The engine kept its attempts."""
        self.machine = self.new_machine()
        self.machine.restore(self.kept.snapshot())
        self.machine.want_facts(kinds().values())
        recovery = self.machine.recover()
        asked = {e.attempt_node.task_id: e for e in recovery if isinstance(e, RecoverTask)}
        again = [e.instance for e in recovery if isinstance(e, LaunchInstance)]
        assert {i.instance_id for i in again if i.state is InstanceState.LAUNCHING} == set(self.launching)
        assert set(asked) == set(self.launched), "the restarted machine knows other attempts than the engine"
        for attempt, effect in asked.items():
            assert effect.known_started == (attempt in self.running)
        self.set_host()

    # -- looking --

    def job(self, job_id: str) -> Job:
        return self.kept.job(job_id)

    def status(self, job_id: str) -> Status:
        return self.job(job_id).status

    def placed(self) -> list[str]:
        return sorted(launch.job_id for launch in self.launched.values())
