"""Iterates over the waiting jobs of a queue in scheduling order while a pass places them (AWS Batch behaviour 5.1,
5.3): by submission on a FIFO queue; on a queue with a fair-share policy, the share that is furthest behind goes
next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from batchyard.core.state.fairshare import FairShare, ShareBook, Turns
from batchyard.core.state.runnable import Line, Turn
from batchyard.core.state.world import World


class Candidate(Struct, frozen=True):
    """One job at its turn. `index`: of an array's child that has no row yet, else None (then `key` is its own row)."""

    key: int
    index: int | None
    line: Line


def indexes_of(world: World, key: int) -> Iterator[int | None]:
    """Yields the indexes of an array's children that could start, in order; None for a job with a row of its own."""
    book = world.books.get(key)
    if book is None:
        yield None
    elif world.specs[key].sequential:
        first = book.next_in_line()
        if first is not None:
            yield first
    else:
        for start, stop in book.ready():
            yield from range(start, stop)


def len_of(world: World, key: int) -> int:
    """Returns how many jobs a key stands for: an array's children that are ready, one if it is SEQUENTIAL; else 1."""
    book = world.books.get(key)
    if book is None or world.specs[key].sequential:
        return 1
    return sum(stop - start for start, stop in book.ready())


class FifoOrder:
    """Orders jobs by priority, retried ones first, then by submission."""

    def __init__(self, world: World, lines: Iterable[Line]) -> None:
        self._world = world
        self._turn = Turn(lines)
        self._at: tuple[int, Line, Iterator[int | None]] | None = None

    def next(self) -> Candidate | None:
        """Returns the next job; None after the last. Jobs may be discarded meanwhile, none pushed."""
        while True:
            if self._at is not None:
                key, line, indexes = self._at
                for index in indexes:
                    return Candidate(key, index, line)
            found = self._turn.next()
            if found is None:
                self._at = None
                return None
            self._at = (*found, indexes_of(self._world, found[0]))

    def placed(self, milli_vcpus: int) -> None:
        """Records that the job returned last was placed."""

    def skip_shape(self) -> None:
        """Skips all jobs of the shape of the job returned last, for which there is no room."""
        self._turn.drop()
        self._at = None


class FairShareOrder:
    """Rotates over the shares; inside each, jobs are in FIFO order."""

    def __init__(self, world: World, lines: Iterable[Line], fair: FairShare, book: ShareBook) -> None:
        lines_of: dict[str, list[Line]] = {}
        for line in lines:
            lines_of.setdefault(line.share, []).append(line)
        self._jobs = {share: FifoOrder(world, own) for share, own in lines_of.items()}
        self._next = {share: found for share, jobs in self._jobs.items() if (found := jobs.next()) is not None}
        oldest = {share: candidate.key for share, candidate in self._next.items()}
        self._turns = Turns(book.standings(fair, world.now_ms, oldest), book.outlook_ms(fair.window_ms), oldest)

    def next(self) -> Candidate | None:
        share = self._turns.next()
        return None if share is None else self._next[share]

    def placed(self, milli_vcpus: int) -> None:
        share = self._turns.next()
        assert share is not None, "a job was placed, and it was nobody's turn"
        self._advance(share, milli_vcpus)

    def skip_shape(self) -> None:
        share = self._turns.next()
        assert share is not None, "a job found no place, and it was nobody's turn"
        self._jobs[share].skip_shape()
        self._advance(share, 0)

    def _advance(self, share: str, milli_vcpus: int) -> None:
        found = self._jobs[share].next()
        if found is None:
            self._turns.took(share, milli_vcpus, None)
        else:
            self._next[share] = found
            self._turns.took(share, milli_vcpus, found.key)


def in_turn(world: World, queue: str) -> FifoOrder | FairShareOrder:
    """Returns the jobs of a queue that could start, in scheduling order."""
    lines, fair = world.runnable_in(queue).lines(), world.fair_share(queue)
    if fair is None:
        return FifoOrder(world, lines)
    book = world.shares.get(queue) or ShareBook()  # there is none before the first job
    return FairShareOrder(world, lines, fair, book)
