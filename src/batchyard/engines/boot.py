"""The host's boot: its id, and the clock that counts from it."""

from __future__ import annotations

import time
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Returns the id of the host's current boot; every boot has another."""
    return _BOOT_ID.read_text().strip()


def boot_seconds() -> float:
    """Returns CLOCK_BOOTTIME, which continues while the host sleeps and is the same for every process of this boot."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
