"""Virtual time: one list of what happens next, in one order."""

from __future__ import annotations

import heapq
from collections.abc import Callable

Action = Callable[[], None]


class Agenda:
    """Actions due at the same time are done in the order they were asked for. Times are milliseconds."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self._heap: list[tuple[int, int, Action]] = []
        self._sequence = 0

    def at(self, when_ms: int, action: Action) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (max(when_ms, self.now_ms), self._sequence, action))

    def after(self, delay_ms: int, action: Action) -> None:
        self.at(self.now_ms + delay_ms, action)

    def next_ms(self) -> int | None:
        return self._heap[0][0] if self._heap else None

    def do_next(self) -> None:
        self.now_ms, _, action = heapq.heappop(self._heap)
        action()


class SkewedClock:
    """The clock a server reads: as batchyard.clock.SteadyClock over a wall clock that is `skew_ms` off, never below
    `floor_ms`, the last time its store knew."""

    def __init__(self, agenda: Agenda, skew_ms: int, floor_ms: int) -> None:
        self._agenda = agenda
        self._offset_ms = max(agenda.now_ms + skew_ms, floor_ms) - agenda.now_ms

    def now_ms(self) -> int:
        return self._agenda.now_ms + self._offset_ms
