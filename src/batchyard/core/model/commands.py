"""Every input of the machine: one Struct per API write, per question to memory, and per thing that engines report."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from msgspec import Struct

from batchyard.core.model.attempt_node import task_id_of
from batchyard.core.model.records import (
    DEFAULT_CONTAINER,
    Abilities,
    Dependency,
    EnvironmentOrder,
    Instance,
    Ranges,
    Secret,
)


class Command(Struct, frozen=True):
    """Something the machine handles. A request was checked for shape; the machine checks it against its world."""


# -- API writes --


class CreateComputeEnvironment(Command, frozen=True):
    """`is_settled`: VALID at once, however long others take: what the service makes for itself."""

    name: str
    uuid: str
    type: str
    state: str
    engine: str
    document: dict[str, Any]
    tags: dict[str, str] = {}
    is_settled: bool = False


class UpdateComputeEnvironment(Command, frozen=True):
    """`document` holds the members to change, merged one level deep into computeResources."""

    name: str
    state: str = ""
    document: dict[str, Any] = {}


class DeleteComputeEnvironment(Command, frozen=True):
    name: str


class CreateJobQueue(Command, frozen=True):
    """`is_settled`: as an environment's."""

    name: str
    state: str
    priority: int
    environments: tuple[EnvironmentOrder, ...]
    document: dict[str, Any] = {}
    tags: dict[str, str] = {}
    is_settled: bool = False


class UpdateJobQueue(Command, frozen=True):
    """Members that are None stay as they are."""

    name: str
    state: str = ""
    priority: int | None = None
    environments: tuple[EnvironmentOrder, ...] | None = None
    document: dict[str, Any] = {}


class DeleteJobQueue(Command, frozen=True):
    name: str


class CreateSchedulingPolicy(Command, frozen=True):
    """`document`: fairsharePolicy or quotaSharePolicy, as sent."""

    name: str
    document: dict[str, Any]
    tags: dict[str, str] = {}


class UpdateSchedulingPolicy(Command, frozen=True):
    """`document` replaces the policy's; empty: nothing changes."""

    name: str
    document: dict[str, Any] = {}


class DeleteSchedulingPolicy(Command, frozen=True):
    name: str


class RegisterJobDefinition(Command, frozen=True):
    name: str
    document: dict[str, Any]
    tags: dict[str, str] = {}


class DeregisterJobDefinition(Command, frozen=True):
    name: str
    revision: int


class FinishedArray(Struct, frozen=True):
    """An array the machine may no longer hold, for those who follow it N_TO_N."""

    size: int
    failed: Ranges = ()


class Stage(IntEnum):
    """When, among the checks of SubmitJob, an objection to the request's shape is due (AWS Batch behaviour 7.2)."""

    SIZE = 1  # size, array size, number of dependencies: after queue, definition and platform
    OVERRIDES = 2  # after the parameters
    RULES = 3  # retry strategy, timeout, tags: last


class Objection(Struct, frozen=True):
    """What is wrong with a request's shape, found before the machine looks at it."""

    stage: Stage
    message: str
    is_bare: bool = False  # as Refused has it


class SubmitJob(Command, frozen=True):
    """`finished`: final statuses, from the store, of dependencies the machine may no longer hold; `finished_arrays`:
    those of them that are arrays, and which of their children failed.
    `overrides`, `retry_strategy`, `timeout`: the request's documents; None where the definition's holds.
    `task_override`: the entry of ecsPropertiesOverride.taskProperties."""

    job_id: str
    name: str
    queue: str
    definition: str
    revision: int | None = None  # None: the highest ACTIVE one
    principal: str = ""
    idempotency_key: str = ""
    request_digest: str = ""  # 32 hexadecimal digits; another one under the same key is refused
    array_size: int = 0
    depends_on: tuple[Dependency, ...] = ()
    finished: dict[str, str] = {}
    finished_arrays: dict[str, FinishedArray] = {}
    overrides: dict[str, Any] = {}
    task_override: dict[str, Any] = {}
    parameters: dict[str, str] = {}
    retry_strategy: dict[str, Any] | None = None
    timeout: dict[str, Any] | None = None
    tags: dict[str, str] = {}
    propagate_tags: bool | None = None
    share_identifier: str = ""
    scheduling_priority: int | None = None
    working_directory: str = ""
    images: bool | None = None  # True: only engines that run images, False: only those that run none; None: any
    objections: tuple[Objection, ...] = ()
    unsupported: tuple[str, ...] = ()  # members of the request that nothing here can honour yet


class SubmittedJob(Struct, frozen=True):
    """SubmitJob's answer. A retry with the same idempotency key gets the first answer again."""

    job_id: str
    name: str


class CancelJob(Command, frozen=True):
    job_id: str
    reason: str


class TerminateJob(Command, frozen=True):
    job_id: str
    reason: str


class TagResource(Command, frozen=True):
    """`kind`: compute-environment, job-queue, job-definition, scheduling-policy, job, secret or parameter. `name`: of
    a secret or a parameter its name, of the others what follows the kind in the ARN. `stored`: a finished job's tags as
    the store had them (the machine remembers recent changes itself)."""

    kind: str
    name: str
    tags: dict[str, str]
    stored_key: int = 0
    stored: dict[str, str] | None = None


class UntagResource(Command, frozen=True):
    kind: str
    name: str
    tag_keys: tuple[str, ...]
    stored_key: int = 0
    stored: dict[str, str] | None = None


class SealedValue(Struct, frozen=True):
    """A value that was encrypted before it came here. `value_id`: what it is bound to; of a secret its version id."""

    value_id: str
    sealed: bytes
    digest: bytes
    is_binary: bool = False


