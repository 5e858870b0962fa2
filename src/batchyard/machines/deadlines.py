"""Deadlines of many things: which are due, and when the next one is."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Key = TypeVar("Key")


class Deadlines(Generic[Key]):
    """A heap of (time, key). `is_set`: whether a key is still due at a time. An entry that is not is dropped when it
    comes up: what moves or ends need not be removed here."""

    def __init__(self, is_set: Callable[[int, Key], bool]) -> None:
        self._is_set = is_set
        self._heap: list[tuple[int, Key]] = []

    def add(self, due_ms: int, key: Key) -> None:
        """Adds a deadline. Keys are ordered: those due at the same time come in their order."""
        heapq.heappush(self._heap, (due_ms, key))

    def first_ms(self) -> int | None:
        """Returns the earliest deadline; None: there is none."""
        while self._heap and not self._is_set(*self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now_ms: int) -> Iterator[Key]:
        """Removes the deadlines that have come. Yields their keys, the earliest first; what is done with one decides
        about those after it."""
        while self._heap and self._heap[0][0] <= now_ms:
            due_ms, key = heapq.heappop(self._heap)
            if self._is_set(due_ms, key):
                yield key
