"""Checks the volumes of a task (AWS Batch behaviour 6.7)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from batchyard.api.checks import quoted, require
from batchyard.core.model.compute_resources import Platform
from batchyard.wire.messages import Document

VOLUME_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
VOLUME_KINDS = ("host", "efsVolumeConfiguration", "s3filesVolumeConfiguration")
MAX_PORT = 65535
MAX_ROOT_DIRECTORY_LENGTH = 4096  # API: EFSVolumeConfiguration
EFS_PLATFORM_VERSION = (1, 4, 0)  # the first of Fargate's that mounts EFS (API: Volume)
VERSION = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4}){0,3}")


def check_one_kind(volume: Document, kinds: Sequence[str]) -> None:
    """Refuses a volume, of a container or of a pod, that has several of the members which say what it is."""
    require(
        len([kind for kind in kinds if kind in volume]) <= 1,
        "When the volume parameter is specified, only one volume configuration type should be used.",
    )


def check_volumes(volumes: list[Document], platform: Platform, *, role: str, platform_version: str) -> None:
    """Checks the volumes of a task. `role`: the containers' own (jobRoleArn, taskRoleArn). `platform_version`:
    Fargate's, empty for the latest."""
    names = set()
    for volume in volumes:
        check_one_kind(volume, VOLUME_KINDS)
        name = volume.get("name", "")
        require(name, "A volume needs its name, which mountPoints use.")
        require(
            VOLUME_NAME.fullmatch(name),
            f"Volume name {quoted(name)!r} must have 1 to 255 letters, digits, hyphens and underscores.",
        )
        require(name not in names, f"Volume name {name} is used twice.")
        names.add(name)
        if platform is Platform.FARGATE:
            _check_on_fargate(volume, platform_version)
        if "efsVolumeConfiguration" in volume:
            _check_efs(volume["efsVolumeConfiguration"])
        if "s3filesVolumeConfiguration" in volume:
            require(role, "A jobRoleArn/taskRoleArn is required when using s3filesVolumeConfiguration.")
            _check_port(volume["s3filesVolumeConfiguration"])


def _check_on_fargate(volume: Document, platform_version: str) -> None:
    require(not volume.get("host", {}).get("sourcePath"), "host.sourcePath should not be set for volumes in Fargate.")
    if "efsVolumeConfiguration" in volume and VERSION.fullmatch(platform_version):
        version = tuple(int(part) for part in platform_version.split("."))
        require(
            version >= EFS_PLATFORM_VERSION,
            f"EFS is supported for Fargate platform versions 1.4.0 or later, provided {platform_version}",
        )


def _check_port(configuration: Document) -> None:
    port = configuration.get("transitEncryptionPort")
    require(port is None or 0 <= port <= MAX_PORT, "TransitEncryptionPort must be a valid port number.")


def _check_efs(efs: Document) -> None:
    file_system = efs.get("fileSystemId", "")
    require(file_system.startswith("fs-"), f"EFS configuration fileSystemId is not valid: {quoted(file_system)}.")
    root = efs.get("rootDirectory", "/")
    require(
        len(root) <= MAX_ROOT_DIRECTORY_LENGTH,
        f"EFS configuration rootDirectory must have at most {MAX_ROOT_DIRECTORY_LENGTH} characters, got {len(root)}.",
    )
    _check_port(efs)
    encrypted = efs.get("transitEncryption") == "ENABLED"
    authorization = efs.get("authorizationConfig", {})
    require(
        encrypted or authorization.get("iam") != "ENABLED",
        "EFS IAM authorization requires TransitEncryption to be enabled.",
    )
    if authorization.get("accessPointId"):
        require(encrypted, "EFS IAM access point requires TransitEncryption to be enabled.")
        require(
            root in ("", "/"),
            'When using an EFS access point, the root directory must either be set to "/" or omitted',
        )
