"""Limits a data directory to one server: an exclusive lock on a file beside the database, held while the process
lives."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from batchyard.store.errors import StoreLocked

MAX_PID_BYTES = 32  # bytes read back of the holder's process id


class DirectoryLock:
    """The lock of a data directory. The kernel releases it when the process ends in any way; the file stays, and its
    existence means nothing."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._path = database.with_name(database.name + ".lock")
        self._descriptor = -1

    def acquire(self) -> None:
        """Takes the lock. Raises StoreLocked when another process (or another lock in this one) holds it."""
        assert self._descriptor < 0, "this lock is held"
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, MAX_PID_BYTES).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise StoreLocked(
                f"Another server (process {holder or 'unknown'}) is using {self._database.parent}. "
                "Stop it with `batchyard down`, or choose another data directory with --data-dir."
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
