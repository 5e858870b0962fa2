"""The store's seam: what the driver of one kind of database has to implement. Tables, queries and migrations are the
same for all of them.

A driver names one database. It opens connections to it and knows what its errors mean; what is particular to its kind
(files, locks, marks in a header) stays behind it. `batchyard.store.sqlite` is one; the URL of the store chooses
(`batchyard.store.store`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from msgspec import Struct
from sqlalchemy import Connection, Engine

from batchyard.store.errors import StoreDamaged, StoreError

SHOWN_FAULTS = 3  # in a sentence; the rest is counted
# Tables by names that people know, for the sentence about what can still be read.
COUNTED = {
    "environments": "environments",
    "queues": "queues",
    "definitions": "job definitions",
    "job_specs": "submissions",
    "jobs": "jobs",
    "documents": "other records",
}


class Survey(Struct):
    """The faults of a database, and what can still be read of it. `faults`: clauses, in the order in which they were
    found. `readable`: the number of good rows of each table."""

    faults: list[str] = []
    readable: dict[str, int] = {}

    def damage(self) -> str:
        shown = "; ".join(self.faults[:SHOWN_FAULTS])
        more = len(self.faults) - SHOWN_FAULTS
        return f"{shown}; and {more} more" if more > 0 else shown

    def rest(self) -> str:
        counts = [(self.readable.get(table, 0), name) for table, name in COUNTED.items()]
        known = [f"{count} {name if count > 1 else name.removesuffix('s')}" for count, name in counts if count]
        return f"Of it can still be read: {', '.join(known)}." if known else "Nothing of it can be read."


class Driver(Protocol):
    """One database, opened or not. `kind`: the service's name for this kind of database (`sqlite`). `place`: its
    location as text for messages, without credentials. `errors`: what its connections raise below SQLAlchemy's
    DatabaseError."""

    kind: str
    place: str

    @property
    def errors(self) -> tuple[type[Exception], ...]: ...

    # -- One writer --

    def acquire(self) -> None:
        """Creates the database if it does not exist, and keeps other writers out until `release`, or until this
        process ends. A kind that cannot do this relies on the epoch alone. Raises StoreLocked."""

    def release(self) -> None: ...

    # -- Connections --

    def write_engine(self) -> Engine:
        """Returns the engine of the one connection that writes. Transactions are the caller's, which sends BEGIN and
        COMMIT; a COMMIT that returned survives a loss of power."""

    def read_engine(self) -> Engine:
        """Returns the engine for queries. Everything read through one of its connections, up to its release, is one
        snapshot; a query that takes longer than a `time_budget` ends with OutOfTime."""

    # -- What it holds --

    def check(self, connection: Connection) -> None:
        """Checks the database; called before anything is written. Raises StoreDamaged where it is not a database of
        this service, or not as it was written, StoreMismatch where a newer version wrote it. An empty database is
        fine."""

    @property
    def is_restored(self) -> bool:
        """Whether the database is a backup's copy that no server has taken into use."""

    def take_into_use(self) -> None:
        """Turns a restored database into an ordinary one. Durable when it returns."""

    def free_bytes(self) -> int:
        """Returns the space left for this process where the database is stored."""

    # -- What went wrong --

    def explain(self, error: BaseException) -> StoreError:
        """Returns the error to raise when the database could not be opened or read."""

    def damaged(self, reason: str = "", found: Survey | None = None) -> StoreDamaged:
        """Returns the complete description of a damaged database, as an error to raise. `reason`: what was observed,
        used where a survey (`found`, else made here) finds nothing itself."""

    def is_disk_full(self, error: BaseException) -> bool:
        """Whether the database reported that no space is left."""

    # -- Administration --

    @property
    def is_there(self) -> bool:
        """Whether anything exists at the database's location, a database or not."""

    @property
    def is_emptied(self) -> bool:
        """Whether the location is so empty that a new database would be created there. If jobs have run before,
        their database was lost."""

    def access_problem(self) -> str:
        """Returns why this user cannot use the database, as a sentence; empty: there is no problem."""

    def size_bytes(self) -> int: ...

    def last_time_ms(self) -> int:
        """Returns the last time that a commit recorded; 0 where none can be read, for whatever reason."""

    def survey(self) -> Survey:
        """Reads everything and changes nothing. Never raises for the content, except StoreMismatch: a newer version
        wrote it."""

    def back_up(self, target: Path) -> int:
        """Copies the database, in use or not, into the new file `target`; returns its size in bytes. Raises
        StoreError, StoreDamaged where the database is too damaged to be worth a backup."""

    def restore(self, source: Path) -> None:
        """Creates the database, which must not exist, from a backup. Raises StoreError."""
