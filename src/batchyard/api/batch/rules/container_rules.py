"""Checks containerProperties, and what all kinds of containers share (AWS Batch behaviour 6.4-6.9)."""

from __future__ import annotations

import re
from decimal import Decimal

from batchyard.api.batch.rules.platform_rules import (
    check_ephemeral_storage,
    check_fargate_container,
    check_runtime_platform,
)
from batchyard.api.batch.rules.volume_rules import check_volumes
from batchyard.api.checks import quoted, require
from batchyard.core.model.compute_resources import Platform
from batchyard.core.model.refusal import Refused
from batchyard.core.tasks import requirements
from batchyard.wire.messages import Document

IMAGE = re.compile(r"[A-Za-z0-9\-_:./#@]{1,255}")
USER = re.compile(r"[a-z0-9_][a-z0-9_-]{0,30}")
RESERVED_VARIABLE_PREFIX = "AWS_BATCH"  # user guide: job_env_vars

MAX_SWAPPINESS = 100

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
# API: Tmpfs.mountOptions. It lists all as bare words, and those of the second kind mean nothing without a value.
MOUNT_FLAGS = (
    *("defaults", "ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "sync", "async", "dirsync"),
    *("remount", "mand", "nomand", "atime", "noatime", "diratime", "nodiratime", "bind", "rbind", "unbindable"),
    *("runbindable", "private", "rprivate", "shared", "rshared", "slave", "rslave", "relatime", "norelatime"),
    *("strictatime", "nostrictatime"),
)
MOUNT_VALUES = ("mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol")
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


def check_container(container: Document, platform: Platform) -> None:
    """Checks one containerProperties document. `platform`: EC2 or FARGATE."""
    check_shared(container, platform, container.get("executionRoleArn", ""))
    asked = requirements.check_container(requirements.written(container, platform), platform)
    version = container.get("fargatePlatformConfiguration", {}).get("platformVersion", "")
    check_volumes(
        container.get("volumes", []), platform, role=container.get("jobRoleArn", ""), platform_version=version
    )
    if platform is Platform.FARGATE:
        _check_fargate(container, requirements.check_task([asked], platform))
        return
    for member, message in EC2_FORBIDDEN.items():
        require(member not in container, message)


def check_shared(container: Document, platform: Platform, execution_role: str) -> None:
    """Checks what a containerProperties document and one container of several have in common, except their
    resources."""
    require(container.get("image"), "ECS Container Image must be provided.")
    require(
        IMAGE.fullmatch(container["image"]),
        f"image must have 1 to 255 characters of letters, digits and -_:./#@, got {quoted(container['image'])!r}.",
    )
    check_environment(container.get("environment", []))
    _check_user(container)
    _check_secrets(container, execution_role)
    _check_logs(container, platform)
    _check_ulimits(container)
    _check_linux(container.get("linuxParameters", {}), platform)


def check_environment(entries: list[Document]) -> None:
    """Checks `environment` of a container or of overrides."""
    for entry in entries:
        name = entry.get("name", "")
        require(name, "Environment variable name is required.")
        require("=" not in name, f"Environment variable name {quoted(name)} must not hold '='.")
        if name.startswith(RESERVED_VARIABLE_PREFIX):
            raise Refused(
                f"Environment variable name {quoted(name)} must not start with {RESERVED_VARIABLE_PREFIX}: "
                "this prefix is reserved for the variables that the service sets."
            )


def _check_user(container: Document) -> None:
    user = container.get("user")
    if user is not None:
        require(USER.fullmatch(user), f"User '{quoted(user)}' does not match regex")


def _check_secrets(container: Document, execution_role: str) -> None:
    secrets = [*container.get("secrets", []), *container.get("logConfiguration", {}).get("secretOptions", [])]
    require(
        not secrets or execution_role,
        "executionRoleArn cannot be empty when using secrets or secretOptions",
    )
    check_environment(container.get("secrets", []))  # their names are those of variables
    for secret in container.get("secrets", []):
        require(
            secret["valueFrom"], f"valueFrom of the secret {quoted(secret['name'])} must name a secret or parameter."
        )


def _check_logs(container: Document, platform: Platform) -> None:
    logging = container.get("logConfiguration")
    if logging is None:
        return
    driver = logging["logDriver"]
    if platform is Platform.FARGATE:
        require(driver in FARGATE_LOG_DRIVERS, f"Log driver for Fargate is not valid: {driver}")
    if driver == "awslogs":
        unknown = sorted(logging.get("options", {}).keys() - AWSLOGS_OPTIONS)
        require(not unknown, f"Log driver awslogs disallows options: {quoted(', '.join(unknown))}")


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


def _check_linux(linux: Document, platform: Platform) -> None:
    if platform is Platform.FARGATE:
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
        for option in tmpfs.get("mountOptions", []):
            require(
                option in MOUNT_FLAGS or option.partition("=")[0] in MOUNT_VALUES,
                f"mountOptions of a tmpfs must be of mount(8)'s, got {quoted(option)!r}. Valid options: "
                f"{', '.join(MOUNT_FLAGS)}, and {', '.join(f'{each}=VALUE' for each in MOUNT_VALUES)}.",
            )
    shared_memory = linux.get("sharedMemorySize")
    if shared_memory is not None:
        require(shared_memory > 0, f"sharedMemorySize must be at least 1 MiB, got {shared_memory}.")
    swappiness, max_swap = linux.get("swappiness"), linux.get("maxSwap")
    if max_swap is not None:
        require(max_swap >= 0, f"Invalid swap memory size: {max_swap}, must be non-negative.")
        # Without swap there is no swappiness.
        require(
            swappiness is not None or max_swap == 0,
            "When container specified swap memory, swappiness value is required.",
        )
    if swappiness is not None:
        require(
            0 <= swappiness <= MAX_SWAPPINESS,
            f"Invalid swappiness: {swappiness}, must be between 0 and {MAX_SWAPPINESS}.",
        )


def _check_fargate(container: Document, vcpus: Decimal) -> None:
    require(container.get("executionRoleArn"), "executionRoleArn is required for Fargate jobs.")
    check_fargate_container(container)
    require("instanceType" not in container, "instanceType is not applicable for Fargate.")
    check_ephemeral_storage(container.get("ephemeralStorage"))
    check_runtime_platform(container, [container], vcpus, Platform.FARGATE)
