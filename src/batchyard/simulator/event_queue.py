"""Virtual time of the simulation, and the clock that a simulated server reads."""

from __future__ import annotations

from collections.abc import Callable

from batchyard.engines.event_queue import EventQueue

Action = Callable[[], None]


class SimulatorEventQueue(EventQueue):
    """An event queue that starts at a given time and runs one action after the other. Times are milliseconds."""

    def __init__(self, now_ms: int) -> None:
        super().__init__()
        self.now_ms = now_ms

    def at(self, when_ms: int, action: Action) -> None:
        self._after(max(when_ms, self.now_ms) - self.now_ms, action)

    def after(self, delay_ms: int, action: Action) -> None:
        self.at(self.now_ms + delay_ms, action)

    def run_next(self) -> None:
        """Moves the clock to the next action, and runs only that one."""
        self.now_ms, action = self._pop()
        action()


class SkewedClock:
    """The clock that a server reads: batchyard.clock.SteadyClock over a wall clock that is `skew_ms` off, and never
    below `floor_ms`, the last time that its store knew."""

    def __init__(self, event_queue: SimulatorEventQueue, skew_ms: int, floor_ms: int) -> None:
        self._event_queue = event_queue
        self._offset_ms = max(event_queue.now_ms + skew_ms, floor_ms) - event_queue.now_ms

    def now_ms(self) -> int:
        return self._event_queue.now_ms + self._offset_ms
