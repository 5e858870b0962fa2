"""Runs the filters of log groups over the output of jobs, and passes on what filters found: values to the store of
metrics, messages to the destinations of subscriptions."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from msgspec import Struct, to_builtins

from batchyard.core.model.commands import Command
from batchyard.core.model.deliveries import Message
from batchyard.core.model.names import Account
from batchyard.core.model.refusal import Refused
from batchyard.deliveries.machine import AddDeliveries
from batchyard.evaluators.events.envelope import envelope
from batchyard.evaluators.metrics.samples import Samples, samples_of, statistic_set
from batchyard.events.commands import Event, PutEvents
from batchyard.events.target_kinds import HTTP, HttpTarget
from batchyard.loop import Busy, Stopped
from batchyard.observe.log_catalogue import LogCatalogue
from batchyard.observe.log_filters import (
    METRIC_FILTER,
    SUBSCRIPTION_FILTER,
    FilteredEvent,
    LogFilters,
    MetricFilter,
    SubscriptionFilter,
    event_id,
)
from batchyard.observe.log_follower import GroupFollower, NewLines
from batchyard.store.logs import filter_tables
from batchyard.store.logs.filter_tables import MINUTE_MS, MetricMinute, Pending
from batchyard.store.logs.log_writer import LogWriter, NotWritten
from batchyard.store.metrics.metric_store import MetricStore, TooManySeries
from batchyard.store.metrics.series import Datum, Series, dimensions_of
from batchyard.topics.commands import Publication, Publish

LOOK_SECONDS = 1.0
GRACE_MS = 5000  # after the end of a minute: its lines have been looked at then
LINES_AT_ONCE = 5000  # of one transaction
SENT_AT_ONCE = 100
SINCE = ""  # the stream whose place is the time up to which a group's streams are known
EVENT_SOURCE, EVENT_TYPE = "batchyard.logs", "Log Events"

logger = logging.getLogger(__name__)


class FilterTargets(Struct, frozen=True):
    """Where what filters find goes. `ask`: gives commands to the loop."""

    metrics: MetricStore
    ask: Callable[[Command[None]], Awaitable[None]]
    account: Account


class LogFiltering:
    """`run`, until cancelled. `now_ms`: the wall clock."""

    def __init__(
        self,
        catalogue: LogCatalogue,
        writer: LogWriter,
        filters: LogFilters,
        targets: FilterTargets,
        threads: Executor,
    ) -> None:
        self._catalogue, self._writer, self._filters = catalogue, writer, filters
        self._targets = targets
        self._threads = threads
        self._followers: dict[str, GroupFollower] = {}
        self._is_idle = False  # there are no filters, and nothing of earlier ones waits

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Does once all that is to be done."""
        events = asyncio.get_running_loop()
        try:
            has_filters = await events.run_in_executor(self._threads, self._follow)
            if has_filters or not self._is_idle:
                waits = await self._store_minutes()
                await self._send()
                self._is_idle = not has_filters and not waits
        except NotWritten as error:  # a full disk: the next look tries again
            logger.warning("Filters of log groups wait: %s", error)
            self._followers.clear()  # they are ahead of what is stored

    # -- the output of jobs --

    def _follow(self) -> bool:
        """Filters what jobs have written since the last look, in a thread. Returns whether there are filters."""
        groups = self._catalogue.written.groups_with((METRIC_FILTER, SUBSCRIPTION_FILTER))
        for group in set(self._followers) - set(groups):
            del self._followers[group]
            self._write(partial(_forget, group))
        for group in groups:
            follower = self._followers.get(group) or self._follower(group)
            waiting: list[NewLines] = []
            for new in follower.look():
                waiting.append(new)
                if sum(len(one.lines) for one in waiting) >= LINES_AT_ONCE:
                    self._take(group, waiting, None)
                    waiting = []
            self._take(group, waiting, follower.since_ms)
        return bool(groups)

    def _follower(self, group: str) -> GroupFollower:
        known: dict[tuple[str, str], int] = self._write(filter_tables.followed)
        places = {stream: place for (of, stream), place in known.items() if of == group}
        since_ms = places.pop(SINCE, 0)
        follower = GroupFollower(self._catalogue, group, since_ms, places)
        if not since_ms:
            follower.begin(self._made_ms(group))
            begun = follower.since_ms
            places = follower.places()
            self._write(lambda connection: filter_tables.begin_followed(connection, group, {**places, SINCE: begun}))
        self._followers[group] = follower
        return follower

    def _made_ms(self, group: str) -> int:
        """Returns when the first of a group's filters was made."""
        written = self._catalogue.written
        metrics = written.documents(METRIC_FILTER, MetricFilter, group)
        subscriptions = written.documents(SUBSCRIPTION_FILTER, SubscriptionFilter, group)
        made = [*(one.created_ms for one in metrics), *(one.created_ms for one in subscriptions)]
        return min(made, default=self._writer.now_ms())

    def _take(self, group: str, found: list[NewLines], since_ms: int | None) -> None:
        """Has lines filtered and how far they go noted, in one transaction."""

        def work(connection: Any) -> None:
            for stream, lines, place in found:
                events = [
                    FilteredEvent(
                        line.at_ms, line.text, event_id(stream.name, line.at_ms, line.start), line.ingested_ms
                    )
                    for line in lines
                ]
                self._filters.apply(connection, group, stream.name, events)
                filter_tables.set_followed(connection, group, stream.name, place)
            if since_ms is not None:
                filter_tables.set_followed(connection, group, SINCE, since_ms)

        if found:
            self._write(work)

    def _write(self, work: Callable[[Any], Any]) -> Any:
        return self._writer.run(lambda connection, _: work(connection)).result()

    # -- values of metrics --

    async def _store_minutes(self) -> bool:
        """Stores the minutes that are over as they were counted; done again it changes nothing. Returns whether
        others are not over yet."""
        before = (self._writer.now_ms() - GRACE_MS) // MINUTE_MS
        minutes: list[MetricMinute] = await self._of_writer(partial(filter_tables.new_minutes, before_minute=before))
        if not minutes:
            return bool(await self._of_writer(partial(filter_tables.new_minutes, before_minute=2**62)))
        data = [Datum(_series_of(one.series), one.minute * 60, _samples(one)) for one in minutes]
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._targets.metrics.replace, data)
        except TooManySeries as error:
            logger.warning("Metric filters: %s", error)
        await self._of_writer(lambda connection: filter_tables.minutes_are_stored(connection, minutes, before))
        return True

    # -- messages of subscriptions --

    async def _send(self) -> None:
        while True:
            waiting: list[Pending] = await self._of_writer(partial(filter_tables.pending, limit=SENT_AT_ONCE))
            sent: list[int] = []
            for message in waiting:
                try:
                    await self._targets.ask(command_for(message, self._targets.account))
                except Refused as refusal:
                    logger.warning(
                        "Subscription filter %s of %s: a message for %s is dropped: %s",
                        message.filter_name,
                        message.log_group,
                        message.destination,
                        refusal.message,
                    )
                except (Busy, Stopped):
                    break  # the next look goes on from here
                sent.append(message.sequence)
            if sent:
                await self._of_writer(partial(_delete, sent))
            if len(sent) < SENT_AT_ONCE:
                return

    async def _of_writer(self, work: Callable[[Any], Any]) -> Any:
        return await asyncio.wrap_future(self._writer.run(lambda connection, _: work(connection)))


