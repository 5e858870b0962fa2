"""The records the machine decides about and the store keeps. Frozen: a change is a new record.

AWS documents (what a caller sent, as AWS names it) are kept whole as plain dicts in `document` members, so that no
field is copied by hand and dropped; the members beside them are those the core decides by.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from typing import Any

from msgspec import Struct, field

from batchyard.core.model.compute_resources import ComputeResources, EnvironmentKind, read_compute_resources
from batchyard.core.model.consumable_records import ConsumableRequirement
from batchyard.core.model.gpus import GpuUse
from batchyard.core.model.reasons import ReasonCode, StopCause
from batchyard.core.model.resources import Resources, sum_of

# A job tagged so runs after its dependencies ended in any way (AWS has no such mode; users ask for it).
AFTER_ANY_TAG = "batchyard:after-any"

HOST_PROVIDER = "host"  # the capacity provider that is this machine
JOINED_PROVIDER = "joined"  # that of hosts which join: they are counted as they are, and take nothing of a ledger

# Half-open [start, stop) index ranges, ascending and disjoint.
Ranges = tuple[tuple[int, int], ...]


class Status(StrEnum):
    """A job's seven states (Batch API model, JobStatus)."""

    SUBMITTED = "SUBMITTED"
    PENDING = "PENDING"
    RUNNABLE = "RUNNABLE"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"

    is_final: bool  # an attribute, not a property: it is read some twenty times for every job


for _status in Status:
    _status.is_final = _status in (Status.SUCCEEDED, Status.FAILED)


class State(StrEnum):
    """Whether an environment or queue takes work (CEState, JQState)."""

    ENABLED = "ENABLED"
    DISABLED = "DISABLED"


class Health(StrEnum):
    """`status` of an environment or queue (CEStatus, JQStatus)."""

    CREATING = "CREATING"
    UPDATING = "UPDATING"
    DELETING = "DELETING"
    DELETED = "DELETED"
    VALID = "VALID"
    INVALID = "INVALID"


class Environment(Struct, frozen=True, dict=True):
    """A compute environment. `document` holds the remaining members of CreateComputeEnvironment as sent and updated:
    computeResources, serviceRole, unmanagedvCpus, eksConfiguration, updatePolicy, context, ecsSettings..."""

    name: str
    uuid: str
    type: str  # MANAGED or UNMANAGED
    state: State
    status: Health
    status_reason: str
    engine: str  # the engine that runs its attempts: process, docker, fake
    document: dict[str, Any]
    tags: dict[str, str]
    created_at_ms: int
    desired_vcpus: int = 0  # of a MANAGED one with instances: what the scaler wants now
    launches: int = 0  # instances ever launched: their ids derive from it
    paused_until_ms: int = 0  # after a refused launch: until when it launches nothing; 0: it was not refused
    pause_reason: str = ""  # why it was refused
    settles_at_ms: int = 0  # while CREATING, UPDATING or DELETING: when that is over at the earliest; else 0
    provider: str = HOST_PROVIDER  # the capacity provider of its instances, or of the machine that runs its attempts

    @cached_property
    def compute_resources(self) -> ComputeResources:
        """What the core decides by, of the document's computeResources."""
        return read_compute_resources(self.type, self.document)

    @cached_property
    def kind(self) -> EnvironmentKind:
        return EnvironmentKind.REGISTERED if self.provider == JOINED_PROVIDER else self.compute_resources.kind


class EnvironmentOrder(Struct, frozen=True):
    order: int
    environment: str  # name


class Queue(Struct, frozen=True):
    """A job queue. `document`: schedulingPolicyArn, jobStateTimeLimitActions, jobQueueType, serviceEnvironmentOrder.
    `settles_at_ms`: as an environment's."""

    name: str
    state: State
    status: Health
    status_reason: str
    priority: int
    environments: tuple[EnvironmentOrder, ...]  # ascending order
    document: dict[str, Any]
    tags: dict[str, str]
    created_at_ms: int
    settles_at_ms: int = 0


