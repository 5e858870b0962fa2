"""The host's boot: its id, and the clock that counts from it."""

from __future__ import annotations

import time
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Another one after each boot."""
    return _BOOT_ID.read_text().strip()


def boot_seconds() -> float:
    """CLOCK_BOOTTIME: goes on while the host sleeps, and is the same for every process of this boot."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
