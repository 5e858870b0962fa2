"""Consumers of facts that make events of services for the rules that may match them.

One is subscribed only while there is such a rule, and facts that no rule can match are not stored: source, detail type,
status and queue are judged before a detail is made. Each fact becomes the same event again after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, Protocol

from batchyard.api.batch.job_events import event_json
from batchyard.core.model.commands import Command
from batchyard.core.model.deliveries import Message
from batchyard.core.model.effects import Effect
from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.names import Account
from batchyard.deliveries.machine import LOG_CHANNEL, AskWaiting
from batchyard.events.commands import Sending, SendToTargets
from batchyard.events.machine import RulesChanged
from batchyard.events.records import DEFAULT_BUS
from batchyard.events.router import Router
from batchyard.loop import Busy
from batchyard.loop.fact_delivery import DELIVERED_FACTS, FactDelivery
from batchyard.server.deliveries.log_channel import log_event, stream_of
from batchyard.store.errors import StoreError
from batchyard.store.logs.log_records import LogEvent
from batchyard.store.logs.log_writer import LogWriter
from batchyard.store.queries import Reader
from batchyard.store.store import Store

# After fewer events than this there is a pause, in which the next ones gather: each delivery reads the store and
# commits into log groups, which for one event costs as much as ten.
FEW_EVENTS = DELIVERED_FACTS
GATHER_SECONDS = 0.2
BUSY_SECONDS = 0.1  # between tries while the inbox is full of callers' commands


class FactEvent(NamedTuple):
    """The event of a fact. `order_key`: events that share it keep their order."""

    fact: Fact
    event: dict[str, Any]
    order_key: str


class EventMaker(Protocol):
    """Makes the events of one service of facts. `name`: of its consumer's cursor in the store."""

    name: str
    fact_types: Collection[type[Fact]]
    source: str
    detail_types: Sequence[str]

    def kind_of(self, fact: Fact) -> Hashable:
        """Returns what the rules are asked about once: facts of one kind are alike in what is known before."""
        ...

    def has_event(self, fact: Fact) -> bool: ...

    def known_before(self, fact: Fact) -> dict[str, str]:
        """Returns what is known of an event before it is made, by the paths of patterns."""
        ...

    def make(self, reader: Reader, facts: Sequence[Fact]) -> Iterable[FactEvent]:
        """Returns the events of facts, without those whose subject was pruned. Runs beside the event loop."""
        ...


