"""The store's seam: what one kind of database has to do. Tables, queries and migrations are the same for all of them.

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
    """What of a database is wrong, and what can be read. `faults`: half sentences, the first one first. `readable`: how
    many rows of each table are good."""

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
    """One database, opened or not. `kind`: what the service calls databases of this kind (`sqlite`). `place`: where it
    is, for sentences, without credentials. `errors`: what its connections raise below SQLAlchemy's DatabaseError."""

    kind: str
    place: str

    @property
    def errors(self) -> tuple[type[Exception], ...]: ...

    # -- One writer --

    def acquire(self) -> None:
        """Makes the database where it is not there, and keeps other writers out until `release`, or until this process
        ends. A kind that cannot do this relies on the epoch alone. Raises StoreLocked."""

    def release(self) -> None: ...

    # -- Connections --

    def write_engine(self) -> Engine:
        """For the one connection that writes. Transactions are the caller's, who sends BEGIN and COMMIT; a COMMIT that
        returned survives a loss of power."""

    def read_engine(self) -> Engine:
        """For queries. Everything read through one connection of it, up to its release, is one snapshot; what takes
        longer than a `time_budget` is ended with OutOfTime."""

    # -- What it holds --

    def check(self, connection: Connection) -> None:
        """To be called before anything is written: raises StoreDamaged where this is no database of ours, or not as it
        was written, StoreMismatch where a newer version wrote it. An empty database is fine."""

    @property
    def is_restored(self) -> bool:
        """The database is a backup's copy that no server has taken into use."""

    def take_into_use(self) -> None:
        """From here on a restored database is one as any other. Durable when it returns."""

    def free_bytes(self) -> int:
        """Space left for this process where the database lies."""

    # -- What went wrong --

    def explain(self, error: BaseException) -> StoreError:
        """What it means that the database could not be opened or read."""

    def damaged(self, reason: str = "", found: Survey | None = None) -> StoreDamaged:
        """The whole story of a damaged database, as an error to raise. `reason`: what was seen, for when a survey
        (`found`, else made here) finds nothing itself."""

    def is_disk_full(self, error: BaseException) -> bool:
        """Whether the database reported that no space is left."""

    # -- Administration --

    @property
    def is_there(self) -> bool:
        """Something is at the database's place, a database or not."""

    @property
    def is_emptied(self) -> bool:
        """What is at the place would be taken for a new database. Where jobs have run, their database was lost."""

    def access_problem(self) -> str:
        """Why this user cannot use what is there, as a sentence; empty: nothing hinders."""

    def size_bytes(self) -> int: ...

    def last_time_ms(self) -> int:
        """The last time that a commit recorded; 0 where none can be read, for whatever reason."""

    def survey(self) -> Survey:
        """Reads everything and changes nothing. What is there raises nothing but StoreMismatch: a newer version wrote
        it."""

    def back_up(self, target: Path) -> int:
        """Copies the database, in use or not, into the new file `target`; returns its size in bytes. Raises StoreError,
        StoreDamaged where what is there is not worth keeping as a backup."""

    def restore(self, source: Path) -> None:
        """Makes the database, which must not be there, of a backup. Raises StoreError."""
