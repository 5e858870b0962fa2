"""A machine in a test's hands: commits kept in memory, engines played by the test, crashes on demand."""

from __future__ import annotations

import itertools
from typing import Any

from batchyard.core import commands as c
from batchyard.core.arrays import virtual_child
from batchyard.core.check import assert_consistent, never_over_committed
from batchyard.core.effects import AcknowledgeTask, Effect, LaunchTask, RecoverTask, StopTask
from batchyard.core.machine import Machine
from batchyard.core.names import Account, parse_job_id
from batchyard.core.records import (
    Abilities,
    Changes,
    EnvironmentOrder,
    Instance,
    Job,
    JobSpec,
    Snapshot,
    Status,
)
from batchyard.core.resources import Resources

ACCOUNT = Account("123456789012", "us-east-1")
HOST = "i-0123456789abcdef0"
ENGINE = "process"


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
        self.launched: dict[str, LaunchTask] = {}  # by attempt id, not yet ended
        self.running: set[str] = set()
        self.stops: list[StopTask] = []
        self.ever_launched: list[str] = []
        self.acknowledged: set[str] = set()
        self.ids = itertools.count(1)
        self.host = Instance(HOST, Resources(vcpus * 1000, memory_mib, gpus), tuple(range(gpus)))
        self.machine = Machine(ACCOUNT)
        self.set_host()
        self.do(c.CreateComputeEnvironment("local", "u", "UNMANAGED", "ENABLED", ENGINE, {}))
        self.do(c.CreateJobQueue("default", "ENABLED", 1, (EnvironmentOrder(1, "local"),)))

    def queue(self, name: str, *environments: str, priority: int = 1, **members: Any) -> None:
        order = tuple(EnvironmentOrder(number, one) for number, one in enumerate(environments or ("local",), 1))
        self.do(c.CreateJobQueue(name, "ENABLED", priority, order, **members))

    def set_host(self) -> None:
        self.do(c.SetHost(self.host, {ENGINE: Abilities()}))

    # -- one step --

    def do(self, command: c.Command) -> Any:
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
        for effect in effects:
            self._act(effect)
        assert_consistent(self.machine.world)
        assert never_over_committed(self.machine.world)

    def _act(self, effect: Effect) -> None:
        if isinstance(effect, LaunchTask):
            assert effect.attempt_id not in self.ever_launched, "an attempt is launched twice"
            self.ever_launched.append(effect.attempt_id)
            self.launched[effect.attempt_id] = effect
        elif isinstance(effect, StopTask):
            self.stops.append(effect)
        elif isinstance(effect, AcknowledgeTask):
            self.acknowledged.add(effect.attempt_id)

    # -- submissions --

    def define(self, name: str = "work", **document: Any) -> None:
        container = {
            "image": "busybox",
            "command": ["true"],
            "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
            **document.pop("container", {}),
        }
        self.do(c.RegisterJobDefinition(name, {"type": "container", "containerProperties": container, **document}))

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

    def report(self, fact: c.Report) -> None:
        self.now_ms += 1
        self.machine.report(ENGINE, fact, self.now_ms)
        self._finish_batch()

    def started(self, job_id: str) -> None:
        attempt = self.attempt_of(job_id)
        self.running.add(attempt)
        self.report(c.Started(attempt, self.now_ms))

    def exited(self, job_id: str, code: int = 0, **members: Any) -> None:
        attempt = self.attempt_of(job_id)
        self._forget(attempt)
        self.report(c.Exited(attempt, self.now_ms, self.now_ms + 1, (c.ContainerExit(exit_code=code, **members),)))

    def not_started(self, job_id: str, reason: str = "CannotStartContainerError: no such program") -> None:
        attempt = self.attempt_of(job_id)
        self._forget(attempt)
        self.report(c.NotStarted(attempt, self.now_ms, reason, 127))

    def lost(self, job_id: str) -> None:
        attempt = self.attempt_of(job_id)
        self._forget(attempt)
        self.report(c.Lost(attempt, self.now_ms, "gone"))

    def _forget(self, attempt: str) -> None:
        del self.launched[attempt]
        self.running.discard(attempt)

    def crash(self) -> None:
        """The server dies; a new one starts from what was committed. The engine kept its attempts."""
        self.machine = Machine(ACCOUNT)
        self.machine.restore(self.kept.snapshot())
        asked = {e.attempt_id: e for e in self.machine.recover() if isinstance(e, RecoverTask)}
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