class Definition(Struct, frozen=True):
    """One revision of a job definition. `document`: the RegisterJobDefinition request, without name and tags."""

    name: str
    revision: int
    status: str  # ACTIVE or INACTIVE
    document: dict[str, Any]
    tags: dict[str, str]
    created_at_ms: int
    deregistered_at_ms: int = 0


class Dependency(Struct, frozen=True, omit_defaults=True):
    """One entry of dependsOn. `job_id` may be a child's (`uuid:3`); empty for a bare SEQUENTIAL."""

    job_id: str = ""
    type: str = ""  # "", SEQUENTIAL or N_TO_N, as sent


class ExitRule(Struct, frozen=True, omit_defaults=True):
    """One entry of evaluateOnExit. Patterns are empty when not given."""

    action: str  # RETRY or EXIT
    on_exit_code: str = ""
    on_reason: str = ""
    on_status_reason: str = ""


class RetryStrategy(Struct, frozen=True, omit_defaults=True):
    attempts: int = 1
    rules: tuple[ExitRule, ...] = ()


class Ulimit(Struct, frozen=True):
    name: str
    soft: int
    hard: int


class Mount(Struct, frozen=True, omit_defaults=True):
    """A bind mount. `source` is empty for a fresh directory chosen by the engine: one for each `volume` of an attempt,
    so that the containers of a task share what they name alike."""

    source: str
    target: str
    read_only: bool = False
    volume: str = ""
    root: str = ""  # the directory that the source must not leave, links included; empty: any source will do
    in_memory: bool = False  # the fresh directory is in memory, of at most `size_mib` (0: half of the machine's)
    size_mib: int = 0
    secret: str = ""  # the secret of Secrets Manager whose value, or each member of it, is a file there
    is_optional: bool = False  # the secret need not exist


class ContainerDependency(Struct, frozen=True):
    """What a container waits for before it is started (API: TaskContainerDependency)."""

    container: str
    condition: str  # START, COMPLETE or SUCCESS


class ContainerSpec(Struct, frozen=True, omit_defaults=True):
    """One container of a task. `document`: its merged ContainerProperties or TaskContainerProperties, for what only
    some engines look at. `secrets`: (environment variable, valueFrom); their values are never in a record."""

    name: str
    command: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    resources: Resources = Resources()  # its own part of the task's
    image: str = ""
    user: str = ""
    ulimits: tuple[Ulimit, ...] = ()
    mounts: tuple[Mount, ...] = ()
    essential: bool = True  # the task ends when it does
    depends_on: tuple[ContainerDependency, ...] = ()
    secrets: tuple[tuple[str, str], ...] = ()
    stop_timeout_seconds: int = 0  # 0: the grace of the stop
    start_timeout_seconds: int = 0  # 0: none
    document: dict[str, Any] = {}
    entrypoint_words: int = 0  # how many words of `command` replace the image's ENTRYPOINT; the others replace its CMD
    is_init: bool = False  # of a pod: it has ended before the main containers start
    is_pause: bool = False  # of a pod: it holds what the others share, and is stopped once they all have ended


DEFAULT_CONTAINER = "default"  # the name of a plain job's one container, in log streams and metadata


class TaskSpec(Struct, frozen=True, omit_defaults=True):
    """What an engine runs: the same for every child and attempt of one submission.

    A plain job's one container is described by the members here; a task of several (ecsProperties) has them in
    `containers`, and then `command`, `image` and so on are empty: `containers_of` gives one view of both.
    `container` is the merged ContainerProperties document for what only some engines look at (linuxParameters,
    privileged, ...); of a task of several the EcsTaskProperties without their containers. Values of secrets are never
    here: `secrets` holds (environment variable, valueFrom)."""

    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    resources: Resources
    image: str = ""
    user: str = ""
    ulimits: tuple[Ulimit, ...] = ()
    mounts: tuple[Mount, ...] = ()
    working_directory: str = ""  # empty: a scratch directory of the attempt
    container: dict[str, Any] = {}
    secrets: tuple[tuple[str, str], ...] = ()
    containers: tuple[ContainerSpec, ...] = ()
    network: str = ""  # bridge, awsvpc or none; empty: the host's
    entrypoint_words: int = 0  # as in ContainerSpec
    is_pod: bool = False  # $(VARIABLE) in its words is replaced at the launch


