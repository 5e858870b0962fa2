"""Checks ecsProperties: one task of several containers (AWS Batch behaviour 6.10)."""

from __future__ import annotations

import re
from decimal import Decimal

from batchyard.api.batch.rules.container_rules import check_shared
from batchyard.api.batch.rules.platform_rules import (
    check_ephemeral_storage,
    check_fargate_container,
    check_runtime_platform,
)
from batchyard.api.batch.rules.volume_rules import check_volumes
from batchyard.api.checks import has_duplicates, quoted, require
from batchyard.core.model.compute_resources import Platform
from batchyard.core.model.records import DEFAULT_CONTAINER
from batchyard.core.tasks import requirements
from batchyard.wire.messages import Document

CONTAINER_COUNT_RANGE = (1, 10)  # API: EcsTaskProperties
# ECS's own limit is 255; a log file is named <task id>.<container>.log, and a file name has at most 255 bytes.
CONTAINER_NAME = re.compile(r"[A-Za-z0-9_-]{1,200}")
CONDITIONS = ("START", "COMPLETE", "SUCCESS")
IPC_MODES = ("host", "task", "none")
PID_MODES = ("host", "task")
NETWORK_MODES = ("host",)
# This service's own limit, where AWS states none: on EC2 and Fargate.
OWN_NETWORK_MODES = ("bridge", "awsvpc", "none")
MIN_TIMEOUT_SECONDS = 2  # API: TaskContainerProperties.startTimeout, stopTimeout
MAX_FARGATE_TIMEOUT_SECONDS = 120
# Members of a task that only other platforms have, with AWS's two texts of the refusal.
NOT_APPLICABLE = {
    Platform.EC2: {
        "networkConfiguration": "networkConfiguration not applicable for EC2.",
        "platformVersion": "platformVersion not applicable for EC2.",
        "runtimePlatform": "runtimePlatform is not applicable for EC2.",
        "ephemeralStorage": "ephemeralStorage is not applicable for EC2.",
        "networkMode": "networkMode is not applicable for EC2.",
    },
    Platform.FARGATE: {
        "ipcMode": "ipcMode is not applicable for Fargate.",
        "networkMode": "networkMode is not applicable for Fargate.",
    },
    Platform.MANAGED_INSTANCES: {
        "networkConfiguration": "networkConfiguration not applicable for MANAGED_INSTANCES.",
        "platformVersion": "platformVersion not applicable for MANAGED_INSTANCES.",
        "ephemeralStorage": "ephemeralStorage is not applicable for MANAGED_INSTANCES.",
    },
}


def check_task(properties: Document, platform: Platform) -> None:
    """Checks one ecsProperties document. `platform`: EC2, FARGATE or MANAGED_INSTANCES."""
    tasks = properties.get("taskProperties", [])
    require(len(tasks) == 1, f"ecsProperties.taskProperties must hold exactly 1 task, got {len(tasks)}.")
    task = tasks[0]
    containers = task["containers"]
    low, high = CONTAINER_COUNT_RANGE
    require(low <= len(containers) <= high, f"Number of containers must be between {low} and {high}")
    _check_names(containers)
    require(
        any(container.get("essential", True) for container in containers),
        "At least one container must be set as essential",
    )
    _check_dependencies(containers)
    has_own_network = platform is not Platform.MANAGED_INSTANCES and task.get("networkMode") in OWN_NETWORK_MODES
    for member, message in NOT_APPLICABLE[platform].items():
        require(member not in task or (member == "networkMode" and has_own_network), message)
    _check_modes(task, NETWORK_MODES if platform is Platform.MANAGED_INSTANCES else OWN_NETWORK_MODES)
    asked = [_check_one(container, task, platform) for container in containers]
    check_volumes(
        task.get("volumes", []),
        platform,
        role=task.get("taskRoleArn", ""),
        platform_version=task.get("platformVersion", ""),
    )
    if platform is Platform.FARGATE:
        require(task.get("executionRoleArn"), "executionRoleArn is required for Fargate jobs.")
    vcpus = requirements.check_task(asked, platform)
    if platform is Platform.FARGATE:
        check_ephemeral_storage(task.get("ephemeralStorage"))
    if platform is not Platform.EC2:
        check_runtime_platform(task, containers, vcpus, platform)


