"""Runs the machine of jobs, the one that the service runs, under simulated time.

Commands, reports and effects are those of the service; only what engines and providers would do is played here: an
instance boots in a fixed time, a job runs as long as its trace says, a Spot instance is interrupted at a moment that
its id and the seed decide, so that variants meet the same fate. All that happens within a step of time is one batch
with one scheduling pass, as the service takes together what arrives during a commit."""

from __future__ import annotations

import hashlib
import heapq
import math
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from batchyard.core.capacity.catalogue import Catalogue
from batchyard.core.capacity.prices import Prices
from batchyard.core.machine import Machine
from batchyard.core.model import commands
from batchyard.core.model.effects import Effect, LaunchInstance, LaunchTask, StopTask, TerminateInstance
from batchyard.core.model.names import Account
from batchyard.core.model.records import (
    HOST_PROVIDER,
    Abilities,
    Dependency,
    EnvironmentOrder,
    Instance,
    Market,
)
from batchyard.core.model.refusal import Refused
from batchyard.core.model.reports import (
    ContainerExit,
    Exited,
    InstanceGone,
    InstanceInterrupted,
    InstanceReady,
    Started,
)
from batchyard.core.model.resources import MILLI_PER_VCPU, Resources
from batchyard.core.questions.explanation import AskExplain
from batchyard.planning.outcome import NEVER, InstanceLife, Outcome, Timeline
from batchyard.planning.site import Document, Site, refused
from batchyard.planning.workload import ITSELF, PlannedJob, Workload

