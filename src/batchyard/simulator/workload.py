"""The operations of one seed, requests and faults, as a list that can be shortened: no entry depends on another."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from batchyard.core.capacity.catalogue import Catalogue, InstanceType
from batchyard.core.model import commands as c
from batchyard.core.model.records import EnvironmentOrder, Instance
from batchyard.core.model.resources import Resources


class Edge(Struct, frozen=True):
    """One entry of dependsOn: the job that operation `number` submitted, or a child of it. -1: none (SEQUENTIAL)."""

    number: int
    child: int | None = None
    type: str = ""


class Operation(Struct, frozen=True):
    at_ms: int  # after the beginning


class Submit(Operation, frozen=True):
    number: int
    queue: str
    definition: str
    array_size: int = 0
    depends_on: tuple[Edge, ...] = ()
    attempts: int = 1
    rules: tuple[dict[str, str], ...] = ()
    timeout_seconds: int = 0
    after_any: bool = False
    keyed: bool = True  # carries an idempotency key: asked again when no answer comes
    look_up_ms: int = 0  # between reading its dependencies' states and being asked
    impatient_ms: int = 0  # asked a second time when no answer came by then; 0: never
    share: str = ""  # share identifier, on queues with a policy
    priority: int | None = None  # scheduling priority, with a share
    consumables: tuple[tuple[str, int], ...] = ()  # (consumable resource, quantity) of each child or the job
    num_nodes: int = 0  # of nodeOverrides; 0: not given


class Withdraw(Operation, frozen=True):
    number: int
    child: int | None
    terminate: bool


class TagJob(Operation, frozen=True):
    number: int
    tags: dict[str, str]


class Ask(Operation, frozen=True):
    """A change to queues, environments or definitions, requested once."""

    command: c.Command[object]


class Crash(Operation, frozen=True):
    """The server dies after `steps` more steps of its tasks. `host`: which of the hosts it starts on then;
    `without`: the engine that cannot be used until the next crash."""

    steps: int
    host: int | None = None
    away_ms: int = 100
    without: str = ""


class Restart(Operation, frozen=True):
    """The server ends in good order; with `kill` it terminates what runs first, and ends `draining_ms` later, as it
    waits for the ends of jobs."""

    kill: bool
    draining_ms: int = 0


class Takeover(Operation, frozen=True):
    """A second server opens the store while the first still lives."""


class FailCommit(Operation, frozen=True):
    """The next commit fails. `unknown`: it is durable all the same."""

    unknown: bool


class Lose(Operation, frozen=True):
    """Everything on an instance, or on an engine, dies."""

    engine: str
    instance_id: str


class Reboot(Operation, frozen=True):
    """The machine goes down: the server and everything that ran die; the journals may be damaged."""

    is_damaged: bool


class Reconnect(Operation, frozen=True):
    engine: str


class Interrupt(Operation, frozen=True):
    """The owner interrupts one of an environment's instances, chosen by `pick`."""

    environment: str
    pick: int
    notice_seconds: float


class Storm(Operation, frozen=True):
    """Every Spot instance is taken away."""

    notice_ms: int


class LoseInstance(Operation, frozen=True):
    """An instance, chosen by `pick`, is gone without a report beforehand."""

    pick: int


class LoseGpu(Operation, frozen=True):
    """A GPU of the host, chosen by `pick`, falls off the bus: one that is in use, where one is. The service notices it
    `noticed_after_ms` later."""

    pick: int
    noticed_after_ms: int


class ReturnGpus(Operation, frozen=True):
    """All GPUs of the host are there again."""

    noticed_after_ms: int


class CapacityOutage(Operation, frozen=True):
    """The cloud refuses launches for a while."""

    for_ms: int


