"""A consistent copy of a store that may be in use, and a database made of such a copy.

The copy is one committed state, taken by SQLite's own online backup. It knows nothing of what engines did: attempts
that were placed in it may have run since. It carries a mark, so that whoever opens it, wherever it was put and by whom,
starts none of them again (`Writer.is_restored`).
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from batchyard.store import database
from batchyard.store.errors import StoreError

PRIVATE_FILE = 0o600
_SUFFIX = ".unfinished"


def back_up(source: Path, target: Path) -> int:
    """Copies the database `source` into the new file `target`; returns its size in bytes. Raises StoreError."""
    if not source.exists():
        raise StoreError(f"There is no database {source}: nothing was ever started there.")

    def write(unfinished: Path) -> None:
        engine = database.read_engine(source)
        try:
            with engine.connect() as connection:
                database.copy_into(connection, unfinished)
        finally:
            engine.dispose()

    _make(target, write)
    return target.stat().st_size


def restore(source: Path, target: Path) -> None:
    """Makes the new database `target` of the copy `source`. Raises StoreError."""
    if not source.exists():
        raise StoreError(f"There is no file {source}.")
    if not database.is_marked_copy(source):
        raise StoreError(f"{source} is no copy made by `batchyard backup`.")
    _make(target, lambda unfinished: _copy(source, unfinished))


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as reading, target.open("r+b") as writing:
        shutil.copyfileobj(reading, writing)


def _make(target: Path, write: Callable[[Path], None]) -> None:
    """All of it or nothing, readable by its owner alone, durable."""
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
        raise StoreError(f"{target} cannot be written: {error}.") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
