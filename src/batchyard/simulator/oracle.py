"""Checks what became durable and what engines received, by rules of its own: it reads rows, not the machine."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from batchyard.core.model import names
from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.commands import SetGpus
from batchyard.core.model.ranges import contains, subtract
from batchyard.core.model.reasons import StopCause
from batchyard.core.model.records import Attempt, Dependency, Instance, Job, JobSpec, Status, group_of, node_resources
from batchyard.core.model.reports import Exited, NotStarted
from batchyard.core.model.resources import Resources, sum_of
from batchyard.core.state.arrays import status_summary, virtual_child
from batchyard.engines.base import Launch
from batchyard.simulator.attempt_ledger import AttemptLedger, ViolationError
from batchyard.simulator.disk import Disk
from batchyard.simulator.fleet_oracle import FleetOracle, HeldPlace, NextJob, WaitingJob
from batchyard.simulator.gang_oracle import GangOracle, exit_code_of, host_lost
from batchyard.simulator.gpu_oracle import GpuOracle
from batchyard.simulator.transient_state_oracle import SettlingOracle
from batchyard.store import codec
from batchyard.store.codec import Rows

PLACED = (Status.STARTING, Status.RUNNING)
UNREADABLE = "ResourceInitializationError: unable to pull secrets"


class Oracle:
    """Keeps the durable rows, decoded from their text, and every id that a client was given. `consumables`: the total
    of each consumable resource."""

    def __init__(
        self, disk: Disk, ledger: AttemptLedger, settle_ms: int = 0, consumables: Mapping[str, int] | None = None
    ) -> None:
        self._consumables = dict(consumables or {})
        self.disk = disk
        self.ledger = ledger
        self.specs: dict[int, JobSpec] = {}
        self.jobs: dict[int, Job] = {}
        self.promised: dict[str, str] = {}  # job id -> the idempotency key it was submitted with
        self.allowance: dict[str, Resources] = {}  # by instance: what may be held at most, since the last start
        self.fleets = FleetOracle(ledger)
        self.gangs = GangOracle(ledger)
        self.gpus = GpuOracle()
        self.settling = SettlingOracle(settle_ms)
        self._tops: list[int] = []  # keys of top-level jobs, ascending

    # -- reading --

    def top_of(self, key: int) -> int:
        return self._tops[bisect_right(self._tops, key) - 1]

    def spec_of(self, key: int) -> JobSpec:
        return self.specs[self.top_of(key)]

    def job_id(self, key: int) -> str:
        top = self.top_of(key)
        return (
            self.specs[top].job_id
            if top == key
            else names.child_id(self.specs[top].job_id, names.child_index(top, key))
        )

    def find(self, job_id: str) -> Job | None:
        """Returns a job or child as a client would see it."""
        wanted = names.parse_job_id(job_id)
        top = self.disk.keys.get(wanted.uuid)
        if top is None or wanted.index is None:
            return None if top is None else self.jobs[top]
        row = self.jobs.get(names.child_key(top, wanted.index))
        return row if row is not None else virtual_child(self.specs[top], self.jobs[top], wanted.index)

    # -- a server starts --

    def server_started(self, machines: Sequence[Instance]) -> None:
        """Checks that every id ever given exists. An instance that became smaller may stay over-committed by what it
        holds."""
        for job_id in self.promised:
            self.check_kept(job_id)
        capacity = {one.instance_id: one.resources for one in machines}
        self.gpus.server_started(machines[-1])
        self.allowance = dict(capacity)
        held: dict[str, Resources] = {}
        for key, job in self.jobs.items():
            for place in self._places_of(key, job):
                name = place.instance_id
                held[name] = held.get(name, Resources()).plus(place.resources)
        self.fleets.server_started(capacity, held)
        for name, total in held.items():
            if name in self.fleets.sizes:
                continue
            most = self.allowance.get(name, Resources())
            self.allowance[name] = Resources(
                max(most.milli_vcpus, total.milli_vcpus),
                max(most.memory_mib, total.memory_mib),
                max(most.gpus, total.gpus),
            )

    # -- a client is answered --

    def check_submitted(self, job_id: str, token: str) -> None:
        """Checks that a submission answered with an id is committed, and that the same idempotency key means the
        same job."""
        self.check_kept(job_id)
        if token:
            kept = self.disk.tokens.get(token)
            if kept is None or kept[0] != job_id:
                raise ViolationError(f"{job_id} was answered for {token}, the store has {kept}")
        self.promised[job_id] = token

    def check_refused(self, token: str, why: str) -> None:
        if token and token in self.disk.tokens:
            raise ViolationError(f"{token} is refused ({why}), and its job {self.disk.tokens[token][0]} is accepted")

    def check_withdrawn(self, job_id: str) -> None:
        job = self.find(job_id)
        if job is None or not (job.status.is_final or job.is_withdrawn):
            raise ViolationError(f"the withdrawal of {job_id} was answered, the store has {job}")

    def check_kept(self, job_id: str) -> None:
        key = self.disk.keys.get(job_id)
        if key is None or self.disk.spec(key).job_id != job_id or key not in self.disk.jobs:
            raise ViolationError(f"the accepted job {job_id} has disappeared from the store")

    # -- a transaction becomes durable --

    def before_durable(self, rows: Rows, now_ms: int, gpus: SetGpus | None = None) -> None:
        """Checks a transaction. `gpus`: the latest change of the host's GPUs that its batch has handled."""
        for row in rows.specs:
            spec = codec.decode_spec(row[-1], row[-2])
            self._check_new(spec)
            self.specs[spec.key] = spec
            self._tops.append(spec.key)
        self._tops.sort()
        decoded = {row[0]: codec.decode_job(row[-1]) for row in rows.jobs}
        for key in sorted(decoded):  # parents come before their children
            self._check_change(key, self.jobs.get(key), decoded[key], decoded)
        before = {key: self.jobs.get(key) for key in decoded}
        self.jobs.update(decoded)
        self._check_fleets(rows, before, now_ms, gpus)

    def _places_of(self, key: int, job: Job) -> list[HeldPlace]:
        """Returns what the placed attempt of a job holds: one for each of its nodes."""
        if job.attempt is None:
            return []
        spec = self.spec_of(key)
        over = [bool(run.stopped_at_ms) for run in job.attempt.nodes] or [False]
        return [
            HeldPlace(key, asked, job.attempt, place.instance_id, place.device_ids, spec.timeout_seconds, is_over)
            for asked, place, is_over in zip(node_resources(spec), job.attempt.placements, over, strict=True)
        ]

    def _check_fleets(self, rows: Rows, before: dict[int, Job | None], now_ms: int, gpus: SetGpus | None) -> None:
        held = [place for key, job in sorted(self.jobs.items()) for place in self._places_of(key, job)]
        new = []
        for one in held:
            old = before[one.key] if one.key in before else self.jobs[one.key]
            if old is None or old.attempt is None or old.attempt.number != one.attempt.number:
                new.append((one, self.spec_of(one.key).queue))
        if gpus is not None:
            self._note_gpus(gpus, [one for one in held if one not in [placed for placed, _ in new]])
        self.settling.before_durable(rows, now_ms)
        self.fleets.before_durable(rows, held, new, self._next_jobs, self._waiting, now_ms)
        self.gpus.before_durable(held, [placed for placed, _ in new], self.fleets.instances)

    def _note_gpus(self, gpus: SetGpus, held: Sequence[HeldPlace]) -> None:
        """Notes the GPUs that are there now. The host may stay over-committed by what is held of it."""
        self.gpus.set_gpus(gpus)
        self.fleets.set_gpus(len(gpus.device_ids), held)
        name = self.gpus.host
        own = sum(one.resources.gpus for one in held if one.instance_id == name)
        self.allowance[name] = replace(self.allowance[name], gpus=max(len(gpus.device_ids), own))

    def _waiting(self) -> list[WaitingJob]:
        """Returns every job that is RUNNABLE; of an array with RUNNABLE children one."""
        found: list[WaitingJob] = []
        for key, job in self.jobs.items():
            spec, array = self.spec_of(key), job.array
            waits = job.status is Status.RUNNABLE if array is None else bool(array.unstarted and array.released_at_ms)
            if waits:
                found.append(WaitingJob(spec.queue, node_resources(spec)))
        return found

    def _next_jobs(self) -> list[NextJob]:
        """Returns the next job of each FIFO queue: retried ones first, then by submission; for a released array its
        first child that has not started. Not of a queue whose next job asks for consumable resources: it is passed over
        while it lacks some."""
        first: dict[str, tuple[tuple[bool, int], NextJob]] = {}
        for key, job in self.jobs.items():
            spec, array = self.spec_of(key), job.array
            if spec.share_identifier:
                continue
            if array is None:
                waits, set_aside_at_ms = job.status is Status.RUNNABLE, job.set_aside_at_ms
            else:
                ready = bool(subtract(array.unstarted, array.held))
                waits = not job.status.is_final and ready and bool(array.released_at_ms) and not spec.sequential
                waits, set_aside_at_ms = waits and not job.is_withdrawn, array.set_aside_at_ms
            turn = not (array is None and job.past), key
            if waits and (spec.queue not in first or turn < first[spec.queue][0]):
                nodes, is_set_aside = node_resources(spec), bool(set_aside_at_ms)
                one = NextJob(self.job_id(key), spec.queue, sum_of(nodes), spec.engines, is_set_aside, nodes)
                first[spec.queue] = turn, one
        return [one for (_, key), one in first.values() if not self.spec_of(key).consumables]

    def _check_new(self, spec: JobSpec) -> None:
        if spec.key in self.specs or spec.job_id in self.disk.keys:
            raise ViolationError(f"job {spec.job_id} takes the key {spec.key}, which was given before")
        if self._tops and spec.key <= self._tops[-1] + self.specs[self._tops[-1]].array_size:
            raise ViolationError(f"job {spec.job_id} takes the key {spec.key} of a child")
        if spec.idempotency_key and spec.idempotency_key in self.disk.tokens:
            raise ViolationError(f"{spec.idempotency_key} makes a second job, {spec.job_id}")

    def _check_change(self, key: int, old: Job | None, new: Job, batch: dict[int, Job]) -> None:
        if old is not None and old.status.is_final and old != new:
            raise ViolationError(f"the finished job {self.job_id(key)} changes from {old} to {new}")
        if new.array is not None:
            self._check_ranges(key, old, new)
        known = () if old is None else old.past
        if new.past[: len(known)] != known:
            raise ViolationError(f"{self.job_id(key)} forgets an attempt: {known} became {new.past}")
        for attempt in new.past[len(known) :]:
            self._check_ended(key, new, attempt)
            if not new.status.is_final and attempt.exit_code == 0 and attempt.started_at_ms:
                raise ViolationError(f"{self.job_id(key)} is retried after {attempt}")
        self._check_placed(key, old, new, batch)
        if new.attempt is not None and self.spec_of(key).num_nodes:
            self.gangs.check_placed_attempt(key, self.spec_of(key), new.attempt)
        if new.status.is_final and new.array is None:
            self._check_outcome(key, new)

    def _check_ranges(self, key: int, old: Job | None, new: Job) -> None:
        if old is None or old.array is None or new.array is None:
            return
        lost = subtract(old.array.succeeded, new.array.succeeded), subtract(old.array.failed, new.array.failed)
        if lost != ((), ()):
            raise ViolationError(f"finished children of {self.job_id(key)} are not finished any more: {lost}")

    def _check_ended(self, key: int, job: Job, attempt: Attempt) -> None:
        """Checks that an attempt ends after its engine reported the end, and as reported."""
        if self.spec_of(key).num_nodes:
            self.gangs.check_ended(key, self.spec_of(key), attempt)
            return
        task_id = names.task_id(key, attempt.number, self.job_id(key))
        if task_id in self.ledger.running:
            raise ViolationError(f"attempt {attempt.number} of {self.job_id(key)} is over and still runs")
        is_lost = attempt.stopping is StopCause.HOST and attempt.status_reason == host_lost(attempt.main.instance_id)
        was_withheld = task_id in self.ledger.withheld and task_id not in self.ledger.finals
        if attempt.reason == UNREADABLE or (is_lost and was_withheld):
            if task_id in self.ledger.launched or attempt.exit_code is not None or attempt.started_at_ms:
                raise ViolationError(f"{self.job_id(key)} has {attempt}, and its engine received the launch")
            return
        final = self.ledger.finals.get(task_id)
        if final is None:
            raise ViolationError(f"attempt {attempt.number} of {self.job_id(key)} is over; no engine reported it")
        seen = None
        if isinstance(final, Exited):
            seen = exit_code_of(self.spec_of(key), final)
        elif isinstance(final, NotStarted):
            seen = final.exit_code
        if is_lost:
            if attempt.exit_code is not None or attempt.reason or seen == 0:
                raise ViolationError(f"{self.job_id(key)} has {attempt} after the end of its host, {final}")
            return
        if attempt.stopping is StopCause.HOST and seen != 0:
            raise ViolationError(f"{self.job_id(key)} has {attempt}, and not the end of its host")
        if attempt.exit_code != seen or (isinstance(final, NotStarted) and attempt.started_at_ms):
            raise ViolationError(f"{self.job_id(key)} has {attempt}, the engine reported {final}")

    def _check_placed(self, key: int, old: Job | None, new: Job, batch: dict[int, Job]) -> None:
        """Checks that a job which was cancelled, terminated or out of time is not placed again, nor a child of such
        an array."""
        if new.attempt is None:
            return
        if old is not None and old.attempt is not None and old.attempt.number == new.attempt.number:
            return
        if new.is_withdrawn:
            raise ViolationError(f"{self.job_id(key)} was withdrawn and is placed: {new}")
        if any(past.stopping not in (None, StopCause.HOST, StopCause.MAIN) for past in new.past):
            raise ViolationError(f"{self.job_id(key)} was stopped and is placed again: {new}")
        top = self.top_of(key)
        parent = batch.get(top, self.jobs.get(top))
        if top != key and parent is not None and parent.is_withdrawn:
            raise ViolationError(f"{self.job_id(key)} is placed, and its array was withdrawn")
        if self.spec_of(key).num_nodes:
            self.gangs.check_placed(self.spec_of(key), new.attempt)
        if new.attempt.number > self.spec_of(key).retry.attempts:
            raise ViolationError(f"{self.job_id(key)} gets attempt {new.attempt.number}, more than it asked for")

    def _check_outcome(self, key: int, job: Job) -> None:
        """Checks that SUCCEEDED means exit code 0 in the world, and that FAILED has a cause."""
        spec, job_id = self.spec_of(key), self.job_id(key)
        if not job.past:
            if job.status is Status.SUCCEEDED:
                raise ViolationError(f"{job_id} succeeded without an attempt")
            return
        last = job.past[-1]
        withdrawn = job.is_withdrawn
        well = last.exit_code == 0 and bool(last.started_at_ms)
        stopped = last.stopping not in (None, StopCause.HOST, StopCause.MAIN)
        if job.status is Status.SUCCEEDED and (not well or job.is_terminated or stopped):
            raise ViolationError(f"{job_id} succeeded after {last}")
        if job.status is Status.FAILED and well and not (job.is_terminated or stopped):
            raise ViolationError(f"{job_id} failed after {last}")
        gave_up = job.status is Status.FAILED and not withdrawn and not stopped and not spec.retry.rules
        if gave_up and last.number < spec.retry.attempts:
            raise ViolationError(f"{job_id} failed after attempt {last.number} of {spec.retry.attempts}")

    # -- an engine receives a launch --

    def check_launch(self, launch: Launch) -> str:
        """Checks that a launched attempt was committed before, that there is room, and that its dependencies have
        ended. Returns its instance."""
        if launch.problem:
            raise ViolationError(f"{launch.job_id} is launched in spite of: {launch.problem}")
        parsed = names.parse_task_id(launch.attempt_id)
        if parsed is None:
            raise ViolationError(f"{launch.attempt_id} is no task id")
        key, number = parsed
        job = self.jobs.get(key)
        if job is None or job.attempt is None or job.attempt.number != number:
            raise ViolationError(f"{launch.job_id} is launched as attempt {number}; the store has {job}")
        spec, node = self.spec_of(key), launch.attempt_node.node
        job_id = names.node_id(self.job_id(key), node) if spec.num_nodes else self.job_id(key)
        if launch.job_id != job_id or launch.task != (group_of(spec, node).task if spec.num_nodes else spec.task):
            raise ViolationError(f"{launch.job_id} is launched with another job's task")
        if spec.num_nodes:
            self.gangs.check_launch(key, spec, job, launch)
        instance_id, asked = job.attempt.placements[node].instance_id, launch.task.resources
        held = self.ledger.held(instance_id).plus(asked)
        most = self.fleets.sizes.get(instance_id) or self.allowance.get(instance_id, Resources())
        if not held.fits(most):
            raise ViolationError(f"instance {instance_id} would hold {held}, {most} at most")
        if len(launch.device_ids) != asked.gpus:
            raise ViolationError(f"{launch.job_id} asks for {asked.gpus} devices and gets {launch.device_ids}")
        shared = {*launch.device_ids} & {*self.ledger.devices(instance_id)}
        if shared:
            raise ViolationError(f"{launch.job_id} gets the devices {sorted(shared)} that others use")
        self._check_consumables(key, launch)
        self._check_dependencies(key, launch.job_id)
        return instance_id

    def _check_consumables(self, key: int, launch: Launch) -> None:
        """Checks that what really runs, and what is launched now, take no more of a consumable resource than there
        is."""
        asked = self.spec_of(key).consumables
        others = {one.launch.attempt_id for one in self.ledger.running.values()} if asked else set()
        running = [names.parse_task_id(attempt_id) for attempt_id in sorted(others - {launch.attempt_id})]
        for one in asked:
            taken = one.quantity + sum(
                other.quantity
                for parsed in running
                if parsed is not None
                for other in self.spec_of(parsed[0]).consumables
                if other.name == one.name
            )
            if taken > self._consumables[one.name]:
                total = self._consumables[one.name]
                raise ViolationError(f"{launch.job_id} makes {taken} of {one.name} in use, of {total}")

    def check_acknowledged(self, attempt_node: AttemptNode) -> None:
        """Checks that an outcome is durable before its engine may forget it."""
        parsed = names.parse_task_id(attempt_node.attempt_id)
        job = None if parsed is None else self.jobs.get(parsed[0])
        if parsed is not None and job is not None and job.attempt is not None and job.attempt.number == parsed[1]:
            nodes = job.attempt.nodes
            if not nodes or not nodes[attempt_node.node].stopped_at_ms:
                raise ViolationError(f"the outcome of {attempt_node} is acknowledged; the store still has {job}")

    def _check_dependencies(self, key: int, job_id: str) -> None:
        spec, top = self.spec_of(key), self.top_of(key)
        index = None if top == key else names.child_index(top, key)
        wanted = [_counterpart(entry, index) for entry in spec.depends_on if entry.job_id]
        if spec.sequential and index:
            wanted.append(names.child_id(spec.job_id, index - 1))
        for other in wanted:
            found = self.find(other)
            good = found is not None and (found.status.is_final if spec.after_any else found.status == "SUCCEEDED")
            if not good:
                raise ViolationError(f"{job_id} is launched and depends on {other}, which is {found}")

    # -- the end --

    def unfinished(self) -> list[Job]:
        return [job for _, job in sorted(self.jobs.items()) if not job.status.is_final]

    def check_end(self) -> None:
        """Checks that everything ended, in the store and in the world, that every outcome is acknowledged, and that
        the counts of parents are right."""
        left = [f"{self.job_id(job.key)}: {job}" for job in self.unfinished()]
        if left:
            raise ViolationError("these never end: " + "; ".join(left))
        if self.ledger.running:
            raise ViolationError(f"these still run, and no job in the store does: {sorted(self.ledger.running)}")
        owed = sorted(set(self.ledger.finals) - self.ledger.acknowledged)
        if owed:
            raise ViolationError(f"these outcomes were never acknowledged: {owed}")
        self.settling.check_end()
        for job_id in self.promised:
            self.check_kept(job_id)
        for top in self._tops:
            self._check_sum(top)
            self._check_causes(top)

    def _check_causes(self, top: int) -> None:
        """Checks that a job which failed without an attempt was withdrawn, or that a job it depends on failed."""
        spec = self.specs[top]
        members = [names.child_id(spec.job_id, index) for index in range(spec.array_size)] or [spec.job_id]
        for index, job_id in enumerate(members):
            job = self.find(job_id)
            if job is None or job.status is not Status.FAILED or job.past or job.is_withdrawn:
                continue
            wanted = [_counterpart(e, index if spec.array_size else None) for e in spec.depends_on if e.job_id]
            if spec.sequential and index:
                wanted.append(names.child_id(spec.job_id, index - 1))
            found = [self.find(other) for other in wanted]
            parent = self.jobs[top]
            if (
                parent.is_cancelled
                or parent.is_terminated
                or (not spec.after_any and any(other is not None and other.status is Status.FAILED for other in found))
            ):
                continue
            raise ViolationError(f"{job_id} failed without an attempt and without a cause: {job}")

    def _check_sum(self, top: int) -> None:
        spec, parent = self.specs[top], self.jobs[top]
        if not spec.array_size:
            return
        counts = dict.fromkeys(Status, 0)
        for index in range(spec.array_size):
            child = self.find(names.child_id(spec.job_id, index))
            if child is None:
                raise ViolationError(f"child {index} of {spec.job_id} is neither a row nor virtual")
            counts[child.status] += 1
            in_range = contains(parent.array.succeeded if parent.array else (), index)
            if in_range != (child.status is Status.SUCCEEDED):
                raise ViolationError(f"child {index} of {spec.job_id} is {child.status}, its parent disagrees")
        if counts != status_summary(spec, parent):
            raise ViolationError(f"array {spec.job_id}: its children are {counts}, its parent says otherwise")


def _counterpart(entry: Dependency, index: int | None) -> str:
    if entry.type == "N_TO_N":
        assert index is not None, "only arrays depend N_TO_N"
        return names.child_id(entry.job_id, index)
    return entry.job_id
