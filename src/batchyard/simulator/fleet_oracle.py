"""Checks what became durable about instances, by rules of its own: it reads rows, not the machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from batchyard.core.capacity.catalogue import InstanceType, registered
from batchyard.core.model.records import (
    Attempt,
    Environment,
    Health,
    Instance,
    InstanceState,
    Market,
    Queue,
    QueueHead,
    State,
)
from batchyard.core.model.resources import Resources
from batchyard.core.state.document_kinds import INSTANCE, QUEUE_HEAD
from batchyard.simulator.attempt_ledger import AttemptLedger, ViolationError
from batchyard.simulator.workload import CATALOGUE
from batchyard.store import codec
from batchyard.store.codec import Rows

MILLI = 1000
LIFE = (InstanceState.LAUNCHING, InstanceState.READY, InstanceState.DRAINING, InstanceState.TERMINATING)
COMING = LIFE[:2]
HEAD_KEPT_AFTER_MS = 1000
SCALE_DOWN_MS = 2000  # scale_down_seconds of the simulated servers


class HeldPlace(Struct, frozen=True):
    """The place of one node of a placed attempt, and the resources that it holds there. `timeout_seconds`: when the
    job's own timeout ends it; 0: never."""

    key: int
    resources: Resources
    attempt: Attempt
    instance_id: str
    device_ids: tuple[int, ...]
    timeout_seconds: int = 0
    is_over: bool = False  # the node has ended, others of its attempt have not


class NextJob(Struct, frozen=True):
    """The next job of a FIFO queue. `resources`: of all its nodes together; `is_set_aside`: nothing can ever run it."""

    job_id: str
    queue: str
    resources: Resources
    engines: tuple[str, ...]
    is_set_aside: bool
    nodes: tuple[Resources, ...]


class WaitingJob(Struct, frozen=True):
    """A RUNNABLE job. `nodes`: what each of its nodes asks for."""

    queue: str
    nodes: tuple[Resources, ...]


