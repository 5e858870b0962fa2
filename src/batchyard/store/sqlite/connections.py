"""Connections to a SQLite file, and the marks in its header that tell a backup from a database in use."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool, QueuePool

from batchyard.store.budgets import OutOfTime, check_time, is_spent

# Only a person with a database tool can hold SQLite's write lock beside the one writer, and only for a moment.
BUSY_SECONDS = 10.0

# Page caches. The writer touches the newest rows and the top of each index; readers are several and mostly share the
# operating system's cache. Small, because an idle server may use 80 MiB in all.
WRITER_CACHE_KIB = 8192
READER_CACHE_KIB = 2048

# Pages (4 KiB) of log before SQLite copies them into the database, in a commit of the writer. Four times the default:
# a page that changes in every commit (an array's parent) is then copied a quarter as often.
CHECKPOINT_PAGES = 4000

# Stands in the header of a copy made by `back_up` (SQLite's user_version, which nothing else of ours uses).
COPY_MARK = 0x42595244
SEALED_MARK = COPY_MARK + 1  # of one that carries a seal, as all do since there are seals (see seal.py)

SEAL = "backup"  # the table with a copy's seal

# Instructions of SQLite between two looks at the time: a millisecond or so.
STEPS_BETWEEN_LOOKS = 50_000

# Readers at work at once; more threads wait for one. The API answers from a small thread pool.
READER_CONNECTIONS = 8


def write_engine(path: Path) -> Engine:
    """Returns the engine of the one connection that writes. Transactions are the caller's, which sends BEGIN and
    COMMIT."""

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # a commit that returned survives a loss of power
        connection.execute(f"PRAGMA cache_size=-{WRITER_CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        return connection

    return create_engine("sqlite://", creator=connect, poolclass=NullPool, isolation_level="AUTOCOMMIT")


def read_engine(path: Path) -> Engine:
    """Returns the engine for queries. Everything read through one of its connections, up to its release, is one
    snapshot."""

    def connect() -> sqlite3.Connection:
        address = f"file:{quote(str(path.absolute()))}?mode=ro"
        connection = sqlite3.connect(
            address, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.execute(f"PRAGMA cache_size=-{READER_CACHE_KIB}")
        connection.set_progress_handler(is_spent, STEPS_BETWEEN_LOOKS)
        return connection

    engine = create_engine(
        "sqlite://", creator=connect, poolclass=QueuePool, pool_size=READER_CONNECTIONS, max_overflow=0
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        # The sqlite3 module would start no transaction for SELECT, and two queries would see two states.
        connection.exec_driver_sql("BEGIN")

    @event.listens_for(engine, "before_cursor_execute")
    def look(*_: Any) -> None:
        check_time()

    @event.listens_for(engine, "handle_error")
    def interrupted(context: Any) -> None:
        if isinstance(context.original_exception, sqlite3.OperationalError) and is_spent():
            raise OutOfTime from context.original_exception

    return engine


def copy_into(connection: Connection, target: Path) -> None:
    """Copies one committed state of `connection`'s database into the empty file `target`, and marks it as a copy."""
    source = connection.connection.driver_connection
    assert isinstance(source, sqlite3.Connection), f"a copy of {source} is not known how to make"
    copy = sqlite3.connect(target, isolation_level=None)
    try:
        source.backup(copy)  # at once: a copy in parts would begin anew at each commit of the writer
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, complete in itself
        copy.execute(f"PRAGMA user_version={COPY_MARK}")
    finally:
        copy.close()


def is_marked_copy(path: Path) -> bool:
    """Whether the file is a marked copy; False for anything else, a database or not."""
    connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)
    try:
        return connection.execute("PRAGMA user_version").fetchone()[0] in (COPY_MARK, SEALED_MARK)
    except sqlite3.DatabaseError:
        return False
    finally:
        connection.close()


def remove_mark(path: Path) -> None:
    """Removes the mark; durable when it returns."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"DROP TABLE IF EXISTS {SEAL}")  # of a copy that was put here by hand
        connection.execute("PRAGMA user_version=0")
    finally:
        connection.close()


def create_private(path: Path) -> None:
    """Creates the file, readable by its owner alone, if it does not exist; SQLite gives the files beside it the same
    mode."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    except FileExistsError:
        return
    os.close(descriptor)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
