"""What clients ask and what goes wrong, as a list that can be shortened: every entry stands for itself."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from batchyard.core import commands as c
from batchyard.core.records import EnvironmentOrder, Instance
from batchyard.core.resources import Resources


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


class Withdraw(Operation, frozen=True):
    number: int
    child: int | None
    terminate: bool


class TagJob(Operation, frozen=True):
    number: int
    tags: dict[str, str]


class Ask(Operation, frozen=True):
    """A change to queues, environments or definitions, asked once."""

    command: c.Command


class Crash(Operation, frozen=True):
    """The server dies after so many more steps of its tasks. `host`: which of the hosts it starts on then; `without`:
    the engine that cannot be used until the next crash."""

    steps: int
    host: int | None = None
    away_ms: int = 100
    without: str = ""


class Restart(Operation, frozen=True):
    """The server ends in good order; with `kill` it terminates what runs first."""

    kill: bool


class Takeover(Operation, frozen=True):
    """A second server opens the store while the first still lives."""


class FailCommit(Operation, frozen=True):
    """The next commit fails. `unknown`: it is durable all the same."""

    unknown: bool


class Lose(Operation, frozen=True):
    """Everything on an instance, or everything of an engine, dies."""

    engine: str
    instance_id: str


class Reboot(Operation, frozen=True):
    """The machine goes down: the server and everything that ran die; the journals may be damaged."""

    is_damaged: bool


class Reconnect(Operation, frozen=True):
    engine: str


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
    batch_commands: int  # commands, and reports, that go into one commit at most
    policies: dict[str, dict[str, Any]] = {}  # name -> fairsharePolicy
    fair_queues: dict[str, str] = {}  # name -> policy
    unmanaged_vcpus: int = 0  # unmanagedvCpus of the environments; 0: not given
    unreadable: float = 0.0  # share of the attempts whose secrets one server cannot read; another one may


class Workload(Struct, frozen=True):
    setup: Setup
    operations: tuple[Operation, ...]


def policy_arn(name: str) -> str:
    return f"arn:aws:batch:us-east-1:123456789012:scheduling-policy/{name}"


def environment_document(setup: Setup) -> dict[str, Any]:
    return {"unmanagedvCpus": setup.unmanaged_vcpus} if setup.unmanaged_vcpus else {}


def queue_document(setup: Setup, queue: str) -> dict[str, Any]:
    policy = setup.fair_queues.get(queue)
    return {} if policy is None else {"schedulingPolicyArn": policy_arn(policy)}


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
    """Each container: its name, whether it is essential, whom it waits for and until when."""
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


SEVERAL = {
    "pair": task(("main", True, (("side", "START"),)), ("side", False, ())),
    "trio": task(
        ("init", False, ()),
        ("main", True, (("init", "SUCCESS"),)),
        ("other", True, (("init", "COMPLETE"), ("main", "START"))),
    ),
}
DEFINITIONS = {
    "half": container("0.5", 64),
    "one": container("1", 128),
    "two": container("2", 256),
    "gpu": container("1", 64, 1),
    "gpus": container("1", 64, 2),
    "huge": container(str(HUGE_VCPUS), 64),
    **SEVERAL,
}


def instance(number: int, vcpus: int, memory_mib: int, gpus: int) -> Instance:
    return Instance(f"i-{number:017x}", Resources(vcpus * 1000, memory_mib, gpus), tuple(range(gpus)))


def order(names: tuple[str, ...]) -> tuple[EnvironmentOrder, ...]:
    return tuple(EnvironmentOrder(number + 1, name) for number, name in enumerate(names))


def without(workload: Workload, kept: frozenset[int]) -> Workload:
    """Only the operations at these positions."""
    return Workload(workload.setup, tuple(o for at, o in enumerate(workload.operations) if at in kept))
