"""What containerProperties must be, and the entries of containerOverrides (AWS Batch behaviour 6.4-6.9)."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from batchyard.api.checks import check_between, has_duplicates, quoted, require
from batchyard.core.refusal import Refused

Document = dict[str, Any]

IMAGE = re.compile(r"[A-Za-z0-9\-_:./#@]{1,255}")
USER = re.compile(r"[a-z0-9_][a-z0-9_-]{0,30}")
VOLUME_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
NUMBER = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,6})?")  # nobody has 1,000,000,000 of anything; keeps sums in 64 bits
RESERVED_VARIABLE_PREFIX = "AWS_BATCH"  # user guide: job_env_vars

MIN_MEMORY_MIB = 4  # the smallest memory limit that Docker takes
MAX_SWAPPINESS = 100
EPHEMERAL_GIB = (21, 200)  # API: EphemeralStorage
MAX_PORT = 65535

ULIMIT_NAMES = (
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
)
DEVICE_PERMISSIONS = frozenset({"READ", "WRITE", "MKNOD"})
AWSLOGS_OPTIONS = frozenset(
    {
        "awslogs-group",
        "awslogs-region",
        "awslogs-stream-prefix",
        "awslogs-datetime-format",
        "awslogs-multiline-pattern",
        "awslogs-create-group",
    }
)
FARGATE_LOG_DRIVERS = frozenset({"awslogs", "splunk", "awsfirelens"})
FARGATE_FORBIDDEN_LINUX = ("devices", "maxSwap", "sharedMemorySize", "swappiness", "tmpfs")
EC2_FORBIDDEN = {
    "networkConfiguration": "networkConfiguration not applicable for EC2.",
    "fargatePlatformConfiguration": "fargatePlatformConfiguration not applicable for EC2.",
    "runtimePlatform": "runtimePlatform is not applicable for EC2.",
    "ephemeralStorage": "ephemeralStorage is not applicable for EC2.",
}
# vCPU -> allowed MiB (API: ResourceRequirement).
FARGATE_PAIRS = {
    "0.25": frozenset({512, 1024, 2048}),
    "0.5": frozenset(range(1024, 4096 + 1, 1024)),
    "1": frozenset(range(2048, 8192 + 1, 1024)),
    "2": frozenset(range(4096, 16384 + 1, 1024)),
    "4": frozenset(range(8192, 30720 + 1, 1024)),
    "8": frozenset(range(16384, 61440 + 1, 4096)),
    "16": frozenset(range(32768, 122880 + 1, 8192)),
    "32": frozenset({61440, 122880, 249856}),
}
VOLUME_KINDS = ("host", "efsVolumeConfiguration", "s3filesVolumeConfiguration")


def check_container(container: Document, platform: str) -> None:
    """Everything about one containerProperties document. `platform`: EC2 or FARGATE."""
    require(container.get("image"), "ECS Container Image must be provided.")
    require(
        IMAGE.fullmatch(container["image"]),
        f"image must have 1 to 255 characters of letters, digits and -_:./#@, got {quoted(container['image'])!r}.",
    )
    _check_resources(container, platform)
    check_environment(container.get("environment", []))
    _check_user(container)
    _check_secrets(container)
    _check_logs(container, platform)
    _check_volumes(container, platform)
    _check_ulimits(container)
    _check_linux(container.get("linuxParameters", {}), platform)
    if platform == "FARGATE":
        _check_fargate(container)
    else:
        for member, message in EC2_FORBIDDEN.items():
            require(member not in container, message)


def check_environment(entries: list[Document]) -> None:
    """`environment` of a container or of overrides."""
    for entry in entries:
        name = entry.get("name", "")
        require(name, "Environment variable name is required.")
        require("=" not in name, f"Environment variable name {quoted(name)} must not hold '='.")
        if name.startswith(RESERVED_VARIABLE_PREFIX):
            raise Refused(
                f"Environment variable name {quoted(name)} must not start with {RESERVED_VARIABLE_PREFIX}: "
                "this prefix is reserved for the variables that the service sets."
            )


def check_requirements(requirements: list[Document]) -> dict[str, Decimal]:
    """resourceRequirements of a container or of overrides: no type twice, numbers only. Returns value by type."""
    kinds = [entry["type"] for entry in requirements]
    require(not has_duplicates(kinds), "Cannot provide duplicates in resourceRequirements.")
    values = {}
    for entry in requirements:
        kind, text = entry["type"], entry["value"]
        if not NUMBER.fullmatch(text):
            raise Refused(
                f"Value {quoted(text)} for type {kind} in resourceRequirement is not valid. "
                "Please provide a numeric value."
            )
        values[kind] = Decimal(text)
    if "GPU" in values:
        gpus = values["GPU"]
        require(gpus >= 1, f"GPU must be at least 1, got {gpus}.")
        require(gpus == gpus.to_integral_value(), f"GPU must be a whole number, got {gpus}.")
    return values


def check_whole(value: Decimal, kind: str) -> None:
    require(value == value.to_integral_value(), f"{kind} must be a whole number, got {value}.")


def check_minimum(vcpus: Decimal | None, memory_mib: Decimal | None) -> None:
    """The minima of EC2; a value that is None is not looked at."""
    if vcpus is not None:
        require(vcpus >= 1, f"vCPU must be at least 1, got {vcpus}.")
        check_whole(vcpus, "vCPU")
    if memory_mib is not None:
        require(memory_mib >= MIN_MEMORY_MIB, f"Memory must be at least 4 Mib, got {memory_mib} Mib.")
        check_whole(memory_mib, "Memory")


def _check_resources(container: Document, platform: str) -> None:
    values = check_requirements(container.get("resourceRequirements", []))
    old = [member for member in ("vcpus", "memory") if member in container]
    require(
        not old or not values.keys() & {"VCPU", "MEMORY"},
        "Cannot use both ECS containerProperties vcpus/memory and resourceRequirement VCPU/MEMORY.",
    )
    if platform == "FARGATE":
        require(not old, "vcpus and memory are not applicable for Fargate. Use resourceRequirements instead.")
        require("GPU" not in values, "GPU is not applicable for Fargate.")
    vcpus = values.get("VCPU", _decimal(container.get("vcpus")))
    memory_mib = values.get("MEMORY", _decimal(container.get("memory")))
    if vcpus is None:
        raise Refused("vCPU is required.")
    if memory_mib is None:
        raise Refused("Memory is required.")
    if platform == "EC2":
        check_minimum(vcpus, memory_mib)
        return
    allowed = FARGATE_PAIRS.get(f"{vcpus.normalize():f}", frozenset())
    require(memory_mib in allowed, f"Fargate resource requirements ({vcpus} vCPU, {memory_mib} MiB) not valid.")


def _decimal(value: int | None) -> Decimal | None:
    return None if value is None else Decimal(value)


def _check_user(container: Document) -> None:
    user = container.get("user")
    if user is not None:
        require(USER.fullmatch(user), f"User '{quoted(user)}' does not match regex")


def _check_secrets(container: Document) -> None:
    secrets = [*container.get("secrets", []), *container.get("logConfiguration", {}).get("secretOptions", [])]
    require(
        not secrets or container.get("executionRoleArn"),
        "executionRoleArn cannot be empty when using secrets or secretOptions",
    )


def _check_logs(container: Document, platform: str) -> None:
    logging = container.get("logConfiguration")
    if logging is None:
        return
    driver = logging["logDriver"]
    if platform == "FARGATE":
        require(driver in FARGATE_LOG_DRIVERS, f"Log driver for Fargate is not valid: {driver}")
    if driver == "awslogs":
        unknown = sorted(logging.get("options", {}).keys() - AWSLOGS_OPTIONS)
        require(not unknown, f"Log driver awslogs disallows options: {quoted(', '.join(unknown))}")


def _check_volumes(container: Document, platform: str) -> None:
    names = set()
    for volume in container.get("volumes", []):
        kinds = [kind for kind in VOLUME_KINDS if kind in volume]
        require(
            len(kinds) <= 1,
            "When the volume parameter is specified, only one volume configuration type should be used.",
        )
        name = volume.get("name", "")
        require(
            VOLUME_NAME.fullmatch(name),
            f"Volume name {quoted(name)!r} must have 1 to 255 letters, digits, hyphens and underscores.",
        )
        require(name not in names, f"Volume name {name} is used twice.")
        names.add(name)
        if platform == "FARGATE":
            require(
                not volume.get("host", {}).get("sourcePath"),
                "host.sourcePath should not be set for volumes in Fargate.",
            )
        if "efsVolumeConfiguration" in volume:
            _check_efs(volume["efsVolumeConfiguration"])
        require(
            "s3filesVolumeConfiguration" not in volume or container.get("jobRoleArn"),
            "A jobRoleArn/taskRoleArn is required when using s3filesVolumeConfiguration.",
        )


def _check_efs(efs: Document) -> None:
    file_system = efs.get("fileSystemId", "")
    require(file_system.startswith("fs-"), f"EFS configuration fileSystemId is not valid: {quoted(file_system)}.")
    check_between(efs.get("transitEncryptionPort"), 0, MAX_PORT, "efsVolumeConfiguration.transitEncryptionPort")
    encrypted = efs.get("transitEncryption") == "ENABLED"
    authorization = efs.get("authorizationConfig", {})
    require(
        encrypted or authorization.get("iam") != "ENABLED",
        "EFS IAM authorization requires TransitEncryption to be enabled.",
    )
    require(
        encrypted or not authorization.get("accessPointId"),
        "EFS IAM access point requires TransitEncryption to be enabled.",
    )


def _check_ulimits(container: Document) -> None:
    for ulimit in container.get("ulimits", []):
        name, soft, hard = ulimit["name"], ulimit["softLimit"], ulimit["hardLimit"]
        require(
            name in ULIMIT_NAMES, f"Ulimit name {quoted(name)} is not valid. Valid names: {', '.join(ULIMIT_NAMES)}."
        )
        # -1 is Docker's way to say unlimited.
        require(
            hard == -1 or -1 <= soft <= hard,
            f"Ulimit {name}: softLimit {soft} must not be greater than hardLimit {hard}.",
        )


def _check_linux(linux: Document, platform: str) -> None:
    if platform == "FARGATE":
        for member in FARGATE_FORBIDDEN_LINUX:
            require(member not in linux, f"linuxParameter.{member} is not allowed for Fargate.")
    for device in linux.get("devices", []):
        for permission in device.get("permissions", []):
            require(
                permission in DEVICE_PERMISSIONS,
                f"Invalid permission: {quoted(permission)} for device {quoted(device['hostPath'])}",
            )
    for tmpfs in linux.get("tmpfs", []):
        require(tmpfs["size"] > 0, "Size of a tmpfs is invalid. The size is required and must be a positive integer.")
    shared_memory = linux.get("sharedMemorySize")
    if shared_memory is not None:
        require(shared_memory > 0, f"sharedMemorySize must be at least 1 MiB, got {shared_memory}.")
    swappiness, max_swap = linux.get("swappiness"), linux.get("maxSwap")
    if max_swap is not None:
        require(max_swap >= 0, f"Invalid swap memory size: {max_swap}, must be non-negative.")
    if swappiness is not None:
        require(
            0 <= swappiness <= MAX_SWAPPINESS,
            f"Invalid swappiness: {swappiness}, must be between 0 and {MAX_SWAPPINESS}.",
        )


def _check_fargate(container: Document) -> None:
    require(container.get("executionRoleArn"), "executionRoleArn is required for Fargate jobs.")
    require(
        not container.get("privileged"),
        "Fargate requires that the ‘privileged’ setting be ‘false’ at the container level.",  # noqa: RUF001
    )
    require(not container.get("ulimits"), "ulimits is not applicable for Fargate.")
    require("instanceType" not in container, "instanceType is not applicable for Fargate.")
    size_gib = container.get("ephemeralStorage", {}).get("sizeInGiB")
    low, high = EPHEMERAL_GIB
    require(
        size_gib is None or low <= size_gib <= high,
        "Ephemeral storage for Fargate tasks can be only between range 21 GiB to 200 GiB",
    )
    system = container.get("runtimePlatform", {})
    if str(system.get("operatingSystemFamily", "")).startswith("WINDOWS"):
        require(system.get("cpuArchitecture", "X86_64") == "X86_64", "Windows supported only by X86_64 cpuArchitecture")
        vcpus = check_requirements(container["resourceRequirements"])["VCPU"]
        require(vcpus >= 1, f"vCPU must be at least 1 for Windows Job definition, got {vcpus}.")