def containers_of(task: TaskSpec) -> tuple[ContainerSpec, ...]:
    """The containers of a task, in the order of its definition."""
    if task.containers:
        return task.containers
    alone = ContainerSpec(
        name=DEFAULT_CONTAINER,
        command=task.command,
        environment=task.environment,
        resources=task.resources,
        image=task.image,
        user=task.user,
        ulimits=task.ulimits,
        mounts=task.mounts,
        secrets=task.secrets,
        document=task.container,
        entrypoint_words=task.entrypoint_words,
    )
    return (alone,)


class Abilities(Struct, frozen=True):
    """What an engine can do, as data, so that the core can refuse a job by name that no environment can run."""

    images: bool = False  # runs the image (else it is recorded, not used)
    needs_command: bool = True
    any_mount: bool = False  # else only binds whose source equals their target
    privileged: bool = False
    tmpfs: bool = False
    read_only_root: bool = False
    container_devices: bool = False
    swap: bool = False
    shared_memory_size: bool = False
    multiple_containers: bool = False  # in one task (ecsProperties)
    execute_command: bool = False  # a second command in a running container (`batchyard exec`)
    log_drivers: bool = False  # output goes to other log drivers too
    networks: bool = False  # others than the host's (TaskSpec.network)
    architecture: str = ""  # of its machine, as API: RuntimePlatform names it; empty: unknown


class ContainerLog(Struct, frozen=True):
    """The log of a container: the streams `<prefix>/<container>/<task id>` of a log group."""

    container: str
    group: str
    prefix: str


class NodeGroup(Struct, frozen=True, omit_defaults=True):
    """Nodes of a multi-node job that run one task, by their indexes. The other members are those of JobSpec."""

    nodes: Ranges
    task: TaskSpec
    container: dict[str, Any] = {}
    log_group: str = "/aws/batch/job"
    log_prefix: str = ""
    ecs_task: dict[str, Any] = {}
    container_logs: tuple[ContainerLog, ...] = ()
    pod: dict[str, Any] = {}


class JobSpec(Struct, frozen=True, omit_defaults=True):
    """What never changes about one submission, stored once and shared by all children of an array.

    `key` orders submissions. The keys of an array's children follow its own (names.child_key)."""

    key: int
    job_id: str
    name: str
    queue: str
    definition: str  # name:revision
    task: TaskSpec
    container: dict[str, Any]  # ContainerDetail as DescribeJobs echoes it: definition merged with overrides
    created_at_ms: int
    engines: tuple[str, ...] = ()  # the engines its queue's environments had when it was submitted
    array_size: int = 0  # 0: not an array
    depends_on: tuple[Dependency, ...] = ()
    after_any: bool = False  # its dependencies only have to end, not to succeed (AFTER_ANY_TAG at submission)
    retry: RetryStrategy = RetryStrategy()
    timeout_seconds: int = 0  # 0: none
    late_refusal: str = ""  # statusReason of a job that is accepted and fails when its turn comes
    parameters: dict[str, str] = {}
    platform_capabilities: tuple[str, ...] = ()
    propagate_tags: bool = False
    tags: dict[str, str] = {}
    log_group: str = "/aws/batch/job"
    log_prefix: str = ""  # first element of the stream name: awslogs-stream-prefix, else the definition's name
    # Of ecsProperties: EcsTaskDetails as DescribeJobs echoes it (`container` is empty then), and the containers' logs.
    ecs_task: dict[str, Any] = {}
    container_logs: tuple[ContainerLog, ...] = ()
    pod: dict[str, Any] = {}  # of eksProperties: EksPodProperties as DescribeJobs echoes it (`container` is empty then)
    principal: str = ""
    idempotency_key: str = ""  # with the digest of its request; see core.idempotency
    share_identifier: str = ""  # empty on FIFO queues
    scheduling_priority: int = 0  # among the jobs of one share: the highest first
    consumables: tuple[ConsumableRequirement, ...] = ()  # what it, or each of its children, takes while it is placed
    # Of a multi-node job (else 0 and empty), whose `task`, `container` and logs are those of its main node.
    num_nodes: int = 0
    main_node: int = 0
    node_groups: tuple[NodeGroup, ...] = ()
    node_properties: dict[str, Any] = {}  # as DescribeJobs echoes them: definition merged with overrides
    trace_parent: str = ""  # of the request that submitted it; see trace_context

    @property
    def sequential(self) -> bool:
        """Child i waits for child i-1 (dependsOn {type: SEQUENTIAL} without a jobId on an array)."""
        return self.array_size > 0 and any(d.type == "SEQUENTIAL" and not d.job_id for d in self.depends_on)


