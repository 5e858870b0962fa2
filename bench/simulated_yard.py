"""The real core, many instances and many jobs under simulated time: no store, engine or HTTP around it."""

from __future__ import annotations

import heapq
import random
import time
from typing import Any

from batchyard.core.capacity.catalogue import Catalogue, InstanceType
from batchyard.core.machine import Machine
from batchyard.core.model import commands
from batchyard.core.model.effects import Effect, LaunchInstance, LaunchTask, TerminateInstance
from batchyard.core.model.names import Account
from batchyard.core.model.records import HOST_PROVIDER, Abilities, EnvironmentOrder, Instance, InstanceState
from batchyard.core.model.reports import (
    AnyReport,
    ContainerExit,
    Exited,
    InstanceGone,
    InstanceReady,
    InstanceReport,
    Started,
)
from batchyard.core.model.resources import Resources

ENGINE = "process"
QUEUE = "queue"
INSTANCE_VCPUS = 16
INSTANCE_MIB = 64 * 1024
TYPE = InstanceType("c5.4xlarge", INSTANCE_VCPUS * 1000, INSTANCE_MIB)
SHAPES = tuple((vcpus, mib) for vcpus in (1, 2, 3, 4) for mib in (1024, 2048))  # vCPUs, MiB of the jobs
WHOLE = (INSTANCE_VCPUS, 1024)  # of a job that leaves no vCPU of an instance
FOREVER_MS = 1 << 50
MEAN_VCPUS = sum(vcpus for vcpus, _ in SHAPES) / len(SHAPES)
MEAN_RUN_MS = 300_000
TIMEOUTS_SECONDS = (600, 1800, 7200, 86400)
BOOT_MS = 30_000
START_MS = 1_700_000_000_000


