"""What the ECS task metadata endpoint, version 4, says about an attempt (ECS developer guide).

Programs inside jobs ask it for their task, their limits and where their log goes. Samples of usage are not given:
`/stats` names the container and its limits only.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from batchyard.core import names
from batchyard.core.names import Account
from batchyard.core.records import Attempt, JobSpec
from batchyard.core.resources import MILLI_PER_VCPU

CONTAINER = "default"
CPU_SHARES_PER_VCPU = 1024  # how ECS counts a container's CPU
MIB = 1024 * 1024

Document = dict[str, Any]


def metadata_document(
    path: str, *, account: Account, cluster: str, spec: JobSpec, attempt: Attempt, task_id: str, log_stream: str
) -> Document | None:
    """The answer to GET of the endpoint's own URI (`path` is "" or "/"), /task, /stats or /task/stats; None for others.

    `cluster`: the name of the ECS cluster that the attempt's environment stands for."""
    if path in ("", "/"):
        return _container(account, cluster, spec, attempt, task_id, log_stream)
    if path == "/task":
        return _task(account, cluster, spec, attempt, task_id, log_stream)
    if path == "/stats":
        return _stats(spec, task_id)
    if path == "/task/stats":
        return {task_id: _stats(spec, task_id)}
    return None


def _task(account: Account, cluster: str, spec: JobSpec, attempt: Attempt, task_id: str, log_stream: str) -> Document:
    family, revision = names.split_definition(spec.definition)
    resources = spec.task.resources
    return {
        "Cluster": account.cluster_arn(cluster),
        "TaskARN": account.task_arn(cluster, task_id),
        "Family": family,
        "Revision": str(revision),
        "DesiredStatus": "STOPPED" if attempt.stopping else "RUNNING",
        "KnownStatus": _known_status(attempt),
        "Limits": {"CPU": resources.milli_vcpus / MILLI_PER_VCPU, "Memory": resources.memory_mib},
        "LaunchType": "EC2",
        "Containers": [_container(account, cluster, spec, attempt, task_id, log_stream)],
    }


def _container(
    account: Account, cluster: str, spec: JobSpec, attempt: Attempt, task_id: str, log_stream: str
) -> Document:
    family, revision = names.split_definition(spec.definition)
    resources = spec.task.resources
    document: Document = {
        "DockerId": task_id,
        "Name": CONTAINER,
        "DockerName": f"ecs-{family}-{revision}-{CONTAINER}-{task_id}",
        "Image": spec.task.image,
        "Labels": {
            "com.amazonaws.ecs.cluster": account.cluster_arn(cluster),
            "com.amazonaws.ecs.container-name": CONTAINER,
            "com.amazonaws.ecs.task-arn": account.task_arn(cluster, task_id),
            "com.amazonaws.ecs.task-definition-family": family,
            "com.amazonaws.ecs.task-definition-version": str(revision),
        },
        "DesiredStatus": "STOPPED" if attempt.stopping else "RUNNING",
        "KnownStatus": _known_status(attempt),
        "Limits": {
            "CPU": resources.milli_vcpus * CPU_SHARES_PER_VCPU // MILLI_PER_VCPU,
            "Memory": resources.memory_mib,
        },
        "Type": "NORMAL",
        "LogDriver": "awslogs",
        "LogOptions": {
            "awslogs-group": spec.log_group,
            "awslogs-region": account.region,
            "awslogs-stream": log_stream,
        },
        "ContainerARN": account.arn("ecs", f"container/{cluster}/{task_id}/{UUID(task_id)}"),
        # Plain jobs share the network of their host, as on AWS's EC2 environments.
        "Networks": [{"NetworkMode": "host", "IPv4Addresses": []}],
    }
    if attempt.started_at_ms:
        document["CreatedAt"] = document["StartedAt"] = _time(attempt.started_at_ms)
    if attempt.stopped_at_ms:
        document["FinishedAt"] = _time(attempt.stopped_at_ms)
    if attempt.exit_code is not None:
        document["ExitCode"] = attempt.exit_code
    return document


def _stats(spec: JobSpec, task_id: str) -> Document:
    return {"id": task_id, "name": CONTAINER, "memory_stats": {"limit": spec.task.resources.memory_mib * MIB}}


def _known_status(attempt: Attempt) -> str:
    """Who asks from inside runs, even before its start was reported."""
    return "STOPPED" if attempt.stopped_at_ms else "RUNNING"


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
