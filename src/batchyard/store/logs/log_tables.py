"""The statements on the tables of written log events."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from batchyard.store.logs.log_records import StoredEvent, WrittenGroup

ROW_BYTES = 30  # of an event, besides its message
STORED_BYTES = "stored-bytes"  # kind of documents: what the logs of a group take, as the sweep last counted

Record = TypeVar("Record")


def counter(connection: sqlite3.Connection, name: str) -> int:
    row = connection.execute("SELECT value FROM counters WHERE name = ?", (name,)).fetchone()
    return int(row[0]) if row else 0


def set_counter(connection: sqlite3.Connection, name: str, value: int) -> None:
    connection.execute("INSERT OR REPLACE INTO counters VALUES (?, ?)", (name, value))


# -- groups --


def find_group(connection: sqlite3.Connection, name: str) -> WrittenGroup | None:
    row = connection.execute("SELECT body FROM groups WHERE name = ?", (name,)).fetchone()
    return msgspec.json.decode(row[0], type=WrittenGroup) if row else None


def has_group(connection: sqlite3.Connection, name: str) -> bool:
    found = find_group(connection, name)
    return found is not None and not found.is_deleted


def put_group(connection: sqlite3.Connection, group: WrittenGroup) -> None:
    """Stores a group, or what is new of it. What was hidden of its jobs stays hidden."""
    known = find_group(connection, group.name)
    if known is not None:
        group = msgspec.structs.replace(group, hidden_before_ms=max(known.hidden_before_ms, group.hidden_before_ms))
    body = msgspec.json.encode(group).decode()
    connection.execute("INSERT OR REPLACE INTO groups VALUES (?, ?, ?)", (group.name, group.created_at_ms, body))


# -- streams --


def stream_key(connection: sqlite3.Connection, group: str, name: str) -> int | None:
    row = connection.execute("SELECT key FROM streams WHERE log_group = ? AND name = ?", (group, name)).fetchone()
    return int(row[0]) if row else None


def insert_stream(connection: sqlite3.Connection, group: str, name: str, now_ms: int) -> int:
    added = connection.execute(
        "INSERT INTO streams (log_group, name, created_ms) VALUES (?, ?, ?)", (group, name, now_ms)
    )
    assert added.lastrowid is not None
    return added.lastrowid


# -- events --


def loose_bytes(events: Sequence[StoredEvent]) -> int:
    """Returns about how much room events take that are in no chunk."""
    return sum(len(event.message) + ROW_BYTES for event in events)


def insert_events(connection: sqlite3.Connection, stream: int, events: Sequence[StoredEvent]) -> None:
    """Adds events to a stream, and what its row says of them."""
    if not events:
        return
    connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", [(stream, *event) for event in events])
    first_ms, last_ms = min(event.at_ms for event in events), max(event.at_ms for event in events)
    connection.execute(
        "UPDATE streams SET first_ms = CASE WHEN last_ms = 0 THEN ?1 ELSE min(first_ms, ?1) END, "
        "last_ms = max(last_ms, ?2), ingested_ms = ?3, loose_bytes = loose_bytes + ?5 WHERE key = ?4",
        (first_ms, last_ms, events[-1].ingested_ms, stream, loose_bytes(events)),
    )


# -- documents --


def documents(
    connection: sqlite3.Connection, kind: str, record: type[Record], group: str | None = None
) -> list[Record]:
    """Returns the documents of a kind, by group (only that of `group`) and name."""
    where, values = ("AND log_group = ?", (kind, group)) if group is not None else ("", (kind,))
    rows = connection.execute(
        f"SELECT body FROM documents WHERE kind = ? {where} ORDER BY log_group, name",
        values,
    )
    return [msgspec.json.decode(body, type=record) for (body,) in rows]


def put_document(connection: sqlite3.Connection, kind: str, group: str, name: str, record: Any) -> None:
    body = msgspec.json.encode(record).decode()
    connection.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?)", (kind, group, name, body))


def delete_document(connection: sqlite3.Connection, kind: str, group: str, name: str) -> bool:
    """Deletes a document. Returns whether it was there."""
    deleted = connection.execute(
        "DELETE FROM documents WHERE kind = ? AND log_group = ? AND name = ?", (kind, group, name)
    )
    return deleted.rowcount > 0