class FleetOracle:
    """Remembers the durable records of environments, queues and instances, decoded from their text."""

    def __init__(self, ledger: AttemptLedger) -> None:
        self.ledger = ledger
        self.environments: dict[str, Environment] = {}
        self.queues: dict[str, Queue] = {}
        self.instances: dict[str, Instance] = {}
        self.heads: dict[str, QueueHead] = {}
        self.sizes: dict[str, Resources] = {}  # of every instance that ever existed
        self.sized_by_owner: set[str] = set()  # environments whose desiredvCpus their owner has asked for
        self._idle_since: dict[str, int] = {}  # READY ones without attempts
        self._host = ""
        self._host_now = Resources()
        self._allowance = Resources()  # what may be reserved and held of the host at most, since the last start

    def instances_in(self, environment: str) -> list[str]:
        return sorted(i.instance_id for i in self.instances.values() if i.environment == environment)

    def server_started(self, capacity: Mapping[str, Resources], held: Mapping[str, Resources]) -> None:
        """Notes the host of a new server. A host that became smaller may stay over-committed by what is reserved and
        held of it."""
        self._host = list(capacity)[-1]
        self._host_now = capacity[self._host]
        used = held.get(self._host, Resources())
        for instance in self.instances.values():
            used = used.plus(instance.resources)
        most = capacity[self._host]
        self._allowance = Resources(
            max(most.milli_vcpus, used.milli_vcpus), max(most.memory_mib, used.memory_mib), max(most.gpus, used.gpus)
        )

    def set_gpus(self, count: int, held: Sequence[HeldPlace]) -> None:
        """Notes how many GPUs the host has now. `held`: what was held of it before."""
        used = sum(one.resources.gpus for one in held if one.instance_id == self._host)
        used += sum(one.resources.gpus for one in self.instances.values())
        self._host_now = replace(self._host_now, gpus=count)
        self._allowance = replace(self._allowance, gpus=max(count, used))

    # -- a transaction becomes durable --

    def before_durable(
        self,
        rows: Rows,
        held: Sequence[HeldPlace],
        placed: Sequence[tuple[HeldPlace, str]],
        next_jobs: Callable[[], Sequence[NextJob]],
        waiting: Callable[[], Sequence[WaitingJob]],
        now_ms: int,
    ) -> None:
        """Checks a transaction. `held`: every place that is held after it; `placed`: those of attempts that it
        placed, and their queues; `next_jobs`: the next job of each queue after it; `waiting`: every RUNNABLE
        job."""
        old = dict(self.environments)
        self.environments.update((row[0], codec.decode_environment(row[-1])) for row in rows.environments)
        wanted = map(_wanted_vcpus, (*old.values(), *self.environments.values()))
        keeps_instances = any(wanted) or any(self._is_new(name, old) for name in self.environments)
        self.queues.update((row[0], codec.decode_queue(row[-1])) for row in rows.queues)
        before = dict(self.instances)
        for kind, name, body in rows.documents:
            if kind == INSTANCE:
                record = codec.decode_document(kind, body)
                assert isinstance(record, Instance), f"{record!r} is kept as an instance"
                self.instances[name] = record
            elif kind == QUEUE_HEAD:
                record = codec.decode_document(kind, body)
                assert isinstance(record, QueueHead), f"{record!r} is kept as a queue's head"
                self._check_head(name, self.heads.get(name, QueueHead()), record, now_ms)
                self.heads[name] = record
        for kind, name in rows.deleted_documents:
            if kind == INSTANCE:
                self.instances.pop(name, None)
            elif kind == QUEUE_HEAD:
                self.heads.pop(name, None)  # of a queue that was deleted in the batch that gave it one
        busy = {one.instance_id for one in held}
        for name in sorted({*before, *self.instances}):
            self._check_change(name, before.get(name), self.instances.get(name), name in busy, now_ms)
        launched = [self.instances[name] for name in self.instances if name not in before]
        # A job with a timeout may take after a multi-node job what that counts on: it ends in time.
        passed = [one for one, _ in placed if one.timeout_seconds]
        self._check_all_launches(launched, old, waiting, [one for one in held if one not in passed], now_ms)
        for one, queue in placed:
            self._check_placed(one, self.queues[queue], held)
        if launched or placed:
            self._check_host(held)
        if placed:
            self._check_passed(placed, next_jobs(), held)
        if (placed or launched) and not keeps_instances:
            self._check_left_for_heads(placed, launched, next_jobs())
        self._note_idle(busy, now_ms)
        for (name,) in rows.deleted_environments:
            if self.instances_in(name):
                raise ViolationError(f"{name} is deleted and has the instances {self.instances_in(name)}")
            del self.environments[name]
        for (name,) in rows.deleted_queues:
            del self.queues[name]

    def _check_change(self, name: str, old: Instance | None, new: Instance | None, is_busy: bool, now_ms: int) -> None:
        if new is None:
            if is_busy or name not in self.ledger.ended:
                raise ViolationError(f"instance {name} is forgotten, and is there or in use: {old}")
            return
        if old is None:
            if new.state is not InstanceState.LAUNCHING or name in self.sizes:
                raise ViolationError(f"instance {name} begins as {new}; known before: {name in self.sizes}")
            self.sizes[name] = new.resources
            return
        if old == new:
            return
        if LIFE.index(new.state) < LIFE.index(old.state) or _lasting(old) != _lasting(new):
            raise ViolationError(f"instance {name} changes from {old} to {new}")
        if (new.state is InstanceState.READY or new.ready_at_ms) and name not in self.ledger.booted:
            raise ViolationError(f"instance {name} is ready, and no report said so")
        if new.state is InstanceState.TERMINATING and old.state is not new.state:
            self._check_end(old, new, is_busy, now_ms)

    def _check_end(self, old: Instance, new: Instance, is_busy: bool, now_ms: int) -> None:
        """Checks that a terminated instance is empty, and without another cause was idle for long enough, and above
        minvCpus."""
        environment, name = self.environments[new.environment], new.instance_id
        if is_busy:
            raise ViolationError(f"instance {name} is terminated, and is in use")
        if new.ends_at_ms or environment.status is Health.DELETING:
            return
        since_ms = self._idle_since.get(name, now_ms)
        if old.state is not InstanceState.READY or now_ms - since_ms < SCALE_DOWN_MS:
            raise ViolationError(f"instance {name} is terminated at {now_ms}, and was idle since {since_ms}: {old}")
        left = sum(i.resources.milli_vcpus for i in self._of(environment.name, COMING))
        if left < _vcpus(environment, "minvCpus") * MILLI:
            raise ViolationError(f"instance {name} is terminated, and {environment.name} then has only {left}")

    def _check_all_launches(
        self,
        launched: Sequence[Instance],
        old: Mapping[str, Environment],
        waiting: Callable[[], Sequence[WaitingJob]],
        held: Sequence[HeldPlace],
        now_ms: int,
    ) -> None:
        """`old`: the environments before the transaction; `held`: the places that last."""
        pauses = {name: one.paused_until_ms for name, one in old.items()}
        for new in launched:
            if pauses.get(new.environment, 0) > now_ms:
                raise ViolationError(f"{new} is launched at {now_ms}, before its environment's pause is over: {pauses}")
        for name in sorted({one.environment for one in launched}):
            own = [one for one in launched if one.environment == name]
            self._check_launches(self.environments[name], own)
            if not self._is_new(name, old):
                least = max(_wanted_vcpus(one) for one in (old[name], self.environments[name]))
                self._check_gathered(self.environments[name], own, least, waiting(), held)

    def _is_new(self, name: str, old: Mapping[str, Environment]) -> bool:
        """Whether a transaction made an environment. Its desiredvCpus, which are launched once and are not in the
        record then, may never have been in one."""
        return name not in old or old[name].uuid != self.environments[name].uuid

    def _check_launches(self, environment: Environment, launched: Sequence[Instance]) -> None:
        """Checks that launched instances are of allowed types, and that the last of them was launched below
        maxvCpus."""
        name, resources = environment.name, _resources(environment)
        total = sum(i.resources.milli_vcpus for i in self._of(name, LIFE[:3]))
        before = total - max(i.resources.milli_vcpus for i in launched)
        limit = _vcpus(environment, "maxvCpus") * MILLI
        is_strict = resources["type"] == "EC2" and resources["allocationStrategy"] == "BEST_FIT"
        if before >= limit or (is_strict and total > limit):
            raise ViolationError(f"{name} has {total} milli-vCPUs with {launched}, maxvCpus is {limit}")
        if environment.status is not Health.VALID:
            raise ViolationError(f"{name} is {environment.status} and launches {launched}")
        if environment.state is not State.ENABLED and before >= _vcpus(environment, "minvCpus") * MILLI:
            raise ViolationError(f"{name} is DISABLED and launches {launched}")
        allowed = {kind.name: kind for kind in CATALOGUE.expand(resources["instanceTypes"])}
        for one in launched:
            kind = allowed.get(one.instance_type)
            if kind is None or one.resources != registered(kind) or len(one.gpu_ids) != kind.gpus:
                raise ViolationError(f"{name} allows {sorted(allowed)} and launches {one}")
            if (one.market is Market.SPOT) != (resources["type"] == "SPOT"):
                raise ViolationError(f"{name} is {resources['type']} and launches {one}")

    def _check_gathered(
        self,
        environment: Environment,
        launched: Sequence[Instance],
        least: int,
        waiting: Sequence[WaitingJob],
        held: Sequence[HeldPlace],
    ) -> None:
        """Checks that instances which are launched for a multi-node job are all that it lacks: for a part of its nodes
        none may be. `least`: the vCPUs that its owner wants there without demand."""
        coming = self._of(environment.name, COMING)
        before = sum(i.resources.milli_vcpus for i in coming) - sum(i.resources.milli_vcpus for i in launched)
        users = [
            one for one in waiting if environment.name in [o.environment for o in self.queues[one.queue].environments]
        ]
        if (
            environment.name in self.sized_by_owner
            or before < least * MILLI
            or not users
            or any(len(one.nodes) == 1 for one in users)
        ):
            return
        rooms = [i.resources.minus(_sum([o.resources for o in held if o.instance_id == i.instance_id])) for i in coming]
        if not any(_could_place(one.nodes, rooms) for one in users):
            raise ViolationError(f"{environment.name} launches {launched}, too little for each of {users}")

    def _check_placed(self, one: HeldPlace, queue: Queue, held: Sequence[HeldPlace]) -> None:
        """Checks that an attempt is placed on a READY instance of its environment with room for it; without
        instances, on the host."""
        attempt = one.attempt
        environment = self.environments[attempt.environment]
        if environment.state is not State.ENABLED or environment.status is not Health.VALID:
            raise ViolationError(f"{attempt} is placed in {environment}")
        if attempt.environment not in [o.environment for o in queue.environments]:
            raise ViolationError(f"{attempt} is placed by the queue {queue}")
        instance = self.instances.get(one.instance_id)
        kind = _resources(environment).get("type", "")
        if (instance is not None) != (kind in ("EC2", "SPOT")):
            raise ViolationError(f"{attempt} is placed on {instance}, and its environment is {environment}")
        if instance is None:
            budget = _vcpus(environment, "maxvCpus") * MILLI
            used = sum(o.resources.milli_vcpus for o in held if o.attempt.environment == environment.name)
            if environment.type == "MANAGED" and used > budget:
                raise ViolationError(f"{environment.name} uses {used} of {budget} milli-vCPUs with {attempt}")
            return
        if instance.state is not InstanceState.READY or instance.environment != environment.name:
            raise ViolationError(f"{attempt} is placed on {instance}")
        if not {*one.device_ids} <= {*instance.gpu_ids}:
            raise ViolationError(f"{attempt} has devices that {instance} does not have")
        total = _sum([o.resources for o in held if o.instance_id == instance.instance_id])
        if not total.fits(instance.resources):
            raise ViolationError(f"with {attempt} {total} is used of {instance}")

    def _check_passed(
        self, placed: Sequence[tuple[HeldPlace, str]], next_jobs: Sequence[NextJob], held: Sequence[HeldPlace]
    ) -> None:
        """Checks that a job which still waits in a queue of higher priority, and could run where a job without a
        timeout was placed, has enough left there of what that job took. Jobs with a timeout may have taken the rest
        after it: they end in time."""
        for one, queue in placed:
            environment, instance_id = self.environments[one.attempt.environment], one.instance_id
            instance = self.instances.get(instance_id)
            total = self._host_now if instance is None else instance.resources
            here = [o for o in held if o.instance_id == instance_id]
            later = [o for o, _ in placed if o.instance_id == instance_id and o.timeout_seconds]
            left = total.minus(_sum([o.resources for o in here])).plus(_sum([o.resources for o in later]))
            if instance is None:
                left = left.minus(_sum([i.resources for i in self.instances.values()]))
            for other in next_jobs:
                theirs = self.queues[other.queue]
                shares = environment.name in [o.environment for o in theirs.environments]
                if one.timeout_seconds or theirs.priority <= self.queues[queue].priority or not shares:
                    continue
                if any(self._of(o.environment, LIFE[:1]) for o in theirs.environments):
                    continue  # an instance that is being launched may be reserved for it
                if other.is_set_aside or environment.engine not in other.engines:
                    continue
                if len(other.nodes) > 1 and instance is not None:
                    continue  # its nodes may have room reserved on other instances
                if other.resources.fits(total) and not _leaves(left, one.resources, other.resources):
                    raise ViolationError(f"{one} of {queue} passes {other}, which could use the {left} left there")

    def _check_left_for_heads(
        self, placed: Sequence[tuple[HeldPlace, str]], launched: Sequence[Instance], next_jobs: Sequence[NextJob]
    ) -> None:
        """Checks that a job which waits in a queue of higher priority has enough of this host left once all instances
        have ended but those that jobs of lower priority were given now, in environments that it can't use. While
        minvCpus keeps instances they may all be needed."""
        for other in next_jobs:
            theirs = self.queues[other.queue]
            own = {o.environment for o in theirs.environments}
            wants = self._wants_of_host(other, [self.environments[name] for name in sorted(own)])
            given = {
                one.instance_id
                for one, queue in placed
                if self.queues[queue].priority < theirs.priority
                and not one.timeout_seconds
                and one.attempt.environment not in own
                and one.instance_id in self.instances
            }
            if not any(self._of(name, LIFE) for name in own):  # its own do not keep it from a launch
                given |= {one.instance_id for one in launched if self._priority_of(one.environment) < theirs.priority}
            total = _sum([self.instances[instance_id].resources for instance_id in sorted(given)])
            if given and wants and not any(want.plus(total).fits(self._host_now) for want in wants):
                raise ViolationError(f"{sorted(given)} with {total} are given to others, {other} needs one of {wants}")

    def _wants_of_host(self, job: NextJob, environments: Sequence[Environment]) -> list[Resources]:
        """Returns the least that a job takes of this host, in each of its queue's environments; empty where it is not
        known to wait for that, since there are instances for it, or they may be."""
        wants: list[Resources] = []
        for one in environments:
            is_usable = one.state is State.ENABLED and one.status is Health.VALID and one.engine in job.engines
            coming, resources = self._of(one.name, COMING), _resources(one)
            is_coming = any(i.state is InstanceState.LAUNCHING for i in coming)
            if job.is_set_aside or not is_usable or is_coming or one.engine != environments[0].engine:
                return []
            want = job.resources
            if resources.get("type", "") in ("EC2", "SPOT"):
                if _could_place(job.nodes, [i.resources for i in coming]):
                    return []
                kinds = [registered(kind) for kind in CATALOGUE.expand(resources["instanceTypes"])]
                holding = [kind for kind in kinds if job.resources.fits(kind)]
                if len(job.nodes) == 1:
                    want = min(holding, key=lambda kind: (kind.milli_vcpus, kind.memory_mib), default=self._host_now)
            wants.append(want)
        return wants

    def _priority_of(self, environment: str) -> int:
        """Returns the highest priority of the queues that have an environment."""
        users = (q for q in self.queues.values() if any(o.environment == environment for o in q.environments))
        return max((queue.priority for queue in users), default=0)

    def _check_host(self, held: Sequence[HeldPlace]) -> None:
        """Checks that what is reserved, and what runs on the host itself, is not more than it has, and that no
        device is assigned twice."""
        local = [one for one in held if one.instance_id == self._host]
        total = _sum([i.resources for i in self.instances.values()] + [one.resources for one in local])
        if not total.fits(self._allowance):
            raise ViolationError(f"{total} is reserved and held of the host, which has {self._allowance}")
        devices = [d for i in self.instances.values() for d in i.gpu_ids]
        devices += [d for one in local for d in one.device_ids]
        if len(devices) != len(set(devices)):
            raise ViolationError(f"devices of the host are given twice: {sorted(devices)}")

    def _note_idle(self, busy: set[str], now_ms: int) -> None:
        idle = [i for i in self.instances.values() if i.state is InstanceState.READY and i.instance_id not in busy]
        self._idle_since = {i.instance_id: self._idle_since.get(i.instance_id, now_ms) for i in idle}
        for one in idle:
            if one.idle_since_ms != self._idle_since[one.instance_id]:
                raise ViolationError(f"{one} is idle since {self._idle_since[one.instance_id]}")

    def _check_head(self, queue: str, old: QueueHead, new: QueueHead, now_ms: int) -> None:
        """Checks that a durable head has been the head for a while and keeps its time, and that the count of reports
        never goes down."""
        if new.key and not now_ms - new.since_ms >= HEAD_KEPT_AFTER_MS:
            raise ViolationError(f"{new} of {queue} is written down at {now_ms}")
        if new.key and (old.key, old.index) == (new.key, new.index) and old.since_ms != new.since_ms:
            raise ViolationError(f"the head of {queue} changes from {old} to {new}")
        if new.reported_count < old.reported_count:
            raise ViolationError(
                f"{queue} was reported blocked {old.reported_count} times, and then {new.reported_count}"
            )

    # -- the end --

    def check_idle(self, least_vcpus: Mapping[str, int]) -> None:
        """Checks, after a long time without events and work, that each environment has what minvCpus asks, and no
        more."""
        for name, environment in self.environments.items():
            own = self._of(name, LIFE)
            if any(one.state is not InstanceState.READY for one in own):
                raise ViolationError(f"{name} is at rest, and has {own}")
            least, sizes = least_vcpus.get(name, 0) * MILLI, [one.resources.milli_vcpus for one in own]
            if sizes and sum(sizes) - min(sizes) >= least:
                raise ViolationError(f"{name} needs {least} milli-vCPUs without work, and keeps {own}")
            if sum(sizes) < least and self._could_launch(environment):
                raise ViolationError(f"{name} needs {least} milli-vCPUs without work, and has only {own}")

    def _could_launch(self, environment: Environment) -> bool:
        """Whether one of its instance types fits beside what is reserved. BEST_FIT may wait for another type."""
        resources = _resources(environment)
        if resources["allocationStrategy"] == "BEST_FIT":
            return False
        used = _sum([one.resources for one in self.instances.values()])
        kinds: Sequence[InstanceType] = CATALOGUE.expand(resources["instanceTypes"])
        return any(used.plus(registered(kind)).fits(self._allowance) for kind in kinds)

    def _of(self, environment: str, states: Sequence[InstanceState]) -> list[Instance]:
        return [i for i in self.instances.values() if i.environment == environment and i.state in states]


