"""The consumer of facts that makes events of AWS Batch for the rules that may match them.

It is subscribed only while there is such a rule, and facts that no rule can match are not stored: source, detail type,
status and queue are judged before a detail is made. Each fact becomes the same event again after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

from batchyard.api.batch.job_events import (
    DETAIL_TYPES,
    FACT_TYPES,
    SOURCE,
    event_json,
    event_of,
    has_event,
    known_before,
)
from batchyard.core.model.commands import Command
from batchyard.core.model.deliveries import Message
from batchyard.core.model.effects import Effect
from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.facts import JobQueueBlocked, JobStateChanged
from batchyard.core.model.names import Account
from batchyard.deliveries.machine import LOG_CHANNEL, AskWaiting
from batchyard.events.commands import Sending, SendToTargets
from batchyard.events.machine import RulesChanged
from batchyard.events.records import DEFAULT_BUS
from batchyard.events.router import Router
from batchyard.loop import Busy
from batchyard.loop.fact_delivery import FactDelivery
from batchyard.server.deliveries.log_channel import log_event, stream_of
from batchyard.store.errors import StoreError
from batchyard.store.logs.log_records import LogEvent
from batchyard.store.logs.log_writer import LogWriter
from batchyard.store.queries import JobView, Reader
from batchyard.store.store import Store

NAME = "events"  # of its cursor in the store
# After fewer events than this there is a pause, in which the next ones gather: each delivery reads the store and
# commits into log groups, which for one event costs as much as ten.
FEW_EVENTS = 250
GATHER_SECONDS = 0.05
BUSY_SECONDS = 0.1  # between tries while the inbox is full of callers' commands

Known = tuple[type[Fact], str, str]  # kind of fact, queue, status


class BatchEvents:
    """A FactConsumer (loop.fact_delivery). `ask`: gives commands to the machines; `now_ms`: the wall clock."""

    name = NAME
    fact_types: Collection[type[Fact]] = FACT_TYPES

    def __init__(
        self,
        account: Account,
        store: Store,
        log_writer: LogWriter,
        ask: Callable[[Command[Any]], Awaitable[Any]],
        now_ms: Callable[[], int],
    ) -> None:
        self._account, self._store, self._ask, self._now_ms = account, store, ask, now_ms
        self._logs = _LogLanes(log_writer, ask)
        self.written = 0  # events that went into log groups by the short way, since the start
        self._reader: Reader | None = None
        self._router = Router(account, ())
        self._judged: dict[Known, bool] = {}  # whether a rule may match, by what is known of a fact

    def follow(self, router: Router, delivery: FactDelivery) -> None:
        """Takes the rules as they are, and subscribes where they may match an event of AWS Batch."""
        was_needed = self._is_needed()
        self._router, self._judged = router, {}
        if self._is_needed() and not was_needed:
            delivery.subscribe(self)
        elif not self._is_needed():
            delivery.unsubscribe(NAME)  # also one of before a restart

    def carry_out(self, effects: Sequence[Effect], delivery: FactDelivery) -> None:
        """Takes changed rules; the handler of RulesChanged."""
        latest = effects[-1]
        assert isinstance(latest, RulesChanged), f"{latest!r} is no change of rules"
        self.follow(latest.router, delivery)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()

    def _is_needed(self) -> bool:
        return any(
            self._router.could_match(DEFAULT_BUS, {"source": SOURCE, "detail-type": one}) for one in DETAIL_TYPES
        )

    # -- a FactConsumer --

    def wants(self, fact: Fact) -> bool:
        """Whether a rule may match the event of a fact."""
        assert isinstance(fact, JobStateChanged | JobQueueBlocked), f"{fact!r} makes no event"
        known = type(fact), fact.queue, "" if isinstance(fact, JobQueueBlocked) else fact.status
        judged = self._judged.get(known)
        if judged is None:
            may_match = has_event(fact) and self._router.could_match(DEFAULT_BUS, known_before(fact, self._account))
            judged = self._judged[known] = may_match
        return judged

    async def deliver(self, facts: Sequence[Fact]) -> None:
        """Sends the events of facts to their targets: into log groups at once, to others as deliveries. The order
        of each job's events is kept."""
        wanted = [one for one in facts if isinstance(one, JobStateChanged | JobQueueBlocked) and self.wants(one)]
        if not wanted:
            return
        made = await asyncio.to_thread(self._make, self._router, wanted)
        left = await self._logs.append(made, self._now_ms())
        self.written += len(made) - len(left)
        if left:
            await self._send(SendToTargets(tuple(left)))
        if len(wanted) < FEW_EVENTS:
            await asyncio.sleep(GATHER_SECONDS)

    def _make(self, router: Router, facts: Sequence[JobStateChanged | JobQueueBlocked]) -> list[Sending]:
        """Returns what the targets get of facts, in their order. Runs beside the event loop."""
        if self._reader is None:
            self._reader = self._store.reader()
        views = {view.job_id: view for view in self._reader.jobs([fact.job_id for fact in facts])}
        return list(self._sendings(router, facts, views))

    def _sendings(
        self, router: Router, facts: Sequence[JobStateChanged | JobQueueBlocked], views: dict[str, JobView]
    ) -> Iterable[Sending]:
        now_ms = self._now_ms()
        for fact in facts:
            view = views.get(fact.job_id)
            if view is None:
                continue  # the job was pruned meanwhile: this consumer was away for days
            event = event_of(fact, view, self._account)
            known = known_before(fact, self._account)
            for message in router.messages(DEFAULT_BUS, event, fact.job_id, now_ms, event_json, known):
                yield Sending(message, event)

    async def _send(self, command: SendToTargets) -> None:
        while True:
            try:
                await self._ask(command)
            except Busy:
                await asyncio.sleep(BUSY_SECONDS)
            else:
                return


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
