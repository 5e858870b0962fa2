"""What was committed is there after a reopen; two servers never share a database; a failed commit is the last one."""

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from batchyard.core.model.changes import Changes
from batchyard.core.model.records import Status
from batchyard.store.errors import CommitFailed, DiskFull, StoreDamaged, StoreFenced, StoreLocked, StoreMismatch
from batchyard.store.queries import Reader
from batchyard.store.store import Store
from batchyard.store.writer import SUBMIT_FREE_BYTES, Writer
from tests.store.samples import ACCOUNT, NOW_MS, REGION, finished_job, job_id, make_spec, submit

WAIT_SECONDS = 30


def reopened(path: Path) -> Writer:
    writer = Store.open(path).writer()
    writer.open(ACCOUNT, REGION)
    return writer


def test_a_commit_survives_a_reopen(path: Path, writer: Writer) -> None:
    writer.commit(submit(make_spec(7)), NOW_MS + 5).result(WAIT_SECONDS)
    writer.close()
    again = reopened(path)
    snapshot = again.load(NOW_MS)
    again.close()
    assert [spec.job_id for spec in snapshot.specs] == [job_id(7)]
    assert (snapshot.next_key, snapshot.last_time_ms) == (8, NOW_MS + 5)


CRASH = """
import os, sys
from batchyard.store.store import Store
from tests.store.samples import make_spec, submit, NOW_MS, ACCOUNT, REGION
writer = Store.open(sys.argv[1]).writer()
writer.open(ACCOUNT, REGION)
for key in range(1, 21):
    writer.commit(submit(make_spec(key)), NOW_MS + key).result()
os.kill(os.getpid(), 9)
"""


def test_commits_survive_a_killed_process(path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", CRASH, str(path)], check=False, timeout=WAIT_SECONDS)
    assert killed.returncode == -9
    again = reopened(path)
    snapshot = again.load(NOW_MS)
    again.close()
    assert [spec.key for spec in snapshot.specs] == list(range(1, 21))
    assert again.epoch == 2


def test_commits_keep_their_order_and_later_ones_win(writer: Writer, reader: Reader) -> None:
    futures = [writer.commit(submit(make_spec(1)), NOW_MS)]
    futures += [writer.commit(Changes(jobs={1: finished_job(1, status)}), NOW_MS) for status in list(Status)]
    for future in futures:
        future.result(WAIT_SECONDS)
    assert reader.jobs([job_id(1)])[0].job.status == list(Status)[-1]
    assert reader.list_jobs("default", list(Status)[-1])[0][0].spec.key == 1, "an update lost the job's queue"


def test_time_and_keys_never_go_back(path: Path, writer: Writer) -> None:
    writer.commit(Changes(next_key=50), NOW_MS + 9).result(WAIT_SECONDS)
    writer.commit(Changes(), NOW_MS).result(WAIT_SECONDS)
    snapshot = writer.load(NOW_MS)
    assert (snapshot.next_key, snapshot.last_time_ms) == (50, NOW_MS + 9)


def test_each_open_is_a_new_epoch(path: Path) -> None:
    epochs = []
    for _ in range(3):
        writer = reopened(path)
        epochs.append(writer.epoch)
        writer.close()
    assert epochs == [1, 2, 3]


def test_only_the_owner_may_read_the_files(path: Path, writer: Writer) -> None:
    writer.commit(submit(make_spec(1)), NOW_MS).result(WAIT_SECONDS)
    files = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}
    assert {"batchyard.db", "batchyard.db-wal", "batchyard.db.lock"} <= set(files)
    assert set(files.values()) == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_second_server_is_refused_by_name(path: Path, writer: Writer) -> None:
    with pytest.raises(StoreLocked, match=rf"Another server \(process {os.getpid()}\) is using .*batchyard down"):
        Store.open(path).writer().open(ACCOUNT, REGION)
    writer.commit(Changes(), NOW_MS).result(WAIT_SECONDS)
    writer.close()
    reopened(path).close()


