"""Checks what only some platforms have: Fargate's valid pairs, storage and operating systems (AWS Batch behaviour
6.4-6.6).

A platform is EC2, FARGATE or MANAGED_INSTANCES."""

from __future__ import annotations

from decimal import Decimal

from batchyard.api.checks import capital, quoted, require
from batchyard.core.model.compute_resources import Platform
from batchyard.core.tasks.requirements import WINDOWS_FAMILIES, check_windows
from batchyard.wire.messages import Document

EPHEMERAL_GIB_RANGE = (21, 200)  # API: EphemeralStorage
SYSTEM_FAMILIES = (*WINDOWS_FAMILIES, "LINUX")  # in the order of AWS's refusal
ARCHITECTURES = ("X86_64", "ARM64")
WINDOWS_FORBIDDEN = (
    "linuxParameters",
    "privileged",
    "user",
    "ulimits",
    "readonlyRootFilesystem",
    "efsVolumeConfiguration",
)  # API: RuntimePlatform
NOT_ON_WINDOWS = "parameter is not supported for Windows containers"


def is_set(holder: Document, member: str) -> bool:
    """Whether a document has a member that must not be set. False and 0 are settings, as on AWS; an empty text, list
    or structure counts as absent, since clients that fill every member send those."""
    return holder.get(member) not in (None, "", [], {})


def check_ephemeral_storage(storage: Document | None) -> None:
    """Checks ephemeralStorage of a Fargate task."""
    low, high = EPHEMERAL_GIB_RANGE
    require(
        storage is None or low <= storage["sizeInGiB"] <= high,
        f"Ephemeral storage for Fargate tasks can be only between range {low} GiB to {high} GiB",
    )


def check_runtime_platform(task: Document, containers: list[Document], vcpus: Decimal, platform: Platform) -> None:
    """Checks a task (or a containerProperties document, which is one) on Fargate or managed instances:
    `runtimePlatform`, `volumes`, its containers, and the vCPUs of all together."""
    system = task.get("runtimePlatform", {})
    family = system.get("operatingSystemFamily", "LINUX")
    architecture = system.get("cpuArchitecture", "X86_64")
    if platform is Platform.MANAGED_INSTANCES:
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
        check_windows(vcpus, family)
        for holder in (*containers, *task.get("volumes", [])):
            for member in WINDOWS_FORBIDDEN:
                require(not is_set(holder, member), f"{capital(member)} {NOT_ON_WINDOWS}")


def check_fargate_container(container: Document) -> None:
    """Refuses what a container on Fargate may not have, whether it is a job's only one or one of several."""
    require(
        not container.get("privileged"),
        "Fargate requires that the ‘privileged’ setting be ‘false’ at the container level.",  # noqa: RUF001
    )
    require(not container.get("ulimits"), "ulimits is not applicable for Fargate.")
