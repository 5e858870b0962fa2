"""The store, opened by its URL: a writer, readers, and what administration needs."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from batchyard.store.driver import Driver
from batchyard.store.errors import StoreError
from batchyard.store.queries import Reader
from batchyard.store.sqlite.driver import SqliteDriver
from batchyard.store.writer import Writer

# What a URL begins with -> its driver. Another kind of database is a line here, and a package as store/sqlite.
DRIVERS: Mapping[str, Callable[[str], Driver]] = {SqliteDriver.kind: SqliteDriver.of_url}
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://")


class Store:
    """One database. Nothing is read or written before a writer or a reader is made."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver

    @classmethod
    def open(cls, url: str | os.PathLike[str], drivers: Mapping[str, Callable[[str], Driver]] = DRIVERS) -> Store:
        """Returns the store of a URL: `sqlite:///…`, or the plain path of a SQLite file. Raises StoreError where no
        driver takes it."""
        scheme = _SCHEME.match(url) if isinstance(url, str) else None
        if scheme is None:
            return cls(SqliteDriver(Path(url)))
        make = drivers.get(scheme[1])
        if make is None:
            known = ", ".join(sorted(drivers))  # not the URL itself, which may hold a password
            raise StoreError(f"The store's URL names the database {scheme[1]}, which is not known here ({known}).")
        return cls(make(str(url)))

    def writer(self) -> Writer:
        """Returns the writer, which the caller must open."""
        return Writer(self.driver)

    def reader(self) -> Reader:
        """Returns a reader of a database that a writer has opened before. The caller must close it."""
        return Reader(self.driver)
