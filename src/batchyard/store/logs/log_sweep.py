"""Keeps the file of written events small: packs, expires and drops events, as work for a LogWriter; and notes what the
logs of each group take.

Each function does a bite of its work, a few milliseconds, which other writes wait for; it returns whether there was
something to do. Call it again until there is not."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from batchyard.store.logs.chunks import pack, unpack
from batchyard.store.logs.log_changes import DROPPED
from batchyard.store.logs.log_records import StoredEvent
from batchyard.store.logs.log_tables import STORED_BYTES, delete_document, loose_bytes, put_document

CHUNK_BYTES = 256 * 1024  # of messages in one chunk, before its compression
MIN_PACKED_BYTES = 4096  # of a quiet stream: smaller ones would hardly gain
QUIET_MS = 3600 * 1000  # after which a stream is packed to its last event
BITE_EVENTS = 5000
BITE_CHUNKS = 50
FREE_PAGES = 2000  # given back at once: 8 MiB

Rows = list[tuple[int, int, int, str]]


def pack_bite(connection: sqlite3.Connection, now_ms: int, *, all_quiet: bool = False) -> bool:
    """Compresses a run of events of a stream that has many, or of one that is quiet (`all_quiet`: however small)."""
    row = connection.execute(
        "SELECT key FROM streams WHERE loose_bytes >= ? OR (loose_bytes >= ? AND loose_bytes > 0 AND ingested_ms < ?) "
        "LIMIT 1",
        (CHUNK_BYTES, 1 if all_quiet else MIN_PACKED_BYTES, now_ms - QUIET_MS),
    ).fetchone()
    if row is None:
        return False
    stream = row[0]
    found = connection.execute(
        "SELECT at_ms, sequence, ingested_ms, message FROM events WHERE stream = ? ORDER BY at_ms, sequence LIMIT ?",
        (stream, BITE_EVENTS),
    )
    events = _run(list(map(StoredEvent._make, found)))
    if not events:
        connection.execute("UPDATE streams SET loose_bytes = 0 WHERE key = ?", (stream,))
        return True
    first, last = events[0][:2], events[-1][:2]
    overlapping = connection.execute(  # late events came into the span of earlier chunks, which do not overlap
        "SELECT key, body FROM chunks WHERE stream = ? AND (last_ms, last_sequence) >= (?, ?) "
        "AND (first_ms, first_sequence) <= (?, ?)",
        (stream, *first, *last),
    ).fetchall()
    merged = sorted([*events, *(event for _, body in overlapping for event in unpack(body))])
    connection.executemany("DELETE FROM chunks WHERE key = ?", [(key,) for key, _ in overlapping])
    while merged:
        run = _run(merged)
        connection.execute(
            "INSERT INTO chunks (stream, first_ms, first_sequence, last_ms, last_sequence, body) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (stream, *run[0][:2], *run[-1][:2], pack(run)),
        )
        del merged[: len(run)]
    connection.execute("DELETE FROM events WHERE stream = ? AND (at_ms, sequence) <= (?, ?)", (stream, *last))
    connection.execute(
        "UPDATE streams SET loose_bytes = max(0, loose_bytes - ?) WHERE key = ?", (loose_bytes(events), stream)
    )
    return True


def _run(events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
    """Returns the first events that make a chunk, at least one."""
    size = 0
    for position, event in enumerate(events):
        size += len(event.message)
        if size > CHUNK_BYTES and position:
            return events[:position]
    return events


def expire_bite(connection: sqlite3.Connection, cutoffs: Mapping[str, int]) -> bool:
    """Deletes events that are older than their group keeps them. `cutoffs`: by group, the time before which they go."""
    for group, cutoff_ms in cutoffs.items():
        rows = connection.execute(
            "SELECT key FROM streams WHERE log_group = ? AND first_ms < ? AND ingested_ms > 0", (group, cutoff_ms)
        ).fetchall()
        for (stream,) in rows:
            is_more = _delete_before(connection, stream, cutoff_ms)
            _set_times(connection, stream, cutoff_ms)
            if is_more:
                return True
    return False


def drop_bite(connection: sqlite3.Connection) -> bool:
    """Deletes events of streams that were deleted, then what is known of them."""
    row = connection.execute("SELECT key FROM streams WHERE log_group = ? LIMIT 1", (DROPPED,)).fetchone()
    if row is None:
        return False
    if not _delete_before(connection, row[0], 2**62):
        connection.execute("DELETE FROM streams WHERE key = ?", (row[0],))
    return True


def give_back_room(connection: sqlite3.Connection) -> None:
    """Returns free pages to the file system, a bite of them."""
    connection.execute(f"PRAGMA incremental_vacuum({FREE_PAGES})").fetchall()


def _delete_before(connection: sqlite3.Connection, stream: int, cutoff_ms: int) -> bool:
    """Deletes a bite of a stream's events before `cutoff_ms`. A chunk goes once all of it is older. Returns whether
    there is more."""
    chunks = connection.execute(
        "DELETE FROM chunks WHERE key IN (SELECT key FROM chunks WHERE stream = ? AND last_ms < ? LIMIT ?)",
        (stream, cutoff_ms, BITE_CHUNKS),
    ).rowcount
    row = connection.execute(
        "SELECT at_ms, sequence FROM events WHERE stream = ? AND at_ms < ? ORDER BY at_ms, sequence LIMIT 1 OFFSET ?",
        (stream, cutoff_ms, BITE_EVENTS),
    ).fetchone()
    if row is not None:
        connection.execute("DELETE FROM events WHERE stream = ? AND (at_ms, sequence) < (?, ?)", (stream, *row))
        return True
    connection.execute("DELETE FROM events WHERE stream = ? AND at_ms < ?", (stream, cutoff_ms))
    return chunks == BITE_CHUNKS


def _set_times(connection: sqlite3.Connection, stream: int, cutoff_ms: int) -> None:
    """Notes the time of the first event that is left, if one is."""
    connection.execute(
        "UPDATE streams SET first_ms = coalesce(min("
        "coalesce((SELECT min(at_ms) FROM events WHERE stream = key), 1 << 62), "
        "coalesce((SELECT min(first_ms) FROM chunks WHERE stream = streams.key), 1 << 62)), ?) WHERE key = ?",
        (cutoff_ms, stream),
    )


def put_stored_bytes(connection: sqlite3.Connection, counted: Mapping[str, int]) -> None:
    """Stores what the logs of each group take, where that has changed."""
    rows = connection.execute("SELECT log_group, body FROM documents WHERE kind = ?", (STORED_BYTES,))
    known = {group: int(body) for group, body in rows}
    for group in known.keys() - counted.keys():
        delete_document(connection, STORED_BYTES, group, "")
    for group, size in counted.items():
        if known.get(group) != size:
            put_document(connection, STORED_BYTES, group, "", size)


# -- the room that all events may take --


def used_bytes(connection: sqlite3.Connection) -> int:
    """Returns the bytes of the file that hold something."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def oldest_chunk_ms(connection: sqlite3.Connection) -> int | None:
    """Returns the time of the last event of the oldest chunk."""
    return connection.execute("SELECT min(last_ms) FROM chunks").fetchone()[0]  # type: ignore[no-any-return]


def evict_oldest(connection: sqlite3.Connection, reason: str, sequence: int) -> bool:
    """Deletes the oldest chunk, and has its stream begin with `reason` instead: an event, the `sequence`th of the
    store."""
    row = connection.execute("SELECT key, stream, last_ms FROM chunks ORDER BY last_ms LIMIT 1").fetchone()
    if row is None:
        return False
    key, stream, last_ms = row
    connection.execute("DELETE FROM chunks WHERE key = ?", (key,))
    # Marks have no time of ingestion: the one of an earlier eviction goes.
    connection.execute("DELETE FROM events WHERE stream = ? AND at_ms <= ? AND ingested_ms = 0", (stream, last_ms))
    connection.execute("INSERT INTO events VALUES (?, ?, ?, 0, ?)", (stream, last_ms, sequence, reason))
    connection.execute("UPDATE streams SET first_ms = ? WHERE key = ?", (last_ms, stream))
    return True
