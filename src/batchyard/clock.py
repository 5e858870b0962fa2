"""The clock of a service and of its supervisor: milliseconds since the epoch that never go back."""

from __future__ import annotations

import time
from typing import Protocol

REANCHOR_EVERY_MS = 10_000  # between checks whether the wall clock was set forward


def wall_clock_ms() -> int:
    """Returns the time of day of this machine, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Clock(Protocol):
    def now_ms(self) -> int: ...


class SteadyClock:
    """The wall clock at start, carried on by CLOCK_BOOTTIME (which counts through suspend); follows the wall clock
    forward, never back, and never goes below `floor_ms`, the last time the store knows."""

    def __init__(self, floor_ms: int = 0) -> None:
        self._anchor(max(wall_clock_ms(), floor_ms))

    def catch_up(self, now_ms: int) -> None:
        """Moves forward to the time of another clock of the same service, if that is ahead."""
        self._anchor(max(self.now_ms(), now_ms))

    def _anchor(self, now_ms: int) -> None:
        self._base_ms = now_ms
        self._boot_ms = self._boottime_ms()

    @staticmethod
    def _boottime_ms() -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000

    def now_ms(self) -> int:
        elapsed = self._boottime_ms() - self._boot_ms
        now_ms = self._base_ms + elapsed
        if elapsed >= REANCHOR_EVERY_MS:
            now_ms = max(now_ms, wall_clock_ms())
            self._anchor(now_ms)
        return now_ms