class Setup(Struct, frozen=True):
    """The world of one seed. `hosts`: capacities a server may start on; the first is the full one."""

    engines: tuple[str, ...]
    environments: dict[str, str]  # name -> engine
    queues: dict[str, tuple[int, tuple[str, ...]]]  # name -> (priority, environments)
    definitions: dict[str, dict[str, Any]]
    hosts: tuple[tuple[Instance, ...], ...]
    noise: float  # share of reports that are late, doubled or dropped
    commit_ms: tuple[int, ...]
    latency_ms: tuple[int, ...]
    batch_commands: int  # the most commands, and reports, in one commit
    policies: dict[str, dict[str, Any]] = {}  # name -> fairsharePolicy
    fair_queues: dict[str, str] = {}  # name -> policy
    unmanaged_vcpus: int = 0  # unmanagedvCpus of the environments; 0: not given
    unreadable: float = 0.0  # share of the attempts whose secrets one server cannot read; another one may
    time_limits: dict[str, int] = {}  # queue -> after how many seconds its jobStateTimeLimitActions cancel
    settle_ms: int = 0  # how long environments and queues are CREATING, UPDATING or DELETING
    consumables: dict[str, int] = {}  # consumable resources: name -> total
    gangs_share: float = 0.0  # of the submissions without an array: how many are multi-node jobs
    workflows: dict[str, dict[str, Any]] = {}  # definitions of state machines by name; empty: no executions
    fleets: dict[str, dict[str, Any]] = {}  # MANAGED environments: name -> computeResources; all on the first engine


class Workload(Struct, frozen=True):
    setup: Setup
    operations: tuple[Operation, ...]


def policy_arn(name: str) -> str:
    return f"arn:aws:batch:us-east-1:123456789012:scheduling-policy/{name}"


def consumable_properties(consumables: tuple[tuple[str, int], ...]) -> dict[str, Any]:
    entries = [{"consumableResource": name, "quantity": quantity} for name, quantity in consumables]
    return {"consumableResourceList": entries} if entries else {}


def environment_document(setup: Setup) -> dict[str, Any]:
    return {"unmanagedvCpus": setup.unmanaged_vcpus} if setup.unmanaged_vcpus else {}


def queue_document(setup: Setup, queue: str) -> dict[str, Any]:
    document: dict[str, Any] = {}
    if queue in setup.fair_queues:
        document["schedulingPolicyArn"] = policy_arn(setup.fair_queues[queue])
    if queue in setup.time_limits:
        document["jobStateTimeLimitActions"] = [
            {"state": "RUNNABLE", "action": "CANCEL", "maxTimeSeconds": setup.time_limits[queue], "reason": reason}
            for reason in STUCK_FOR
        ]
    return document


def fleet(setup: Setup, name: str, uuid: str) -> c.CreateComputeEnvironment:
    """Returns the command that makes a MANAGED environment. Its instances' ids come from `uuid`: each creation has
    its own."""
    document = {"computeResources": setup.fleets[name]}
    return c.CreateComputeEnvironment(name, uuid, "MANAGED", "ENABLED", setup.engines[0], document)


def instance_type(name: str, vcpus: int, memory_mib: int, gpus: int = 0) -> InstanceType:
    return InstanceType(name, vcpus * 1000, memory_mib, gpus, "NVIDIA" if gpus else "")


# Small ones, so that several of them fit on a simulated host.
TYPES = (
    instance_type("s.small", 1, 512),
    instance_type("s.medium", 2, 1024),
    instance_type("s.large", 4, 2048),
    instance_type("r.medium", 1, 2048),
    instance_type("g.small", 1, 1024, 1),
    instance_type("g.large", 2, 2048, 3),
)
CATALOGUE = Catalogue({kind.name: kind for kind in TYPES})

STUCK_FOR = ("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY", "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT", "UNDETERMINED")
HUGE_VCPUS = 64  # more than any host here has


def container(vcpus: str, memory_mib: int, gpus: int = 0) -> dict[str, Any]:
    asked = [{"type": "VCPU", "value": vcpus}, {"type": "MEMORY", "value": str(memory_mib)}]
    if gpus:
        asked.append({"type": "GPU", "value": str(gpus)})
    return {
        "type": "container",
        "containerProperties": {"image": "busybox", "command": ["true"], "resourceRequirements": asked},
    }


