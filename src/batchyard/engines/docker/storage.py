"""Whether Docker's storage driver can limit what a container writes (`ephemeralStorage`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# https://docs.docker.com/reference/cli/docker/container/run/#storage-opt
ABLE = ("btrfs", "zfs", "devicemapper")
ABLE_OVER_XFS = ("overlay2", "overlay")  # if the file system is mounted with pquota, which only a try can show
REFUSAL = "storage-opt"  # in the error of every driver that can't


def may_limit(info: Mapping[str, Any]) -> bool:
    """Whether a limit is worth a try. `info`: the answer of GET /info."""
    backing = dict(entry for entry in info.get("DriverStatus") or [] if len(entry) == 2).get("Backing Filesystem", "")
    driver = info.get("Driver", "")
    return driver in ABLE or (driver in ABLE_OVER_XFS and backing == "xfs")


def note_of(info: Mapping[str, Any]) -> str:
    """Returns a note for the operator."""
    if not may_limit(info):
        return "ephemeralStorage not limited"
    return "ephemeralStorage limited" + (" with pquota" if info.get("Driver") in ABLE_OVER_XFS else "")
