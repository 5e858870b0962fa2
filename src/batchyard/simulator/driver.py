"""Moves a simulated world through virtual time: what seeds and scenarios have in common."""

from __future__ import annotations

from collections.abc import Sequence

from batchyard.engines.event_queue import EventQueue
from batchyard.simulator.attempt_ledger import ViolationError
from batchyard.simulator.event_queue import SimulatorEventQueue

BEGINNING_MS = 1_700_000_000_000
MAX_EVENTS = 400_000  # a world that needs more is in an endless loop


class WorldDriver:
    """One simulated world: an event queue for servers and clients, and fakes (hosts, clouds) with queues of their own.
    Both start at BEGINNING_MS."""

    def __init__(self) -> None:
        self.event_queue = SimulatorEventQueue(BEGINNING_MS)
        self._event_count = 0

    def fakes(self) -> Sequence[EventQueue]:
        raise NotImplementedError

    def run_until_idle(self) -> None:
        """Runs everything that is due, in order, until nothing is left. At the same moment the fakes come first.
        Raises ViolationError after MAX_EVENTS events."""
        while True:
            due = [at_ms for fake in self.fakes() if (at_ms := fake.next_event_ms()) is not None]
            next_ms = self.event_queue.next_event_ms()
            if next_ms is None and not due:
                return
            self._event_count += 1
            if self._event_count > MAX_EVENTS:
                raise ViolationError(f"no end after {MAX_EVENTS} events")
            fakes_ms = min(due, default=None)
            if fakes_ms is not None and (next_ms is None or fakes_ms <= next_ms):
                self.event_queue.now_ms = max(self.event_queue.now_ms, fakes_ms)
                self.advance_fakes(self.event_queue.now_ms)
            else:
                assert next_ms is not None
                self.run_event(next_ms)

    def advance_fakes(self, now_ms: int) -> None:
        for fake in self.fakes():
            fake.advance(now_ms)

    def run_event(self, at_ms: int) -> None:
        """Runs the next action of the event queue, which is due at `at_ms`."""
        self.event_queue.run_next()
