"""The machine's state: records and indexes over them, and the one way to change a job. Decides nothing."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection

from msgspec import Struct
from msgspec.structs import replace

from batchyard.core.capacity.allocation import NoLaunch
from batchyard.core.capacity.catalogue import Catalogue, InstanceType
from batchyard.core.capacity.prices import Prices
from batchyard.core.model import lifecycle, names
from batchyard.core.model.changes import Changes
from batchyard.core.model.effects import Effect
from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.facts import GONE
from batchyard.core.model.idempotency import Remembered
from batchyard.core.model.reasons import Reason
from batchyard.core.model.records import (
    Abilities,
    Definition,
    EndedInstance,
    Environment,
    Instance,
    InstanceState,
    Job,
    JobSpec,
    Parameter,
    Placement,
    Queue,
    QueueHead,
    SchedulingPolicy,
    Secret,
    Status,
    node_resources,
)
from batchyard.core.model.resources import Resources
from batchyard.core.state.arrays import ArrayBook
from batchyard.core.state.document_kinds import INSTANCE, QUEUE_HEAD, SCHEDULING_POLICY, SHARE_USAGE
from batchyard.core.state.fact_recorder import FactRecorder
from batchyard.core.state.fairshare import FairShare, ShareBook
from batchyard.core.state.placement import Ahead, Room
from batchyard.core.state.provider import Provider
from batchyard.core.state.runnable import RunnableJobs


class Limits(Struct, frozen=True):
    """AWS's limits, and how long memory is kept; settings may raise them."""

    max_array_size: int = 10_000
    max_overrides_characters: int = 8192  # of ECS RunTask: longer ones fail after they were accepted (behaviour 7.2)
    stop_grace_seconds: float = 30.0  # SIGTERM to SIGKILL (AWS Batch behaviour 7.8)
    scale_down_seconds: float = 30.0  # an instance without work stays this long, unless its environment says otherwise
    blocked_after_seconds: float = 60.0  # the head of a queue waits this long before it is called blocked
    head_kept_after_ms: int = (
        10_000  # the head of a queue is written down when it stood for so long: most are gone before
    )
    settle_seconds: float = 0.0  # environments and queues are CREATING, UPDATING or DELETING for so long; 0: not at all
    finished_kept_ms: int = 15 * 60 * 1000  # longer than any request may wait between its look-up and its turn
    file_systems: dict[str, str] = {}  # EFS file system or access point -> directory of this machine
    idempotency_kept_ms: int = 60 * 60 * 1000  # an SDK's retries end long before


class BlockedHead(Struct, frozen=True):
    """The first job of a queue that finds no room. `code`: AWS's reason code, empty while it only waits its turn."""

    key: int
    index: int | None
    since_ms: int
    code: str = ""
    reason: str = ""  # its statusReason
    code_since_ms: int = 0  # since when it is stuck for that code


class ReportedBlocked(Struct, frozen=True):
    """The submission and reason code last reported as blocking a queue, and how often anything was reported."""

    key: int
    code: str
    count: int


