"""The parts of SQL in which databases differ, for statements that are written once for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Dialect, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import Insert


def begin_statement(dialect: Dialect) -> str:
    # IMMEDIATE takes SQLite's write lock at once, so that a transaction cannot fail half-way for want of it.
    return "BEGIN IMMEDIATE" if dialect.name == "sqlite" else "BEGIN"


def upsert(table: Table, changing: tuple[str, ...], dialect: Dialect) -> Insert:
    """Returns an INSERT of whole rows; where the primary key exists already, the `changing` columns take the new
    values (none: the row stays as it is)."""
    insert: Callable[[Table], Any] = sqlite.insert if dialect.name == "sqlite" else postgresql.insert
    statement = insert(table)
    key = list(table.primary_key.columns)
    if not changing:
        result: Insert = statement.on_conflict_do_nothing(index_elements=key)
    else:
        result = statement.on_conflict_do_update(
            index_elements=key, set_={name: statement.excluded[name] for name in changing}
        )
    return result