def task(*containers: tuple[str, bool, tuple[tuple[str, str], ...]]) -> dict[str, Any]:
    """Returns a definition of several containers. Each: its name, whether it is essential, its dependsOn entries."""
    documents = [
        container("1", 32)["containerProperties"]
        | {
            "name": name,
            "essential": essential,
            "dependsOn": [{"containerName": other, "condition": condition} for other, condition in waits],
        }
        for name, essential, waits in containers
    ]
    return {"type": "container", "ecsProperties": {"taskProperties": [{"containers": documents}]}}


def pod(main: tuple[str, ...], init: tuple[str, ...]) -> dict[str, Any]:
    """Returns a definition of a pod whose main containers share their processes."""
    one = {"image": "busybox", "command": ["true"], "resources": {"limits": {"cpu": "0.5", "memory": "16Mi"}}}
    properties = {
        "containers": [one | {"name": name} for name in main],
        "initContainers": [one | {"name": name} for name in init],
        "shareProcessNamespace": True,
    }
    return {"type": "container", "eksProperties": {"podProperties": properties}}


SEVERAL = {
    "pair": task(("main", True, (("side", "START"),)), ("side", False, ())),
    "trio": task(
        ("init", False, ()),
        ("main", True, (("init", "SUCCESS"),)),
        ("other", True, (("init", "COMPLETE"), ("main", "START"))),
    ),
    "pod": pod(("left", "right"), ("first", "second")),
}


def nodes(count: int, main: int, ranges: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Returns a definition of a multi-node job. `ranges`: by targetNodes the definition of a plain job, whose
    container, task or pod the nodes run."""
    members = {"containerProperties": "container", "ecsProperties": "ecsProperties", "eksProperties": "eksProperties"}
    documents = [
        {"targetNodes": target, **{members[member]: body for member, body in each.items() if member in members}}
        for target, each in ranges.items()
    ]
    properties = {"numNodes": count, "mainNode": main, "nodeRangeProperties": documents}
    return {"type": "multinode", "nodeProperties": properties}


GANGS = {
    "gang-2": nodes(2, 0, {":": container("1", 64)}),
    "gang-open": nodes(3, 1, {":": container("1", 128)}),
    "gang-unequal": nodes(3, 2, {"0:1": container("1", 64), "2:": container("2", 256)}),
    "gang-nested": nodes(5, 3, {":": container("1", 32), "1:2": container("2", 64)}),
    "gang-gpus": nodes(2, 1, {"0": container("1", 64, 1), "1": container("1", 64, 1)}),
    "gang-tasks": nodes(2, 0, {"0": SEVERAL["pair"], "1:": container("1", 64)}),
    "gang-pods": nodes(2, 1, {":": SEVERAL["pod"]}),
    "gang-huge": nodes(2, 0, {"0": container("1", 64), "1": container(str(HUGE_VCPUS), 64)}),
}
OPEN_GANGS = {"gang-open": (2, 5), "gang-unequal": (3, 5), "gang-nested": (4, 5)}  # how many nodes may be asked for
DEFINITIONS = {
    "half": container("0.5", 64),
    "one": container("1", 128),
    "two": container("2", 256),
    "gpu": container("1", 64, 1),
    "gpus": container("1", 64, 2),
    "huge": container(str(HUGE_VCPUS), 64),
    **SEVERAL,
    **GANGS,
}


def instance(number: int, vcpus: int, memory_mib: int, gpus: int) -> Instance:
    return Instance(f"i-{number:017x}", Resources(vcpus * 1000, memory_mib, gpus), tuple(range(gpus)))


def order(names: tuple[str, ...]) -> tuple[EnvironmentOrder, ...]:
    return tuple(EnvironmentOrder(number + 1, name) for number, name in enumerate(names))


def without(workload: Workload, kept: frozenset[int]) -> Workload:
    """Returns the workload with only the operations at these positions."""
    return Workload(workload.setup, tuple(o for at, o in enumerate(workload.operations) if at in kept))
