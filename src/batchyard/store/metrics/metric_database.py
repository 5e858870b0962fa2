"""The file of metrics: its tables, and connections to it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import quote

from batchyard.store.budgets import is_spent
from batchyard.store.errors import StoreError, StoreMismatch
from batchyard.store.sqlite.connections import BUSY_SECONDS, STEPS_BETWEEN_LOOKS, create_private

VERSION = 1
WRITER_CACHE_KIB = 4096
READER_CACHE_KIB = 1024

# `is_whole`: nothing else is to come of that minute. What is in `minutes` and in `blocks` belongs together, but whole
# minutes take the place of what a block has.
SCHEMA = """
CREATE TABLE series (
    id INTEGER PRIMARY KEY, namespace TEXT NOT NULL, name TEXT NOT NULL, dimensions TEXT NOT NULL, unit TEXT NOT NULL,
    last_s INTEGER NOT NULL, UNIQUE (namespace, name, dimensions, unit)
);
CREATE TABLE minutes (
    at_s INTEGER NOT NULL, series INTEGER NOT NULL, is_whole INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (at_s, series)
) WITHOUT ROWID;
CREATE TABLE seconds (
    series INTEGER NOT NULL, at_s INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (series, at_s)
) WITHOUT ROWID;
CREATE TABLE blocks (
    series INTEGER NOT NULL, resolution_s INTEGER NOT NULL, start_s INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (series, resolution_s, start_s)
) WITHOUT ROWID;
"""


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Opens the file, made where there is none. Transactions are the caller's. Raises StoreError."""
    create_private(path)
    try:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        # What a killed process has committed is in the file; only a loss of power may take the last seconds.
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA cache_size=-{WRITER_CACHE_KIB}")
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if not found:
            connection.executescript(f"BEGIN;{SCHEMA}PRAGMA user_version={VERSION};COMMIT;")
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"The metrics in {path} cannot be used ({error}). Move the file away to begin without them; jobs are not "
            "in it."
        ) from error
    if found > VERSION:
        connection.close()
        raise StoreMismatch(f"{path} was written by a newer version: use that one, or move the file away.")
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Opens the file that a writer has made. Queries end with sqlite3.OperationalError in a `time_budget` that is used
    up."""
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    connection = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA cache_size=-{READER_CACHE_KIB}")
    connection.set_progress_handler(is_spent, STEPS_BETWEEN_LOOKS)
    return connection
