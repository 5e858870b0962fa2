"""A backup has the log events and the metrics of a data directory in files beside it; spoiled ones are refused."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from batchyard.evaluators.metrics.samples import samples_of
from batchyard.server.admin.backups import back_up, restore
from batchyard.server.service_store import open_store
from batchyard.server.settings.paths import Paths
from batchyard.store.errors import StoreDamaged, StoreError
from batchyard.store.logs.log_records import LogEvent
from batchyard.store.logs.log_writer import LogWriter
from batchyard.store.metrics.metric_store import MetricStore
from batchyard.store.metrics.series import Datum, Series

EVENTS = 500
NOW_S = 1_700_000_040
PAGE_BYTES = 4096
Spoil = Callable[[Path], object]


def paths_of(directory: Path) -> Paths:
    directory.mkdir(mode=0o700)
    return Paths(directory, directory / "work", directory / "run")


@pytest.fixture
def used(tmp_path: Path) -> Iterator[Paths]:
    """A data directory in use."""
    paths = paths_of(tmp_path / "data")
    store = open_store(paths).writer()
    store.open("123456789012", "us-east-1")
    logs = LogWriter(paths.log_database, lambda: NOW_S * 1000)
    logs.open()
    events = [LogEvent(NOW_S * 1000 + number, f"line {number}") for number in range(EVENTS)]
    logs.append("group", "stream", events, creates=True).result()
    metrics = MetricStore(paths.metric_database)
    metrics.put([Datum(Series("mine", f"n{number}"), NOW_S, samples_of([3.0])) for number in range(100)])
    yield paths
    metrics.close()
    logs.close()
    store.close()


def content(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [
            *connection.iterdump(),
            *connection.execute("PRAGMA auto_vacuum"),
            *connection.execute("PRAGMA user_version"),
        ]


def test_what_is_beside_the_database_comes_back(used: Paths, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    found = back_up(used, copy)
    assert [path.name for path, _ in found] == ["copy.db", "copy.db.logs", "copy.db.metrics"]
    assert [(stat.S_IMODE(path.stat().st_mode), path.stat().st_size) for path, _ in found] == [
        (0o600, size) for _, size in found
    ]
    anew = paths_of(tmp_path / "anew")
    assert restore(anew, copy) == []
    assert content(anew.log_database) == content(used.log_database)
    assert content(anew.metric_database) == content(used.metric_database)
    with closing(sqlite3.connect(anew.log_database)) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (EVENTS,)
    logs = LogWriter(anew.log_database, lambda: NOW_S * 1000)
    logs.open()
    logs.append("group", "stream", [LogEvent(NOW_S * 1000, "more")]).result()
    logs.close()


def test_a_copy_of_a_directory_that_has_only_a_database_is_whole(used: Paths, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    assert len(back_up(used, copy)) == 3
    (tmp_path / "copy.db.logs").unlink()
    anew = paths_of(tmp_path / "anew")
    assert restore(anew, copy) == [tmp_path / "copy.db.logs"]
    assert sorted(path.name for path in anew.data_dir.iterdir()) == ["batchyard.db", "metrics.db"]
    assert [path.name for path, _ in back_up(anew, tmp_path / "second.db")] == ["second.db", "second.db.metrics"]


@pytest.mark.parametrize("name", ["copy.db", "copy.db.logs", "copy.db.metrics"])
def test_nothing_is_written_over(used: Paths, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(StoreError, match=f"{name} is there already"):
        back_up(used, tmp_path / "copy.db")
    assert [path.name for path in tmp_path.glob("copy*")] == [name]
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("name", ["batchyard.db", "logs.db", "metrics.db"])
def test_nothing_is_restored_over(used: Paths, tmp_path: Path, name: str) -> None:
    back_up(used, tmp_path / "copy.db")
    anew = paths_of(tmp_path / "anew")
    (anew.data_dir / name).write_text("mine")
    with pytest.raises(StoreError, match=f"{name} is there already"):
        restore(anew, tmp_path / "copy.db")
    assert [path.name for path in anew.data_dir.iterdir()] == [name]


def sql(statement: str) -> Spoil:
    def spoil(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(statement)

    return spoil


def overwrite(at: int) -> Spoil:
    def spoil(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(at)
            file.write(b"\xff" * 64)

    return spoil


SPOILED = {
    "a changed row": sql("UPDATE events SET message = 'no' WHERE sequence = 3"),
    "a lost row": sql("DELETE FROM events WHERE sequence = 3"),
    "a changed seal": sql("UPDATE backup SET digest = 'x'"),
    "no seal": sql("DROP TABLE backup"),
    "a trigger": sql("CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM events; END"),
    "a flipped header": overwrite(0),
    "a garbled page": overwrite(3 * PAGE_BYTES),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[: 5 * PAGE_BYTES]),
    "empty": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_copy_is_not_used(used: Paths, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copy.db"
    back_up(used, copy)
    SPOILED[name](tmp_path / "copy.db.logs")
    anew = paths_of(tmp_path / "anew")
    with pytest.raises(StoreDamaged, match=r"The backup \S+copy\.db\.logs (is damaged|has changed)"):
        restore(anew, copy)
    assert list(anew.data_dir.iterdir()) == []


def test_a_copy_of_a_damaged_file_is_not_made(tmp_path: Path, used: Paths) -> None:
    back_up(used, tmp_path / "copy.db")
    anew = paths_of(tmp_path / "anew")
    restore(anew, tmp_path / "copy.db")
    overwrite(3 * PAGE_BYTES)(anew.log_database)
    with pytest.raises(StoreDamaged, match=r"logs\.db is damaged: .* Move it away"):
        back_up(anew, tmp_path / "second.db")
    assert list(tmp_path.glob("second*")) == []
