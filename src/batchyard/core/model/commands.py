"""The commands that the machine carries out and answers: one Struct for each write of the API and of the composition
root, with the type of its answer. Questions to memory are in core.questions, what engines report is in
core.model.reports."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Generic, TypeVar

from msgspec import Struct

from batchyard.core.model.gpus import GpuSample
from batchyard.core.model.records import (
    HOST_PROVIDER,
    Abilities,
    Definition,
    Dependency,
    Environment,
    EnvironmentOrder,
    Instance,
    Queue,
    Ranges,
    SchedulingPolicy,
)
from batchyard.core.model.secret_records import Parameter, Secret

Answer = TypeVar("Answer", covariant=True)


class Command(Struct, Generic[Answer], frozen=True):
    """Something the machine handles and answers with an `Answer`. A request was checked for shape; the machine checks
    it against its world."""


# -- API writes --


class CreateComputeEnvironment(Command[Environment], frozen=True):
    """`is_settled`: VALID at once, however long others take: for the service's own environments. `provider`: the
    provider of its capacity."""

    name: str
    uuid: str
    type: str
    state: str
    engine: str
    document: dict[str, Any]
    tags: dict[str, str] = {}
    is_settled: bool = False
    provider: str = HOST_PROVIDER


class UpdateComputeEnvironment(Command[Environment], frozen=True):
    """`document` holds the members to change, merged one level deep into computeResources."""

    name: str
    state: str = ""
    document: dict[str, Any] = {}


class DeleteComputeEnvironment(Command[None], frozen=True):
    name: str


class CreateJobQueue(Command[Queue], frozen=True):
    """`is_settled`: as an environment's."""

    name: str
    state: str
    priority: int
    environments: tuple[EnvironmentOrder, ...]
    document: dict[str, Any] = {}
    tags: dict[str, str] = {}
    is_settled: bool = False
    provider: str = HOST_PROVIDER


class UpdateJobQueue(Command[Queue], frozen=True):
    """Members that are None stay as they are."""

    name: str
    state: str = ""
    priority: int | None = None
    environments: tuple[EnvironmentOrder, ...] | None = None
    document: dict[str, Any] = {}


class DeleteJobQueue(Command[None], frozen=True):
    name: str


class CreateSchedulingPolicy(Command[SchedulingPolicy], frozen=True):
    """`document`: fairsharePolicy or quotaSharePolicy, as sent."""

    name: str
    document: dict[str, Any]
    tags: dict[str, str] = {}


class UpdateSchedulingPolicy(Command[SchedulingPolicy], frozen=True):
    """`document` replaces the policy's; empty: nothing changes."""

    name: str
    document: dict[str, Any] = {}


class DeleteSchedulingPolicy(Command[None], frozen=True):
    name: str


class RegisterJobDefinition(Command[Definition], frozen=True):
    name: str
    document: dict[str, Any]
    tags: dict[str, str] = {}


class DeregisterJobDefinition(Command[None], frozen=True):
    name: str
    revision: int


class FinishedArray(Struct, frozen=True):
    """An array that the machine may no longer have in memory, for jobs that follow it N_TO_N."""

    size: int
    failed: Ranges = ()


class CheckStage(IntEnum):
    """The position of an error in the request's shape among the checks of SubmitJob (AWS Batch behaviour 7.2)."""

    SIZE = 1  # size, array size, number of dependencies: after queue, definition and platform
    OVERRIDES = 2  # after the parameters
    RULES = 3  # retry strategy, timeout, tags: last


class DeferredError(Struct, frozen=True):
    """What is wrong with a request's shape, found before the machine looks at it."""

    stage: CheckStage
    message: str
    is_bare: bool = False  # as Refused has it


class SubmittedJob(Struct, frozen=True):
    """SubmitJob's answer. A retry with the same idempotency key gets the first answer again."""

    job_id: str
    name: str


