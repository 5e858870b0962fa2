"""Changes of groups and streams, as work for a LogWriter. Each raises Refused before it changes anything.

Groups that only jobs name have no row until something is to be stored of them: `adopt` gives them one."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from batchyard.core.model.refusal import Refused
from batchyard.store.logs import log_tables
from batchyard.store.logs.log_records import LogEvent, StoredEvent, WrittenGroup
from batchyard.store.logs.log_writer import NO_GROUP, NOT_FOUND, LogWriter

ALREADY_EXISTS = "ResourceAlreadyExistsException"
MS_PER_DAY = 24 * 3600 * 1000
# What PutLogEvents takes (API: PutLogEvents): not older than this or the retention, and not further ahead.
MAX_AGE_MS = 14 * MS_PER_DAY
MAX_AHEAD_MS = 2 * 3600 * 1000
DROPPED = ""  # the group of streams that were deleted and whose events wait for it


class Put(NamedTuple):
    """What became of the events of a request. The numbers are positions in it; None: there was none of the kind."""

    stored: list[StoredEvent]
    too_old_end: int | None
    expired_end: int | None
    too_new_start: int | None


def adopt(connection: sqlite3.Connection, group: WrittenGroup) -> WrittenGroup:
    """Returns what is stored of a group that is there, and stores `group` where it is nothing yet."""
    stored = log_tables.find_group(connection, group.name)
    if stored is not None and not stored.is_deleted:
        return stored
    log_tables.put_group(connection, group)
    return group


def create_group(connection: sqlite3.Connection, name: str, tags: dict[str, str], now_ms: int) -> None:
    if log_tables.has_group(connection, name):
        raise Refused("The specified log group already exists", ALREADY_EXISTS)
    log_tables.put_group(connection, WrittenGroup(name, now_ms, tags=tags))


def delete_group(connection: sqlite3.Connection, writer: LogWriter, group: WrittenGroup, now_ms: int) -> None:
    """Deletes a group with its streams, filters and settings. Jobs that name it make it again when they start."""
    gone = WrittenGroup(group.name, group.created_at_ms, hidden_before_ms=now_ms, is_deleted=True)
    log_tables.put_group(connection, gone)
    connection.execute("DELETE FROM documents WHERE log_group = ?", (group.name,))
    connection.execute(
        "UPDATE streams SET log_group = ?, name = CAST(key AS TEXT) WHERE log_group = ?", (DROPPED, group.name)
    )
    writer.forget_streams()


def set_retention(connection: sqlite3.Connection, group: WrittenGroup, days: int) -> None:
    log_tables.put_group(connection, replace(adopt(connection, group), retention_days=days))


def set_tags(
    connection: sqlite3.Connection, group: WrittenGroup, added: dict[str, str], removed: Sequence[str], maximum: int
) -> None:
    stored = adopt(connection, group)
    tags = {key: value for key, value in stored.tags.items() if key not in removed} | added
    if len(tags) > maximum:
        raise Refused(
            f"A log group can have at most {maximum} tags; with these it would have {len(tags)}.",
            "TooManyTagsException",
        )
    log_tables.put_group(connection, replace(stored, tags=tags))


def create_stream(connection: sqlite3.Connection, group: WrittenGroup, name: str, now_ms: int) -> None:
    adopt(connection, group)
    if log_tables.stream_key(connection, group.name, name) is not None:
        raise Refused("The specified log stream already exists", ALREADY_EXISTS)
    log_tables.insert_stream(connection, group.name, name, now_ms)


def delete_stream(connection: sqlite3.Connection, writer: LogWriter, key: int) -> None:
    """Deletes a stream; its events follow in bites."""
    connection.execute("UPDATE streams SET log_group = ?, name = CAST(key AS TEXT) WHERE key = ?", (DROPPED, key))
    writer.forget_streams()


def hide_stream(connection: sqlite3.Connection, group: WrittenGroup, kind: str, name: str) -> None:
    """Has the stream of a job not shown any more: `kind` is that of the documents which do so."""
    adopt(connection, group)
    log_tables.put_document(connection, kind, group.name, name, {})


def put_events(
    connection: sqlite3.Connection, writer: LogWriter, group: str, stream: str, events: Sequence[LogEvent], now_ms: int
) -> Put:
    """Stores events, which are in the order of their times, but for those that are too old or too new."""
    found = log_tables.find_group(connection, group)
    if found is None or found.is_deleted:
        raise Refused(NO_GROUP, NOT_FOUND)
    kept_ms = found.retention_days * MS_PER_DAY
    too_old = sum(event.at_ms < now_ms - MAX_AGE_MS for event in events)
    expired = sum(event.at_ms < now_ms - kept_ms for event in events) if kept_ms else 0
    end = len(events) - sum(event.at_ms > now_ms + MAX_AHEAD_MS for event in events)
    start = max(too_old, expired)
    stored = writer.append_within(group, stream, events[start:end], now_ms)
    return Put(stored, too_old or None, expired if expired > too_old else None, end if end < len(events) else None)
