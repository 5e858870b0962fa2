"""A transaction of SQLite on a connection that begins none by itself."""

from __future__ import annotations

import sqlite3

from batchyard.store.budgets import OutOfTime, is_spent


class Transaction:
    """Runs a block of statements as one transaction; an error in the block undoes it. OutOfTime: the time budget of a
    question is used up."""

    def __init__(self, connection: sqlite3.Connection, begin: str = "BEGIN IMMEDIATE") -> None:
        self._connection = connection
        self._begin = begin

    def __enter__(self) -> sqlite3.Connection:
        self._connection.execute(self._begin)
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if kind is None:
            self._connection.execute("COMMIT")
            return
        if self._connection.in_transaction:
            self._connection.rollback()
        if issubclass(kind, sqlite3.OperationalError) and is_spent():
            raise OutOfTime from error