class SimulatedYard:
    """One queue in front of one environment: `instances` managed instances of 16 vCPUs, kept by minvCpus or launched as
    jobs ask for them, and at most `spare` more of them; or one large host as it is (`instances` = 0, of `vcpus`).

    Events are rounded up to `step_ms`: all that happens in a step is one batch, with one scheduling pass."""

    def __init__(
        self, instances: int = 0, vcpus: int = 0, *, is_kept: bool = True, spare: int = 0, step_ms: int = 1000
    ) -> None:
        self.now_ms = START_MS
        self.started = 0
        self.ended = 0
        self.passes = 0
        self._step_ms = step_ms
        self._number = 0
        self._events: list[tuple[int, int, AnyReport | commands.SubmitJob]] = []
        self._run_ms: dict[str, int] = {}  # by job id
        most = vcpus or (instances + spare) * INSTANCE_VCPUS
        self.machine = Machine(Account("123456789012", "us-east-1"), catalogue=Catalogue({TYPE.name: TYPE}))
        host = Instance("i-0123456789abcdef0", Resources(most * 1000, most * INSTANCE_MIB), ())
        self.do(commands.SetHost(host, {ENGINE: Abilities()}))
        self.do(_environment(0 if vcpus else most, instances * INSTANCE_VCPUS if is_kept else 0))
        self.do(commands.CreateJobQueue(QUEUE, "ENABLED", 1, (EnvironmentOrder(1, "yard"),), is_settled=True))
        for cpus, mib in (*SHAPES, WHOLE):
            self.do(commands.RegisterJobDefinition(f"work-{cpus}-{mib}", _definition(cpus, mib)))
        self.finish_batch()
        if is_kept:
            self.run_until(self.now_ms + BOOT_MS + step_ms)
        assert vcpus or not is_kept or self._ready() == instances, f"{self._ready()} of {instances} instances are ready"

    def _ready(self) -> int:
        found = self.machine.world.instances.values()
        return sum(1 for one in found if one.environment and one.state is InstanceState.READY)

    # -- what happens --

    def do(self, command: commands.Command[Any]) -> None:
        self.machine.handle(command, self.now_ms)

    def add_queue(self, name: str) -> None:
        """Adds another queue of the same priority in front of the same environment."""
        self.do(commands.CreateJobQueue(name, "ENABLED", 1, (EnvironmentOrder(1, "yard"),), is_settled=True))

    def submission(
        self, shape: tuple[int, int], run_ms: int = FOREVER_MS, timeout_seconds: int = 0, queue: str = QUEUE
    ) -> commands.SubmitJob:
        """Makes one job's SubmitJob, and plans how long it will run. `timeout_seconds`: 0 for none."""
        self._number += 1
        job_id, (vcpus, mib) = f"{self._number:032x}", shape
        self._run_ms[job_id] = run_ms
        timeout = {"attemptDurationSeconds": timeout_seconds} if timeout_seconds else None
        return commands.SubmitJob(job_id, "job", queue, f"work-{vcpus}-{mib}", timeout=timeout)

    def add_arrivals(self, jobs: int, load: float, vcpus: int, *, have_timeouts: bool = False, seed: int = 1) -> None:
        """Adds jobs of eight shapes at random moments, as many in a second as keep `load` of these vCPUs busy.
        `have_timeouts`: each has the next of four timeouts above its run time."""
        chance, at_ms = random.Random(seed), float(self.now_ms)
        rate = load * vcpus / MEAN_VCPUS / MEAN_RUN_MS  # jobs in a millisecond
        for _ in range(jobs):
            at_ms += chance.expovariate(rate)
            run_ms = 1 + int(chance.expovariate(1 / MEAN_RUN_MS))
            limits = (limit for limit in TIMEOUTS_SECONDS if limit * 1000 > run_ms)
            timeout_seconds = next(limits) if have_timeouts else 0
            self._add(int(at_ms), self.submission(chance.choice(SHAPES), run_ms, timeout_seconds))

    def _add(self, at_ms: int, event: AnyReport | commands.SubmitJob) -> None:
        at_ms += -at_ms % self._step_ms
        self._number += 1
        heapq.heappush(self._events, (at_ms, self._number, event))

    # -- time --

    def run_until(self, end_ms: int) -> None:
        """Handles all events until then, a batch for each moment, and passes that are due without any event."""
        while True:
            due = [at_ms for at_ms in (self.machine.next_deadline(),) if at_ms is not None]
            due += [event[0] for event in self._events[:1]]
            if not due or min(due) > end_ms:
                return
            self.now_ms = max(self.now_ms, min(due))
            self.now_ms += -self.now_ms % self._step_ms
            self._handle_events()
            self.finish_batch()

    def run_to_the_end(self, jobs: int, seconds: float) -> None:
        """Runs until so many jobs have ended, or the time of this process is over."""
        end = time.process_time() + seconds
        while self.ended < jobs and time.process_time() < end:
            assert self._events, f"{self.ended} of {jobs} jobs have ended, and nothing happens any more"
            self.run_until(self._events[0][0])

    def _handle_events(self) -> None:
        while self._events and self._events[0][0] <= self.now_ms:
            event = heapq.heappop(self._events)[2]
            if isinstance(event, commands.SubmitJob):
                self.machine.handle(event, self.now_ms)
                continue
            if isinstance(event, Exited):
                self.ended += 1
            source = HOST_PROVIDER if isinstance(event, InstanceReport) else ENGINE
            self.machine.report(source, event, self.now_ms)

    def finish_batch(self) -> list[Effect]:
        """Ends a batch with its pass, and carries out its effects. Returns them."""
        self.passes += 1
        self.machine.schedule(self.now_ms)
        _, effects = self.machine.take()
        for effect in effects:
            self._carry_out(effect)
        return effects

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, LaunchTask):
            self.started += 1
            self.machine.report(ENGINE, Started(effect.attempt_id, self.now_ms), self.now_ms)
            ends_ms = self.now_ms + self._run_ms.pop(effect.job_id)
            self._add(ends_ms, Exited(effect.attempt_id, self.now_ms, ends_ms, (ContainerExit(exit_code=0),)))
        elif isinstance(effect, LaunchInstance):
            self._add(self.now_ms + BOOT_MS, InstanceReady(effect.instance.instance_id))
        elif isinstance(effect, TerminateInstance):
            self._add(self.now_ms, InstanceGone(effect.instance_id))


def _environment(most_vcpus: int, least_vcpus: int) -> commands.CreateComputeEnvironment:
    if not most_vcpus:
        return commands.CreateComputeEnvironment("yard", "u", "UNMANAGED", "ENABLED", ENGINE, {}, is_settled=True)
    resources = {
        "type": "EC2",
        "minvCpus": least_vcpus,
        "maxvCpus": most_vcpus,
        "instanceTypes": [TYPE.name],
        "allocationStrategy": "BEST_FIT_PROGRESSIVE",
    }
    document = {"computeResources": resources}
    return commands.CreateComputeEnvironment("yard", "u", "MANAGED", "ENABLED", ENGINE, document, is_settled=True)


def _definition(vcpus: int, mib: int) -> dict[str, Any]:
    asked = [{"type": "VCPU", "value": str(vcpus)}, {"type": "MEMORY", "value": str(mib)}]
    properties = {"image": "any", "command": ["true"], "resourceRequirements": asked}
    return {"type": "container", "containerProperties": properties}
