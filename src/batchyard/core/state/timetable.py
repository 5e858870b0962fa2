"""The moments of changes by time alone: attempts that time out, and environments and queues that become VALID or are
gone."""

from __future__ import annotations

import heapq


class Timetable:
    """The moments, in milliseconds, at which the machine must act although nothing happens."""

    __slots__ = ("deadlines", "settling")

    def __init__(self) -> None:
        self.deadlines: list[tuple[int, int, int]] = []  # (when, key, attempt): attempts that may time out
        self.settling: dict[tuple[str, str], int] = {}  # (kind, name) of what is not VALID yet, or gone -> until when

    def add_deadline(self, when_ms: int, key: int, number: int) -> None:
        """Adds the moment at which attempt `number` of a job times out."""
        heapq.heappush(self.deadlines, (when_ms, key, number))

    def next_ms(self) -> int | None:
        """Returns the next of these moments; None: there is none."""
        first = [when_ms for when_ms, *_ in self.deadlines[:1]]
        return min([*first, *self.settling.values()], default=None)
