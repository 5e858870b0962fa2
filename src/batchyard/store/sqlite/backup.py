"""Backs up a store that may be in use to a consistent copy, and restores a database from such a copy.

The copy is one committed state, taken by SQLite's own online backup. It knows nothing of what engines did: attempts
that were placed in it may have run since. It carries a mark, so that a server that opens it, wherever it was copied
to, starts none of them again (`Writer.is_restored`), and a seal, which proves before its use that it is complete.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlalchemy.exc import DatabaseError

from batchyard.store.errors import StoreDamaged, StoreError, StoreMismatch
from batchyard.store.sqlite import connections
from batchyard.store.sqlite.inspection import damaged, explain, is_damage, survey
from batchyard.store.sqlite.seal import check_seal, remove_seal, seal

PRIVATE_FILE = 0o600
_SUFFIX = ".unfinished"


def back_up(source: Path, target: Path) -> int:
    """Copies the database `source` into the new file `target`; returns its size in bytes. Raises StoreError;
    StoreDamaged where the database is too damaged to be worth a backup."""
    if not source.exists():
        raise StoreError(f"There is no database {source}: nothing was ever started there.")

    def write(unfinished: Path) -> None:
        engine = connections.read_engine(source)
        try:
            with engine.connect() as connection:
                connections.copy_into(connection, unfinished)
        except DatabaseError as error:
            raise explain(source, error.orig or error) from error
        finally:
            engine.dispose()
        _check_source(source, unfinished)
        with closing(sqlite3.connect(unfinished, isolation_level=None)) as copy:
            seal(copy)

    make_file(source, target, write)
    return target.stat().st_size


def restore(source: Path, target: Path) -> None:
    """Creates the database `target` from the copy `source`. Raises StoreError."""
    if not source.is_file():
        raise StoreError(f"There is no file {source}.")

    def write(unfinished: Path) -> None:
        try:
            with source.open("rb") as reading, unfinished.open("r+b") as writing:
                shutil.copyfileobj(reading, writing)
        except PermissionError as error:
            raise StoreError(f"{source} cannot be read: {error.strerror}.") from error
        _check_copy(source, unfinished)  # of what will be used, not of what may change meanwhile
        with closing(sqlite3.connect(unfinished, isolation_level=None)) as copy:
            remove_seal(copy)

    make_file(source, target, write)


def _check_source(source: Path, copy: Path) -> None:
    """Refuses a damaged database: a copy of it could not be relied on."""
    try:
        found = survey(copy)
    except StoreMismatch as mismatch:
        raise StoreMismatch(f"The database {source} was written by a newer version. {mismatch}") from mismatch
    if found.faults:
        raise damaged(source, found=found)


def _check_copy(source: Path, copy: Path) -> None:
    try:
        if not connections.is_marked_copy(copy):
            raise StoreDamaged(f"{source} is no copy made by `batchyard backup`, or its beginning is damaged.")
        found = survey(copy)
    except StoreMismatch as mismatch:
        raise StoreMismatch(f"The backup {source} was made by a newer version. {mismatch}") from mismatch
    if found.faults:
        raise StoreDamaged(f"The backup {source} is damaged: {found.damage()}. {found.rest()} Take another one.")
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        check_seal(connection, source)


def make_file(source: Path, target: Path, write: Callable[[Path], None]) -> None:
    """Makes the file completely or not at all: readable by its owner alone, and durable."""
    if target.exists():
        raise StoreError(f"{target} is there already: choose another name, or remove it.")
    unfinished = target.with_name(target.name + _SUFFIX)
    try:
        unfinished.unlink(missing_ok=True)  # of a copy that was interrupted
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_RDWR, PRIVATE_FILE))
        try:
            write(unfinished)
            _sync(unfinished)
            os.rename(unfinished, target)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        _sync(target.parent)
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror}.") from error
    except sqlite3.Error as error:
        if is_damage(error):
            raise damaged(source, str(error)) from error
        raise StoreError(f"{target} cannot be written: {error}.") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