class SubmitJob(Command[SubmittedJob], frozen=True):
    """`finished`: final statuses, from the store, of dependencies the machine may no longer hold; `finished_arrays`:
    those of them that are arrays, and which of their children failed.
    `overrides`, `retry_strategy`, `timeout`: the request's documents; None where the definition's holds.
    `task_override`: the entry of ecsPropertiesOverride.taskProperties; `pod_override`: eksPropertiesOverride."""

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
    pod_override: dict[str, Any] = {}
    node_overrides: dict[str, Any] = {}  # nodeOverrides; empty: the definition's hold
    parameters: dict[str, str] = {}
    retry_strategy: dict[str, Any] | None = None
    timeout: dict[str, Any] | None = None
    tags: dict[str, str] = {}
    propagate_tags: bool | None = None
    share_identifier: str = ""
    scheduling_priority: int | None = None
    working_directory: str = ""
    images: bool | None = None  # True: only engines that run images, False: only those that run none; None: any
    deferred: tuple[DeferredError, ...] = ()
    consumables: dict[str, Any] = {}  # consumableResourcePropertiesOverride; empty: the definition's hold
    unsupported: tuple[str, ...] = ()  # members of the request that are not implemented yet
    trace_parent: str = ""  # the header `traceparent` of the request


class CancelJob(Command[None], frozen=True):
    job_id: str
    reason: str


class TerminateJob(Command[None], frozen=True):
    job_id: str
    reason: str


class TagResource(Command[None], frozen=True):
    """`kind`: compute-environment, job-queue, job-definition, scheduling-policy, job, secret or parameter. `name`: of
    a secret or a parameter its name, of the others what follows the kind in the ARN. `stored`: a finished job's tags as
    the store had them (the machine remembers recent changes itself)."""

    kind: str
    name: str
    tags: dict[str, str]
    stored_key: int = 0
    stored: dict[str, str] | None = None


class UntagResource(Command[None], frozen=True):
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


class VersionedSecret(Struct, frozen=True):
    """A secret, and the version that a request made."""

    secret: Secret
    version_id: str = ""  # of what the request brought; empty: no value


class CreateSecret(Command[VersionedSecret], frozen=True):
    """`suffix`: the end of its ARN. A repeated request gets the first answer again."""

    name: str
    suffix: str
    value: SealedValue | None
    description: str = ""
    kms_key_id: str = ""
    tags: dict[str, str] = {}


class PutSecretValue(Command[VersionedSecret], frozen=True):
    """`stages` empty: AWSCURRENT."""

    name: str
    value: SealedValue
    stages: tuple[str, ...] = ()


class UpdateSecret(Command[VersionedSecret], frozen=True):
    """Members that are None stay as they are."""

    name: str
    value: SealedValue | None = None
    description: str | None = None
    kms_key_id: str | None = None


class DeleteSecret(Command[Secret], frozen=True):
    """`recovery_ms` 0: at once. The `gone_at_ms` of its answer is when the secret goes."""

    name: str
    recovery_ms: int


class RestoreSecret(Command[Secret], frozen=True):
    name: str


class PutParameter(Command[Parameter], frozen=True):
    """`type` empty: as it is. `description` and `key_id` None: as they are."""

    name: str
    type: str
    value: SealedValue
    tier: str
    overwrite: bool = False
    description: str | None = None
    key_id: str | None = None
    tags: dict[str, str] = {}


class DeleteParameter(Command[None], frozen=True):
    name: str


# -- From the composition root --


class SetHost(Command[None], frozen=True):
    """A machine's capacity, as detected or declared, and the engines that can be used. `provider`: whose machine it is;
    this host's, unless it is named otherwise."""

    instance: Instance
    abilities: dict[str, Abilities]
    provider: str = HOST_PROVIDER


class SetGpus(Command[None], frozen=True):
    """The GPUs that a machine offers now (`device_ids`, ascending), and those that it had and has no more (`lost`)."""

    device_ids: tuple[int, ...]
    lost: tuple[int, ...]
    provider: str = HOST_PROVIDER


class NoteGpuUse(Command[None], frozen=True):
    """Samples of GPUs of a machine, for the attempts that have them."""

    samples: tuple[GpuSample, ...]
    provider: str = HOST_PROVIDER


class SetAway(Command[None], frozen=True):
    """The engines that can't be used now, and why, as sentences without a full stop; the others can. Jobs wait."""

    engines: dict[str, str]


class TerminateAllRunning(Command[int], frozen=True):
    """`batchyard down --kill`: terminates every STARTING or RUNNING job; waiting jobs stay and none starts any more.
    The answer is how many were terminated."""

    reason: str
