"""The migrations add up to the tables that the queries are built from."""

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from batchyard.store import migrations
from batchyard.store.tables import metadata


def schema(connection: Connection) -> dict[str, Any]:
    """Columns, keys and indexes of every table, and the texts of conditions, as SQLite understood them."""

    def rows(pragma: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in connection.exec_driver_sql(f"PRAGMA {pragma}")]

    found: dict[str, Any] = {}
    objects = connection.exec_driver_sql("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name").all()
    for kind, name, table, sql in objects:
        condition = "".join((sql or "").partition("WHERE" if kind == "index" else "CONSTRAINT")[1:]).strip(" \n)")
        details = rows(f"table_xinfo({name})") if kind == "table" else sorted(rows(f"index_xinfo({name})"))
        found[name] = (kind, table, details, condition)
        if kind == "table":
            found[f"{name}/indexes"] = sorted(row[1:] for row in rows(f"index_list({name})"))
    return found


def test_migrations_make_the_schema_of_the_tables(tmp_path: Path) -> None:
    with create_engine(f"sqlite:///{tmp_path / 'migrated.db'}").begin() as connection:
        assert migrations.current_version(connection) == 0
        assert migrations.migrate(connection, 0) == max(migrations.steps())
        migrated = schema(connection)
    with create_engine(f"sqlite:///{tmp_path / 'made.db'}").begin() as connection:
        metadata.create_all(connection)
        made = schema(connection)
    assert migrated == made
    assert {"jobs", "job_specs", "meta", "jobs_unfinished"} <= set(made)


def test_the_migrations_say_the_same_to_postgresql() -> None:
    """Compared as text, which holds while they only create; one that alters needs a PostgreSQL to compare on."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]

    def plain(sql: object) -> str:
        return " ".join(str(sql).replace('"key"', "key").replace("(", " ( ").replace(")", " ) ").split())

    steps = migrations.steps().values()
    migrated = {plain(one) for step in steps for one in migrations.statements(step, "postgresql")}
    assert all(one.startswith("CREATE") for one in migrated)
    tables = metadata.tables.values()
    made = {plain(CreateTable(table).compile(dialect=dialect)) for table in tables}
    made |= {plain(CreateIndex(index).compile(dialect=dialect)) for table in tables for index in table.indexes}
    assert migrated == made


def test_a_database_that_is_up_to_date_is_left_alone(tmp_path: Path) -> None:
    with create_engine(f"sqlite:///{tmp_path / 'one.db'}").begin() as connection:
        newest = migrations.migrate(connection, 0)
        assert migrations.migrate(connection, newest) == newest
