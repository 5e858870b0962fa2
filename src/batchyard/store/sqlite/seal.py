"""The seal of a backup: a digest of its schema and of every row, in a table of its own. It distinguishes a complete
copy from one that was cut, altered or damaged."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import msgspec

from batchyard.store.errors import StoreDamaged
from batchyard.store.sqlite.connections import COPY_MARK, SEAL, SEALED_MARK
from batchyard.store.sqlite.inspection import application_id

_ADVICE = "Take an older backup, or a fresh copy of this one."


def seal(connection: sqlite3.Connection) -> None:
    """Writes the digest of the current content. No transaction may be open."""
    digest = digest_of(connection)
    connection.execute(f"CREATE TABLE {SEAL} (digest TEXT NOT NULL)")
    connection.execute(f"INSERT INTO {SEAL} VALUES (?)", (digest,))
    connection.execute(f"PRAGMA user_version={SEALED_MARK}")


def check_seal(connection: sqlite3.Connection, path: Path) -> None:
    """Compares a sealed copy with its digest; a copy by a version that made no seals passes. Raises StoreDamaged."""
    if connection.execute("PRAGMA user_version").fetchone()[0] != SEALED_MARK:
        return
    kept = [row[0] for row in connection.execute(f"SELECT * FROM {SEAL}")] if _has_seal(connection) else []
    if kept != [digest_of(connection)]:
        raise StoreDamaged(f"The backup {path} has changed since it was made: its digest is another one. {_ADVICE}")


def remove_seal(connection: sqlite3.Connection) -> None:
    connection.execute(f"DROP TABLE IF EXISTS {SEAL}")
    connection.execute(f"PRAGMA user_version={COPY_MARK}")


def _has_seal(connection: sqlite3.Connection) -> bool:
    query = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?"
    return bool(connection.execute(query, (SEAL,)).fetchone()[0])


def digest_of(connection: sqlite3.Connection) -> str:
    """Returns the SHA-256 of the schema and the rows of every table but the seal, in an order that copies preserve."""
    found = hashlib.sha256(b"%d" % application_id(connection))
    schema = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE tbl_name != ?", (SEAL,))
    objects = sorted(tuple(str(part) for part in row) for row in schema)
    found.update(msgspec.msgpack.encode(objects))
    encode = msgspec.msgpack.Encoder().encode
    for kind, name, _, sql in objects:
        if kind == "table":
            for row in connection.execute(f'SELECT * FROM "{name}" ORDER BY {_order(connection, name, sql)}'):
                found.update(encode(row))
    return found.hexdigest()


def _order(connection: sqlite3.Connection, table: str, sql: str) -> str:
    """Returns the columns that a table's rows are ordered by."""
    if "WITHOUT ROWID" not in sql:
        return "rowid"
    columns = connection.execute("SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk", (table,))
    return ", ".join(f'"{name}"' for (name,) in columns)