def group_of(spec: JobSpec, node: int) -> NodeGroup:
    """Returns the group of a node of a multi-node job."""
    for group in spec.node_groups:
        if any(start <= node < stop for start, stop in group.nodes):
            return group
    raise AssertionError(f"job {spec.job_id} has no node {node}")


def node_resources(spec: JobSpec) -> tuple[Resources, ...]:
    """Returns what each node of a job asks for, in the order of the nodes. A plain job has one."""
    if not spec.num_nodes:
        return (spec.task.resources,)
    found: list[Resources] = [spec.task.resources] * spec.num_nodes
    for group in spec.node_groups:
        for start, stop in group.nodes:
            found[start:stop] = [group.task.resources] * (stop - start)
    return tuple(found)


def asked_by(spec: JobSpec) -> Resources:
    """Returns what all nodes of a job ask for together. A plain job has one."""
    return sum_of(node_resources(spec)) if spec.num_nodes else spec.task.resources


def milli_vcpus_of(spec: JobSpec) -> int:
    """Returns what all nodes of a job ask for together."""
    return asked_by(spec).milli_vcpus


def logs_of(spec: JobSpec) -> tuple[ContainerLog, ...]:
    """Returns one log for each container of a job's task, in the order of its definition."""
    return spec.container_logs or (ContainerLog(DEFAULT_CONTAINER, spec.log_group, spec.log_prefix),)


def log_file_container(spec: JobSpec, container: str) -> str:
    """Returns the engine's name of the container and its log file: a task of one container is a plain one there,
    whatever its name in the definition."""
    return container if len(spec.container_logs) > 1 else DEFAULT_CONTAINER


class ContainerOutcome(Struct, frozen=True, omit_defaults=True):
    """How a container of ecsProperties ended. `exit_code` is None for one that never ran."""

    name: str
    exit_code: int | None = None
    reason: str = ""
    peak_memory_mib: int = 0  # 0: it was not measured
    cpu_ms: int = 0


class Placement(Struct, frozen=True, array_like=True, gc=False):
    """Where one node of an attempt is placed: the instance, and the devices that it is given there."""

    instance_id: str
    device_ids: tuple[int, ...] = ()


class NodeRun(Struct, frozen=True, omit_defaults=True):
    """How one node of a multi-node job runs in an attempt. The members are those of Attempt."""

    launched_at_ms: int = 0  # 0: it has not been launched: it waits for the main node to be RUNNING
    started_at_ms: int = 0
    stopped_at_ms: int = 0
    exit_code: int | None = None
    reason: str = ""
    status_reason: str = ""
    containers: tuple[ContainerOutcome, ...] = ()
    peak_memory_mib: int = 0
    cpu_ms: int = 0
    is_lost: bool = False

    @property
    def is_live(self) -> bool:
        """Whether it was launched and has not ended."""
        return bool(self.launched_at_ms) and not self.stopped_at_ms


