"""Volumes of efsVolumeConfiguration: finds the owner's directory that replaces a file system of AWS (AWS Batch
behaviour 6.7)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from batchyard.core.model.refusal import Refused
from batchyard.core.model.text import quoted

Document = dict[str, Any]

EFS = "efsVolumeConfiguration"
ACCESS_POINT = re.compile(r"fsap-[0-9A-Za-z]{1,40}")  # API: EFSAuthorizationConfig.accessPointId


def mount_source(volume: Document, directories: Mapping[str, str]) -> tuple[str, str]:
    """Returns (source, root) of a volume: a host's path without a root, or the path that an EFS volume mounts, and the
    owner's directory that it must not leave. `directories`: by file system or access point. Raises Refused for one that
    the owner did not map."""
    if EFS not in volume:
        return volume.get("host", {}).get("sourcePath", ""), ""
    efs = volume[EFS]
    file_system, point = efs.get("fileSystemId", ""), efs.get("authorizationConfig", {}).get("accessPointId", "")
    root = directories.get(point) if point else None
    if root is None and file_system in directories:
        root = directories[file_system]
        if point:
            if not ACCESS_POINT.fullmatch(point):
                raise Refused(f"The access point {quoted(point)!r} is not valid: fsap- and letters or digits.")
            root = f"{root.rstrip('/')}/{point}"
    if root is None:
        raise Refused(
            f"The volume '{volume.get('name', '')}' is on the file system {quoted(file_system)}, and no directory of "
            "this machine is configured for that. Name one in the configuration file: [efs], then "
            f'"{quoted(file_system)}" = "/srv/shared", and restart the service.'
        )
    parts = [part for part in efs.get("rootDirectory", "/").split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Refused(f"rootDirectory {quoted(efs['rootDirectory'])!r} must not hold '..'.")
    return "/".join([root.rstrip("/"), *parts]) or "/", root
