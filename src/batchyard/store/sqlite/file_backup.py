"""Backs up the SQLite files beside the database, log events and metrics, and restores them.

Unlike the database they carry no mark: nothing in them would be started again. Their copies have a seal of the same
kind, which proves before their use that they are complete."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from batchyard.store.errors import StoreDamaged, StoreError
from batchyard.store.sqlite.backup import make_file
from batchyard.store.sqlite.connections import BUSY_SECONDS, SEAL
from batchyard.store.sqlite.seal import digest_of

KINDS = {"table", "index"}  # a trigger or a view in one of these files is not ours


def back_up_file(source: Path, target: Path) -> int:
    """Copies a file, in use or not, into the new file `target`; returns its size in bytes. Raises StoreError;
    StoreDamaged where it is too damaged to be worth a backup."""

    def write(unfinished: Path) -> None:
        address = f"file:{quote(str(source.absolute()))}?mode=ro"
        try:
            with (
                closing(sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS)) as reading,
                closing(sqlite3.connect(unfinished, isolation_level=None)) as copy,
            ):
                reading.backup(copy)  # at once: a copy in parts would begin anew at each commit of the writer
                copy.execute("PRAGMA journal_mode=DELETE")  # one file, complete in itself
                _check_pages(copy)
                digest = digest_of(copy)
                copy.execute(f"CREATE TABLE {SEAL} (digest TEXT NOT NULL)")
                copy.execute(f"INSERT INTO {SEAL} VALUES (?)", (digest,))
        except sqlite3.DatabaseError as error:
            raise StoreDamaged(
                f"{source} is damaged: {error}. Move it away, and its -wal with it, to begin without it; jobs are not "
                "in it."
            ) from error

    make_file(source, target, write)
    return target.stat().st_size


def restore_file(source: Path, target: Path) -> None:
    """Creates the file `target` from the copy `source`. Raises StoreError."""

    def write(unfinished: Path) -> None:
        try:
            with source.open("rb") as reading, unfinished.open("r+b") as writing:
                shutil.copyfileobj(reading, writing)
        except PermissionError as error:
            raise StoreError(f"{source} cannot be read: {error.strerror}.") from error
        try:
            with closing(sqlite3.connect(unfinished, isolation_level=None)) as copy:
                _check_pages(copy)
                kinds = {kind for (kind,) in copy.execute("SELECT DISTINCT type FROM sqlite_schema")}
                kept = [row[0] for row in copy.execute(f"SELECT digest FROM {SEAL}")]
                if not kinds <= KINDS or kept != [digest_of(copy)]:
                    raise StoreDamaged(
                        f"The backup {source} has changed since it was made: its digest is another one. Take an older "
                        "backup, or move this file away to begin without it."
                    )
                copy.execute(f"DROP TABLE {SEAL}")
        except sqlite3.DatabaseError as error:
            raise StoreDamaged(
                f"The backup {source} is damaged: {error}. Take an older backup, or move this file away to begin "
                "without it."
            ) from error

    make_file(source, target, write)


def _check_pages(connection: sqlite3.Connection) -> None:
    (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(" ".join(found.split()))