def test_a_writer_whose_epoch_has_passed_is_fenced(path: Path, writer: Writer) -> None:
    with sqlite3.connect(path) as other:
        other.execute("UPDATE meta SET epoch = epoch + 1")
    other.close()
    with pytest.raises(StoreFenced, match="Another server has taken"):
        writer.commit(submit(make_spec(1)), NOW_MS).result(WAIT_SECONDS)
    with pytest.raises(CommitFailed, match="An earlier commit failed: Another server"):
        writer.commit(Changes(), NOW_MS).result(WAIT_SECONDS)
    assert writer.load(NOW_MS).specs == []


def test_a_failed_commit_changes_nothing_and_ends_the_writer(writer: Writer) -> None:
    writer.commit(submit(make_spec(1)), NOW_MS).result(WAIT_SECONDS)
    twice = submit(make_spec(2))
    twice.specs.append(make_spec(1))
    twice.jobs[1] = finished_job(1)
    futures = [writer.commit(twice, NOW_MS), writer.commit(submit(make_spec(3)), NOW_MS)]
    with pytest.raises(CommitFailed, match=r"UNIQUE constraint failed: job_specs.key"):
        futures[0].result(WAIT_SECONDS)
    with pytest.raises(CommitFailed, match="An earlier commit failed"):
        futures[1].result(WAIT_SECONDS)
    snapshot = writer.load(NOW_MS)
    assert [job.key for job in snapshot.jobs] == [1]


def test_a_full_disk_has_an_error_of_its_own(writer: Writer) -> None:
    assert writer._connection is not None
    pages = writer._connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    writer._connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    big = submit(make_spec(1, parameters={"text": "x" * 100_000}))
    with pytest.raises(DiskFull, match="No space is left for the database"):
        writer.commit(big, NOW_MS).result(WAIT_SECONDS)


@pytest.mark.parametrize(("account", "region"), [("999999999999", REGION), (ACCOUNT, "eu-west-1")])
def test_another_account_or_region_is_refused(path: Path, writer: Writer, account: str, region: str) -> None:
    writer.close()
    with pytest.raises(StoreMismatch, match=f"belongs to account {ACCOUNT} in {REGION}, not to account {account}"):
        Store.open(path).writer().open(account, region)
    again = reopened(path)
    again.close()
    assert again.epoch == 2, "a refused open must leave the database as it was"


def test_a_newer_schema_is_refused(path: Path, writer: Writer) -> None:
    writer.close()
    with sqlite3.connect(path) as other:
        other.execute("UPDATE meta SET schema_version = 999")
    other.close()
    with pytest.raises(
        StoreMismatch, match=r"It has schema version 999; this Batchyard knows up to \d+\. Use the newer"
    ):
        reopened(path)


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"something else entirely " * 100)
    with pytest.raises(StoreDamaged, match=r"file is not a database\. Nothing of it can be read. Move .* aside"):
        reopened(path)


def test_a_space_in_the_path_and_free_space(tmp_path: Path) -> None:
    path = tmp_path / "a data?dir#%20" / "b.db"
    writer = reopened(path)
    writer.commit(submit(make_spec(1)), NOW_MS).result(WAIT_SECONDS)
    reader = Store.open(path).reader()
    assert len(reader.jobs([job_id(1)])) == 1
    free = os.statvfs(tmp_path)
    assert 0 < writer.free_bytes() <= free.f_blocks * free.f_frsize
    assert SUBMIT_FREE_BYTES > 0
    reader.close()
    writer.close()


def test_close_finishes_what_was_asked_for(path: Path, writer: Writer) -> None:
    futures = [writer.commit(submit(make_spec(key)), NOW_MS) for key in range(1, 30)]
    writer.close()
    assert all(future.done() and future.exception() is None for future in futures)
    assert sum(writer.commit_times.counts) == len(futures)
    assert writer.commit_times.total_seconds > 0