class Attempt(Struct, frozen=True, omit_defaults=True):
    """One run of a job, from its placement on. Its task id derives from the job's key and `number` (names.task_id).

    `placements`: one for each node, in the order of the nodes; a plain job has one. A multi-node job's attempt has its
    main node's times and outcome, and those of every node in `nodes`."""

    number: int  # from 1
    environment: str
    engine: str
    placements: tuple[Placement, ...]
    started_at_ms: int = 0  # 0: has not been RUNNING
    stopped_at_ms: int = 0
    exit_code: int | None = None
    reason: str = ""  # container.reason
    status_reason: str = ""
    stopping: StopCause | None = None  # why it was asked to end; None: it was not
    notice_seconds: float = 0.0  # of the interruption of its host: the grace of that stop
    # Of ecsProperties: those about which something is known. `exit_code` and `reason` are the essential one's then.
    containers: tuple[ContainerOutcome, ...] = ()
    # What its container used, where it has only one; 0: it was not measured.
    peak_memory_mib: int = 0
    cpu_ms: int = 0
    gpu_use: GpuUse | None = None  # of the GPUs of all its nodes; None: it has none, or they were not measured
    placed_at_ms: int = 0  # by the service's clock; 0: placed by a version that did not note it
    is_lost: bool = False  # it ended with its instance, or with that of one of its nodes
    # Of multi-node jobs only:
    main_node: int = 0
    nodes: tuple[NodeRun, ...] = ()  # in the order of the nodes
    first_address: str = ""  # of node 0; the others' follow it (node_addresses.address_of)
    lost_instance: str = ""  # whose end is the reason for `stopping`, where that is HOST

    @property
    def main(self) -> Placement:
        """The main node's: the only one of a plain job."""
        return self.placements[self.main_node]


class EndedTogether(Struct, frozen=True, array_like=True):
    """Children [start, stop) that ended FAILED without ever having a row. They keep whether their array had been
    cancelled or terminated by then: later changes do not affect a finished job."""

    start: int
    stop: int
    reason: str
    at_ms: int
    is_cancelled: bool = False
    is_terminated: bool = False


class ArrayState(Struct, frozen=True, omit_defaults=True):
    """What a parent's record has about its children. A child is virtual (no row) while in `unstarted` or
    `never_started`."""

    size: int
    unstarted: Ranges = ()  # not begun, no row
    held: Ranges = ()  # those of `unstarted` that still wait for their counterpart (N_TO_N)
    succeeded: Ranges = ()
    failed: Ranges = ()  # includes never_started
    never_started: tuple[EndedTogether, ...] = ()  # ascending
    released_at_ms: int = 0  # 0: still waits for its dependencies
    row_counts: dict[str, int] = {}  # unfinished children that have a row, by status
    waiting_reason: str = ""  # statusReason of the virtual RUNNABLE children
    head_reason: str = ""  # of child `head_index`, while it blocks its queue
    head_index: int = 0
    set_aside_at_ms: int = 0  # since when `waiting_reason` holds; 0: they can start
    set_aside_code: ReasonCode | None = None  # its code
    # The last one for which it was reported that it can never start. Stored under its name in version 0.1.
    reported_code: ReasonCode | None = field(default=None, name="told_code")
    updated_at_ms: int = 0


