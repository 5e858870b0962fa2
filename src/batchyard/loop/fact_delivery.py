"""Delivers facts to listeners, which get those of each batch after its commit, and to durable consumers.

A durable consumer has a cursor in the store. The facts that it asks for are stored in the transaction of the batch
that made them, also while the consumer is away, and delivered after the commit: at least once, in order, ranges of
children expanded. Its cursor moves in a later transaction, which also removes the facts that all cursors have
passed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Protocol

from msgspec.structs import replace

from batchyard.core.model.changes import Changes
from batchyard.core.model.fact_kinds import Cursor, Fact, kinds
from batchyard.core.model.facts import expand

READ_TRANSACTIONS = 64  # at once: their facts are in memory together, and one commit moves the cursor past all of them
DELIVERED_FACTS = 500  # in one call: the most that a killed consumer gets again

FactListener = Callable[[Fact], None]


class FactConsumer(Protocol):
    """A durable consumer of facts. It must itself keep what it could not pass on: a fact counts as delivered once
    `deliver` returns, and an exception from it ends the loop."""

    @property
    def name(self) -> str:
        """The name of its cursor in the store."""
        ...

    @property
    def fact_types(self) -> Collection[type[Fact]]: ...

    def wants(self, fact: Fact) -> bool:
        """Whether to store a fact of `fact_types`, of the batch that makes it, for this consumer. Must be cheap: the
        loop waits. `deliver` may get others too, which another consumer wants."""
        ...

    async def deliver(self, facts: Sequence[Fact]) -> None:
        """Takes the next facts. After a crash some facts may come again."""
        ...


class FactLog(Protocol):
    """The stored facts."""

    def read(self, after: int, limit: int) -> Awaitable[Sequence[tuple[int, Sequence[Fact]]]]:
        """Returns the facts of the next `limit` transactions that had any, each with its sequence, oldest first."""
        ...


class FactDelivery:
    """The delivery of facts. `cursors` and `sequence`: as the store has them. Consumers whose cursors are there and
    that do not subscribe are away: their facts are kept for them until `unsubscribe`."""

    def __init__(self, log: FactLog, cursors: Mapping[str, Cursor], sequence: int) -> None:
        self._log = log
        self._cursors = dict(cursors)
        self._sequence = sequence  # the highest given
        self._committed = sequence
        self._consumers: dict[str, FactConsumer] = {}
        self._moved: set[str] = set()  # consumers whose cursor is not in the store as it is here
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._news: dict[str, asyncio.Event] = {}
        self._wake: Callable[[], None] | None = None  # while the loop runs
        self.stored_types: frozenset[type[Fact]] = frozenset()  # what consumers ask for, including those that are away
        self._askers: dict[type[Fact], list[FactConsumer | None]] = {}  # None: one that is away, and wants all
        self._set_stored_types()

    @property
    def has_moved(self) -> bool:
        """Whether the loop has to commit, if only for the cursors."""
        return bool(self._moved)

    def subscribe(self, consumer: FactConsumer) -> None:
        """Adds a consumer. One whose name is known goes on where it stopped; a new one gets the facts from the next
        batch on."""
        name = consumer.name
        assert name not in self._consumers, f"two consumers of facts have the name {name}"
        asked = tuple(sorted(str(kind.__struct_config__.tag) for kind in consumer.fact_types))
        cursor = self._cursors.get(name, Cursor(self._sequence))
        self._consumers[name] = consumer
        self._news[name] = asyncio.Event()
        if cursor.kinds != asked:
            self._move(name, replace(cursor, kinds=asked))
        self._set_stored_types()
        if self._wake is not None:
            self._begin(name)
            self._wake()

    def unsubscribe(self, name: str) -> None:
        """Removes a consumer, which may be away, and the facts that are kept for it alone."""
        self._consumers.pop(name, None)
        self._news.pop(name, None)
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()
        if self._cursors.pop(name, None) is not None:
            self._moved.add(name)
            self._set_stored_types()
            if self._wake is not None:
                self._wake()

    def _set_stored_types(self) -> None:
        known, askers = kinds(), dict[type[Fact], list[FactConsumer | None]]()
        for name, cursor in self._cursors.items():
            for kind in cursor.kinds:
                if kind in known:
                    askers.setdefault(known[kind], []).append(self._consumers.get(name))
        self._askers, self.stored_types = askers, frozenset(askers)

    # -- the loop's side --

    def add_to(self, changes: Changes) -> None:
        """Prepares a commit: leaves in `changes` the facts that are to be stored, and adds the cursors that moved."""
        if changes.facts:
            askers = self._askers
            changes.facts = [fact for fact in changes.facts if _is_wanted(fact, askers.get(type(fact), ()))]
        if changes.facts:
            self._sequence += 1
            changes.fact_sequence = self._sequence
        if self._moved:
            changes.cursors = {name: self._cursors.get(name) for name in sorted(self._moved)}
            changes.forgotten_facts = min((c.sequence for c in self._cursors.values()), default=self._sequence)
            self._moved.clear()

    def committed(self) -> None:
        """Releases what a commit has stored for delivery."""
        if self._committed != self._sequence:
            self._committed = self._sequence
            for news in self._news.values():
                news.set()

    def begin(self, wake: Callable[[], None]) -> None:
        """Starts to deliver. `wake`: to be called when the loop has something to commit or to check."""
        self._wake = wake
        for name in self._consumers:
            self._begin(name)

    def check(self) -> None:
        """Raises what a consumer raised."""
        for task in self._tasks.values():
            if task.done():
                task.result()

    async def end(self) -> None:
        """Cancels the delivery under way, which is repeated after the next start."""
        self._wake = None
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)

    # -- delivering --

    def _begin(self, name: str) -> None:
        assert self._wake is not None, "facts are delivered while the loop runs"
        wake = self._wake
        self._tasks[name] = asyncio.get_running_loop().create_task(self._deliver(self._consumers[name]))
        self._tasks[name].add_done_callback(lambda _: wake())

    def _move(self, name: str, cursor: Cursor) -> None:
        self._cursors[name] = cursor
        self._moved.add(name)

    async def _deliver(self, consumer: FactConsumer) -> None:
        name, news = consumer.name, self._news[consumer.name]
        while True:
            if self._cursors[name].sequence >= self._committed:
                news.clear()
                await news.wait()
            types = tuple(consumer.fact_types)
            rows = await self._log.read(self._cursors[name].sequence, READ_TRANSACTIONS)
            for part, sequence, done in _parts(rows, self._cursors[name]):
                asked = [fact for fact in part if isinstance(fact, types)]
                if asked:
                    await consumer.deliver(asked)
                self._move(name, replace(self._cursors[name], sequence=sequence, done=done))
            assert self._wake is not None, "facts are delivered while the loop runs"
            self._wake()


def _parts(rows: Sequence[tuple[int, Sequence[Fact]]], cursor: Cursor) -> Iterator[tuple[list[Fact], int, int]]:
    """Divides the facts of transactions into parts of at most DELIVERED_FACTS, each over as many transactions as fit,
    so that a consumer that cannot follow gets more at once. Returns with each where the cursor is after it."""
    part: list[Fact] = []
    sequence, done = cursor.sequence, cursor.done
    for transaction, facts in rows:
        left = islice(expand(facts), done, None)
        while more := list(islice(left, DELIVERED_FACTS - len(part))):
            part += more
            done += len(more)
            if len(part) == DELIVERED_FACTS:
                yield part, sequence, done
                part = []
        sequence, done = transaction, 0
    yield part, sequence, done


def _is_wanted(fact: Fact, askers: Collection[FactConsumer | None]) -> bool:
    return any(consumer is None or consumer.wants(fact) for consumer in askers)
