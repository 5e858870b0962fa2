"""Attempts, instances and environments in the shapes of ECS, which no other module knows: Task, ContainerInstance,
Cluster (ECS API reference).

A task is an attempt; its ARN is the one that DescribeJobs shows. Times are seconds since 1970.
"""

from __future__ import annotations

from msgspec.structs import replace

from batchyard.api.batch.render import MAX_CONTAINER_REASON_CHARACTERS
from batchyard.api.ecs.capacity import instance_tags, instance_type, zone
from batchyard.api.ecs.cluster_names import cluster_name
from batchyard.core.model import names
from batchyard.core.model.compute_resources import Platform
from batchyard.core.model.gpus import Gpu, gpus_named
from batchyard.core.model.names import Account
from batchyard.core.model.records import (
    DEFAULT_CONTAINER,
    Attempt,
    ContainerOutcome,
    ContainerSpec,
    Environment,
    InstanceState,
    JobSpec,
    containers_of,
    log_file_container,
    logs_of,
)
from batchyard.core.model.resources import MILLI_PER_VCPU, Resources
from batchyard.core.questions.inventory import Inventory, Stock
from batchyard.core.tasks.device_shares import devices_of
from batchyard.wire.messages import Document

CPU_UNITS_PER_VCPU = 1024  # how ECS counts CPU
STATUS_OF_STATE = {
    InstanceState.LAUNCHING: "REGISTERING",
    InstanceState.READY: "ACTIVE",
    InstanceState.DRAINING: "DRAINING",
    InstanceState.AWAY: "ACTIVE",  # its agentConnected is false
    InstanceState.TERMINATING: "DEREGISTERING",
}


# -- tasks --


def launch_type(spec: JobSpec) -> Platform:
    return Platform.FARGATE if Platform.FARGATE in spec.platform_capabilities else Platform.EC2


def desired_status(attempt: Attempt, *, is_current: bool) -> str:
    return "RUNNING" if is_current and not attempt.stopping else "STOPPED"


def last_status(attempt: Attempt, *, is_current: bool) -> str:
    if not is_current:
        return "STOPPED"
    if attempt.stopping:
        return "STOPPING"
    return "RUNNING" if attempt.started_at_ms else "PENDING"


def group(spec: JobSpec) -> str:
    """Returns ECS's group of tasks that no service runs."""
    return f"family:{names.split_definition(spec.definition)[0]}"


def task_document(
    account: Account,
    spec: JobSpec,
    job_id: str,
    task_id: str,
    attempt: Attempt,
    gpus: tuple[Gpu, ...] = (),
    *,
    is_current: bool,
    with_tags: bool,
) -> Document:
    """Returns Task. Members without a counterpart here (image pulls, health checks) are left out. `gpus`: those of the
    machine."""
    cluster = cluster_name(account, attempt.environment)
    family, revision = names.split_definition(spec.definition)
    document: Document = {
        "taskArn": account.task_arn(cluster, task_id),
        "clusterArn": account.cluster_arn(cluster),
        "taskDefinitionArn": account.arn("ecs", f"task-definition/{family}:{revision}"),
        "group": group(spec),
        "startedBy": job_id,
        "launchType": launch_type(spec).value,
        "availabilityZone": zone(account),
        "lastStatus": last_status(attempt, is_current=is_current),
        "desiredStatus": desired_status(attempt, is_current=is_current),
        "cpu": _cpu(spec.task.resources),
        "memory": str(spec.task.resources.memory_mib),
        "enableExecuteCommand": bool(spec.task.container.get("enableExecuteCommand", False)),
        "healthStatus": "UNKNOWN",
        "containers": _containers(account, cluster, spec, task_id, attempt, gpus, is_current=is_current),
        "overrides": {"containerOverrides": [_override(container) for container in _named(spec)]},
        "attachments": [],
        "attributes": [],
        "tags": key_values(spec.tags) if with_tags and spec.propagate_tags else [],
    }
    if attempt.main.instance_id and launch_type(spec) is not Platform.FARGATE:
        document["containerInstanceArn"] = account.container_instance_arn(cluster, attempt.main.instance_id)
    if attempt.started_at_ms:
        document |= {"startedAt": attempt.started_at_ms / 1000, "connectivity": "CONNECTED"}
    if not is_current:
        document |= {"stopCode": _stop_code(attempt), "stoppedReason": attempt.status_reason}
        if attempt.stopped_at_ms:
            document |= {"stoppedAt": attempt.stopped_at_ms / 1000, "executionStoppedAt": attempt.stopped_at_ms / 1000}
    return document


def _stop_code(attempt: Attempt) -> str:
    """Returns TaskStopCode."""
    if attempt.is_lost:
        return "TerminationNotice"
    if attempt.stopping:
        return "UserInitiated"
    return "EssentialContainerExited" if attempt.started_at_ms else "TaskFailedToStart"


