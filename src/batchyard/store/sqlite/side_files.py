"""Files beside that of the store, each with tables of its own: connections to them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from batchyard.store.budgets import is_spent
from batchyard.store.errors import StoreError, StoreMismatch
from batchyard.store.sqlite.connections import BUSY_SECONDS, STEPS_BETWEEN_LOOKS, create_private

WRITER_CACHE_KIB = 4096
READER_CACHE_KIB = 1024


def open_for_writing(
    path: Path, schema: str, version: int, pragmas: Sequence[str], unusable: str
) -> sqlite3.Connection:
    """Opens the file, made where there is none. Transactions are the caller's. `pragmas`: set before the tables are
    made; `unusable`: what a file that is damaged means, with {path} and {error}. Raises StoreError."""
    create_private(path)
    try:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        for pragma in (*pragmas, f"cache_size=-{WRITER_CACHE_KIB}"):
            connection.execute(f"PRAGMA {pragma}")
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if not found:
            connection.executescript(f"BEGIN;{schema}PRAGMA user_version={version};COMMIT;")
    except sqlite3.DatabaseError as error:
        raise StoreError(unusable.format(path=path, error=error)) from error
    if found > version:
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