def name_of(container: Document) -> str:
    """Returns a container's name; without one it gets that of a plain job's container."""
    return str(container.get("name", DEFAULT_CONTAINER))


def _check_names(containers: list[Document]) -> None:
    """Checks the names of containers, which become parts of file names and of log streams: characters outside of
    ECS's alphabet must be refused."""
    names = [name_of(container) for container in containers]
    for name in names:
        require(
            CONTAINER_NAME.fullmatch(name),
            f"Container name {quoted(name)!r} must have 1 to 200 letters, digits, hyphens and underscores.",
        )
    require(not has_duplicates(names), "Container names must be unique")


def _check_dependencies(containers: list[Document]) -> None:
    essential = {name_of(container): container.get("essential", True) for container in containers}
    waits: dict[str, list[str]] = {}
    for container in containers:
        entries = container.get("dependsOn", [])
        require(not entries or len(containers) > 1, "Container dependency can not be used in a single-container job.")
        for entry in entries:
            target, condition = entry.get("containerName", ""), entry.get("condition", "")
            require(target in essential, f"containerName {quoted(target)} must reference a defined container.")
            require(
                condition in CONDITIONS,
                f"TaskContainer dependency {quoted(condition)} is not valid. "
                f"Valid values are: [{', '.join(CONDITIONS)}]",
            )
            require(
                condition == "START" or not essential[target],
                f"The container target of a dependency can not have condition {condition} if the target is essential",
            )
            waits.setdefault(name_of(container), []).append(target)
    _check_no_circle(waits)


def _check_no_circle(waits: dict[str, list[str]]) -> None:
    """Refuses circular dependencies, in which no container would ever start. `waits`: container -> those it waits
    for."""
    left = {name: set(targets) for name, targets in waits.items()}
    for _ in waits:  # each round removes at least one that waits for none of the rest, unless there is a circle
        left = {name: targets for name, targets in left.items() if targets & left.keys()}
    circle = ", ".join(sorted(left))
    require(not left, f"The container dependencies form a circle: none of {circle} could ever start.")


def _check_modes(task: Document, network_modes: tuple[str, ...]) -> None:
    ipc, pid, network = task.get("ipcMode"), task.get("pidMode"), task.get("networkMode")
    require(
        ipc is None or ipc in IPC_MODES,
        f"ipcMode {quoted(ipc)} is not valid. Valid values are: [{', '.join(IPC_MODES)}]",
    )
    # AWS's text says "capability" here, by mistake.
    require(
        pid is None or pid in PID_MODES,
        f"Capability {quoted(pid)} is not valid. Valid capabilities: [{', '.join(PID_MODES)}]",
    )
    require(
        network is None or network in network_modes,
        f"networkMode {quoted(network)} is not valid. Valid values are: [{', '.join(network_modes)}]",
    )


def _check_one(container: Document, task: Document, platform: Platform) -> tuple[Decimal, Decimal]:
    """Checks one container, and returns its vCPUs and MiB."""
    check_shared(container, platform, task.get("executionRoleArn", ""))
    if platform is Platform.FARGATE:
        check_fargate_container(container)
    for member in ("startTimeout", "stopTimeout"):
        seconds = container.get(member)
        if seconds is None:
            continue
        require(seconds >= MIN_TIMEOUT_SECONDS, f"{member} must be at least 2 seconds, got {seconds}.")
        require(
            platform is not Platform.FARGATE or seconds <= MAX_FARGATE_TIMEOUT_SECONDS,
            f"{member} must be at most {MAX_FARGATE_TIMEOUT_SECONDS} seconds for Fargate, got {seconds}.",
        )
    return requirements.check_container(requirements.listed(container.get("resourceRequirements", [])), platform)
