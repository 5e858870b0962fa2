"""The jobs of one queue that could start now, in the order they will."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

FRESH = 1
RETRIED = 0  # a retried attempt goes to the front (AWS Batch behaviour 5.1)

Entry = tuple[int, int]  # (rank, key): jobs by submission, since keys ascend with it


class RunnableJobs:
    """A heap with lazy deletion. An array stands in it once, under its own key, for all children that have no row:
    their keys follow its own at once, so its place is theirs."""

    __slots__ = ("_heap", "_ranks")

    def __init__(self) -> None:
        self._heap: list[Entry] = []
        self._ranks: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._ranks)

    def __contains__(self, key: int) -> bool:
        return key in self._ranks

    def waiting_keys(self) -> list[int]:
        return sorted(self._ranks)

    def before(self, key: int) -> list[int]:
        """The keys whose turn is before this one's; all of them for a key that is not in line."""
        mine = (self._ranks[key], key) if key in self._ranks else None
        return [k for k, rank in self._ranks.items() if mine is None or (rank, k) < mine]

    def push(self, key: int, rank: int = FRESH) -> None:
        if self._ranks.get(key) == rank:
            return
        self._ranks[key] = rank
        heapq.heappush(self._heap, (rank, key))

    def discard(self, key: int) -> None:
        """Its entry stays in the heap and is passed over; the heap is made anew when most of it is such entries."""
        self._ranks.pop(key, None)
        if len(self._heap) > 64 and len(self._heap) > 2 * len(self._ranks):
            self._heap = [(rank, key) for key, rank in self._ranks.items()]
            heapq.heapify(self._heap)

    def in_order(self) -> Iterator[int]:
        """Keys in the order of their turn. Changes nothing; costs O(k log k) for the first k."""
        heap = self._heap
        if not heap:
            return
        frontier: list[tuple[Entry, int]] = [(heap[0], 0)]
        last: Entry | None = None
        while frontier:
            entry, at = heapq.heappop(frontier)
            for below in (2 * at + 1, 2 * at + 2):
                if below < len(heap):
                    heapq.heappush(frontier, (heap[below], below))
            if entry != last and self._ranks.get(entry[1]) == entry[0]:
                yield entry[1]
            last = entry