def _could_place(nodes: Sequence[Resources], rooms: Sequence[Resources]) -> bool:
    """Whether nodes fit into rooms together: the largest first, each into the first room that has enough."""
    left = list(rooms)
    for one in sorted(nodes, key=lambda one: (one.gpus, one.milli_vcpus, one.memory_mib), reverse=True):
        found = next((at for at, room in enumerate(left) if one.fits(room)), None)
        if found is None:
            return False
        left[found] = left[found].minus(one)
    return True


def _leaves(left: Resources, taken: Resources, wanted: Resources) -> bool:
    kinds = ("milli_vcpus", "memory_mib", "gpus")
    return all(not getattr(taken, kind) or getattr(left, kind) >= getattr(wanted, kind) for kind in kinds)


def _resources(environment: Environment) -> dict[str, Any]:
    found: dict[str, Any] = environment.document.get("computeResources", {})
    return found


def _vcpus(environment: Environment, member: str) -> int:
    found = _resources(environment).get(member) or 0
    assert isinstance(found, int)
    return found


def _wanted_vcpus(environment: Environment) -> int:
    return max(_vcpus(environment, "minvCpus"), _vcpus(environment, "desiredvCpus"))


def _lasting(instance: Instance) -> tuple[Any, ...]:
    """Returns what never changes about an instance."""
    return (
        instance.resources,
        instance.gpu_ids,
        instance.environment,
        instance.instance_type,
        instance.market,
        instance.launched_at_ms,
    )


def _sum(amounts: Sequence[Resources]) -> Resources:
    total = Resources()
    for amount in amounts:
        total = total.plus(amount)
    return total