class Job(Struct, frozen=True, omit_defaults=True):
    """What changes about a job, an array's parent or an array's child: one row, keyed as in JobSpec."""

    key: int
    status: Status
    created_at_ms: int
    status_reason: str = ""
    started_at_ms: int = 0
    stopped_at_ms: int = 0
    attempt: Attempt | None = None  # the placed one, while STARTING or RUNNING
    past: tuple[Attempt, ...] = ()  # finished ones, oldest first
    is_cancelled: bool = False
    is_terminated: bool = False
    end_reason: str = ""  # the caller's text of cancel or terminate
    set_aside_at_ms: int = 0  # RUNNABLE, and nothing can run it: since when, for this code
    set_aside_code: ReasonCode | None = None
    # The last one for which it was reported that it can never start. Stored under its name in version 0.1.
    reported_code: ReasonCode | None = field(default=None, name="told_code")
    array: ArrayState | None = None  # parents only

    @property
    def is_withdrawn(self) -> bool:
        """Whether a caller cancelled or terminated it."""
        return self.is_cancelled or self.is_terminated


class InstanceState(StrEnum):
    """Life of a managed instance. One that ended is another record (EndedInstance)."""

    LAUNCHING = "LAUNCHING"  # asked for; its share of the host is reserved
    READY = "READY"
    DRAINING = "DRAINING"  # takes no more jobs: interrupted, or being replaced
    AWAY = "AWAY"  # a joined host without a connection: it takes no jobs, and those on it may run on
    TERMINATING = "TERMINATING"  # asked to end; its share of the host is reserved until it has


class Market(StrEnum):
    """How an instance is paid for (EC2 calls the first on-demand)."""

    ON_DEMAND = "ON_DEMAND"
    SPOT = "SPOT"


class Instance(Struct, frozen=True, omit_defaults=True):
    """A machine that offers capacity: a provider's own (this host), or an instance of a MANAGED environment, which
    reserves a share of its provider.

    `resources`: what jobs can use, and what a managed one takes from its provider; `gpu_ids`: the device ids it has.
    `provider`: its capacity provider. The rest is of managed ones only."""

    instance_id: str
    resources: Resources
    gpu_ids: tuple[int, ...] = ()
    environment: str = ""  # empty: a provider's own machine
    number: int = 0  # among all that its environment ever launched: placement tries them in this order
    instance_type: str = ""
    market: Market = Market.ON_DEMAND
    state: InstanceState = InstanceState.READY
    launched_at_ms: int = 0
    ready_at_ms: int = 0  # 0: it has not been
    ends_at_ms: int = 0  # the moment an interruption takes it; 0: none is announced
    idle_since_ms: int = 0  # of a READY one on which nothing is placed: since when; else since when it last was
    provider: str = HOST_PROVIDER  # where it comes from


class EndedInstance(Struct, frozen=True, omit_defaults=True):
    """An instance of a MANAGED environment as it last was. It is kept for a while for later requests. Named by its
    id."""

    instance: Instance
    ended_at_ms: int
    hourly_micro_dollars: int = 0  # the owner's price when it ended; 0: there was none


class SchedulingPolicy(Struct, frozen=True):
    """`document`: fairsharePolicy or quotaSharePolicy, as sent."""

    name: str
    document: dict[str, Any]
    tags: dict[str, str]
    created_at_ms: int


class SavedShare(Struct, frozen=True, array_like=True):
    """What a share identifier has used (fairshare.Share has the meaning)."""

    usage: int
    as_of_ms: int
    left_at_ms: int


class ShareUsage(Struct, frozen=True):
    """What the share identifiers of one queue have used, and how long its attempts usually run. Named like the
    queue."""

    shares: dict[str, SavedShare] = {}
    usual_run_ms: int = 0


class QueueHead(Struct, frozen=True, omit_defaults=True):
    """The job that blocks a queue, since when, and what was reported about it. Named like the queue. A head is kept
    once it has stood for a while, so that a queue whose jobs follow each other quickly writes nothing."""

    key: int = 0  # of the job, or of the array when `index` is given; 0: none is known to
    index: int | None = None
    since_ms: int = 0
    code: str = ""
    code_since_ms: int = 0
    # What was last reported as blocking the queue: the submission (0: none), the code, and how often anything was.
    # Stored under the names of version 0.1.
    reported_key: int = field(default=0, name="told_key")
    reported_code: str = field(default="", name="told_code")
    reported_count: int = field(default=0, name="told_count")