class World:
    """Plain state. `put` is the only way a job's row changes; it keeps counts, capacity and indexes in step."""

    def __init__(self, account: names.Account, limits: Limits, catalogue: Catalogue, prices: Prices) -> None:
        self.account = account
        self.limits = limits
        self.catalogue = catalogue
        self.prices = prices
        self.environments: dict[str, Environment] = {}
        self.queues: dict[str, Queue] = {}
        self.policies: dict[str, SchedulingPolicy] = {}
        self.definitions: dict[tuple[str, int], Definition] = {}
        self.revisions: dict[str, int] = {}
        self.specs: dict[int, JobSpec] = {}  # unfinished top-level jobs
        self.jobs: dict[int, Job] = {}  # unfinished rows; a parent's `array` member is stale, its book is not
        self.books: dict[int, ArrayBook] = {}  # unfinished and recently finished arrays
        self.parents: dict[int, int] = {}  # key of a child's row -> key of its parent
        self.ids: dict[str, int] = {}  # uuid -> key, unfinished and recently finished
        self.finished: dict[int, Status] = {}  # recently finished top-level jobs
        self.finished_order: deque[tuple[int, int, str]] = deque()  # (when to forget, key, uuid)
        self.dependents: dict[int, list[int]] = {}  # key waited for -> keys that wait
        self.unmet: dict[int, int] = {}  # key that waits -> number of unfinished dependencies
        self.followers: dict[int, list[int]] = {}  # array -> arrays that follow it N_TO_N
        self.sources: dict[int, tuple[int, ...]] = {}  # array -> the arrays it follows
        self.runnable: dict[str, RunnableJobs] = {}  # by queue
        self.stuck: dict[str, dict[int, Reason]] = {}  # by queue: keys that nothing there can run, and why
        self.providers: dict[str, Provider] = {}  # by name, once known; their machines are among the instances too
        self.instances: dict[str, Instance] = {}
        self.rooms: dict[str, Room] = {}
        self.instances_in: dict[str, list[str]] = {}  # MANAGED environment -> its instances, as they were launched
        self.idle_since: dict[str, int] = {}  # READY instance on which nothing is placed -> since when
        self.budgets: dict[str, Room] = {}  # environment without instances of its own -> what maxvCpus leaves
        self.settling: dict[tuple[str, str], int] = {}  # (kind, name) of what is not VALID yet, or gone -> until when
        self.paused: dict[str, tuple[int, str]] = {}  # environment -> until when it launches nothing, and why
        self.heads: dict[str, BlockedHead] = {}  # queue -> the job whose turn it is, and which finds no room
        self.ahead: dict[str, Ahead] = {}  # queue -> what heads of queues of higher priority wait for, in the last pass
        self.reported_blocked: dict[str, ReportedBlocked] = {}  # queue -> what was last reported there
        self.head_rows: dict[str, QueueHead] = {}  # queue -> what the store has of its head
        self.entries: dict[str, tuple[tuple[str, ...], tuple[tuple[InstanceType, ...], ...]]] = {}  # fleet.entries_of
        self.refused: dict[tuple[str, Resources], NoLaunch | None] = {}  # fleet.never_holds, by environment and shape
        self.placed_in_queue: dict[str, int] = {}  # queue -> how many of its attempts are placed
        self.stuck_since: dict[int, int] = {}  # key of a job that is set aside -> since when
        self.now_ms = (
            0  # the one clock of all that works on this world: set by the machine for each command, report and pass
        )
        self.placed: dict[str, dict[int, None]] = {}  # instance -> keys of the attempts on it, in the order they came
        self.abilities: dict[str, Abilities] = {}
        self.away: dict[str, str] = {}  # engines that can't be used now, and why
        self.is_draining = False  # nothing starts any more: the service ends, with its jobs
        self.idempotency: dict[str, Remembered] = {}  # by idempotency key
        self.idempotency_order: deque[tuple[int, str]] = deque()
        self.job_tags: dict[int, dict[str, str]] = {}  # tags of jobs, where they differ from the spec's
        self.deadlines: list[tuple[int, int, int]] = []  # (when, key, attempt): attempts that may time out
        self.next_key = 1
        self.recorder = FactRecorder()
        self.begin_batch()
        self.touched_books: set[int] = set()
        self.touched_idle: set[str] = set()  # instances that became idle in this batch
        self.has_passed = False  # a pass has looked at everybody since the start: until then times may be over unseen
        self.fair: dict[str, FairShare] = {}  # scheduling policy -> ready to decide by
        self.shares: dict[str, ShareBook] = {}  # fair-share queue -> what its shares have used
        self.touched_shares: set[str] = set()
        self._init_kept_for_questions()

    def _init_kept_for_questions(self) -> None:
        """Records that are kept for those who ask."""
        self.ended_instances: dict[str, EndedInstance] = {}  # the first that ended first
        self.secrets: dict[str, Secret] = {}
        self.leaving_secrets: dict[str, int] = {}  # deleted ones: name -> when their recovery window ends
        self.parameters: dict[str, Parameter] = {}

    def begin_batch(self) -> None:
        self.changes = Changes()
        self.recorder.begin_batch(self.changes.facts)
        self.effects: list[Effect] = []

    # -- reading --

    def spec_of(self, key: int) -> JobSpec:
        """The submission a row belongs to: its own, or its parent's."""
        return self.specs[self.parents.get(key, key)]

    def index_of(self, key: int) -> int | None:
        parent = self.parents.get(key)
        return None if parent is None else names.child_index(parent, key)

    def job_id(self, key: int) -> str:
        spec, index = self.spec_of(key), self.index_of(key)
        return spec.job_id if index is None else names.child_id(spec.job_id, index)

    def status_at(self, key: int, index: int | None) -> Status | None:
        """The status of a known top-level job, or of a child: None while a child has no row and is not final."""
        if index is not None:
            final = self.books[key].final_status(index)
            if final is not None:
                return final
            row = self.jobs.get(names.child_key(key, index))
            return None if row is None else row.status
        if key in self.finished:
            return self.finished[key]
        return self.jobs[key].status

    def rows_of(self, parent_key: int) -> list[int]:
        """The keys of an array's unfinished children that have a row, ascending."""
        return sorted(key for key, parent in self.parents.items() if parent == parent_key)

    def can_use(self, engine: str) -> bool:
        return engine in self.abilities and engine not in self.away

    def placed_on(self, instance_id: str) -> list[int]:
        """The keys of the jobs whose attempts are on an instance, in the order they came."""
        return list(self.placed.get(instance_id, ()))

    def fair_share(self, queue: str) -> FairShare | None:
        """How a queue is shared; None for a FIFO queue."""
        arn = self.queues[queue].document.get("schedulingPolicyArn")
        return self.fair[names.resource_name(arn, SCHEDULING_POLICY)] if arn else None

    # -- changing jobs --

    def add(self, spec: JobSpec, job: Job) -> None:
        """A new submission. Its changes reach the store with the batch."""
        assert spec.key == job.key == self.next_key, f"key {spec.key} is not the next, {self.next_key}"
        self.next_key += 1 + spec.array_size
        self.specs[spec.key] = spec
        self.ids[spec.job_id] = spec.key
        if spec.array_size:
            self.books[spec.key] = ArrayBook.of_size(spec.array_size)
            self.touched_books.add(spec.key)
        if spec.share_identifier:
            self.shares.setdefault(spec.queue, ShareBook()).join(spec.share_identifier)
        self.jobs[job.key] = job
        self.changes.specs.append(spec)
        self.changes.jobs[job.key] = job
        self.changes.next_key = self.next_key
        if self.recorder.wants_jobs:
            self.recorder.submitted(spec, job, self.now_ms)

    def add_child_row(self, parent_key: int, index: int, job: Job) -> None:
        """A virtual child becomes a row, for good."""
        book = self.books[parent_key]
        if self.recorder.wants_jobs:
            self.recorder.began(self.specs[parent_key], index, job.status, self.now_ms)
        book.begin(index)
        self.parents[job.key] = parent_key
        self.jobs[job.key] = job
        book.count_row(None, job.status)
        self.touch(parent_key)
        self.changes.jobs[job.key] = job

    def put(self, job: Job) -> None:
        """The next version of an unfinished row. A finished row leaves memory; its status stays known for a while."""
        before = self.jobs[job.key]
        assert not before.status.is_final, f"job {job.key} is final and changes"
        if self.recorder.wants_jobs and job.status is not before.status:
            self.recorder.changed(self.spec_of(job.key), self.index_of(job.key), job, self.now_ms)
        parent_key = self.parents.get(job.key)
        if parent_key is not None:
            book = self.books[parent_key]
            book.count_row(before.status, job.status)
            if job.status.is_final:
                index = names.child_index(parent_key, job.key)
                (book.succeeded if job.status is Status.SUCCEEDED else book.failed).add(index)
            self.touch(parent_key)
        self._move_room(before, job)
        self.changes.jobs[job.key] = job
        if job.status.is_final:
            del self.jobs[job.key]
            self.parents.pop(job.key, None)
        else:
            self.jobs[job.key] = job

    def finish(self, job: Job) -> None:
        """A top-level job's final version: as `put`, and its status is remembered for those who asked already."""
        book = self.books.get(job.key)
        if book is not None:
            book.updated_at_ms = self.now_ms
            job = replace(job, array=book.freeze())
        self.put(job)
        spec = self.specs.pop(job.key)
        if spec.share_identifier:
            self.shares[spec.queue].leave(spec.share_identifier, self.now_ms)
            self.touched_shares.add(spec.queue)
        self.finished[job.key] = job.status
        self.finished_order.append((self.now_ms + self.limits.finished_kept_ms, job.key, spec.job_id))

    def touch(self, parent_key: int) -> None:
        self.touched_books.add(parent_key)

    def _move_room(self, before: Job, after: Job) -> None:
        """Takes and gives back capacity as attempts come and go."""
        held, holds = before.attempt, after.attempt
        if held is not None and (holds is None or holds.number != held.number):
            self._count(before.key, held.environment, -1)
            self._hold(before.key, -1)
            self._learn_run(after)
            for placement, resources in zip(held.placements, node_resources(self.spec_of(before.key)), strict=True):
                self._leave(placement.instance_id, before.key)
                self._give_back(placement, resources)
        if holds is not None and (held is None or holds.number != held.number):
            self.place(after)
            self._hold(after.key, 1)

    def _give_back(self, placement: Placement, resources: Resources) -> None:
        room = self.rooms.get(placement.instance_id)
        if room is not None:
            room.free = room.free.plus(resources)
            if placement.device_ids:
                own = self.instances[placement.instance_id].gpu_ids
                room.gpu_ids = sorted({*room.gpu_ids, *placement.device_ids} & {*own})

    def _leave(self, instance_id: str, key: int) -> None:
        placed = self.placed[instance_id]
        if key not in placed:
            return  # another node of the same attempt was there, too
        del placed[key]
        instance = self.instances.get(instance_id)
        if not placed and instance is not None and instance.environment and instance.state is InstanceState.READY:
            self.become_idle(instance_id)

    def become_idle(self, instance_id: str) -> None:
        """Nothing is placed on a managed instance any more, or not yet."""
        self.idle_since[instance_id] = self.now_ms
        self.touched_idle.add(instance_id)

    def provider_of(self, environment: Environment) -> Provider | None:
        """None: it is not known yet what there is."""
        return self.providers.get(environment.provider)

    def set_machine(self, name: str, machine: Instance) -> None:
        """Sets a provider's machine, new or with new capacity. What managed instances reserve and placed attempts
        hold is taken from it."""
        machine = replace(machine, provider=name) if machine.provider != name else machine
        known = self.providers.get(name)
        if known is not None and known.machine.instance_id != machine.instance_id:
            del self.instances[known.machine.instance_id], self.rooms[known.machine.instance_id]
        self.instances[machine.instance_id] = machine
        room = self.rooms[machine.instance_id] = Room(machine.resources, sorted(machine.gpu_ids), machine.resources)
        self.providers[name] = Provider(name, machine, room)
        self.refused.clear()
        for instance in self.instances.values():
            if instance.environment and instance.provider == name:
                self._reserve(room, instance)
        for key in self.placed_on(machine.instance_id):
            self._take_room(self.jobs[key], machine.instance_id)

    def add_instance(self, instance: Instance) -> None:
        """An instance of a MANAGED environment, new or restored."""
        self.instances[instance.instance_id] = instance
        self.rooms[instance.instance_id] = Room(instance.resources, sorted(instance.gpu_ids), instance.resources)
        self.instances_in.setdefault(instance.environment, []).append(instance.instance_id)
        provider = self.providers.get(instance.provider)
        if provider is not None:
            self._reserve(provider.ledger, instance)

    def put_instance(self, instance: Instance) -> None:
        """The next version of a managed instance's record; its size never changes."""
        before = self.instances[instance.instance_id]
        if before is instance or before.state is not instance.state:  # the same: it was added a moment ago
            self.recorder.instance_changed(instance, self.now_ms)
        self.instances[instance.instance_id] = instance
        self.changes.documents[INSTANCE, instance.instance_id] = instance

    def remove_instance(self, instance_id: str) -> None:
        """A managed instance is gone: what it reserved is its provider's again. After a restart that may be reported
        before the provider is known; then nothing was taken from it yet."""
        instance = self.instances.pop(instance_id)
        self.recorder.instance_changed(instance, self.now_ms, GONE)
        assert not self.placed_on(instance_id), f"the instance {instance_id} leaves with attempts on it"
        del self.rooms[instance_id]
        self.placed.pop(instance_id, None)
        self.idle_since.pop(instance_id, None)
        self.instances_in[instance.environment].remove(instance_id)
        if not self.instances_in[instance.environment]:
            del self.instances_in[instance.environment]
        self.changes.documents[INSTANCE, instance_id] = None
        provider = self.providers.get(instance.provider)
        if provider is not None:
            ledger = provider.ledger
            ledger.free = ledger.free.plus(instance.resources)
            ledger.gpu_ids = sorted({*ledger.gpu_ids, *instance.gpu_ids} & {*provider.machine.gpu_ids})

    def _reserve(self, room: Room, instance: Instance) -> None:
        room.free = room.free.minus(instance.resources)
        room.gpu_ids = [device for device in room.gpu_ids if device not in instance.gpu_ids]

    def place(self, job: Job) -> None:
        """A placed attempt, new or restored, holds its part of its instance, and of what its environment may use."""
        attempt = job.attempt
        assert attempt is not None, f"job {job.key} is placed without an attempt"
        for placement in attempt.placements:
            self.placed.setdefault(placement.instance_id, {})[job.key] = None
            self.idle_since.pop(placement.instance_id, None)
        self._take_room(job)
        self._count(job.key, attempt.environment, 1)

    def _count(self, key: int, environment: str, times: int) -> None:
        """An attempt comes (1) or goes (-1): its queue's number, and the budget of its environment."""
        spec = self.spec_of(key)
        self.placed_in_queue[spec.queue] = self.placed_in_queue.get(spec.queue, 0) + times
        budget = self.budgets.get(environment)
        if budget is not None:
            milli_vcpus = spec.task.resources.milli_vcpus * times
            budget.free = budget.free.minus(Resources(milli_vcpus))

    def _hold(self, key: int, times: int) -> None:
        """An attempt comes (1) or goes (-1): what its share uses."""
        spec = self.spec_of(key)
        fair = self.fair_share(spec.queue) if spec.share_identifier else None
        if fair is not None:
            milli_vcpus = spec.task.resources.milli_vcpus * times
            self.shares[spec.queue].hold(spec.share_identifier, milli_vcpus, self.now_ms, fair.window_ms)
            self.touched_shares.add(spec.queue)

    def _learn_run(self, job: Job) -> None:
        """How long the attempt that has just ended had run."""
        spec = self.spec_of(job.key)
        if spec.share_identifier and job.past and job.past[-1].started_at_ms:
            self.shares[spec.queue].ran(job.past[-1].stopped_at_ms - job.past[-1].started_at_ms)

    def settle_shares(self, queue: str) -> None:
        """Before a queue is shared in another way: what was used until now was used in the old one."""
        fair, book = self.fair_share(queue), self.shares.get(queue)
        if fair is not None and book is not None:
            book.settle(self.now_ms, fair.window_ms)
            self.touched_shares.add(queue)

    def forget_shares(self, queue: str) -> None:
        """The queue is gone."""
        self.touched_shares.discard(queue)
        if self.shares.pop(queue, None) is not None:
            self.changes.documents[SHARE_USAGE, queue] = None

    def keep_head(self, queue: str, row: QueueHead | None) -> None:
        """What the store is to know of a queue's head."""
        if self.head_rows.get(queue) == row:
            return
        self.changes.documents[QUEUE_HEAD, queue] = row
        if row is None:
            del self.head_rows[queue]
        else:
            self.head_rows[queue] = row

    def _take_room(self, job: Job, instance_id: str = "") -> None:
        """What the nodes of a placed attempt hold. `instance_id`: only of those placed there; empty: of all."""
        assert job.attempt is not None
        for placement, resources in zip(job.attempt.placements, node_resources(self.spec_of(job.key)), strict=True):
            room = self.rooms.get(placement.instance_id)
            if room is not None and instance_id in ("", placement.instance_id):
                room.free = room.free.minus(resources)
                if placement.device_ids:
                    room.gpu_ids = [d for d in room.gpu_ids if d not in placement.device_ids]

    # -- batch ends --

    def settle(self) -> None:
        """Writes the touched arrays' books into their parents' records; forgets what nobody may ask for any more."""
        for key in sorted(self.touched_books):
            parent = self.jobs.get(key)
            if parent is not None:
                book = self.books[key]
                book.updated_at_ms = self.now_ms
                self.changes.jobs[key] = self.jobs[key] = replace(parent, array=book.freeze())
                if self.recorder.wants_jobs:
                    self.recorder.settle(self.specs[key], self.jobs[key], self.now_ms)
        self.touched_books.clear()
        for instance_id in sorted(self.touched_idle):
            since_ms = self.idle_since.get(instance_id, 0)  # jobs that follow each other at once leave no trace
            if since_ms and self.instances[instance_id].idle_since_ms != since_ms:
                self.put_instance(replace(self.instances[instance_id], idle_since_ms=since_ms))
        self.touched_idle.clear()
        for queue in sorted(self.touched_shares):
            fair, shares = self.fair_share(queue), self.shares[queue]
            assert fair is not None, f"the shares of the FIFO queue {queue} have changed"
            shares.forget(self.now_ms, fair.window_ms)
            self.changes.documents[SHARE_USAGE, queue] = shares.freeze()
        self.touched_shares.clear()
        self.recorder.environments_changed(self.changes.environments, self.now_ms)
        self.recorder.close()
        while self.finished_order and self.finished_order[0][0] <= self.now_ms:
            _, key, uuid = self.finished_order.popleft()
            self.finished.pop(key, None)
            self.books.pop(key, None)
            self.job_tags.pop(key, None)
            self.ids.pop(uuid, None)
        while self.idempotency_order and self.idempotency_order[0][0] <= self.now_ms:
            self.idempotency.pop(self.idempotency_order.popleft()[1], None)

    def want_facts(self, kinds: Collection[type[Fact]]) -> None:
        """Sets which facts are made, from the next batch on."""
        if self.recorder.want(kinds):
            for key, spec in self.specs.items():
                if spec.array_size:
                    self.recorder.resume(spec, self.jobs[key])

    def add_deadline(self, when_ms: int, key: int, number: int) -> None:
        heapq.heappush(self.deadlines, (when_ms, key, number))

    def runnable_in(self, queue: str) -> RunnableJobs:
        return self.runnable.setdefault(queue, RunnableJobs())

    def move(self, job: Job, cause: lifecycle.Cause, **changes: object) -> Job:
        """`lifecycle.move` and `put` in one, for a move that does not end the job."""
        moved = lifecycle.move(job, cause, **changes)
        assert not moved.status.is_final, f"job {job.key} ends outside endings"
        self.put(moved)
        return moved

    def held(self, instance_id: str) -> Resources:
        """What placed attempts hold of an instance, counted anew."""
        total = Resources()
        for key, job in self.jobs.items():
            if job.attempt is not None:
                for placement, resources in zip(job.attempt.placements, node_resources(self.spec_of(key)), strict=True):
                    if placement.instance_id == instance_id:
                        total = total.plus(resources)
        return total
