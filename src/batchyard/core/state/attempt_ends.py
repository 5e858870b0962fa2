"""When the attempts on an instance end at the latest, by their timeouts, in order: the earliest can be taken without a
look at the others."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterator


class AttemptEnds:
    """The attempts on one instance that have a timeout. That of one which has not started yet counts from now on."""

    __slots__ = ("_ends", "_of", "_starting")

    def __init__(self) -> None:
        self._ends: list[tuple[int, int]] = []  # (when, key), ascending
        self._of: dict[int, int] = {}  # key -> when
        self._starting: dict[int, int] = {}  # key -> how long it can last, in milliseconds

    def __len__(self) -> int:
        return len(self._of) + len(self._starting)

    @property
    def is_lasting(self) -> bool:
        """Whether the moments stay as they are while no attempt comes or goes."""
        return not self._starting

    def place(self, key: int, longest_ms: int, started_at_ms: int) -> None:
        """Adds an attempt, or that it has started. `started_at_ms`: 0 until then."""
        if not started_at_ms:
            self._starting[key] = longest_ms
            return
        self._starting.pop(key, None)
        if key not in self._of:
            self._of[key] = started_at_ms + longest_ms
            insort(self._ends, (started_at_ms + longest_ms, key))

    def leave(self, key: int) -> None:
        """Removes an attempt that has ended; one without a timeout is not there."""
        self._starting.pop(key, None)
        end_ms = self._of.pop(key, None)
        if end_ms is not None:
            del self._ends[bisect_left(self._ends, (end_ms, key))]

    def in_order(self, now_ms: int) -> Iterator[tuple[int, int]]:
        """Yields (when, key of the job), the first end first."""
        if not self._starting:
            return iter(self._ends)
        starting = sorted((now_ms + longest_ms, key) for key, longest_ms in self._starting.items())
        return heapq.merge(self._ends, starting)
