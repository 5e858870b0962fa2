"""Iterates over the waiting jobs of a queue in scheduling order while a pass places them (AWS Batch behaviour 5.1,
5.3): by submission on a FIFO queue; on a queue with a fair-share policy, the share that is furthest behind goes
next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from batchyard.core.state.fairshare import FairShare, ShareLedger, ShareRotation
from batchyard.core.state.runnable import QueueMerge, ShapeQueue
from batchyard.core.state.world import World


class Candidate(Struct, frozen=True):
    """One job at its turn. `index`: of an array's child that has no row yet, else None (then `key` is its own row)."""

    key: int
    index: int | None
    shape_queue: ShapeQueue


def indexes_of(world: World, key: int) -> Iterator[int | None]:
    """Yields the indexes of an array's children that could start, in order; None for a job with a row of its own."""
    ledger = world.jobs.arrays.get(key)
    if ledger is None:
        yield None
    elif world.jobs.specs[key].sequential:
        first = ledger.next_in_line()
        if first is not None:
            yield first
    else:
        for start, stop in ledger.ready():
            yield from range(start, stop)


def len_of(world: World, key: int) -> int:
    """Returns how many jobs a key stands for: an array's children that are ready, one if it is SEQUENTIAL; else 1."""
    ledger = world.jobs.arrays.get(key)
    if ledger is None or world.jobs.specs[key].sequential:
        return 1
    return sum(stop - start for start, stop in ledger.ready())


class FifoOrder:
    """Orders jobs by priority, retried ones first, then by submission."""

    def __init__(self, world: World, queues: Iterable[ShapeQueue]) -> None:
        self._world = world
        self._merge = QueueMerge(queues)
        self._at: tuple[int, ShapeQueue, Iterator[int | None]] | None = None

    def next(self) -> Candidate | None:
        """Returns the next job; None after the last. Jobs may be discarded meanwhile, none pushed."""
        while True:
            if self._at is not None:
                key, shape_queue, indexes = self._at
                for index in indexes:
                    return Candidate(key, index, shape_queue)
            found = self._merge.next()
            if found is None:
                self._at = None
                return None
            self._at = (*found, indexes_of(self._world, found[0]))

    def placed(self, milli_vcpus: int) -> None:
        """Records that the job returned last was placed."""

    def skip_shape(self) -> None:
        """Skips all jobs of the shape of the job returned last, for which there is no room."""
        self._merge.skip_shape()
        self._at = None


class FairShareOrder:
    """Rotates over the shares; inside each, jobs are in FIFO order."""

    def __init__(self, world: World, queues: Iterable[ShapeQueue], fair: FairShare, ledger: ShareLedger) -> None:
        queues_of: dict[str, list[ShapeQueue]] = {}
        for shape_queue in queues:
            queues_of.setdefault(shape_queue.share, []).append(shape_queue)
        self._jobs = {share: FifoOrder(world, own) for share, own in queues_of.items()}
        self._next = {share: found for share, jobs in self._jobs.items() if (found := jobs.next()) is not None}
        oldest = {share: candidate.key for share, candidate in self._next.items()}
        self._rotation = ShareRotation(
            ledger.standings(fair, world.now_ms, oldest), ledger.outlook_ms(fair.window_ms), oldest
        )

    def next(self) -> Candidate | None:
        share = self._rotation.next()
        return None if share is None else self._next[share]

    def placed(self, milli_vcpus: int) -> None:
        share = self._rotation.next()
        assert share is not None, "a job was placed, but no share was next"
        self._advance(share, milli_vcpus)

    def skip_shape(self) -> None:
        share = self._rotation.next()
        assert share is not None, "a job found no place, but no share was next"
        self._jobs[share].skip_shape()
        self._advance(share, 0)

    def _advance(self, share: str, milli_vcpus: int) -> None:
        found = self._jobs[share].next()
        if found is None:
            self._rotation.placed(share, milli_vcpus, None)
        else:
            self._next[share] = found
            self._rotation.placed(share, milli_vcpus, found.key)


def in_turn(world: World, queue: str) -> FifoOrder | FairShareOrder:
    """Returns the jobs of a queue that could start, in scheduling order."""
    queues, fair = world.queues.runnable_in(queue).shape_queues(), world.queues.fair_share(queue)
    if fair is None:
        return FifoOrder(world, queues)
    ledger = world.queues.shares.get(queue) or ShareLedger()  # there is none before the first job
    return FairShareOrder(world, queues, fair, ledger)
