"""The answers of the ECS task metadata endpoint, version 4, about an attempt (ECS developer guide).

Programs inside jobs ask it for their task, their limits and where their log goes. Samples of usage are not given:
`/stats` names the container and its limits only.
"""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import Struct

from batchyard.core.model import names
from batchyard.core.model.names import Account
from batchyard.core.model.records import Attempt, ContainerLog, ContainerSpec, JobSpec, containers_of, logs_of
from batchyard.core.model.resources import MILLI_PER_VCPU
from batchyard.core.tasks.task_spec import HOST_NETWORK
from batchyard.wire.messages import Document

CPU_SHARES_PER_VCPU = 1024  # how ECS counts a container's CPU
MIB = 1024 * 1024


class Task(Struct, frozen=True):
    """An attempt, and what is needed to describe it. `cluster`: the name of the ECS cluster that represents its
    environment."""

    account: Account
    cluster: str
    spec: JobSpec
    attempt: Attempt
    task_id: str
    address: str = ""  # of a node of a multi-node job; empty: it has none of its own

    def containers(self) -> list[tuple[ContainerSpec, ContainerLog]]:
        named = [container for container in containers_of(self.spec.task) if not container.is_pause]
        return list(zip(named, logs_of(self.spec), strict=True))


def metadata_document(path: str, task: Task, container: str) -> Document | None:
    """Returns the answer to GET of the endpoint's own URI (`path` is "" or "/"), /task, /stats or /task/stats; None
    for other paths, and where there is no such container. `container`: the container that the URI belongs to; empty:
    the first."""
    found = [pair for pair in task.containers() if container in ("", pair[1].container)]
    if not found:
        return None
    if path in ("", "/"):
        return _container(task, *found[0])
    if path == "/task":
        return _task(task)
    if path == "/stats":
        return _stats(task, *found[0])
    if path == "/task/stats":
        return {_docker_id(task, log): _stats(task, spec, log) for spec, log in task.containers()}
    return None


def _task(task: Task) -> Document:
    family, revision = names.split_definition(task.spec.definition)
    resources = task.spec.task.resources
    return {
        "Cluster": task.account.cluster_arn(task.cluster),
        "TaskARN": task.account.task_arn(task.cluster, task.task_id),
        "Family": family,
        "Revision": str(revision),
        "DesiredStatus": "STOPPED" if task.attempt.stopping else "RUNNING",
        "KnownStatus": _known_status(task.attempt),
        "Limits": {"CPU": resources.milli_vcpus / MILLI_PER_VCPU, "Memory": resources.memory_mib},
        "LaunchType": "EC2",
        "Containers": [_container(task, spec, log) for spec, log in task.containers()],
    }


def _container(task: Task, container: ContainerSpec, log: ContainerLog) -> Document:
    family, revision = names.split_definition(task.spec.definition)
    account, attempt, name = task.account, task.attempt, log.container
    own = names.container_uuid(task.task_id, container.name)
    addresses = [task.address] if task.address else []
    document: Document = {
        "DockerId": _docker_id(task, log),
        "Name": name,
        "DockerName": f"ecs-{family}-{revision}-{name}-{task.task_id}",
        "Image": container.image,
        "Labels": {
            "com.amazonaws.ecs.cluster": account.cluster_arn(task.cluster),
            "com.amazonaws.ecs.container-name": name,
            "com.amazonaws.ecs.task-arn": account.task_arn(task.cluster, task.task_id),
            "com.amazonaws.ecs.task-definition-family": family,
            "com.amazonaws.ecs.task-definition-version": str(revision),
        },
        "DesiredStatus": "STOPPED" if attempt.stopping else "RUNNING",
        "KnownStatus": _known_status(attempt),
        "Limits": {
            "CPU": container.resources.milli_vcpus * CPU_SHARES_PER_VCPU // MILLI_PER_VCPU,
            "Memory": container.resources.memory_mib,
        },
        "Type": "NORMAL",
        "LogDriver": "awslogs",
        "LogOptions": {
            "awslogs-group": log.group,
            "awslogs-region": account.region,
            "awslogs-stream": names.log_stream(log.prefix, task.task_id, name),
        },
        "ContainerARN": account.arn("ecs", f"container/{task.cluster}/{task.task_id}/{own}"),
        # Unless they ask for another one, jobs share the network of their host, as on AWS's EC2 environments.
        "Networks": [{"NetworkMode": task.spec.task.network or HOST_NETWORK, "IPv4Addresses": addresses}],
    }
    if attempt.started_at_ms:
        document["CreatedAt"] = document["StartedAt"] = _time(attempt.started_at_ms)
    if attempt.stopped_at_ms:
        document["FinishedAt"] = _time(attempt.stopped_at_ms)
    codes = {one.name: one.exit_code for one in attempt.containers}
    code = codes.get(name) if task.spec.container_logs else attempt.exit_code
    if code is not None:
        document["ExitCode"] = code
    return document


def _docker_id(task: Task, log: ContainerLog) -> str:
    """Returns the container's id: the task's for the container of a plain job, an id of its own for each of several."""
    return task.task_id if len(task.spec.container_logs) <= 1 else f"{task.task_id}-{log.container}"


def _stats(task: Task, container: ContainerSpec, log: ContainerLog) -> Document:
    limit = container.resources.memory_mib * MIB
    return {"id": _docker_id(task, log), "name": log.container, "memory_stats": {"limit": limit}}


def _known_status(attempt: Attempt) -> str:
    """Returns the status that the task knows: a task that asks is running, even before its start was reported."""
    return "STOPPED" if attempt.stopped_at_ms else "RUNNING"


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
