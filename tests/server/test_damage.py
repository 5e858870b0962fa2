"""Each kind of damage, and each command on it: no traceback, the right exit code, a sentence that says what and what
to do. A backup is what was written, or it is refused."""

from __future__ import annotations

import gc
import os
import resource
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from unittest import mock

import boto3
import pytest
from typer.testing import CliRunner

from batchyard.__main__ import app
from batchyard.server import startup
from batchyard.server.admin.terminal import EXIT_DAMAGED, EXIT_FAILED
from batchyard.server.parts import Parts
from batchyard.server.service import Service
from batchyard.store.driver import Survey
from batchyard.store.errors import StoreDamaged
from batchyard.store.sqlite import inspection as surveying
from batchyard.store.sqlite.backup import back_up, restore
from batchyard.store.sqlite.connections import COPY_MARK
from batchyard.store.sqlite.inspection import survey
from tests.server.damages import A_TRIGGER, DAMAGES, SERVES, Damage, cut, garbage_in, overwrite, sql
from tests.server.running import BATCHYARD, Server, command, environment
from tests.waiting import until

UP = ("up", "--port", "0", "--engine", "process", "--supervisor-idle-seconds", "1")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a service that was used and stopped: jobs ended, waiting, an array, a secret."""
    home = tmp_path_factory.mktemp("kept")
    with Server(home, "--vcpus", "1") as server:
        done = server.submit(["true"])
        until(lambda: server.status(done) == "SUCCEEDED", describe="the job to end")
        for name in ("a", "b", "c"):
            server.submit(["sleep", "1000"], name)
        container = {"image": "busybox", "vcpus": 1, "memory": 64, "command": ["true"]}
        server.call(
            "RegisterJobDefinition", {"jobDefinitionName": "d", "type": "container", "containerProperties": container}
        )
        job = {"jobName": "many", "jobQueue": "host", "jobDefinition": "d", "arrayProperties": {"size": 3}}
        server.call("SubmitJob", job)
        session = boto3.Session("any", "any", region_name="us-east-1")
        session.client("secretsmanager", endpoint_url=server.address).create_secret(Name="db", SecretString="v")
        assert command(home, "down", "--kill", "--data-dir", str(server.data_dir)).returncode == 0
        server.process.wait(30)
    with closing(sqlite3.connect(home / "data" / "batchyard.db")) as connection:  # its log goes into the file
        waiting = connection.execute("SELECT count(*) FROM jobs WHERE status = 'RUNNABLE'").fetchone()[0]
        assert waiting >= 2, "there is nothing unfinished to damage"
    return home


@pytest.fixture
def home(kept: Path, tmp_path: Path) -> Path:
    shutil.copytree(kept, tmp_path / "home", symlinks=True)
    return tmp_path / "home"


async def would_serve(parts: Parts) -> None:
    """A start to where requests would be served: a test that expects a refusal must not wait for one."""
    Service(parts)
    raise AssertionError("it would serve")


def call(home: Path, *words: str) -> tuple[int, str]:
    """A command that ends by itself, in this process: its exit code, and all that it printed. No traceback."""
    thresholds = gc.get_threshold()
    variables: dict[str, str | None] = dict.fromkeys(os.environ)
    try:
        with mock.patch.object(startup, "_run", would_serve):
            done = CliRunner().invoke(app, [*words], env=variables | environment(home))
    finally:
        gc.set_threshold(*thresholds)
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    assert "Traceback" not in done.output
    assert words[0] == "doctor" or len(done.stderr.splitlines()) <= 1
    return done.exit_code, done.output


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_damage_ends_in_a_sentence(home: Path, damage: Damage) -> None:
    data = home / "data"
    damage.do(data, home)
    where = ("--data-dir", str(data))
    if damage.up != SERVES:  # first: a start that was refused has changed nothing
        code, said = call(home, *UP, *where)
        assert (code, damage.says in said) == (damage.up, True), said
    copy = home / "copy.db"
    for expected, words in ((damage.doctor, ("doctor",)), (damage.backup, ("backup", str(copy)))):
        code, said = call(home, *words, *where)
        assert (code, damage.says in said or expected == SERVES) == (expected, True), said
    assert copy.exists() == (damage.backup == SERVES)
    assert not list(home.glob("*.unfinished*"))
    if damage.up == SERVES:
        with Server(home) as server:
            assert server.call("DescribeJobQueues")["jobQueues"]
        assert "Traceback" not in server.said()


def test_what_is_damaged_names_what_is_left_and_what_to_do(home: Path) -> None:
    sql("UPDATE queues SET body = '{' WHERE name = 'host'")(home / "data", home)
    _, said = call(home, *UP, "--data-dir", str(home / "data"))
    assert "in queues the row of 'host' cannot be understood. Of it can still be read: 2 environments, 1 queue," in said
    assert f"Move {home / 'data'} aside and make it anew of a backup: batchyard restore FILE --data-dir" in said


def test_a_database_that_cannot_be_read_or_written(home: Path) -> None:
    """A full or broken disk: no file may grow."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    words = (*UP, "--data-dir", str(home / "data"))
    limits = environment(home) | {"PYTHONDONTWRITEBYTECODE": "1"}  # what Python would cut short, other tests would load
    done = subprocess.run(
        [*BATCHYARD, *words], env=limits, capture_output=True, text=True, timeout=60, preexec_fn=limited
    )
    assert done.returncode == EXIT_FAILED, done
    assert "Traceback" not in done.stderr
    copy = home / "copy.db"
    done = subprocess.run(
        [*BATCHYARD, "backup", str(copy), "--data-dir", str(home / "data")],
        env=limits,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=limited,
    )
    assert (done.returncode, "Traceback" in done.stderr, "disk I/O error" in done.stderr) == (EXIT_FAILED, False, True)
    assert not copy.exists()