def _containers(
    account: Account,
    cluster: str,
    spec: JobSpec,
    task_id: str,
    attempt: Attempt,
    gpus: tuple[Gpu, ...],
    *,
    is_current: bool,
) -> list[Document]:
    whole = ContainerOutcome(DEFAULT_CONTAINER, attempt.exit_code, attempt.reason)
    outcomes = {outcome.name: outcome for outcome in attempt.containers or (whole,)}
    status = last_status(attempt, is_current=is_current).replace("STOPPING", "RUNNING")
    documents: list[Document] = []
    started = [container for container in containers_of(spec.task) if not container.is_pause]
    for own, container in zip(started, _named(spec), strict=True):
        known = log_file_container(spec, container.name)
        document: Document = {
            "containerArn": account.arn("ecs", f"container/{cluster}/{task_id}/{names.container_uuid(task_id, known)}"),
            "taskArn": account.task_arn(cluster, task_id),
            "name": container.name,
            "lastStatus": status,
            "healthStatus": "UNKNOWN",
            "cpu": _cpu(container.resources),
            "memory": str(container.resources.memory_mib),
            "networkBindings": [],
            "networkInterfaces": [],  # plain jobs are on the network of their host
        }
        if container.image:
            document["image"] = container.image
        if devices := devices_of(spec.task, own.name, attempt.main.device_ids):
            document["gpuIds"] = _gpu_names(gpus, devices)
        outcome = outcomes.get(container.name)
        if outcome is not None and outcome.exit_code is not None:
            document |= {"exitCode": outcome.exit_code, "lastStatus": "STOPPED"}
        if outcome is not None and outcome.reason:
            document["reason"] = outcome.reason[:MAX_CONTAINER_REASON_CHARACTERS]
        documents.append(document)
    return documents


def _named(spec: JobSpec) -> list[ContainerSpec]:
    """Returns the containers by the names in their definition; without the pause container of a pod."""
    named = [container for container in containers_of(spec.task) if not container.is_pause]
    pairs = zip(named, logs_of(spec), strict=True)
    return [replace(container, name=log.container) for container, log in pairs]


def _override(container: ContainerSpec) -> Document:
    """Returns ContainerOverride: what Batch sets for this attempt over the task definition."""
    return {
        "name": container.name,
        "command": list(container.command),
        "environment": [{"name": name, "value": value} for name, value in container.environment],
    }


def _cpu(resources: Resources) -> str:
    return str(_cpu_units(resources))


def _cpu_units(resources: Resources) -> int:
    return resources.milli_vcpus * CPU_UNITS_PER_VCPU // MILLI_PER_VCPU


def key_values(tags: dict[str, str]) -> list[Document]:
    return [{"key": key, "value": value} for key, value in sorted(tags.items())]


# -- container instances and clusters --


def container_instance_document(
    account: Account,
    environment: str,
    stock: Stock,
    inventory: Inventory,
    environments: dict[str, Environment],
    gpus: tuple[Gpu, ...],
    *,
    with_tags: bool,
) -> Document:
    """Returns ContainerInstance in the cluster of `environment`: this machine is in the clusters of all that use it."""
    instance = stock.instance
    document: Document = {
        "containerInstanceArn": account.container_instance_arn(
            cluster_name(account, environment), instance.instance_id
        ),
        "ec2InstanceId": instance.instance_id,
        "status": STATUS_OF_STATE[instance.state],
        "agentConnected": instance.state is not InstanceState.AWAY,
        "runningTasksCount": inventory.running(environment, instance.instance_id),
        "pendingTasksCount": inventory.pending(environment, instance.instance_id),
        "registeredResources": _resources(instance.resources, _gpu_names(gpus, instance.gpu_ids)),
        "remainingResources": _resources(stock.free, _gpu_names(gpus, stock.free_gpu_ids)),
        "attributes": [
            {"name": "ecs.instance-type", "value": instance_type(instance)},
            {"name": "ecs.availability-zone", "value": zone(account)},
            {"name": "ecs.os-type", "value": "linux"},
        ],
        "attachments": [],
        "tags": key_values(instance_tags(instance, environments)) if with_tags else [],
    }
    registered_at_ms = instance.ready_at_ms or instance.launched_at_ms
    if registered_at_ms:
        document["registeredAt"] = registered_at_ms / 1000
    return document


def _gpu_names(gpus: tuple[Gpu, ...], device_ids: tuple[int, ...]) -> list[str]:
    return [gpu.name for gpu in gpus_named(gpus, device_ids)]


def _resources(amounts: Resources, gpus: list[str]) -> list[Document]:
    numbers = {"CPU": _cpu_units(amounts), "MEMORY": amounts.memory_mib}
    documents: list[Document] = [
        {"name": name, "type": "INTEGER", "integerValue": number} for name, number in numbers.items()
    ]
    if gpus:
        documents.append({"name": "GPU", "type": "STRINGSET", "stringSetValue": gpus})
    return documents


def cluster_document(
    account: Account, environment: Environment, instances: int, inventory: Inventory, *, with_tags: bool
) -> Document:
    """Cluster."""
    name = cluster_name(account, environment.name)
    return {
        "clusterArn": account.cluster_arn(name),
        "clusterName": name,
        "status": "ACTIVE",
        "registeredContainerInstancesCount": instances,
        "runningTasksCount": inventory.running(environment.name),
        "pendingTasksCount": inventory.pending(environment.name),
        "activeServicesCount": 0,
        "statistics": [],
        "settings": [],
        "capacityProviders": [],
        "defaultCapacityProviderStrategy": [],
        "tags": key_values(environment.tags) if with_tags else [],
    }
