"""Schedules the reading of outputs: late for short tasks, in turns for floods."""

from __future__ import annotations

import select
from collections import deque

from batchyard.engines.supervisor.attempts import Attempt
from batchyard.engines.supervisor.fifos import MAX_BURST_BYTES, Fifos

# An output is watched from this age on: most short tasks end before it, and are read once at their end.
YOUNG_SECONDS = 0.01
# A task that gave a whole burst is read again after this: 25 MB/s at most, so that no flood starves the others.
PAUSE_SECONDS = 0.01


class Outputs:
    def __init__(self, epoll: select.epoll, fifos: Fifos) -> None:
        self._epoll = epoll
        self._fifos = fifos
        self._by_fd: dict[int, Attempt] = {}
        self._young: deque[tuple[float, Attempt]] = deque()
        self._paused: deque[tuple[float, Attempt]] = deque()

    def add(self, attempt: Attempt, now: float) -> None:
        self._young.append((now + YOUNG_SECONDS, attempt))

    def next_due(self) -> float:
        return min(
            self._young[0][0] if self._young else float("inf"),
            self._paused[0][0] if self._paused else float("inf"),
        )

    def tick(self, now: float) -> None:
        while self._young and self._young[0][0] <= now:
            _, attempt = self._young.popleft()
            if attempt.output.fd >= 0:  # else it has ended
                self._epoll.register(attempt.output.fd, select.EPOLLIN)
                self._by_fd[attempt.output.fd] = attempt
                attempt.is_registered = True
        while self._paused and self._paused[0][0] <= now:
            _, attempt = self._paused.popleft()
            if attempt.is_registered:
                self._epoll.modify(attempt.output.fd, select.EPOLLIN)

    def read(self, fd: int, now: float, now_ms: int) -> bool:
        """Reads one burst. Returns False when the file is no output."""
        attempt = self._by_fd.get(fd)
        if attempt is None:
            return False
        if attempt.output.read(now_ms, MAX_BURST_BYTES) >= MAX_BURST_BYTES:
            self._epoll.modify(fd, 0)
            self._paused.append((now + PAUSE_SECONDS, attempt))
        return True

    def close(self, attempt: Attempt, now_ms: int) -> None:
        """Reads the rest and ends the log. The caller makes sure that no process writes any more."""
        output = attempt.output
        if attempt.is_registered:
            # Before closing: a vforked child may still hold our opening for a moment.
            self._epoll.unregister(output.fd)
            del self._by_fd[output.fd]
            attempt.is_registered = False
        output.finish(now_ms)
        self._fifos.give_back(output)
