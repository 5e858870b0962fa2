"""Every query of the written log events. Uses read-only connections of its own; may be used from several threads."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from heapq import merge
from pathlib import Path
from queue import Empty, LifoQueue
from typing import Any, TypeVar

import msgspec

from batchyard.store.budgets import OutOfTime, check_time, is_spent
from batchyard.store.cursors import MAX_INTEGER
from batchyard.store.logs import log_tables
from batchyard.store.logs.chunks import unpack
from batchyard.store.logs.log_records import StoredEvent, WrittenGroup, WrittenStream
from batchyard.store.sqlite.side_files import open_for_reading
from batchyard.store.tables import TEXT_END

Position = tuple[int, int]  # (at_ms, sequence) of an event: the order within a stream
LAST: Position = (MAX_INTEGER, MAX_INTEGER)
MAX_IDLE_CONNECTIONS = 8

Record = TypeVar("Record")

_STREAM_COLUMNS = "key, log_group, name, created_ms, first_ms, last_ms, ingested_ms"


class LogReader:
    """The queries of the file that a LogWriter has opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: LifoQueue[sqlite3.Connection] = LifoQueue()

    def close(self) -> None:
        while not self._idle.empty():
            self._idle.get_nowait().close()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Yields a connection for one thread. What is read in it is one state."""
        check_time()
        try:
            connection = self._idle.get_nowait()
        except Empty:
            connection = open_for_reading(self._path)
        try:
            connection.execute("BEGIN")
            yield connection
        except sqlite3.OperationalError as error:
            if is_spent():
                raise OutOfTime from error
            raise
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if self._idle.qsize() < MAX_IDLE_CONNECTIONS:
                self._idle.put(connection)
            else:
                connection.close()

    # -- groups --

    def group(self, name: str) -> WrittenGroup | None:
        """Returns what is stored of a group, also of a deleted one."""
        with self._connection() as connection:
            return log_tables.find_group(connection, name)

    def groups(self, prefix: str = "", after: str = "", limit: int = MAX_INTEGER) -> list[WrittenGroup]:
        """Returns what is stored of groups, also of deleted ones, by name."""
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT body FROM groups WHERE name >= ? AND name < ? AND name > ? ORDER BY name LIMIT ?",
                (prefix, prefix + TEXT_END, after, limit),
            ).fetchall()
        return [msgspec.json.decode(body, type=WrittenGroup) for (body,) in rows]

    def written_bytes(self) -> dict[str, int]:
        """Returns what the written events of each group take, by group."""
        found: dict[str, int] = {}
        with self._connection() as connection:
            for statement in (
                "SELECT log_group, sum(loose_bytes) FROM streams GROUP BY 1",
                "SELECT log_group, sum(length(body)) FROM chunks JOIN streams ON streams.key = stream GROUP BY 1",
            ):
                for group, size in connection.execute(statement):
                    found[group] = found.get(group, 0) + size
        return found

    def stored_bytes(self, group: str) -> int:
        """Returns what all logs of a group take, as the sweep last counted."""
        return self.document(log_tables.STORED_BYTES, group, "", int) or 0

    # -- streams --

    def stream(self, group: str, name: str) -> WrittenStream | None:
        with self._connection() as connection:
            row = connection.execute(
                f"SELECT {_STREAM_COLUMNS} FROM streams WHERE log_group = ? AND name = ?", (group, name)
            ).fetchone()
        return WrittenStream(*row) if row else None

    def has_streams(self, group: str) -> bool:
        with self._connection() as connection:
            found = connection.execute("SELECT 1 FROM streams WHERE log_group = ? LIMIT 1", (group,)).fetchone()
        return found is not None

    def streams(
        self,
        group: str,
        prefix: str = "",
        limit: int = MAX_INTEGER,
        after: tuple[int, str] | None = None,
        *,
        descending: bool = False,
        by_time: bool = False,
    ) -> list[WrittenStream]:
        """Returns streams of a group, by name, or `by_time`: by their last event, then by name. `after`: the last event
        and the name of the last one seen."""
        where, values = "log_group = ?", [group, *([prefix, prefix + TEXT_END] if prefix else [])]
        if prefix:
            where += " AND name >= ? AND name < ?"
        sign, order = ("<", " DESC") if descending else (">", "")
        rows: list[Any] = [*values]
        if after is not None:
            where += f" AND (last_ms, name) {sign} (?, ?)" if by_time else f" AND name {sign} ?"
            rows += after if by_time else after[1:]
        columns = f"last_ms{order}, name{order}" if by_time else f"name{order}"
        statement = f"SELECT {_STREAM_COLUMNS} FROM streams WHERE {where} ORDER BY {columns} LIMIT ?"
        with self._connection() as connection:
            return [WrittenStream(*row) for row in connection.execute(statement, (*rows, limit))]

    # -- events --

    def events_from(self, stream: int, low: Position, end_ms: int, limit: int, limit_bytes: int) -> list[StoredEvent]:
        """Returns the first events of a stream from `low` on, earlier than `end_ms`: at most `limit`, and few more than
        `limit_bytes` characters."""
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT at_ms, sequence, ingested_ms, message FROM events WHERE stream = ? "
                "AND (at_ms, sequence) >= (?, ?) AND at_ms < ? ORDER BY at_ms, sequence LIMIT ?",
                (stream, *low, end_ms, limit),
            )
            packed = self._unpacked(connection, stream, low, (end_ms, 0), descending=False)
            return _first(merge(map(StoredEvent._make, rows), packed), limit, limit_bytes)

    def events_before(
        self, stream: int, high: Position, start_ms: int, limit: int, limit_bytes: int
    ) -> list[StoredEvent]:
        """Returns the last events of a stream before `high`, not earlier than `start_ms`, the last one first."""
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT at_ms, sequence, ingested_ms, message FROM events WHERE stream = ? "
                "AND (at_ms, sequence) < (?, ?) AND at_ms >= ? ORDER BY at_ms DESC, sequence DESC LIMIT ?",
                (stream, *high, start_ms, limit),
            )
            packed = self._unpacked(connection, stream, (start_ms, 0), high, descending=True)
            return _first(merge(map(StoredEvent._make, rows), packed, reverse=True), limit, limit_bytes)

    def _unpacked(
        self, connection: sqlite3.Connection, stream: int, low: Position, high: Position, *, descending: bool
    ) -> Iterator[StoredEvent]:
        """Yields the events of chunks in [low, high). Chunks of a stream do not overlap, and are read one by one."""
        order = "DESC" if descending else "ASC"
        chunks = connection.execute(
            "SELECT body FROM chunks WHERE stream = ? AND (last_ms, last_sequence) >= (?, ?) "
            f"AND (first_ms, first_sequence) < (?, ?) ORDER BY last_ms {order}, last_sequence {order}",
            (stream, *low, *high),
        )
        for (body,) in chunks:
            events = unpack(body)
            for event in reversed(events) if descending else events:
                if low <= event[:2] < high:
                    yield event

    # -- documents --

    def document(self, kind: str, group: str, name: str, record: type[Record]) -> Record | None:
        """Returns one document: a filter of a group, or a saved query."""
        with self._connection() as connection:
            row = connection.execute(
                "SELECT body FROM documents WHERE kind = ? AND log_group = ? AND name = ?", (kind, group, name)
            ).fetchone()
        return msgspec.json.decode(row[0], type=record) if row else None

    def documents(self, kind: str, record: type[Record], group: str | None = None) -> list[Record]:
        """Returns the documents of a kind, by group (only that of `group`) and name."""
        with self._connection() as connection:
            return log_tables.documents(connection, kind, record, group)

    def count_documents(self, kind: str, group: str) -> int:
        with self._connection() as connection:
            row = connection.execute(
                "SELECT count(*) FROM documents WHERE kind = ? AND log_group = ?", (kind, group)
            ).fetchone()
        return int(row[0])

    def groups_with(self, kinds: Sequence[str]) -> list[str]:
        """Returns the groups that have documents of these kinds, by name."""
        found: set[str] = set()
        with self._connection() as connection:
            for kind in kinds:
                rows = connection.execute("SELECT DISTINCT log_group FROM documents WHERE kind = ?", (kind,))
                found |= {group for (group,) in rows}
        return sorted(found)

    def document_names(self, kind: str, group: str, names: Sequence[str]) -> set[str]:
        """Returns those of `names` of which there is a document."""
        with self._connection() as connection:
            return {
                name
                for name in names
                if connection.execute(
                    "SELECT 1 FROM documents WHERE kind = ? AND log_group = ? AND name = ?", (kind, group, name)
                ).fetchone()
            }


def _first(events: Iterator[StoredEvent], limit: int, limit_bytes: int) -> list[StoredEvent]:
    found: list[StoredEvent] = []
    size = 0
    for event in events:
        if len(found) >= limit or (found and size > limit_bytes):
            break
        found.append(event)
        size += len(event.message)
    return found