class FactEvents:
    """A FactConsumer (loop.fact_delivery). `ask`: gives commands to the machines; `now_ms`: the wall clock."""

    def __init__(
        self,
        maker: EventMaker,
        account: Account,
        store: Store,
        log_writer: LogWriter,
        ask: Callable[[Command[Any]], Awaitable[Any]],
        now_ms: Callable[[], int],
    ) -> None:
        self.name, self.fact_types = maker.name, maker.fact_types
        self._maker, self._store, self._ask, self._now_ms = maker, store, ask, now_ms
        self._logs = _LogLanes(log_writer, ask)
        self.written = 0  # events that went into log groups by the short way, since the start
        self._reader: Reader | None = None
        self._router = Router(account, ())
        self._judged: dict[Hashable, bool] = {}  # whether a rule may match facts of a kind

    def follow(self, router: Router, delivery: FactDelivery) -> None:
        """Takes the rules as they are, and subscribes where they may match an event of the service."""
        was_needed = self._is_needed()
        self._router, self._judged = router, {}
        if self._is_needed() and not was_needed:
            delivery.subscribe(self)
        elif not self._is_needed():
            delivery.unsubscribe(self.name)  # also one of before a restart

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()

    def _is_needed(self) -> bool:
        known = ({"source": self._maker.source, "detail-type": one} for one in self._maker.detail_types)
        return any(self._router.could_match(DEFAULT_BUS, one) for one in known)

    # -- a FactConsumer --

    def wants(self, fact: Fact) -> bool:
        """Whether a rule may match the event of a fact."""
        kind = self._maker.kind_of(fact)
        judged = self._judged.get(kind)
        if judged is None:
            may_match = self._maker.has_event(fact) and self._router.could_match(
                DEFAULT_BUS, self._maker.known_before(fact)
            )
            judged = self._judged[kind] = may_match
        return judged

    async def deliver(self, facts: Sequence[Fact]) -> None:
        """Sends the events of facts to their targets: into log groups at once, to others as deliveries. The order
        of each subject's events is kept."""
        kinds = tuple(self.fact_types)
        wanted = [one for one in facts if isinstance(one, kinds) and self.wants(one)]
        if not wanted:
            return
        made = await asyncio.to_thread(self._make, self._router, wanted)
        left = await self._logs.append(made, self._now_ms())
        self.written += len(made) - len(left)
        if left:
            await self._send(SendToTargets(tuple(left)))
        if len(wanted) < FEW_EVENTS:
            await asyncio.sleep(GATHER_SECONDS)

    def _make(self, router: Router, facts: Sequence[Fact]) -> list[Sending]:
        """Returns what the targets get of facts, in their order. Runs beside the event loop."""
        if self._reader is None:
            self._reader = self._store.reader()
        now_ms = self._now_ms()
        sendings = []
        for fact, event, order_key in self._maker.make(self._reader, facts):
            known = self._maker.known_before(fact)
            for message in router.messages(DEFAULT_BUS, event, order_key, now_ms, event_json, known):
                sendings.append(Sending(message, event))
        return sendings

    async def _send(self, command: SendToTargets) -> None:
        while True:
            try:
                await self._ask(command)
            except Busy:
                await asyncio.sleep(BUSY_SECONDS)
            else:
                return


def take_rules(effects: Sequence[Effect], consumers: Sequence[FactEvents], delivery: FactDelivery) -> None:
    """Gives changed rules to all consumers; the handler of RulesChanged."""
    latest = effects[-1]
    assert isinstance(latest, RulesChanged), f"{latest!r} is no change of rules"
    for consumer in consumers:
        consumer.follow(latest.router, delivery)


class _LogLanes:
    """The short way into log groups: no delivery is stored for an event that can be written at once. A lane that could
    not be written goes the long way until nothing of it is left there, so that its order is kept."""

    def __init__(self, writer: LogWriter, ask: Callable[[Command[Any]], Awaitable[Any]]) -> None:
        self._writer, self._ask = writer, ask
        self._slow: set[str] = set()

    async def append(self, sendings: Sequence[Sending], now_ms: int) -> list[Sending]:
        """Writes what is for log groups, and returns the rest."""
        await self._look_at_slow_lanes()
        by_lane: dict[str, list[Sending]] = {}
        left = []
        for sending in sendings:
            message = sending.message
            if isinstance(message, Message) and message.channel == LOG_CHANNEL and message.lane not in self._slow:
                by_lane.setdefault(message.lane, []).append(sending)
            else:
                left.append(sending)
        writing = [(lane, asyncio.wrap_future(self._write(lane, group, now_ms))) for lane, group in by_lane.items()]
        for lane, future in writing:
            try:
                await future
            except StoreError:
                self._slow.add(lane)
                left += by_lane[lane]
        return left

    async def _look_at_slow_lanes(self) -> None:
        if self._slow:
            try:
                waiting = await self._ask(AskWaiting())
            except Busy:
                return
            self._slow &= waiting.keys()

    def _write(self, lane: str, sendings: Sequence[Sending], now_ms: int) -> Future[Any]:
        messages = [sending.message for sending in sendings if isinstance(sending.message, Message)]
        group: str = messages[0].target["group"]
        events: list[LogEvent] = [log_event(message.body, now_ms) for message in messages]
        return self._writer.append(group, stream_of(lane, now_ms), events, creates=True)
