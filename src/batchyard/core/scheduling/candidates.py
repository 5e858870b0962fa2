"""The waiting jobs of one queue in the order of their turn, one by one, while a pass places them (AWS Batch behaviour
5.1, 5.3). By submission on a FIFO queue; on one with a fair-share policy the share that is behind most goes next."""

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
    """An array's children that could start, in their order; None for what is a row of its own."""
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
    """How many could start: the children of an array that are ready, one of a SEQUENTIAL one; else the job itself."""
    book = world.books.get(key)
    if book is None or world.specs[key].sequential:
        return 1
    return sum(stop - start for start, stop in book.ready())


class FifoOrder:
    """Jobs as they stand in line: by priority, retried ones first, then by submission."""

    def __init__(self, world: World, lines: Iterable[Line]) -> None:
        self._world = world
        self._turn = Turn(lines)
        self._at: tuple[int, Line, Iterator[int | None]] | None = None

    def next(self) -> Candidate | None:
        """The job whose turn is next; None after the last. Jobs may be discarded meanwhile, none pushed."""
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
        """The job given last has found its place."""

    def skip_shape(self) -> None:
        """The job given last has found none: passes over the rest of its line."""
        self._turn.drop()
        self._at = None


class FairShareOrder:
    """The shares take turns; inside each its jobs stand in their order."""

    def __init__(self, world: World, lines: Iterable[Line], fair: FairShare, book: ShareBook, now_ms: int) -> None:
        lines_of: dict[str, list[Line]] = {}
        for line in lines:
            lines_of.setdefault(line.share, []).append(line)
        self._jobs = {share: FifoOrder(world, own) for share, own in lines_of.items()}
        self._next = {share: found for share, jobs in self._jobs.items() if (found := jobs.next()) is not None}
        oldest = {share: candidate.key for share, candidate in self._next.items()}
        self._turns = Turns(book.standings(fair, now_ms, oldest), book.outlook_ms(fair.window_ms), oldest)

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


def in_turn(world: World, queue: str, now_ms: int) -> FifoOrder | FairShareOrder:
    """The jobs of a queue that could start, in the order of their turn."""
    lines, fair = world.runnable_in(queue).lines(), world.fair_share(queue)
    if fair is None:
        return FifoOrder(world, lines)
    book = world.shares.get(queue) or ShareBook()  # there is none before the first job
    return FairShareOrder(world, lines, fair, book, now_ms)
