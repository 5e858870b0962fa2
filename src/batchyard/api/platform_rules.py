"""What only some platforms have: Fargate's valid pairs, storage and operating systems (AWS Batch behaviour 6.4-6.6).

A platform is EC2, FARGATE or MANAGED_INSTANCES."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from batchyard.api.checks import quoted, require
from batchyard.core import fargate
from batchyard.core.resources import MILLI_PER_VCPU

Document = dict[str, Any]

EPHEMERAL_GIB = (21, 200)  # API: EphemeralStorage
WINDOWS_FAMILIES = (
    "WINDOWS_SERVER_2019_CORE",
    "WINDOWS_SERVER_2019_FULL",
    "WINDOWS_SERVER_2022_CORE",
    "WINDOWS_SERVER_2022_FULL",
)
SYSTEM_FAMILIES = (*WINDOWS_FAMILIES, "LINUX")  # in the order of AWS's refusal
ARCHITECTURES = ("X86_64", "ARM64")
WINDOWS_FORBIDDEN = (
    "linuxParameters",
    "privileged",
    "user",
    "ulimits",
    "readonlyRootFilesystem",
)  # API: RuntimePlatform


def check_fargate_pair(vcpus: Decimal, memory_mib: Decimal) -> None:
    """`vcpus` and `memory_mib` of a whole task, as written."""
    allowed = fargate.PAIRS.get(int(vcpus * MILLI_PER_VCPU), frozenset())
    exact = vcpus * MILLI_PER_VCPU % 1 == 0
    # Two decimals are AWS's: (2.00 vCPU, 1024 MiB).
    require(
        exact and memory_mib in allowed,
        f"Fargate resource requirements ({vcpus:.2f} vCPU, {memory_mib} MiB) not valid.",
    )


def check_ephemeral_storage(storage: Document | None) -> None:
    """Of a Fargate task."""
    low, high = EPHEMERAL_GIB
    require(
        storage is None or low <= storage["sizeInGiB"] <= high,
        f"Ephemeral storage for Fargate tasks can be only between range {low} GiB to {high} GiB",
    )


def check_runtime_platform(task: Document, containers: list[Document], vcpus: Decimal, platform: str) -> None:
    """`runtimePlatform` and `volumes` of a task (or of a containerProperties document, which is one) on Fargate or
    managed instances, its containers, and the vCPUs of all together."""
    system = task.get("runtimePlatform", {})
    family = system.get("operatingSystemFamily", "LINUX")
    architecture = system.get("cpuArchitecture", "X86_64")
    if platform == "MANAGED_INSTANCES":
        require(family == "LINUX", "runtimePlatform for MANAGED_INSTANCES only supports LINUX operating system family.")
    require(
        family in SYSTEM_FAMILIES,
        f"RuntimePlatform supports only one from [{', '.join(SYSTEM_FAMILIES)}] operating systems, "
        f"provided {quoted(family)}",
    )
    require(
        architecture in ARCHITECTURES,
        f"RuntimePlatform supports only one from [{', '.join(ARCHITECTURES)}] architectures, "
        f"provided {quoted(architecture)}",
    )
    if family in WINDOWS_FAMILIES:
        require(architecture == "X86_64", "Windows supported only by X86_64 cpuArchitecture")
        require(vcpus >= 1, f"vCPU must be at least 1 for Windows Job definition, got {vcpus}.")
        for member in WINDOWS_FORBIDDEN:
            require(not any(c.get(member) for c in containers), f"{member} is not applicable for Windows.")
        require(
            not any("efsVolumeConfiguration" in volume for volume in task.get("volumes", [])),
            "efsVolumeConfiguration is not applicable for Windows.",
        )


def check_fargate_container(container: Document) -> None:
    """What one container on Fargate may not have, be it a job's only one or one of several."""
    require(
        not container.get("privileged"),
        "Fargate requires that the ‘privileged’ setting be ‘false’ at the container level.",  # noqa: RUF001
    )
    require(not container.get("ulimits"), "ulimits is not applicable for Fargate.")
