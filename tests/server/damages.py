"""What may be wrong with all that a service kept, and what its commands then say: a sentence, and an exit code."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from batchyard.server.admin.terminal import EXIT_DAMAGED, EXIT_FAILED, EXIT_USAGE

PAGE = 4096
SERVES = 0


class Damage(NamedTuple):
    """What is done to a data directory, the exit codes of the commands, and what a sentence of them says. `home`: where
    keys and settings are."""

    name: str
    do: Callable[[Path, Path], None]  # (data directory, home)
    up: int = EXIT_DAMAGED
    backup: int = EXIT_DAMAGED
    doctor: int = EXIT_DAMAGED
    says: str = "is damaged"


def sql(*statements: str) -> Callable[[Path, Path], None]:
    """Changes of a database tool."""

    def do(data: Path, home: Path) -> None:
        with closing(sqlite3.connect(data / "batchyard.db", isolation_level=None)) as connection:
            connection.execute("PRAGMA writable_schema=ON")
            for statement in statements:
                assert connection.execute(statement).rowcount != 0, f"{statement} changed nothing"

    return do


def cut(*, pages: int = 0, size: int = 0) -> Callable[[Path, Path], None]:
    def do(data: Path, home: Path) -> None:
        path = data / "batchyard.db"
        path.write_bytes(path.read_bytes()[: size + pages * PAGE])

    return do


def overwrite(at: int, content: bytes) -> Callable[[Path, Path], None]:
    def do(data: Path, home: Path) -> None:
        with (data / "batchyard.db").open("r+b") as file:
            file.seek(at)
            file.write(content)

    return do


def garbage_in(table: str) -> Callable[[Path, Path], None]:
    """Over the first page of a table or index."""

    def do(data: Path, home: Path) -> None:
        with closing(sqlite3.connect(data / "batchyard.db")) as connection:
            (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
        overwrite((page - 1) * PAGE, b"\xa5" * PAGE)(data, home)

    return do


def file(name: str, content: bytes, *, of_home: bool = False, mode: int = 0o600) -> Callable[[Path, Path], None]:
    def do(data: Path, home: Path) -> None:
        path = (home if of_home else data) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)

    return do


def _other_database(data: Path, home: Path) -> None:
    (data / "batchyard.db").unlink()
    with closing(sqlite3.connect(data / "batchyard.db")) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")


def _directory(data: Path, home: Path) -> None:
    (data / "batchyard.db").unlink()
    (data / "batchyard.db").mkdir()


def _no_key(data: Path, home: Path) -> None:
    (home / ".config" / "batchyard" / "secrets.key").unlink()


def _journals(data: Path, home: Path) -> None:
    for path in (data / "engine").iterdir():
        if path.is_file() and not path.is_symlink():
            path.write_bytes(b"\xa5garbage" * 1000)


KEY = b"batchyard-secrets-key-1 " + b"QUFB" * 10 + b"QUE=\n"
NO_ENVIRONMENT = "DELETE FROM environments WHERE name = 'local'"
NO_SPEC = "DELETE FROM job_specs WHERE key = (SELECT min(key) FROM jobs WHERE status = 'RUNNABLE')"
NO_JOB = "DELETE FROM jobs WHERE key = (SELECT min(key) FROM jobs WHERE status = 'RUNNABLE')"
NO_QUEUE = "DELETE FROM queues WHERE name = 'host'"
A_TRIGGER = "CREATE TRIGGER t AFTER INSERT ON jobs BEGIN DELETE FROM queues; END"
# An unfinished job's row: what a start has to read.
WAITING = "WHERE status = 'RUNNABLE'"

DAMAGES = (
    Damage("an empty file", cut()),
    Damage("cut in its header", cut(size=60)),
    Damage("cut after its first page", cut(pages=1)),
    Damage("cut after some pages", cut(pages=7)),
    Damage("cut within a page", cut(pages=5, size=123)),
    Damage("another magic word", overwrite(0, b"SQLite format 9\0"), says="file is not a database"),
    Damage("another page size", overwrite(16, b"\x00\x07")),
    Damage("a garbled schema", overwrite(100, b"\xa5" * 3000)),
    Damage("a garbled page of jobs", garbage_in("jobs")),
    Damage("a garbled page of queues", garbage_in("queues")),
    Damage("a garbled index", garbage_in("jobs_unfinished")),
    Damage(
        "an environment cut short", sql("UPDATE environments SET body = '{'"), says="in environments the row of 'host'"
    ),
    Damage("a queue of another shape", sql("UPDATE queues SET body = '{\"name\": 1}'"), says="in queues the row of"),
    Damage("a definition that is none", sql("UPDATE definitions SET body = 'x'"), says="in definitions the row of"),
    Damage("a submission that is no text", sql("UPDATE job_specs SET body = CAST(x'ff7bff' AS TEXT)")),
    Damage("a job that is a number", sql(f"UPDATE jobs SET body = 7 {WAITING}"), says="in jobs the row of"),
    Damage("a job cut short", sql(f"UPDATE jobs SET body = substr(body, 1, 20) {WAITING}"), says="in jobs the row of"),
    Damage("tags that are none", sql("UPDATE job_specs SET tags = '[]'"), says="in job_specs the row of"),
    Damage(
        "a record of an unknown kind", sql("UPDATE documents SET kind = 'nonsense'"), says="in documents the row of"
    ),
    Damage("a missing table", sql("DROP TABLE revisions"), says="the table revisions is missing"),
    Damage("no table of jobs", sql("DROP TABLE jobs"), says="the table jobs is missing"),
    Damage("a missing column", sql("ALTER TABLE jobs DROP COLUMN stopped_at_ms"), says="the table jobs is not as"),
    Damage("a missing index", sql("DROP INDEX jobs_by_queue"), says="the index jobs_by_queue is missing"),
    Damage("a trigger", sql(A_TRIGGER), says="it has the trigger t, which is not ours"),
    Damage("a view", sql("CREATE VIEW v AS SELECT 1"), says="it has the view v, which is not ours"),
    Damage("another program's database", _other_database, says="no database of Batchyard: it has the tables bookmarks"),
    Damage("another application's id", sql("PRAGMA application_id=77"), says="the database of another program"),
    Damage(
        "a newer schema", sql("UPDATE meta SET schema_version = 999"), *[EXIT_FAILED] * 2, says="schema version 999"
    ),
    Damage("a schema version of words", sql("UPDATE meta SET schema_version = 'new'"), says="holds no numbers"),
    Damage("no epoch", sql("DELETE FROM meta"), says="has 0 rows instead of one"),
    Damage("a key given twice", sql("UPDATE meta SET next_key = 1"), SERVES, says="a key that was not given yet"),
    Damage("a queue without environment", sql(NO_ENVIRONMENT), says="the environment local of the queue default is"),
    Damage("a job without submission", sql(NO_SPEC), says="has no submission"),
    Damage("a submission without job", sql(NO_JOB), SERVES, says="has no job"),
    Damage("a job without queue", sql(NO_QUEUE), says="the queue host of"),
    Damage("a directory instead", _directory, *[EXIT_FAILED] * 2, says="batchyard.db"),
    Damage("a garbled log", file("batchyard.db-wal", b"\xa5" * 5000), SERVES, SERVES, SERVES),
    Damage("garbled journals", _journals, SERVES, SERVES, SERVES),
    Damage("a garbled server.json", file("server.json", b"{"), SERVES, SERVES, EXIT_FAILED, "server.json is damaged"),
    Damage("a garbled keys.json", file("keys.json", b"\xff"), EXIT_FAILED, SERVES, SERVES, "keys.json is damaged"),
    Damage(
        "keys for everybody", file("keys.json", b"{}", mode=0o644), EXIT_FAILED, SERVES, SERVES, "is open to others"
    ),
    Damage(
        "a garbled operator key", file("operator-key.json", b"["), EXIT_FAILED, SERVES, SERVES, "key.json is damaged"
    ),
    Damage("a garbled secret", file("secret", b"short"), EXIT_FAILED, SERVES, SERVES, "secret is damaged"),
    Damage("no key of the secrets", _no_key, SERVES, SERVES, EXIT_FAILED, "secrets.key is not there"),
    Damage(
        "a garbled key of the secrets",
        file(".config/batchyard/secrets.key", b"\xa5" * 50, of_home=True),
        *(SERVES, SERVES, EXIT_FAILED, "secrets.key is damaged"),
    ),
    Damage(
        "another key of the secrets",
        file(".config/batchyard/secrets.key", KEY, of_home=True),
        *(SERVES, SERVES, EXIT_FAILED, "holds another key than"),
    ),
    Damage(
        "garbled settings",
        file(".config/batchyard/config.toml", b"port = = 1", of_home=True),
        *(EXIT_USAGE, EXIT_USAGE, EXIT_USAGE, "config.toml"),
    ),
)
