"""SQLite as a driver of the store: a file, its lock beside it, its marks in its header."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine

from batchyard.store.driver import Survey
from batchyard.store.errors import StoreDamaged, StoreError, StoreMismatch
from batchyard.store.sqlite import backup, connections, inspection
from batchyard.store.sqlite.directory_lock import DirectoryLock
from batchyard.store.sqlite.file_url import file_of_url
from batchyard.store.sqlite.seal import check_seal


class SqliteDriver:
    """Implements `batchyard.store.driver.Driver`. `path`: the database file; created, with its directory, when a
    writer opens it and it does not exist."""

    kind = "sqlite"
    errors: tuple[type[Exception], ...] = (sqlite3.Error,)

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.place = str(self.path)
        self._lock = DirectoryLock(self.path)

    @classmethod
    def of_url(cls, url: str) -> SqliteDriver:
        """Returns the driver of a URL. Raises StoreError."""
        return cls(file_of_url(url))

    # -- One writer --

    def acquire(self) -> None:
        self._lock.acquire()
        connections.create_private(self.path)

    def release(self) -> None:
        self._lock.release()

    # -- Connections --

    def write_engine(self) -> Engine:
        return connections.write_engine(self.path)

    def read_engine(self) -> Engine:
        return connections.read_engine(self.path)

    # -- What it holds --

    def check(self, connection: Connection) -> None:
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection), f"{raw} is not known how to look at"
        is_copy = self.is_restored
        is_empty = not raw.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if is_empty and not is_copy and not inspection.application_id(raw):
            return  # made a moment ago
        try:
            faults = self.survey().faults if is_copy else inspection.schema_faults(raw, inspection.schema_version(raw))
        except StoreDamaged as fault:
            faults = [str(fault)]
        except StoreMismatch as mismatch:
            raise StoreMismatch(
                f"The database {self.path} was written by a newer version. {mismatch} Or choose another data directory."
            ) from mismatch
        if faults:
            raise self.damaged("; ".join(faults))
        if is_copy:
            check_seal(raw, self.path)

    @property
    def is_restored(self) -> bool:
        return connections.is_marked_copy(self.path)

    def take_into_use(self) -> None:
        connections.remove_mark(self.path)

    def free_bytes(self) -> int:
        status = os.statvfs(self.path.parent)
        return status.f_bavail * status.f_frsize

    # -- What went wrong --

    def explain(self, error: BaseException) -> StoreError:
        return inspection.explain(self.path, error)

    def damaged(self, reason: str = "", found: Survey | None = None) -> StoreDamaged:
        return inspection.damaged(self.path, reason, found)

    def is_disk_full(self, error: BaseException) -> bool:
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL

    # -- Administration --

    @property
    def is_there(self) -> bool:
        return os.path.lexists(self.path)

    @property
    def is_emptied(self) -> bool:
        """Whether the file has no bytes: SQLite takes such a file for a new database."""
        return self.path.is_file() and self.path.stat().st_size == 0

    def access_problem(self) -> str:
        usable = self.path.is_file() and os.access(self.path, os.R_OK | os.W_OK)
        return "" if usable else "It is no file that this user may read and write."

    def size_bytes(self) -> int:
        return self.path.stat().st_size

    def last_time_ms(self) -> int:
        try:
            with closing(sqlite3.connect(f"file:{quote(str(self.path))}?mode=ro", uri=True)) as connection:
                row = connection.execute("SELECT last_time_ms FROM meta").fetchone()
        except sqlite3.Error:
            return 0
        return row[0] if row and isinstance(row[0], int) else 0

    def survey(self) -> Survey:
        return inspection.survey(self.path)

    def back_up(self, target: Path) -> int:
        return backup.back_up(self.path, target)

    def restore(self, source: Path) -> None:
        backup.restore(source, self.path)
