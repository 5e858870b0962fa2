"""Metric filters and subscription filters: what they make of log events, in the transaction that notes it.

Written events are filtered in the transaction that stores them, the output of jobs in the one that notes how far it was
read: each line counts once, also across a crash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from batchyard.evaluators.logs.filter_pattern import FilterPattern, compile_filter, metric_value
from batchyard.observe.written_log import PLACES_PER_MS
from batchyard.store.logs import filter_tables, log_tables
from batchyard.store.logs.log_records import AppendedEvents

METRIC_FILTER, SUBSCRIPTION_FILTER = "metric-filter", "subscription-filter"  # kinds of documents
MAX_CACHED_GROUPS = 10_000
MAX_MESSAGE_EVENTS = 500  # in one message of a subscription
MAX_MESSAGE_CHARACTERS = 200_000  # topics and buses take 256 KiB and 1 MiB
MAX_DIMENSION_CHARACTERS = 1024  # of a value (API: DimensionValue)

TIME_DIGITS, STREAM_DIGITS, OFFSET_DIGITS = 13, 20, 23  # the parts of an event id
PLACES = 10**OFFSET_DIGITS


class MetricFilter(Struct, frozen=True):
    """`value`: a number, or the selector of one. `default`: counted in minutes with events none of which matches; None:
    nothing is. `dimensions`: selectors, by name."""

    group: str
    name: str
    pattern: str
    namespace: str
    metric: str
    value: str
    created_ms: int
    default: float | None = None
    unit: str = "None"
    dimensions: dict[str, str] = {}


class SubscriptionFilter(Struct, frozen=True):
    """`destination`: the ARN of a topic, an event bus or an API destination."""

    group: str
    name: str
    pattern: str
    destination: str
    created_ms: int
    role_arn: str = ""
    distribution: str = "ByLogStream"


class FilteredEvent(NamedTuple):
    """What filters see of an event. `id`: its eventId, as FilterLogEvents has it. `ingested_ms`: a filter that was made
    later does not see it."""

    at_ms: int
    message: str
    id: str
    ingested_ms: int


class _Compiled(NamedTuple):
    metrics: list[tuple[MetricFilter, FilterPattern]]
    subscriptions: list[tuple[SubscriptionFilter, FilterPattern]]


class LogFilters:
    """The filters of all groups, as far as events came into them. Used in the thread of the log writer alone.
    `account_id`: the owner in messages of subscriptions."""

    def __init__(self, account_id: str) -> None:
        self._account_id = account_id
        self._by_group: dict[str, _Compiled] = {}

    def forget(self, group: str) -> None:
        """Has the filters of a group read again: they have changed."""
        self._by_group.pop(group, None)

    def hook(self, connection: Any, appended: AppendedEvents) -> None:
        """Filters written events."""
        if self._of_group(connection, appended.group) is not None:
            events = [
                FilteredEvent(
                    at_ms,
                    message,
                    event_id(appended.stream, at_ms, at_ms * PLACES_PER_MS + sequence),
                    ingested_ms,
                )
                for at_ms, sequence, ingested_ms, message in appended.events
            ]
            self.apply(connection, appended.group, appended.stream, events)

    def apply(self, connection: Any, group: str, stream: str, events: Sequence[FilteredEvent]) -> None:
        compiled = self._of_group(connection, group)
        if compiled is None or not events:
            return
        for metric, pattern in compiled.metrics:
            seen = [event for event in events if event.ingested_ms >= metric.created_ms]
            _count(connection, metric, pattern, seen)
        for subscription, pattern in compiled.subscriptions:
            created_ms = subscription.created_ms
            matching = [event for event in events if event.ingested_ms >= created_ms and pattern.matches(event.message)]
            self._send(connection, subscription, stream, matching)

    def _of_group(self, connection: Any, group: str) -> _Compiled | None:
        """Returns the filters of a group, None where it has none."""
        compiled = self._by_group.get(group)
        if compiled is None:
            if len(self._by_group) >= MAX_CACHED_GROUPS:
                self._by_group.clear()
            metrics = log_tables.documents(connection, METRIC_FILTER, MetricFilter, group)
            subscriptions = log_tables.documents(connection, SUBSCRIPTION_FILTER, SubscriptionFilter, group)
            compiled = _Compiled(
                [(one, compile_filter(one.pattern)) for one in metrics],
                [(one, compile_filter(one.pattern)) for one in subscriptions],
            )
            self._by_group[group] = compiled
        return compiled if compiled.metrics or compiled.subscriptions else None

    def _send(
        self, connection: Any, subscription: SubscriptionFilter, stream: str, matching: Sequence[FilteredEvent]
    ) -> None:
        for events in _parts(matching):
            document = {
                "messageType": "DATA_MESSAGE",
                "owner": self._account_id,
                "logGroup": subscription.group,
                "logStream": stream,
                "subscriptionFilters": [subscription.name],
                "logEvents": [{"id": event.id, "timestamp": event.at_ms, "message": event.message} for event in events],
            }
            filter_tables.add_pending(
                connection, subscription.destination, subscription.group, subscription.name, document
            )


def _parts(events: Sequence[FilteredEvent]) -> list[list[FilteredEvent]]:
    """Returns the events of each message."""
    parts: list[list[FilteredEvent]] = []
    size = 0
    for event in events:
        size += len(event.message)
        if not parts or len(parts[-1]) >= MAX_MESSAGE_EVENTS or size > MAX_MESSAGE_CHARACTERS:
            parts.append([])
            size = len(event.message)
        parts[-1].append(event)
    return parts


def _count(connection: Any, metric: MetricFilter, pattern: FilterPattern, events: Sequence[FilteredEvent]) -> None:
    """Counts what a metric filter finds, by the minutes of the events."""
    found: dict[tuple[str, int], list[float]] = {}
    for event in events:
        minute = event.at_ms // filter_tables.MINUTE_MS
        if pattern.matches(event.message):
            value = metric_value(pattern, metric.value, event.message)
            series = _series(metric, pattern, event.message)
            if value is not None and series is not None:
                found.setdefault((series, minute), []).append(value)
        elif metric.default is not None:
            found.setdefault((series_text(metric, ()), minute), [])
    owner = f"{metric.group}\n{metric.name}"
    for (series, minute), values in found.items():
        filter_tables.count(connection, series, minute, owner, values, metric.default)


def _series(metric: MetricFilter, pattern: FilterPattern, message: str) -> str | None:
    """Returns the series that a message counts for; None where it lacks the value of a dimension."""
    values = []
    for name, selector in sorted(metric.dimensions.items()):
        value = dimension_value(pattern, selector, message)
        if not value:
            return None
        values.append((name, value[:MAX_DIMENSION_CHARACTERS]))
    return series_text(metric, values)


def dimension_value(pattern: FilterPattern, selector: str, message: str) -> str:
    """Returns the text that a selector finds in a message; empty where it finds none."""
    found = compile_filter(f"{{ {selector} = * }}").extracted(message) if selector.startswith("$.") else None
    return (found if found is not None else pattern.extracted(message)).get(selector, "")


def series_text(metric: MetricFilter, dimensions: Sequence[tuple[str, str]]) -> str:
    """Returns a series as a text: namespace, name, unit, dimensions."""
    return json.dumps([metric.namespace, metric.metric, metric.unit, list(dimensions)])


def event_id(stream: str, at_ms: int, place: int) -> str:
    """Returns 56 digits, as on AWS: the event's time, its stream, and its position in the stream."""
    digest = int.from_bytes(hashlib.blake2b(stream.encode(), digest_size=8).digest())
    return f"{at_ms:0{TIME_DIGITS}}{digest:0{STREAM_DIGITS}}{place % PLACES:0{OFFSET_DIGITS}}"
