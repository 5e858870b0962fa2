"""Virtual time for the fakes: actions in the order in which they fall due, and reports that arrive by them."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")


class EventQueue:
    """Actions due at the same time run in the order in which they were added. Times are milliseconds."""

    def __init__(self) -> None:
        self.now_ms = 0
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = 0

    def next_event_ms(self) -> int | None:
        """Returns the time of the next action; None where there is none."""
        return self._events[0][0] if self._events else None

    def advance(self, now_ms: int) -> None:
        """Moves the clock, and runs on the way, in order, everything that falls due."""
        assert now_ms >= self.now_ms, f"time went back from {self.now_ms} to {now_ms}"
        while self._events and self._events[0][0] <= now_ms:
            self.now_ms, action = self._pop()
            action()
        self.now_ms = now_ms

    def _pop(self) -> tuple[int, Callable[[], None]]:
        """Removes the next action; returns when it is due, and the action."""
        at_ms, _, action = heapq.heappop(self._events)
        return at_ms, action

    def _after(self, delay_ms: int, action: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (self.now_ms + delay_ms, self._sequence, action))


class ReportQueue(EventQueue, Generic[Item]):
    """An event queue that also carries reports to one sink.

    `delivery`: after how many milliseconds a report arrives, once for each number; (): never, until it is repeated."""

    def __init__(self, delivery: Callable[[Item], Sequence[int]]) -> None:
        super().__init__()
        self._delivery = delivery
        self.sink: Callable[[Sequence[Item]], None] | None = None

    def _send(self, report: Item) -> None:
        """Queues reports: they arrive from `advance` only, never while a command is being given."""
        for delay_ms in self._delivery(report):
            self._after(delay_ms, lambda: self._deliver(report))

    def _deliver(self, report: Item) -> None:
        if self.sink is not None:
            self.sink([report])