class CreateSecret(Command, frozen=True):
    """`suffix`: the end of its ARN. Answered with a VersionedSecret; a repeated request gets the first answer again."""

    name: str
    suffix: str
    value: SealedValue | None
    description: str = ""
    kms_key_id: str = ""
    tags: dict[str, str] = {}


class PutSecretValue(Command, frozen=True):
    """`stages` empty: AWSCURRENT. Answered with a VersionedSecret."""

    name: str
    value: SealedValue
    stages: tuple[str, ...] = ()


class UpdateSecret(Command, frozen=True):
    """Members that are None stay as they are. Answered with a VersionedSecret."""

    name: str
    value: SealedValue | None = None
    description: str | None = None
    kms_key_id: str | None = None


class DeleteSecret(Command, frozen=True):
    """`recovery_ms` 0: at once. Answered with the Secret, whose `gone_at_ms` says when it goes."""

    name: str
    recovery_ms: int


class RestoreSecret(Command, frozen=True):
    name: str


class VersionedSecret(Struct, frozen=True):
    secret: Secret
    version_id: str = ""  # of what the request brought; empty: no value


class PutParameter(Command, frozen=True):
    """Answered with the Parameter. `type` empty: as it is. `description` and `key_id` None: as they are."""

    name: str
    type: str
    value: SealedValue
    tier: str
    overwrite: bool = False
    description: str | None = None
    key_id: str | None = None
    tags: dict[str, str] = {}


class DeleteParameter(Command, frozen=True):
    name: str


class InterruptInstance(Command, frozen=True):
    """Takes an instance away as a Spot interruption does, after a notice. Answered with an overview.InstanceView of
    it as it is then."""

    instance_id: str
    notice_seconds: float


# -- From the composition root --


class SetHost(Command, frozen=True):
    """This machine's capacity, as detected or declared, and the engines that can be used on it."""

    instance: Instance
    abilities: dict[str, Abilities]


class SetAway(Command, frozen=True):
    """The engines that can't be used now, and why, as sentences without a full stop; the others can. Jobs wait."""

    engines: dict[str, str]


class TerminateAllRunning(Command, frozen=True):
    """`batchyard down --kill`: terminates every STARTING or RUNNING job; waiting jobs stay and none starts any more."""

    reason: str


# -- Questions to memory (read-only) --


class AskCapacity(Command, frozen=True):
    """Answered with a CapacityAnswer."""


class AskExplain(Command, frozen=True):
    """Why one job waits; answered with an explaining.Explanation, or None when it is not in memory (it ended)."""

    job_id: str


class AskInstances(Command, frozen=True):
    """What there is to run on, and what runs there; answered with an inventory.Inventory."""


class AskQueueSnapshot(Command, frozen=True):
    """Answered with a queue_snapshot.QueueSnapshot."""

    queue: str


class AskOverview(Command, frozen=True):
    """Environments, queues and instances as an owner looks at them; answered with an overview.Overview."""


class CapacityAnswer(Struct, frozen=True):
    total_milli_vcpus: int
    total_memory_mib: int
    total_gpus: int
    free_milli_vcpus: int
    free_memory_mib: int
    free_gpus: int
    jobs_running: int  # STARTING or RUNNING attempts
    jobs_waiting: int  # unfinished jobs, children counted singly, that have no attempt


# -- Reports of engines: facts, never decisions; times are the engine's --


OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"  # the reason of a container killed for it


class ContainerExit(Struct, frozen=True):
    """How one container of a task ended. `exit_code` is 128+n after signal n; None when it is unknown, or when the
    container never ran: then `reason` says why not."""

    name: str = DEFAULT_CONTAINER
    exit_code: int | None = None
    signal: int = 0
    out_of_memory: bool = False
    peak_memory_mib: int = 0
    cpu_ms: int = 0
    reason: str = ""
    stopped_at_ms: int = 0  # of tasks of several containers: which ended first; 0: it never ran, or nobody knows


class _NodeReport(Command, frozen=True, kw_only=True):
    node: int = 0  # of a plain job's attempt the only one


class Report(_NodeReport, frozen=True):
    """`attempt_id` is the id of the attempt whose `node` this is about (names.task_id)."""

    attempt_id: str

    @property
    def task_id(self) -> str:
        """As AttemptNode's."""
        return task_id_of(self.attempt_id, self.node) if self.node else self.attempt_id


class Started(Report, frozen=True):
    at_ms: int


class NotStarted(Report, frozen=True):
    """It never ran. `reason`: `CannotStartContainerError: ...`; exit code 127 where a program could not be started."""

    at_ms: int
    reason: str
    exit_code: int | None = None
    container: str = ""  # of several: the one that was the cause; empty where it was none of them alone


class Exited(Report, frozen=True):
    """It ran and ended. `started_at_ms` is given too: after a crash of the server this may be the first report.
    `containers`: every one, in the order of its definition."""

    started_at_ms: int
    stopped_at_ms: int
    containers: tuple[ContainerExit, ...]


class Lost(Report, frozen=True):
    """It may have run, its outcome is unknown, and nothing of it lives any more."""

    at_ms: int
    reason: str
    started_at_ms: int = 0


# -- Reports of the capacity seam, about instances --


class InstanceReport(Command, frozen=True):
    instance_id: str


class InstanceReady(InstanceReport, frozen=True):
    """It has booted."""


class InstanceRefused(InstanceReport, frozen=True):
    """It can't be had now."""

    reason: str


class InstanceInterrupted(InstanceReport, frozen=True):
    """It will be taken away after the notice."""

    notice_seconds: float


class InstanceGone(InstanceReport, frozen=True):
    """It is no more: terminated as asked, or lost."""


Fact = Report | InstanceReport
