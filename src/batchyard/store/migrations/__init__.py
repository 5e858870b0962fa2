"""Numbered steps from an empty database to today's schema. A step that was released never changes.

Steps are SQL that every database takes, except for two placeholders: `$KEY` (the type of a row's integer key) and
`$TEXT`.
"""

from __future__ import annotations

import re
from importlib import resources
from string import Template

from sqlalchemy import Connection, inspect

_WORDS = {
    "sqlite": {"KEY": "INTEGER", "TEXT": "TEXT"},
    "postgresql": {"KEY": "BIGINT", "TEXT": 'TEXT COLLATE "C"'},
}
_STEP = re.compile(r"(\d{4})\.sql")


def steps() -> dict[int, str]:
    """Returns every step's SQL by its number, ascending from 1 without a gap."""
    found: dict[int, str] = {}
    for entry in resources.files(__name__).iterdir():
        match = _STEP.fullmatch(entry.name)
        if match:
            found[int(match[1])] = entry.read_text(encoding="utf-8")
    assert sorted(found) == list(range(1, len(found) + 1)), f"migrations are not numbered 1..n: {sorted(found)}"
    return dict(sorted(found.items()))


def statements(sql: str, dialect: str) -> list[str]:
    """Returns one step's statements in `dialect`. A statement ends with `;` at the end of a line."""
    code = "\n".join(line for line in sql.splitlines() if not line.startswith("--"))
    rendered = Template(code).substitute(_WORDS[dialect])
    return [part.strip() for part in re.split(r";\s*(?:\n|$)", rendered) if part.strip()]


def current_version(connection: Connection) -> int:
    """Returns the schema version; 0 for an empty database."""
    if not inspect(connection).has_table("meta"):
        return 0
    return int(connection.exec_driver_sql("SELECT schema_version FROM meta").scalar_one())


def migrate(connection: Connection, version: int) -> int:
    """Run every step after `version` in the caller's transaction; returns the version reached, to be recorded."""
    for number, sql in steps().items():
        if number > version:
            for statement in statements(sql, connection.dialect.name):
                connection.exec_driver_sql(statement)
    return max(version, max(steps()))
