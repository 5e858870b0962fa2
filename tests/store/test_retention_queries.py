"""Which finished jobs go, in bites, and what going means."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from batchyard.core.model import names
from batchyard.core.model.changes import Changes
from batchyard.core.model.records import ArrayState, Attempt, ContainerLog, Dependency, Job, Status
from batchyard.store import retention_queries
from batchyard.store.errors import StoreFenced
from batchyard.store.queries import Reader
from batchyard.store.store import Store
from batchyard.store.writer import Writer
from tests.store.samples import ACCOUNT, NOW_MS, REGION, make_job, make_spec, ran, submit

LATER = NOW_MS + 1000


def finished(key: int, stopped_at_ms: int, *attempts: Attempt) -> Job:
    return make_job(key, Status.SUCCEEDED, started_at_ms=NOW_MS, stopped_at_ms=stopped_at_ms, past=attempts or (ran(),))


def commit(writer: Writer, changes: Changes) -> None:
    writer.commit(changes, NOW_MS).result()


def walk(reader: Reader, before_ms: int) -> list[list[int]]:
    """The keys of each bite."""
    after: int | None = 0
    bites = []
    while after is not None:
        bite = reader.prunable(after, before_ms)
        bites.append([job.key for job in bite.jobs])
        after = bite.after
    return bites


def test_only_what_ended_before_the_limit_goes(writer: Writer, reader: Reader) -> None:
    commit(writer, submit(*(make_spec(key) for key in range(1, 6))))
    rows = {1: finished(1, LATER - 1), 2: finished(2, LATER), 4: finished(4, NOW_MS + 10), 5: finished(5, NOW_MS + 10)}
    commit(writer, Changes(jobs=rows))
    assert walk(reader, LATER) == [[1, 4, 5]]
    assert walk(reader, NOW_MS + 5) == [[]], "5 was submitted at the limit: nothing behind it is looked at"
    writer.prune([(1, 1), (4, 4)], LATER).result()
    ids = [make_spec(key).job_id for key in range(1, 6)]
    assert [view.job.key for view in reader.jobs(ids)] == [2, 3, 5]
    assert walk(reader, LATER) == [[5]]


def test_an_array_goes_with_its_children_and_their_attempts(writer: Writer, reader: Reader) -> None:
    spec = make_spec(10, array_size=3)
    commit(writer, submit(make_spec(9), spec, make_spec(14)))
    parent = make_job(
        10, Status.SUCCEEDED, stopped_at_ms=NOW_MS + 10, array=ArrayState(3, succeeded=((0, 3),), released_at_ms=1)
    )
    children = {11 + i: finished(11 + i, NOW_MS + 10, ran(1), ran(2)) for i in range(3)}
    commit(writer, Changes(jobs={10: parent, **children}))
    (found,) = reader.prunable(0, LATER).jobs
    assert (found.key, found.last_key) == (10, 13)
    wanted = [names.task_id(11 + i, n, names.child_id(spec.job_id, i)) for i in range(3) for n in (1, 2)]
    assert sorted(found.task_ids) == sorted(wanted)
    writer.prune([(found.key, found.last_key)], LATER).result()
    assert reader.jobs([spec.job_id, f"{spec.job_id}:1"]) == []
    assert len(reader.jobs([make_spec(9).job_id, make_spec(14).job_id])) == 2, "its neighbours stay"


@pytest.mark.parametrize(("rows", "specs"), [(3, 100), (100, 4), (2, 2), (1, 1)])
def test_small_bites_find_everything_once(
    writer: Writer, reader: Reader, monkeypatch: pytest.MonkeyPatch, rows: int, specs: int
) -> None:
    monkeypatch.setattr(retention_queries, "BITE_ROWS", rows)
    monkeypatch.setattr(retention_queries, "_SPECS", retention_queries._SPECS.limit(specs))
    monkeypatch.setattr(retention_queries, "SPECS_AT_ONCE", specs)
    keys = range(1, 12)
    commit(writer, submit(*(make_spec(key) for key in keys)))
    commit(writer, Changes(jobs={key: finished(key, NOW_MS + 20) for key in keys if key != 7}))
    bites = walk(reader, LATER)
    assert [key for bite in bites for key in bite] == [key for key in keys if key != 7]
    assert max(map(len, bites)) <= min(rows, specs)


def test_a_server_that_was_replaced_prunes_nothing(writer: Writer, reader: Reader) -> None:
    commit(writer, submit(make_spec(1)))
    commit(writer, Changes(jobs={1: finished(1, NOW_MS + 10)}))
    assert writer._connection is not None
    writer.epoch -= 1  # as if another server had opened the database since
    with pytest.raises(StoreFenced):
        writer.prune([(1, 1)], LATER).result()
    assert len(reader.jobs([make_spec(1).job_id])) == 1


def test_a_dependency_that_is_gone_counts_as_succeeded(path: Path, writer: Writer, reader: Reader) -> None:
    gone, left = make_spec(1), make_spec(2)
    waits = make_spec(3, depends_on=(Dependency(gone.job_id), Dependency(left.job_id)))
    commit(writer, submit(gone, left))
    commit(writer, Changes(jobs={1: finished(1, NOW_MS + 10)}))
    commit(writer, submit(waits, status=Status.PENDING))
    writer.prune([(1, 1)], LATER).result()
    writer.close()
    again = Store.open(path).writer()
    again.open(ACCOUNT, REGION)
    snapshot = again.load(LATER)
    again.close()
    assert snapshot.finished == {gone.job_id: "SUCCEEDED"}


def test_what_has_several_logs_goes_with_all_of_them(path: Path, writer: Writer, reader: Reader) -> None:
    logs = tuple(ContainerLog(name, "/group", "a/b") for name in ("main", "side"))
    commit(writer, submit(make_spec(1, container_logs=logs), make_spec(2, container_logs=logs[:1])))
    commit(writer, Changes(jobs={key: finished(key, NOW_MS + 10) for key in (1, 2)}))
    first, second = reader.prunable(0, LATER).jobs
    assert (sorted(first.containers), second.containers) == (["main", "side"], ("default",))
    assert len(reader.log_streams("/group")[0]) == 3
    writer.prune([(1, 1)], LATER).result()
    assert len(reader.log_streams("/group")[0]) == 1
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM container_logs").fetchone() == (0,)