def test_a_database_that_a_tool_holds(home: Path) -> None:
    with closing(sqlite3.connect(home / "data" / "batchyard.db", isolation_level=None)) as tool:
        tool.execute("BEGIN EXCLUSIVE")
        code, said = call(home, *UP, "--data-dir", str(home / "data"))
    assert (code, "is locked: end the program" in said) == (EXIT_FAILED, True), said


def test_what_is_committed_during_a_survey_is_no_damage(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue with its environment, between the reading of the one and of the other."""
    database = home / "data" / "batchyard.db"
    read = surveying._read_rows

    def read_while_others_write(connection: sqlite3.Connection, found: Survey) -> None:
        sql("DELETE FROM queues", "DELETE FROM environments")(home / "data", home)
        read(connection, found)

    monkeypatch.setattr(surveying, "_read_rows", read_while_others_write)
    assert survey(database).faults == []
    monkeypatch.undo()
    assert survey(database).faults != []


# -- backups --

SPOILED = {
    "a trigger": (sql(A_TRIGGER), "it has the trigger t"),
    "no tables": (None, "it has no tables"),
    "a changed row": (sql("UPDATE jobs SET created_at_ms = created_at_ms + 1"), "its digest is another one"),
    "a changed seal": (sql("UPDATE backup SET digest = 'x'"), "its digest is another one"),
    "no seal": (sql("DROP TABLE backup"), "its digest is another one"),
    "a lost row": (sql("DELETE FROM log_groups"), "its digest is another one"),
    "a garbled page": (garbage_in("job_specs"), "is damaged"),
    "a garbled index": (garbage_in("job_specs_by_name"), "is damaged"),
    "a flipped header": (overwrite(0, b"x"), "is no copy made by `batchyard backup`, or its beginning is damaged"),
    "cut short": (cut(pages=9), "is damaged"),
    "empty": (cut(), "is no copy made by"),
    "a missing column": (sql("ALTER TABLE jobs DROP COLUMN stopped_at_ms"), "the table jobs is not as it should be"),
    "a row that is none": (sql("UPDATE queues SET body = '{'"), "in queues the row of"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_backup_is_not_used(home: Path, name: str) -> None:
    spoil, says = SPOILED[name]
    backup = home / "backup" / "batchyard.db"
    backup.parent.mkdir()
    back_up(home / "data" / "batchyard.db", backup)
    if spoil is None:
        backup.unlink()
        with closing(sqlite3.connect(backup, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA user_version={COPY_MARK}")
    else:
        spoil(backup.parent, home)
    code, said = call(home, "restore", str(backup), "--data-dir", str(home / "anew"))
    assert (code, says in said) == (EXIT_DAMAGED, True), said
    assert list((home / "anew").iterdir()) == []
    # Put in place by hand it is looked at as well.
    shutil.copy(backup, home / "data" / "batchyard.db")
    for name in ("batchyard.db-wal", "batchyard.db-shm"):
        (home / "data" / name).unlink(missing_ok=True)
    assert call(home, *UP, "--data-dir", str(home / "data"))[0] == EXIT_DAMAGED


def test_a_backup_comes_back_as_it_was(home: Path) -> None:
    source, backup, anew = home / "data" / "batchyard.db", home / "copy.db", home / "anew.db"
    back_up(source, backup)
    restore(backup, anew)

    def rows(path: Path) -> list[str]:
        with closing(sqlite3.connect(path)) as connection:
            return [line for line in connection.iterdump() if "backup" not in line]

    assert rows(anew) == rows(source) == rows(backup)
    second = home / "second.db"
    back_up(anew, second)
    assert rows(second) == rows(source)
    for name in ("batchyard.db-wal", "batchyard.db-shm"):
        (home / "data" / name).unlink(missing_ok=True)
    shutil.copy(backup, source)  # one that is put in place by hand is taken into use too
    with Server(home, "--check-on-start") as server:
        assert server.call("DescribeJobQueues")["jobQueues"]


def test_a_backup_without_a_seal_of_an_earlier_version_is_used(home: Path) -> None:
    backup, anew = home / "copy.db", home / "anew.db"
    back_up(home / "data" / "batchyard.db", backup)
    with closing(sqlite3.connect(backup, isolation_level=None)) as connection:
        connection.execute("DROP TABLE backup")
        connection.execute(f"PRAGMA user_version={COPY_MARK}")
    restore(backup, anew)
    with closing(sqlite3.connect(anew)) as connection:
        assert connection.execute("SELECT count(*) FROM queues").fetchone()[0] == 2


def test_a_backup_of_a_damaged_database_is_not_made(home: Path) -> None:
    garbage_in("jobs")(home / "data", home)
    with pytest.raises(StoreDamaged, match=r"Of it can still be read: 2 environments"):
        back_up(home / "data" / "batchyard.db", home / "copy.db")
    assert list(home.glob("copy*")) == []


def test_doctor_says_how_far_the_clock_of_the_service_is_ahead(home: Path) -> None:
    where = ("--data-dir", str(home / "data"))
    assert "ahead of it" not in call(home, "doctor", *where)[1]
    ahead_ms = round(time.time() * 1000) + 3 * 86_400_000 + 900_000
    sql(f"UPDATE meta SET last_time_ms = {ahead_ms}")(home / "data", home)
    code, said = call(home, "doctor", *where)
    assert code == 1
    assert "the service's clock is 3 days, 0:1" in said
