"""What is kept of log groups, their streams and their events."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct


class LogEvent(NamedTuple):
    """One event to be written. `message` may have several lines."""

    at_ms: int
    message: str


class StoredEvent(NamedTuple):
    """One event as it was written. `sequence`: of all events of the store, in the order in which they were written; the
    order within a stream is that of (at_ms, sequence)."""

    at_ms: int
    sequence: int
    ingested_ms: int
    message: str


class WrittenGroup(Struct, frozen=True):
    """What is stored of a log group. `retention_days`: 0 keeps its events for ever. `hidden_before_ms`: streams of jobs
    that started before are not shown. `is_deleted`: it is not there, until a job that names it starts after that."""

    name: str
    created_at_ms: int
    retention_days: int = 0
    hidden_before_ms: int = 0
    is_deleted: bool = False
    tags: dict[str, str] = {}


class WrittenStream(Struct, frozen=True):
    """A stream that was created or written to. The times are those of its events, 0 where it has none."""

    key: int
    group: str
    name: str
    created_at_ms: int
    first_at_ms: int = 0
    last_at_ms: int = 0
    ingested_at_ms: int = 0


class AppendedEvents(NamedTuple):
    """Events that are durable now, for those that follow a group."""

    group: str
    stream: str
    events: list[StoredEvent]
