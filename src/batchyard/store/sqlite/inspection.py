"""Inspects a SQLite file: what can be read, and what is wrong with its pages, its schema, its rows and the
references between them. Reads all of it and changes nothing; used for a store in doubt, backups, and `batchyard
doctor`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from batchyard.core.model.records import Status
from batchyard.store import codec, migrations, tables
from batchyard.store.driver import SHOWN_FAULTS, Survey
from batchyard.store.errors import StoreDamaged, StoreError, StoreMismatch
from batchyard.store.load import missing_environments
from batchyard.store.sqlite.connections import BUSY_SECONDS, SEAL

MAX_FAULTS = 100  # looked for in one table: enough to see that it is beyond repair
PAGE_FAULTS = 10
META = "meta"
# A reference, the rows that break it, and how such a row is described.
REFERENCES = {
    "job {} has no submission": """
        SELECT jobs.key FROM jobs LEFT JOIN job_specs ON job_specs.key = jobs.key
        WHERE jobs.queue IS NOT NULL AND job_specs.key IS NULL LIMIT 1""",
    "submission {} has no job": """
        SELECT job_specs.key FROM job_specs LEFT JOIN jobs ON jobs.key = job_specs.key
        WHERE jobs.key IS NULL LIMIT 1""",
    "child {} belongs to no array": """
        SELECT jobs.key FROM jobs WHERE jobs.queue IS NULL AND NOT EXISTS (
            SELECT 1 FROM job_specs WHERE job_specs.key < jobs.key AND job_specs.last_key >= jobs.key) LIMIT 1""",
    "the queue {} of an unfinished job is missing": f"""
        SELECT jobs.queue FROM jobs LEFT JOIN queues ON queues.name = jobs.queue
        WHERE jobs.queue IS NOT NULL AND jobs.{tables.UNFINISHED} AND queues.name IS NULL LIMIT 1""",
    "a frame of the execution {} has no execution": """
        SELECT execution_key FROM execution_frames LEFT JOIN executions ON executions.key = execution_key
        WHERE executions.key IS NULL LIMIT 1""",
    "events of the execution {} have no execution": """
        SELECT execution_key FROM execution_events LEFT JOIN executions ON executions.key = execution_key
        WHERE executions.key IS NULL LIMIT 1""",
    "job {} has a key that was not given yet": """
        SELECT key FROM jobs WHERE key >= (SELECT next_key FROM meta) LIMIT 1""",
}


def survey(path: Path) -> Survey:
    """Surveys the file. Never raises for its content, except StoreMismatch: a newer version wrote it."""
    found = Survey()
    try:
        with closing(_connect(path)) as connection:
            connection.execute("BEGIN")  # one state of a database that may be in use
            version = schema_version(connection)
            found.faults += _page_faults(connection)
            found.faults += schema_faults(connection, version)
            _read_rows(connection, found)
            found.faults += _reference_faults(connection)
    except StoreDamaged as damage:
        found.faults.append(str(damage))
    except sqlite3.Error as error:
        found.faults.append(f"SQLite says: {error}")
    return found


def damaged(path: Path, reason: str = "", found: Survey | None = None) -> StoreDamaged:
    """Returns the complete description of a damaged database, as an error to raise. `reason`: what was observed,
    used where the survey finds nothing itself."""
    found = found or survey(path)
    what = found.damage() or reason
    return StoreDamaged(
        f"The database {path} is damaged: {what}. {found.rest()} Move {path.parent} aside and make it anew of a "
        f"backup: batchyard restore FILE --data-dir {path.parent}; keep what was moved until that runs."
    )


def is_damage(error: BaseException) -> bool:
    """Whether SQLite's error is about the content of the file, and not about access to it."""
    return _kind(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _kind(error: BaseException) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF  # the low byte; the rest is more precise


def explain(path: Path, error: BaseException) -> StoreError:
    """Returns the error to raise when SQLite could not open or read the database."""
    code = _kind(error)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(f"The database {path} is locked: end the program that has it open (a database tool?).")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH):
        return StoreError(f"The database {path} cannot be opened ({error}): it and its directory must be writable.")
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM):
        return StoreError(f"The database {path} cannot be opened: {error}. Look at the disk, then start it again.")
    return damaged(path, str(error))


# -- the parts --


def _connect(path: Path) -> sqlite3.Connection:
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    connection = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    return connection


def schema_version(connection: sqlite3.Connection) -> int:
    """Returns the schema version of a database that was in use. Raises StoreDamaged where it cannot be read,
    StoreMismatch where it is newer."""
    if application_id(connection):
        raise StoreDamaged("it is the database of another program")
    names = [
        name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    ]
    if META not in names:
        holds = f"it has the tables {', '.join(names[:SHOWN_FAULTS])}" if names else "it has no tables"
        raise StoreDamaged(f"it is no database of Batchyard: {holds}")
    try:
        rows = connection.execute("SELECT id, schema_version, epoch, last_time_ms, next_key FROM meta").fetchall()
    except sqlite3.OperationalError as error:
        raise StoreDamaged(f"the table meta is not ours: {error}") from error
    if len(rows) != 1:
        raise StoreDamaged(f"the table meta, which says what was reached, has {len(rows)} rows instead of one")
    if not all(isinstance(value, int) and value >= 0 for value in rows[0]) or rows[0][1] < 1:
        raise StoreDamaged("the row of meta, which says what was reached, holds no numbers")
    version, newest = int(rows[0][1]), max(migrations.steps())
    if version > newest:
        raise StoreMismatch(
            f"It has schema version {version}; this Batchyard knows up to {newest}. "
            "Use the newer version that wrote it."
        )
    return version