ENGINE = "simulated"
ACCOUNT = Account("123456789012", "us-east-1")
HOST_ID = "i-00000000000000000"
ORIGIN_MS = 1_700_000_000_000  # where simulated time begins: any moment of the present
TERMINATED = 143  # the exit code of a job that ends by SIGTERM
MS_PER_HOUR = 3_600_000
FAR_MS = 1 << 52
DEFAULT_SHARE = "default"  # of jobs without a share in a queue that has a policy
# A lost attempt is made up for as often as AWS allows; one that failed by itself is not run again.
MAX_ATTEMPTS = 10
RETRY = {
    "attempts": MAX_ATTEMPTS,
    "evaluateOnExit": [{"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}],
}
PROGRESS_EVENTS = 2000  # between two looks at progress and Ctrl-C


class Conditions(Struct, frozen=True):
    """`spot_rate_per_hour`: interruptions of a Spot instance, on average. `step_ms`: events are taken together in steps
    of this length."""

    boot_ms: int = 60_000
    spot_rate_per_hour: float = 0.0
    notice_seconds: float = 120.0
    step_ms: int = 1000
    seed: int = 1


class _Running(Struct):
    """An attempt's node that runs. `row`: of the outcome; NEVER of nodes other than the main one."""

    row: int
    started_ms: int
    ends_ms: int
    resources: Resources
    instance_id: str


class Simulation:
    """One variant. `run` may be called again after it was stopped."""

    def __init__(
        self,
        workload: Workload,
        site: Site,
        conditions: Conditions,
        catalogue: Catalogue,
        prices: Prices = Prices(),  # noqa: B008  (frozen)
    ) -> None:
        self.outcome = Outcome()
        self.now_ms = ORIGIN_MS
        self.machine = Machine(ACCOUNT, catalogue=catalogue, prices=prices)
        self._workload, self._conditions = workload, conditions
        self._next = 0  # the next submission
        self._rows: dict[int, int] = {}  # the first row of each submission
        self._number = 0
        self._events: list[tuple[int, int, Any]] = []
        self._running: dict[tuple[str, int], _Running] = {}
        self._interrupted: set[str] = set()  # instances
        self._lost: Counter[int] = Counter()  # attempts, by row
        self._definitions: dict[tuple[int, int, int, int], str] = {}
        self._left = workload.children
        self._waiting = 0
        self._held_milli_vcpus = 0
        self._capacity_milli_vcpus = 0
        self._since_ms = ORIGIN_MS  # until where the timeline is complete
        self._timeline = Timeline()
        self._has_policy: dict[str, bool] = {}
        self._set_up(site)

    # -- setting up --

    def _do(self, command: commands.Command[Any], where: str) -> None:
        try:
            self.machine.handle(command, self.now_ms)
        except Refused as error:
            raise refused(where, error) from None

    def _set_up(self, site: Site) -> None:
        gpu_ids = tuple(range(site.host.gpus))
        resources = Resources(site.host.milli_vcpus, site.host.memory_mib, site.host.gpus)
        if any(one.get("type") == "MANAGED" for one in site.environments):
            # Managed instances take their share of the provider's machine: there must be enough for all.
            most = [int((one.get("computeResources") or {}).get("maxvCpus", 0)) for one in site.environments]
            room = sum(most) * MILLI_PER_VCPU * 2
            resources = Resources(
                resources.milli_vcpus + room, resources.memory_mib + room * 64, resources.gpus + sum(most)
            )
            gpu_ids = tuple(range(resources.gpus))
        self._do(
            commands.SetHost(Instance(HOST_ID, resources, gpu_ids), {ENGINE: Abilities(any_mount=True)}), "the host"
        )
        for one in site.environments:
            name = one["computeEnvironmentName"]
            document = {k: v for k, v in one.items() if k in ("computeResources", "unmanagedvCpus")}
            command = commands.CreateComputeEnvironment(
                name, f"uuid-{name}", one.get("type", "MANAGED"), "ENABLED", ENGINE, document, is_settled=True
            )
            self._do(command, f"the compute environment {name}")
            if one.get("type") == "UNMANAGED":
                self.outcome.host_milli_vcpus = self._capacity_milli_vcpus = site.host.milli_vcpus
        for name, document in site.policies.items():
            self._do(commands.CreateSchedulingPolicy(name, dict(document)), f"the policy {name}")
        for one in site.queues:
            self._add_queue(one)
        self._finish_batch()

    def _add_queue(self, one: Document) -> None:
        name = one["jobQueueName"]
        order = tuple(
            EnvironmentOrder(entry["order"], entry["computeEnvironment"].rpartition("/")[2])
            for entry in one["computeEnvironmentOrder"]
        )
        document = {}
        policy = one.get("schedulingPolicyArn", "")
        self._has_policy[name] = bool(policy)
        if policy:
            document["schedulingPolicyArn"] = ACCOUNT.arn("batch", f"scheduling-policy/{policy.rpartition('/')[2]}")
        command = commands.CreateJobQueue(
            name, "ENABLED", int(one.get("priority", 1)), order, document, is_settled=True
        )
        self._do(command, f"the job queue {name}")

    # -- time --

    def run(self, should_stop: Callable[[], bool] = lambda: False, until_ms: int = FAR_MS) -> Outcome:
        """Runs until all jobs have ended, nothing happens any more, or it is stopped."""
        jobs, step_ms = self._workload.jobs, self._conditions.step_ms
        handled = 0
        while self._left:
            arrival_ms = ORIGIN_MS + jobs[self._next].submit_ms if self._next < len(jobs) else FAR_MS
            due_ms = self.machine.next_deadline()
            at_ms = min(
                arrival_ms, self._events[0][0] if self._events else FAR_MS, FAR_MS if due_ms is None else due_ms
            )
            at_ms = max(at_ms, self.now_ms)
            if at_ms >= min(FAR_MS, ORIGIN_MS + until_ms):
                break
            at_ms += -at_ms % step_ms
            self._pass_time(at_ms)
            self._handle_events()
            self._submit_due()
            self._finish_batch()
            handled += 1
            if handled % PROGRESS_EVENTS == 0 and should_stop():
                break
        self._close()
        return self.outcome

    @property
    def progress(self) -> tuple[int, int]:
        """How many jobs have ended, and of how many."""
        total = self._workload.children
        return total - self._left, total

    def _pass_time(self, at_ms: int) -> None:
        length = at_ms - self._since_ms
        if length <= 0:
            self.now_ms = max(self.now_ms, at_ms)
            return
        capacity, held, found = self._capacity_milli_vcpus, self._held_milli_vcpus, self.outcome
        self._timeline.add(self._since_ms - ORIGIN_MS, at_ms - ORIGIN_MS, capacity, held, self._waiting)
        found.capacity_milli_vcpu_ms += capacity * length
        if self._waiting:
            found.free_while_waiting_ms += max(0, capacity - held) * length
            found.capacity_while_waiting_ms += capacity * length
        self._since_ms = self.now_ms = at_ms

    def _add(self, at_ms: int, event: Any) -> None:
        self._number += 1
        heapq.heappush(self._events, (at_ms, self._number, event))

    def _handle_events(self) -> None:
        events, now_ms = self._events, self.now_ms
        while events and events[0][0] <= now_ms:
            at_ms, _, event = heapq.heappop(events)
            if isinstance(event, tuple):
                running = self._running.get(event)
                if running is not None and running.ends_ms == at_ms:
                    self._end(event, running, 0)
            elif isinstance(event, InstanceReady):
                self._ready(event)
            elif isinstance(event, InstanceInterrupted):
                self._interrupt(event)
            else:
                self._gone(event)

    def _finish_batch(self) -> None:
        while True:
            self.machine.schedule(self.now_ms)
            _, effects = self.machine.take()
            for effect in effects:
                self._carry_out(effect)
            if not any(isinstance(effect, StopTask | LaunchTask) for effect in effects):
                return

    # -- jobs --

    def _submit_due(self) -> None:
        jobs, now_ms = self._workload.jobs, self.now_ms - ORIGIN_MS
        while self._next < len(jobs) and jobs[self._next].submit_ms <= now_ms:
            self._submit(self._next, jobs[self._next])
            self._next += 1

    def _submit(self, place: int, job: PlannedJob) -> None:
        has_policy = self._has_policy.get(job.queue, False)
        share = "".join(filter(str.isalnum, job.share)) or DEFAULT_SHARE
        jobs = self._workload.jobs
        over = [other for other, _ in job.depends_on if other != ITSELF and self._is_over(other)]
        command = commands.SubmitJob(
            job_id=_job_id(place),
            name="job",
            queue=job.queue,
            definition=self._definition(job),
            array_size=job.size if job.size > 1 else 0,
            depends_on=tuple(
                Dependency(_job_id(other) if other != ITSELF else "", kind) for other, kind in job.depends_on
            ),
            finished={_job_id(other): self._status(other) for other in over},
            finished_arrays={_job_id(other): self._finished_array(other) for other in over if jobs[other].size > 1},
            timeout={"attemptDurationSeconds": max(60, math.ceil(job.limit_ms / 1000))} if job.limit_ms else None,
            retry_strategy=RETRY,
            share_identifier=share if has_policy else "",
            scheduling_priority=job.priority if has_policy else None,
        )
        self._do(command, f"job {place + 1} of the workload")
        self._rows[place] = self.outcome.add_jobs(place, job.size)
        self._waiting += job.size

    def _is_over(self, place: int) -> bool:
        row, size = self._rows[place], self._workload.jobs[place].size
        return all(self.outcome.end_ms[row + child] != NEVER for child in range(size))

    def _status(self, place: int) -> str:
        return "FAILED" if self._finished_array(place).failed else "SUCCEEDED"

    def _finished_array(self, place: int) -> commands.FinishedArray:
        row, size = self._rows[place], self._workload.jobs[place].size
        failed = [child for child in range(size) if self.outcome.has_failed[row + child]]
        return commands.FinishedArray(size, tuple((child, child + 1) for child in failed))

    def _definition(self, job: PlannedJob) -> str:
        """Returns the name of a definition that asks for what the job asks for. vCPUs are whole ones, as on EC2."""
        vcpus = max(1, -(-job.milli_vcpus // MILLI_PER_VCPU))
        shape = vcpus, job.memory_mib, job.gpus, job.nodes
        name = self._definitions.get(shape)
        if name is None:
            name = self._definitions[shape] = "shape-" + "-".join(map(str, shape))
            self._do(commands.RegisterJobDefinition(name, _definition_document(*shape)), f"a job of {vcpus} vCPUs")
        return name

    # -- effects --

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, LaunchTask):
            self._launch_task(effect)
        elif isinstance(effect, StopTask):
            key = effect.attempt_id, effect.attempt_node.node
            running = self._running.get(key)
            if running is not None:
                self._end(key, running, TERMINATED)
        elif isinstance(effect, LaunchInstance):
            self._launch_instance(effect.instance)
        elif isinstance(effect, TerminateInstance):
            self._gone(InstanceGone(effect.instance_id))

    def _launch_task(self, effect: LaunchTask) -> None:
        at, now_ms = effect.attempt_node, self.now_ms
        self.machine.report(ENGINE, Started(at.attempt_id, now_ms, node=at.node), now_ms)
        base, _, child = effect.job_id.partition("#")[0].partition(":")
        place, index = int(base.replace("-", ""), 16) - 1, int(child or 0)
        job = self._workload.jobs[place]
        row = self._rows[place] + index
        is_main = at.node == 0
        if is_main and self.outcome.start_ms[row] == NEVER:
            self.outcome.start_ms[row] = now_ms - ORIGIN_MS
            self._waiting -= 1
        ends_ms = now_ms + job.runs_ms[index] if is_main else FAR_MS
        resources = effect.task.resources
        self._running[at.attempt_id, at.node] = _Running(
            row if is_main else NEVER, now_ms, ends_ms, resources, at.instance_id
        )
        self._held_milli_vcpus += resources.milli_vcpus
        if is_main:
            self._add(ends_ms, (at.attempt_id, at.node))

    def _end(self, key: tuple[str, int], running: _Running, exit_code: int) -> None:
        """Reports the end of an attempt's node. One whose instance was interrupted is run again."""
        del self._running[key]
        now_ms, found, asked = self.now_ms, self.outcome, running.resources
        length = now_ms - running.started_ms
        self._held_milli_vcpus -= asked.milli_vcpus
        found.held_milli_vcpu_ms += asked.milli_vcpus * length
        found.held_mib_ms += asked.memory_mib * length
        found.held_gpu_ms += asked.gpus * length
        life = found.instances.get(running.instance_id)
        if life is not None:
            life.held_milli_vcpu_ms += asked.milli_vcpus * length
        is_lost = exit_code != 0 and running.instance_id in self._interrupted
        if is_lost:
            found.interrupted_attempts += running.row != NEVER
            found.interrupted_milli_vcpu_ms += asked.milli_vcpus * length
            self._lost[running.row] += 1
        if running.row != NEVER and not (is_lost and self._lost[running.row] < MAX_ATTEMPTS):
            found.end_ms[running.row] = now_ms - ORIGIN_MS
            found.has_failed[running.row] = exit_code != 0
            self._left -= 1
        ended = Exited(key[0], running.started_ms, now_ms, (ContainerExit(exit_code=exit_code),), node=key[1])
        self.machine.report(ENGINE, ended, now_ms)

    # -- instances --

    def _launch_instance(self, instance: Instance) -> None:
        has, is_spot = instance.resources, instance.market is Market.SPOT
        self.outcome.instances[instance.instance_id] = InstanceLife(
            instance.instance_id,
            instance.instance_type,
            instance.environment,
            is_spot,
            has.milli_vcpus,
            has.memory_mib,
            has.gpus,
            self.now_ms - ORIGIN_MS,
        )
        self._add(self.now_ms + self._conditions.boot_ms, InstanceReady(instance.instance_id))
        rate = self._conditions.spot_rate_per_hour
        if is_spot and rate:
            digest = hashlib.sha256(f"{self._conditions.seed}/{instance.instance_id}".encode()).digest()
            lives_ms = random.Random(digest).expovariate(rate) * MS_PER_HOUR
            at_ms = self.now_ms + self._conditions.boot_ms + int(lives_ms)
            self._add(at_ms, InstanceInterrupted(instance.instance_id, self._conditions.notice_seconds))

    def _ready(self, event: InstanceReady) -> None:
        life = self.outcome.instances[event.instance_id]
        if life.ended_ms == NEVER:
            life.ready_ms = self.now_ms - ORIGIN_MS
            self._capacity_milli_vcpus += life.milli_vcpus
            self.machine.report(HOST_PROVIDER, event, self.now_ms)

    def _interrupt(self, event: InstanceInterrupted) -> None:
        life = self.outcome.instances[event.instance_id]
        if life.ended_ms == NEVER:
            life.is_interrupted = True
            self._interrupted.add(event.instance_id)
            self.machine.report(HOST_PROVIDER, event, self.now_ms)

    def _gone(self, event: InstanceGone) -> None:
        life = self.outcome.instances.get(event.instance_id)
        if life is not None and life.ended_ms == NEVER:
            life.ended_ms = self.now_ms - ORIGIN_MS
            if life.ready_ms != NEVER:
                self._capacity_milli_vcpus -= life.milli_vcpus
        self.machine.report(HOST_PROVIDER, event, self.now_ms)

    # -- the end --

    def _close(self) -> None:
        found = self.outcome
        found.now_ms = self.now_ms - ORIGIN_MS
        found.is_complete = not self._left
        found.samples = self._timeline.samples()
        if self._left and not self._running and self._next >= len(self._workload.jobs):
            found.waits_for = self._reason_of_a_waiting_job(), self._left

    def _reason_of_a_waiting_job(self) -> str:
        row = next(row for row, end_ms in enumerate(self.outcome.end_ms) if end_ms == NEVER)
        place = self.outcome.place[row]
        size = self._workload.jobs[place].size
        child = f":{row - self._rows[place]}" if size > 1 else ""
        explanation = self.machine.handle(AskExplain(_job_id(place) + child), self.now_ms)
        assert explanation is not None, f"job {place + 1} of the workload has neither ended nor does it wait"
        return f"{explanation.text} {explanation.remedy}".strip()


def _job_id(place: int) -> str:
    digits = f"{place + 1:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _definition_document(vcpus: int, memory_mib: int, gpus: int, nodes: int) -> Document:
    needs = [{"type": "VCPU", "value": str(vcpus)}, {"type": "MEMORY", "value": str(memory_mib)}]
    if gpus:
        needs.append({"type": "GPU", "value": str(gpus)})
    container = {"image": "any", "command": ["any"], "resourceRequirements": needs}
    if nodes == 1:
        return {"type": "container", "containerProperties": container}
    ranges = [{"targetNodes": "0:", "container": container}]
    properties = {"numNodes": nodes, "mainNode": 0, "nodeRangeProperties": ranges}
    return {"type": "multinode", "nodeProperties": properties}