def _forget(group: str, connection: Any) -> None:
    filter_tables.forget_followed(connection, group)


def _delete(sequences: list[int], connection: Any) -> None:
    filter_tables.delete_pending(connection, sequences)


def command_for(message: Pending, account: Account) -> Command[None]:
    """Returns the command that hands a message to its destination. Repeated after a crash it has the same ids."""
    service, resource = message.destination.split(":", 5)[2::3]
    token = f"{account.arn('logs', 'log-group:' + message.log_group)}#{message.filter_name}"
    message_id = str(uuid5(NAMESPACE_URL, f"{token}/{message.sequence}"))
    if service == "sns":
        return Publish(message.destination, (Publication(message_id, message.body),))
    kind, _, rest = resource.partition("/")
    if kind == "event-bus":
        document = json.loads(message.body)
        event = envelope(
            event_id=message_id,
            detail_type=EVENT_TYPE,
            source=EVENT_SOURCE,
            account=account.account_id,
            at_ms=document["logEvents"][-1]["timestamp"],
            region=account.region,
            resources=[account.arn("logs", f"log-group:{message.log_group}")],
            detail=document,
        )
        return PutEvents((Event(rest, event),))
    target = to_builtins(HttpTarget(rest.partition("/")[0]))
    return AddDeliveries((Message(token, HTTP, target, message.body, message_id),))


def _series_of(text: str) -> Series:
    namespace, name, unit, dimensions = json.loads(text)
    return Series(namespace, name, dimensions_of([(key, value) for key, value in dimensions]), unit)


def _samples(minute: MetricMinute) -> Samples:
    if not minute.samples:
        return samples_of([minute.fallback or 0.0])
    return statistic_set(minute.samples, minute.total, minute.minimum, minute.maximum)
