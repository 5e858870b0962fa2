"""The store is opened by its URL; what is SQLite's is behind its driver."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.dialects import postgresql

from batchyard.core.model.changes import Changes
from batchyard.docsgen.imports import imported_names, modules
from batchyard.store.errors import StoreError, StoreLocked
from batchyard.store.sqlite.driver import SqliteDriver
from batchyard.store.sqlite.file_url import file_of_url, url_of_file
from batchyard.store.store import Store
from batchyard.store.writer import _Statements
from tests.store.samples import ACCOUNT, NOW_MS, REGION, job_id, make_spec, submit

WAIT_SECONDS = 30
AWKWARD = "a data?dir#%20 and ünïcode;=&"


@pytest.mark.parametrize("name", ["plain", AWKWARD])
def test_a_url_names_the_file_that_its_path_names(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "b.db"
    url = url_of_file(path)
    assert url.startswith("sqlite:////"), "an absolute path follows the three slashes"
    by_url, by_path = Store.open(url), Store.open(path)
    assert by_url.driver.place == by_path.driver.place == str(path)
    writer = by_url.writer()
    writer.open(ACCOUNT, REGION)
    writer.commit(submit(make_spec(1)), NOW_MS).result(WAIT_SECONDS)
    with pytest.raises(StoreLocked):
        by_path.writer().open(ACCOUNT, REGION)
    reader = by_path.reader()
    assert [view.job_id for view in reader.jobs([job_id(1)])] == [job_id(1)]
    reader.close()
    writer.close()


def test_a_relative_url_is_a_relative_path() -> None:
    assert file_of_url("sqlite:///data/a%20b.db") == Path("data/a b.db")
    assert Store.open("data/a%20b.db").driver.place == "data/a%20b.db", "a plain path is taken as it is"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite://host/data.db"])
def test_a_url_without_a_file_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match=re.escape(f"The store's URL {url} names no file")):
        Store.open(url)


def test_an_unknown_database_is_refused_without_its_password() -> None:
    with pytest.raises(StoreError) as refused:
        Store.open("postgresql://me:hunter2@db/yard")
    assert str(refused.value) == "The store's URL names the database postgresql, which is not known here (sqlite)."


class Named(SqliteDriver):
    """A toy kind of database: a file of its own for each name."""

    kind = "named"

    @classmethod
    def of_name(cls, directory: Path, url: str) -> Named:
        return cls(directory / url.removeprefix("named://"))


def test_another_kind_of_database_is_a_driver(tmp_path: Path) -> None:
    store = Store.open("named://yard", {"named": lambda url: Named.of_name(tmp_path, url)})
    assert store.driver.kind == "named"
    writer = store.writer()
    writer.open(ACCOUNT, REGION)
    writer.commit(submit(make_spec(1)), NOW_MS).result(WAIT_SECONDS)
    reader = store.reader()
    assert len(reader.jobs([job_id(1)])) == 1
    reader.close()
    writer.close()
    assert (tmp_path / "yard").is_file()


def test_a_restored_store_is_a_copy_until_it_is_taken_into_use(tmp_path: Path) -> None:
    first, second = (Store.open(url_of_file(tmp_path / name)) for name in ("first.db", "second.db"))
    writer = first.writer()
    writer.open(ACCOUNT, REGION)
    writer.commit(Changes(), NOW_MS).result(WAIT_SECONDS)
    assert first.driver.back_up(tmp_path / "backup") == (tmp_path / "backup").stat().st_size
    writer.close()
    second.driver.restore(tmp_path / "backup")
    assert (first.driver.is_restored, second.driver.is_restored) == (False, True)
    assert second.driver.survey().faults == []
    assert second.driver.last_time_ms() == NOW_MS
    again = second.writer()
    again.open(ACCOUNT, REGION)
    assert again.is_restored
    again.take_into_use()
    again.close()
    assert not second.driver.is_restored


def test_only_sqlites_own_part_knows_sqlite() -> None:
    """Paths of files, locks and sqlite3 are its; the URL's table alone names it. Log events and metrics are in files of
    their own, which are SQLite's whatever database the store of jobs is."""
    own_files = ("batchyard.store.logs", "batchyard.store.metrics")
    allowed = {"batchyard.store.store": {"batchyard.store.sqlite.driver"}}
    found = []
    for path, module, is_package in modules():
        if not module.startswith("batchyard.store.") or module.startswith(("batchyard.store.sqlite", *own_files)):
            continue
        for line, name in imported_names(ast.parse(path.read_text()), module, is_package):
            is_sqlite = name.startswith(("sqlite3", "fcntl", "batchyard.store.sqlite"))
            if is_sqlite and not any(name.startswith(one) for one in allowed.get(module, ())):
                found.append(f"{module}:{line}: {name}")
    assert found == []


def test_the_statements_of_a_commit_are_postgresqls_too() -> None:
    """Its parameters come in the order of the rows there too, or making the statements fails."""
    dialect: Any = postgresql.dialect(paramstyle="format")  # type: ignore[no-untyped-call]
    steps = _Statements(dialect)._steps
    assert len(steps) > 10
    assert all("?" not in sql and sql.count("%s") for _, sql in steps)
