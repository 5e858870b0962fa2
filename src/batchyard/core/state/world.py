"""The machine's state: records and indexes over them, and the one way to change a job. Decides nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from msgspec import Struct
from msgspec.structs import replace

from batchyard.core.capacity.catalogue import Catalogue
from batchyard.core.capacity.prices import Prices
from batchyard.core.model import lifecycle, names
from batchyard.core.model.changes import Changes
from batchyard.core.model.effects import Effect
from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.facts import GONE
from batchyard.core.model.idempotency import Remembered
from batchyard.core.model.records import (
    JOINED_PROVIDER,
    Abilities,
    Definition,
    Environment,
    Instance,
    InstanceState,
    Job,
    JobSpec,
    Placement,
    Queue,
    QueueHead,
    Status,
    milli_vcpus_of,
    node_resources,
)
from batchyard.core.model.resources import Resources, sum_of
from batchyard.core.model.secret_records import Parameter, Secret
from batchyard.core.state.arrays import ArrayProgress
from batchyard.core.state.attempt_ends import AttemptEnds
from batchyard.core.state.built_definitions import BuiltDefinitions
from batchyard.core.state.consumable_table import Consumables
from batchyard.core.state.document_kinds import CONSUMABLE_RESOURCE, INSTANCE, QUEUE_HEAD, SHARE_USAGE
from batchyard.core.state.environment_table import Environments
from batchyard.core.state.fact_recorder import FactRecorder
from batchyard.core.state.fairshare import ShareLedger
from batchyard.core.state.host_table import Hosts
from batchyard.core.state.instance_table import Instances
from batchyard.core.state.job_table import Jobs
from batchyard.core.state.placement import Available
from batchyard.core.state.provider import Provider
from batchyard.core.state.queue_table import Queues
from batchyard.core.state.service_table import Services
from batchyard.core.state.timetable import Timetable


class Limits(Struct, frozen=True):
    """AWS's limits, and how long memory is kept; settings may raise them."""

    max_array_size: int = 10_000
    max_overrides_characters: int = 8192  # of ECS RunTask: longer ones fail after they were accepted (behaviour 7.2)
    stop_grace_seconds: float = 30.0  # SIGTERM to SIGKILL (AWS Batch behaviour 7.8)
    scale_down_seconds: float = 30.0  # an instance without work stays this long, unless its environment says otherwise
    blocked_after_seconds: float = 60.0  # the head of a queue waits this long before it is called blocked
    head_kept_after_ms: int = 10_000  # the head of a queue is stored after so long: most are gone before
    settle_seconds: float = 0.0  # environments and queues are CREATING, UPDATING or DELETING for so long; 0: not at all
    finished_kept_ms: int = 15 * 60 * 1000  # longer than any request may wait between its look-up and its turn
    service_jobs_kept_ms: int = 0  # ended service jobs are kept for so long; 0: for ever
    file_systems: dict[str, str] = {}  # EFS file system or access point -> directory of this machine
    idempotency_kept_ms: int = 60 * 60 * 1000  # an SDK's retries end long before

    def longest_ms(self, timeout_seconds: int) -> int:
        """Returns how long an attempt with this timeout can last: the stop's grace comes on top."""
        return int((timeout_seconds + self.stop_grace_seconds) * 1000)


