"""The jobs of one queue that could start now, in scheduling order.

They stand in shape queues: one for each share identifier and shape. Jobs of one shape fit or do not fit alike, so that
a pass that could not place one of them need not look at the others: its cost grows with the number of shapes and with
what it places, never with the length of the job queue."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

from msgspec import Struct

from batchyard.core.model.consumable_records import ConsumableRequirement
from batchyard.core.model.records import JobSpec, node_resources
from batchyard.core.model.resources import Resources, sum_of

FRESH = 1
RETRIED = 0  # a retried attempt goes to the front (AWS Batch behaviour 5.1)

# (-scheduling priority, rank, key): in a queue by priority, then retried ones, then by submission, since keys ascend
# with it. On FIFO queues all priorities are 0.
Entry = tuple[int, int, int]


class Shape(Struct, frozen=True):
    """Everything about a job that decides where it fits, and whether it may pass another. `nodes`: what each node of a
    multi-node job asks for; empty for others. `resources`: what all ask for together."""

    resources: Resources
    engines: tuple[str, ...]
    timeout_seconds: int = 0
    consumables: tuple[ConsumableRequirement, ...] = ()
    nodes: tuple[Resources, ...] = ()

    @property
    def node_resources(self) -> tuple[Resources, ...]:
        """Returns what each node asks for. A plain job has one."""
        return self.nodes or (self.resources,)


def shape_of(spec: JobSpec) -> Shape:
    if not spec.num_nodes:
        return Shape(spec.task.resources, spec.engines, spec.timeout_seconds, spec.consumables)
    nodes = node_resources(spec)
    return Shape(sum_of(nodes), spec.engines, spec.timeout_seconds, spec.consumables, nodes)


class ShapeQueue:
    """A heap with lazy deletion. An array stands in it once, under its own key, for all children that have no row:
    their keys follow its own at once, so its place is theirs."""

    __slots__ = ("_heap", "entries", "shape", "share")

    def __init__(self, share: str, shape: Shape) -> None:
        self.share = share
        self.shape = shape
        self.entries: dict[int, Entry] = {}
        self._heap: list[Entry] = []

    def push(self, entry: Entry) -> None:
        self.entries[entry[-1]] = entry
        heapq.heappush(self._heap, entry)

    def discard(self, key: int) -> None:
        """Its entry stays in the heap and is passed over; the heap is made anew when most of it is such entries."""
        del self.entries[key]
        if len(self._heap) > 64 and len(self._heap) > 2 * len(self.entries):
            self._heap = list(self.entries.values())
            heapq.heapify(self._heap)

    def in_order(self) -> Iterator[Entry]:
        """Entries in the order of their turn; costs O(k log k) for the first k. Jobs may be discarded meanwhile, and
        are then passed over; none may be pushed."""
        heap = self._heap
        while heap and self.entries.get(heap[0][-1]) != heap[0]:
            heapq.heappop(heap)
        if not heap:
            return
        frontier: list[tuple[Entry, int]] = [(heap[0], 0)]
        last: Entry | None = None
        while frontier:
            entry, at = heapq.heappop(frontier)
            for below in (2 * at + 1, 2 * at + 2):
                if below < len(heap):
                    heapq.heappush(frontier, (heap[below], below))
            if entry != last and self.entries.get(entry[-1]) == entry:
                yield entry
            last = entry


class RunnableJobs:
    """Holds all shape queues of a job queue. `waiting`: the names of the job queues that have any; kept up to date for
    the one called `name`."""

    __slots__ = ("_name", "_queue_of", "_shape_queues", "_waiting", "timed")

    def __init__(self, name: str = "", waiting: set[str] | None = None) -> None:
        self._name = name
        self._waiting = set() if waiting is None else waiting
        self.timed = 0  # shape queues whose jobs have a timeout
        self._shape_queues: dict[tuple[str, Shape], ShapeQueue] = {}
        self._queue_of: dict[int, ShapeQueue] = {}

    def __len__(self) -> int:
        return len(self._queue_of)

    def __contains__(self, key: int) -> bool:
        return key in self._queue_of

    def waiting_keys(self) -> list[int]:
        return sorted(self._queue_of)

    def shape_queues(self) -> list[ShapeQueue]:
        return list(self._shape_queues.values())

    def before(self, key: int) -> list[int]:
        """Returns the keys before this one, as if there were one share only; all of them for a key that is not in
        the queue."""
        mine = self._queue_of[key].entries[key] if key in self._queue_of else None
        entries = (entry for queue in self._shape_queues.values() for entry in queue.entries.values())
        return [entry[-1] for entry in entries if mine is None or entry < mine]

    def push(self, key: int, shape: Shape, rank: int = FRESH, share: str = "", priority: int = 0) -> None:
        entry = (-priority, rank, key)
        queue = self._queue_of.get(key)
        if queue is not None:
            if queue.entries[key] == entry and queue.shape == shape and queue.share == share:
                return
            self.discard(key)
        queue = self._shape_queues.get((share, shape))
        if queue is None:
            queue = self._shape_queues[share, shape] = ShapeQueue(share, shape)
            self.timed += shape.timeout_seconds > 0
        queue.push(entry)
        self._queue_of[key] = queue
        self._waiting.add(self._name)

    def discard(self, key: int) -> None:
        queue = self._queue_of.pop(key, None)
        if queue is not None:
            queue.discard(key)
            if not queue.entries:
                del self._shape_queues[queue.share, queue.shape]
                self.timed -= queue.shape.timeout_seconds > 0
                if not self._shape_queues:
                    self._waiting.discard(self._name)

    def in_order(self) -> Iterator[int]:
        """Yields the keys in scheduling order, as if there were one share only."""
        merge = QueueMerge(self._shape_queues.values())
        while (found := merge.next()) is not None:
            yield found[0]


class QueueMerge:
    """Merges shape queues in the order of their jobs. Jobs may be discarded meanwhile, none pushed."""

    __slots__ = ("_advancing", "_heads", "_jobs")

    def __init__(self, queues: Iterable[ShapeQueue]) -> None:
        self._heads: list[tuple[Entry, int]] = []
        self._jobs: list[tuple[ShapeQueue, Iterator[Entry]]] = []
        self._advancing: int | None = None
        for queue in queues:
            self._jobs.append((queue, queue.in_order()))
            self._advance(len(self._jobs) - 1)

    def next(self) -> tuple[int, ShapeQueue] | None:
        """Returns the next key, and its queue; None after the last."""
        if self._advancing is not None:
            self._advance(self._advancing)
            self._advancing = None
        while self._heads:
            entry, self._advancing = heapq.heappop(self._heads)
            queue = self._jobs[self._advancing][0]
            if queue.entries.get(entry[-1]) == entry:
                return entry[-1], queue
            self._advance(self._advancing)
        self._advancing = None
        return None

    def skip_shape(self) -> None:
        """Skips the rest of the queue of the key returned last."""
        self._advancing = None

    def _advance(self, at: int) -> None:
        entry = next(self._jobs[at][1], None)
        if entry is not None:
            heapq.heappush(self._heads, (entry, at))