def application_id(connection: sqlite3.Connection) -> int:
    """Returns the file's application id; 0 for a database of this service: other programs set one."""
    return int(connection.execute("PRAGMA application_id").fetchone()[0])


def schema_faults(connection: sqlite3.Connection, version: int) -> list[str]:
    """Returns where the tables differ from those of `version`, by name. Views and triggers are always faults."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as model:
        for number, sql in migrations.steps().items():
            if number <= version:
                for statement in migrations.statements(sql, "sqlite"):
                    model.execute(statement)
        wanted, there = _schema(model), _schema(connection)
    there.pop(f"table {SEAL}", None)
    faults = [f"the {name} is missing" for name in wanted if name not in there]
    faults += [f"it has the {name}, which is not ours" for name in there if name not in wanted]
    return faults + [
        f"the {name} is not as it should be" for name in wanted if there.get(name, wanted[name]) != wanted[name]
    ]


def _schema(connection: sqlite3.Connection) -> dict[str, Any]:
    """Returns the definition of every table, index, trigger and view, by its kind and name."""
    found: dict[str, Any] = {}
    listed = connection.execute("SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
    for kind, name in listed.fetchall():
        pragma = {"table": "table_xinfo", "index": "index_xinfo"}.get(kind)
        found[f"{kind} {name}"] = (
            connection.execute(f"SELECT * FROM pragma_{pragma}(?)", (name,)).fetchall() if pragma else ()
        )
    return found


def _page_faults(connection: sqlite3.Connection) -> list[str]:
    try:
        said = [text for (text,) in connection.execute(f"PRAGMA integrity_check({PAGE_FAULTS})")]
    except sqlite3.DatabaseError as error:
        return [f"its pages cannot be read: {error}"]
    return [] if said == ["ok"] else [" ".join(text.split()) for text in said]


def _read_rows(connection: sqlite3.Connection, found: Survey) -> None:
    """Counts the good rows of each table and names the others."""
    for table in tables.metadata.sorted_tables:
        found.readable[table.name] = 0
        columns = ", ".join(column.name for column in table.columns)
        faults: list[str] = []
        try:
            for row in connection.execute(f"SELECT {columns} FROM {table.name}"):
                fault = _row_fault(table.name, row)
                if not fault:
                    found.readable[table.name] += 1
                elif len(faults) < MAX_FAULTS:
                    faults.append(f"in {table.name} the row of {row[0]!r} {fault}")
        except sqlite3.OperationalError:
            pass  # the table is missing, or a column is: reported already
        except sqlite3.DatabaseError as error:
            faults.append(f"{table.name} can be read up to row {found.readable[table.name]}: {error}")
        found.faults += faults


def _row_fault(table: str, row: tuple[Any, ...]) -> str:
    """Returns what is wrong with a row, as the end of a sentence; empty: nothing."""
    check = _CHECKS.get(table)
    try:
        return "" if check is None or check(row) else "says in its columns something else than in its body"
    except codec.UNDECODABLE:
        return "cannot be understood"


def _spec_fits(row: tuple[Any, ...]) -> bool:
    spec = codec.decode_spec(row[-1], row[-2])
    return (spec.key, spec.key + spec.array_size, spec.job_id, spec.queue) == (row[0], row[1], row[2], row[5])


def _job_fits(row: tuple[Any, ...]) -> bool:
    job = codec.decode_job(row[-1])
    return (job.key, job.status) == (row[0], Status(row[2]))


def _definition_fits(row: tuple[Any, ...]) -> bool:
    definition = codec.decode_definition(row[-1])
    return (definition.name, definition.revision, definition.status) == (row[0], row[1], row[2])


def _execution_fits(row: tuple[Any, ...]) -> bool:
    execution = codec.decode_execution(*row[-4:])
    return (execution.key, execution.arn, execution.status.value) == (row[0], row[1], row[5])


def _events_fit(row: tuple[Any, ...]) -> bool:
    events = codec.decode_events(row[0], row[-1])
    return (events[0].id, events[-1].id, len(events)) == (row[1], row[2], row[2] - row[1] + 1)


def _frame_fits(row: tuple[Any, ...]) -> bool:
    frame = codec.decode_frame(row[-1])
    return (frame.execution_key, frame.id) == (row[0], row[1])


_CHECKS: dict[str, Callable[[tuple[Any, ...]], bool]] = {
    "environments": lambda row: codec.decode_environment(row[1]).name == row[0],
    "queues": lambda row: codec.decode_queue(row[1]).name == row[0],
    "definitions": _definition_fits,
    "documents": lambda row: codec.decode_document(row[0], row[2]) is not None,
    "job_specs": _spec_fits,
    "jobs": _job_fits,
    "executions": _execution_fits,
    "execution_frames": _frame_fits,
    "execution_events": _events_fit,
    "map_runs": lambda row: codec.decode_map_run(row[-1]).arn == row[0],
    "facts": lambda row: codec.decode_facts(row[1]) is not None,
    "fact_cursors": lambda row: codec.decode_cursor(row[1]) is not None,
}


def _reference_faults(connection: sqlite3.Connection) -> Iterator[str]:
    for text, sql in REFERENCES.items():
        try:
            broken = connection.execute(sql).fetchone()
        except sqlite3.DatabaseError:
            continue  # what it needs cannot be read: reported already
        if broken is not None:
            yield text.format(broken[0])
    try:
        known = {name for (name,) in connection.execute("SELECT name FROM environments")}
        bodies = connection.execute("SELECT body FROM queues").fetchall()
    except sqlite3.DatabaseError:
        return
    queues = []
    for (body,) in bodies:
        with suppress(*codec.UNDECODABLE):  # reported already
            queues.append(codec.decode_queue(body))
    yield from missing_environments(queues, known)