class World:
    """Plain state. `put` is the only way a job's row changes; it keeps counts, capacity and indexes in step."""

    def __init__(self, account: names.Account, limits: Limits, catalogue: Catalogue, prices: Prices) -> None:
        self.account = account
        self.limits = limits
        self.catalogue = catalogue
        self.prices = prices
        self.jobs = Jobs()
        self.queues = Queues()
        self.environments = Environments()
        self.instances = Instances()
        self.hosts = Hosts()
        self.timetable = Timetable()
        self.consumables = Consumables()
        self.services = Services()
        self.definitions: dict[tuple[str, int], Definition] = {}
        self.revisions: dict[str, int] = {}
        self.built = BuiltDefinitions()
        self.secrets: dict[str, Secret] = {}
        self.leaving_secrets: dict[str, int] = {}  # deleted ones: name -> when their recovery window ends
        self.parameters: dict[str, Parameter] = {}
        self.abilities: dict[str, Abilities] = {}
        self.away: dict[str, str] = {}  # engines that can't be used now, and why
        self.idempotency: dict[str, Remembered] = {}  # by idempotency key
        self.idempotency_order: deque[tuple[int, str]] = deque()
        # The one clock of all that works on this world: set by the machine for each command, report and pass.
        self.now_ms = 0
        self.is_draining = False  # nothing starts any more: the service ends, with its jobs
        self.has_passed = False  # a pass has looked at all queues since the start: until then times may be over unseen
        self.recorder = FactRecorder()
        self.begin_batch()

    def begin_batch(self) -> None:
        self.changes = Changes()
        self.recorder.begin_batch(self.changes.facts)
        self.effects: list[Effect] = []

    def can_use(self, engine: str) -> bool:
        return engine in self.abilities and engine not in self.away

    # -- changing jobs --

    def add(self, spec: JobSpec, job: Job) -> None:
        """Adds a new submission. Its changes reach the store with the batch."""
        assert spec.key == job.key == self.jobs.next_key, f"key {spec.key} is not the next, {self.jobs.next_key}"
        self.jobs.next_key += 1 + spec.array_size
        self.jobs.specs[spec.key] = spec
        self.jobs.by_id[spec.job_id] = spec.key
        if spec.array_size:
            self.jobs.arrays[spec.key] = ArrayProgress.of_size(spec.array_size)
            self.jobs.touched_arrays.add(spec.key)
        if spec.share_identifier:
            self.queues.shares.setdefault(spec.queue, ShareLedger()).join(spec.share_identifier)
        self.jobs[job.key] = job
        self.changes.specs.append(spec)
        self.changes.jobs[job.key] = job
        self.changes.next_key = self.jobs.next_key
        if self.recorder.wants_jobs:
            self.recorder.submitted(spec, job, self.now_ms)

    def add_child_row(self, parent_key: int, index: int, job: Job) -> None:
        """Makes a row of a virtual child, permanently."""
        array = self.jobs.arrays[parent_key]
        if self.recorder.wants_jobs:
            self.recorder.began(self.jobs.specs[parent_key], index, job.status, self.now_ms)
        array.begin(index)
        self.jobs.parents[job.key] = parent_key
        self.jobs[job.key] = job
        array.count_row(None, job.status)
        self.jobs.touched_arrays.add(parent_key)
        self.changes.jobs[job.key] = job

    def put(self, job: Job) -> None:
        """Sets the next version of an unfinished row. A final row leaves memory; its status stays known for a while."""
        key, status, jobs = job.key, job.status, self.jobs
        before = jobs[key]
        assert not before.status.is_final, f"job {key} is final and changes"
        if self.recorder.wants_jobs and status is not before.status:
            self.recorder.changed(jobs.spec_of(key), jobs.index_of(key), job, self.now_ms)
        parent_key = jobs.parents.get(key)
        if parent_key is not None:
            if status is not before.status:
                array = jobs.arrays[parent_key]
                array.count_row(before.status, status)
                if status.is_final:
                    index = names.child_index(parent_key, key)
                    (array.succeeded if status is Status.SUCCEEDED else array.failed).add(index)
            jobs.touched_arrays.add(parent_key)
        if job.attempt is not before.attempt:
            self._move_capacity(before, job)
        self.changes.jobs[key] = job
        if status.is_final:
            del jobs[key]
            jobs.parents.pop(key, None)
        else:
            jobs[key] = job

    def finish(self, job: Job) -> None:
        """Sets a top-level job's final version like `put`, and remembers its status for requests that were made
        before."""
        array = self.jobs.arrays.get(job.key)
        if array is not None:
            array.updated_at_ms = self.now_ms
            job = replace(job, array=array.freeze())
        self.put(job)
        spec = self.jobs.specs.pop(job.key)
        if spec.share_identifier:
            self.queues.shares[spec.queue].leave(spec.share_identifier, self.now_ms)
            self.queues.touched_shares.add(spec.queue)
        self.jobs.finished[job.key] = job.status
        self.jobs.finished_order.append((self.now_ms + self.limits.finished_kept_ms, job.key, spec.job_id))

    def _move_capacity(self, before: Job, after: Job) -> None:
        """Takes and releases capacity when attempts are placed and end."""
        held, holds = before.attempt, after.attempt
        spec = self.jobs.spec_of(before.key)
        if held is not None and holds is not None and holds.number == held.number:
            if held.started_at_ms != holds.started_at_ms:
                self._note_ends(spec, after)
            return
        if held is not None:
            self._count(spec, held.environment, -1)
            self._hold(spec, -1)
            self._learn_run(spec, after)
            if spec.consumables:
                for resource in self.consumables.release(spec.consumables):
                    self.changes.documents[CONSUMABLE_RESOURCE, resource.name] = resource
            for placement, resources in zip(held.placements, node_resources(spec), strict=True):
                self._leave(placement.instance_id, before.key)
                self._give_back(placement, resources)
        if holds is not None:
            self.occupy(after)
            self._hold(spec, 1)

    def _give_back(self, placement: Placement, resources: Resources) -> None:
        available = self.instances.available.get(placement.instance_id)
        if available is not None:
            available.free = available.free.plus(resources)
            self.instances.room_changed(placement.instance_id)
            if placement.device_ids:
                own = self.instances[placement.instance_id].gpu_ids
                available.gpu_ids = sorted({*available.gpu_ids, *placement.device_ids} & {*own})

    def _leave(self, instance_id: str, key: int) -> None:
        placed = self.instances.placed[instance_id]
        if key not in placed:
            return  # another node of the same attempt was there, too
        del placed[key]
        if instance_id in self.instances.ends:
            self.instances.ends[instance_id].leave(key)
        instance = self.instances.get(instance_id)
        if not placed and instance is not None and instance.environment and instance.state is InstanceState.READY:
            self.become_idle(instance_id)

    def become_idle(self, instance_id: str) -> None:
        """Marks a managed instance as idle: nothing is placed on it any more, or not yet."""
        self.instances.mark_idle(instance_id, self.now_ms)
        self.instances.touched_idle.add(instance_id)

    def set_machine(self, name: str, machine: Instance) -> None:
        """Sets a provider's machine, new or with new capacity. What managed instances reserve and placed attempts
        hold is taken from it."""
        machine = replace(machine, provider=name) if machine.provider != name else machine
        known = self.instances.providers.get(name)
        if known is not None and known.machine.instance_id != machine.instance_id:
            del self.instances[known.machine.instance_id], self.instances.available[known.machine.instance_id]
        self.instances[machine.instance_id] = machine
        available = self.instances.available[machine.instance_id] = Available(
            machine.resources, sorted(machine.gpu_ids), machine.resources
        )
        self.instances.providers[name] = Provider(name, machine, available)
        self.environments.refused.clear()
        for instance in self.instances.values():
            if instance.environment and instance.provider == name != JOINED_PROVIDER:
                self._reserve(available, instance)
        for key in self.instances.placed_on(machine.instance_id):
            self._take_capacity(self.jobs.spec_of(key), self.jobs[key], machine.instance_id)

    def add_instance(self, instance: Instance) -> None:
        """Adds an instance of an environment that has its own, new or restored."""
        self.instances.add(instance)
        provider = self.instances.providers.get(instance.provider)
        if provider is not None and instance.provider != JOINED_PROVIDER:
            self._reserve(provider.ledger, instance)

    def put_instance(self, instance: Instance) -> None:
        """Sets the next version of a managed instance's record; its size never changes."""
        before = self.instances[instance.instance_id]
        if before is instance or before.state is not instance.state:  # the same: it was added a moment ago
            self.recorder.instance_changed(instance, self.now_ms)
        self.instances.put(instance)
        self.changes.documents[INSTANCE, instance.instance_id] = instance

    def remove_instance(self, instance_id: str) -> None:
        """Removes a managed instance: what it reserved is its provider's again. After a restart that may be reported
        before the provider is known; then nothing was taken from it yet."""
        assert not self.instances.placed_on(instance_id), f"the instance {instance_id} leaves with attempts on it"
        instance = self.instances.remove(instance_id)
        self.recorder.instance_changed(instance, self.now_ms, GONE)
        self.changes.documents[INSTANCE, instance_id] = None
        provider = self.instances.providers.get(instance.provider)
        if provider is not None and instance.provider != JOINED_PROVIDER:
            ledger = provider.ledger
            ledger.free = ledger.free.plus(instance.resources)
            ledger.gpu_ids = sorted({*ledger.gpu_ids, *instance.gpu_ids} & {*provider.machine.gpu_ids})

    def _reserve(self, available: Available, instance: Instance) -> None:
        available.free = available.free.minus(instance.resources)
        available.gpu_ids = [device for device in available.gpu_ids if device not in instance.gpu_ids]

    def occupy(self, job: Job) -> None:
        """Takes what a placed attempt, new or restored, holds of its instances, and of what its environment may use."""
        attempt, instances, spec = job.attempt, self.instances, self.jobs.spec_of(job.key)
        assert attempt is not None, f"job {job.key} is placed without an attempt"
        for placement in attempt.placements:
            placed = instances.placed.get(placement.instance_id)
            if placed is None:
                placed = instances.placed[placement.instance_id] = {}
            placed[job.key] = None
            if placement.instance_id in instances.idle_since:
                instances.mark_busy(placement.instance_id)
        self._note_ends(spec, job)
        self._take_capacity(spec, job)
        self._count(spec, attempt.environment, 1)
        if spec.consumables:
            self.consumables.hold(spec.consumables)

    def _note_ends(self, spec: JobSpec, job: Job) -> None:
        """Notes on the instances of a placed attempt when its timeout ends it."""
        if not spec.timeout_seconds or job.attempt is None:
            return
        longest_ms = self.limits.longest_ms(spec.timeout_seconds)
        for placement in job.attempt.placements:
            ends = self.instances.ends.get(placement.instance_id)
            if ends is None:
                ends = self.instances.ends[placement.instance_id] = AttemptEnds()
            ends.place(job.key, longest_ms, job.attempt.started_at_ms)

    def _count(self, spec: JobSpec, environment: str, times: int) -> None:
        """Counts an attempt that comes (1) or goes (-1): in its queue, and in the budget of its environment."""
        placed = self.queues.placed
        placed[spec.queue] = placed.get(spec.queue, 0) + times
        budget = self.environments.budgets.get(environment)
        if budget is not None:
            budget.free = budget.free.minus(Resources(milli_vcpus_of(spec) * times))

    def _hold(self, spec: JobSpec, times: int) -> None:
        """Counts an attempt that comes (1) or goes (-1) in what its share holds."""
        fair = self.queues.fair_share(spec.queue) if spec.share_identifier else None
        if fair is not None:
            ledger = self.queues.shares[spec.queue]
            ledger.hold(spec.share_identifier, milli_vcpus_of(spec) * times, self.now_ms, fair.window_ms)
            self.queues.touched_shares.add(spec.queue)

    def _learn_run(self, spec: JobSpec, job: Job) -> None:
        """Takes into account how long the attempt that has just ended had run."""
        if spec.share_identifier and job.past and job.past[-1].started_at_ms:
            self.queues.shares[spec.queue].ran(job.past[-1].stopped_at_ms - job.past[-1].started_at_ms)

    def accrue_shares(self, queue: str) -> None:
        """Settles the usage of shares before a queue's policy changes: it counts under the old one."""
        fair, ledger = self.queues.fair_share(queue), self.queues.shares.get(queue)
        if fair is not None and ledger is not None:
            ledger.accrue(self.now_ms, fair.window_ms)
            self.queues.touched_shares.add(queue)

    # -- queues and environments --

    def put_queue(self, queue: Queue) -> None:
        """Sets the next version of a queue's record."""
        self.queues[queue.name] = self.changes.queues[queue.name] = queue

    def forget_queue(self, name: str) -> None:
        """Removes a queue whose last job has ended, and everything that is known and stored of it."""
        self.keep_head(name, None)
        if name in self.queues.shares:
            self.changes.documents[SHARE_USAGE, name] = None
        self.queues.forget(name)
        self.changes.queues[name] = None

    def put_environment(self, environment: Environment) -> None:
        """Sets the next version of an environment's record."""
        self.environments[environment.name] = self.changes.environments[environment.name] = environment
        self.environments.refused.clear()

    def forget_environment(self, name: str) -> None:
        """Removes an environment in which nothing is left, and everything that is known of it."""
        self.environments.forget(name)
        self.changes.environments[name] = None

    def keep_head(self, queue: str, row: QueueHead | None) -> None:
        """Sets the stored record of a queue's head."""
        if self.queues.head_rows.get(queue) == row:
            return
        self.changes.documents[QUEUE_HEAD, queue] = row
        if row is None:
            del self.queues.head_rows[queue]
        else:
            self.queues.head_rows[queue] = row

    def _take_capacity(self, spec: JobSpec, job: Job, instance_id: str = "") -> None:
        """Takes what the nodes of a placed attempt hold. `instance_id`: only those placed there; empty: all."""
        assert job.attempt is not None
        for placement, resources in zip(job.attempt.placements, node_resources(spec), strict=True):
            available = self.instances.available.get(placement.instance_id)
            if available is not None and instance_id in ("", placement.instance_id):
                available.free = available.free.minus(resources)
                self.instances.room_changed(placement.instance_id)
                if placement.device_ids:
                    available.gpu_ids = [d for d in available.gpu_ids if d not in placement.device_ids]

    # -- batch ends --

    def finish_batch(self) -> None:
        """Writes the progress of touched arrays into their parents' records, and forgets what no request
        may still refer to."""
        for key in sorted(self.jobs.touched_arrays):
            parent = self.jobs.get(key)
            if parent is not None:
                array = self.jobs.arrays[key]
                array.updated_at_ms = self.now_ms
                self.changes.jobs[key] = self.jobs[key] = replace(parent, array=array.freeze())
                if self.recorder.wants_jobs:
                    self.recorder.settle(self.jobs.specs[key], self.jobs[key], self.now_ms)
        self.jobs.touched_arrays.clear()
        for instance_id in sorted(self.instances.touched_idle):
            since_ms = self.instances.idle_since.get(
                instance_id, 0
            )  # jobs that follow each other at once leave no trace
            if since_ms and self.instances[instance_id].idle_since_ms != since_ms:
                self.put_instance(replace(self.instances[instance_id], idle_since_ms=since_ms))
        self.instances.touched_idle.clear()
        for queue in sorted(self.queues.touched_shares):
            fair, shares = self.queues.fair_share(queue), self.queues.shares[queue]
            assert fair is not None, f"the shares of the FIFO queue {queue} have changed"
            shares.forget(self.now_ms, fair.window_ms)
            self.changes.documents[SHARE_USAGE, queue] = shares.freeze()
        self.queues.touched_shares.clear()
        self.recorder.environments_changed(self.changes.environments, self.now_ms)
        self.recorder.close()
        self.jobs.forget_finished(self.now_ms)
        while self.idempotency_order and self.idempotency_order[0][0] <= self.now_ms:
            self.idempotency.pop(self.idempotency_order.popleft()[1], None)

    def want_facts(self, kinds: Collection[type[Fact]]) -> None:
        """Sets which facts are made, from the next batch on."""
        if self.recorder.want(kinds):
            for key, spec in self.jobs.specs.items():
                if spec.array_size:
                    self.recorder.resume(spec, self.jobs[key])

    def move(self, job: Job, cause: lifecycle.Cause, **changes: object) -> Job:
        """`lifecycle.move` and `put` in one, for a move that does not end the job."""
        moved = lifecycle.move(job, cause, **changes)
        assert not moved.status.is_final, f"job {job.key} ends outside endings"
        self.put(moved)
        return moved

    def held(self, instance_id: str) -> Resources:
        """Returns what placed attempts hold of an instance, computed anew."""
        return sum_of(self.held_by(key, instance_id) for key, job in self.jobs.items() if job.attempt is not None)

    def held_by(self, key: int, instance_id: str) -> Resources:
        """Returns what a placed attempt holds of an instance: what all its nodes there ask for."""
        attempt, spec = self.jobs[key].attempt, self.jobs.spec_of(key)
        assert attempt is not None, f"job {key} holds nothing: it is not placed"
        if not spec.num_nodes:  # at no cost: this is asked about every placed job while a head waits
            return spec.task.resources if attempt.main.instance_id == instance_id else Resources()
        pairs = zip(attempt.placements, node_resources(spec), strict=True)
        return sum_of(resources for placement, resources in pairs if placement.instance_id == instance_id)
