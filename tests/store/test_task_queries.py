"""Attempts as ECS lists tasks: by pages, each once."""

import pytest

from batchyard.core.model import names
from batchyard.core.model.changes import Changes
from batchyard.core.model.records import Attempt, Placement, Status
from batchyard.store.queries import Reader, TaskRow
from batchyard.store.writer import Writer
from tests.store.samples import NOW_MS, job_id, make_job, make_spec, ran, submit
from tests.store.test_queries import array_of_four, commit


def fill(writer: Writer) -> None:
    """Jobs with none to three ended attempts, some with one that is placed, and an array."""
    keys = range(100, 112)
    changes: Changes = submit(*(make_spec(key) for key in keys))
    for key in keys:
        count, is_placed = key % 4, key % 3 == 0
        past = tuple(ran(number, NOW_MS + 1000 - 10 * key + number) for number in range(1, count + 1))
        current = Attempt(
            count + 1, "local", "process", (Placement("i-1"),), started_at_ms=NOW_MS + 5000 + key if key % 2 else 0
        )
        status = (Status.RUNNING if key % 2 else Status.STARTING) if is_placed else Status.FAILED
        changes.jobs[key] = make_job(key, status, past=past, attempt=current if is_placed else None)
    array = array_of_four()
    array.jobs[12] = make_job(
        12, Status.RUNNING, past=(ran(1),), attempt=Attempt(2, "local", "process", (Placement("i-1"),), NOW_MS)
    )
    commit(writer, array, changes)


def walk(reader: Reader, limit: int, *, placed: bool) -> list[TaskRow]:
    rows, token = reader.tasks(limit, placed=placed)
    while token:
        assert len(rows) % limit == 0
        assert rows[-1].cursor == token
        page, token = reader.tasks(limit, token, placed=placed)
        rows += page
    return rows


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
def test_each_attempt_is_listed_once(writer: Writer, reader: Reader, limit: int) -> None:
    fill(writer)
    started = walk(reader, limit, placed=False)
    assert started == walk(reader, 1000, placed=False)
    ids = [row.task_id for row in started]
    assert len(set(ids)) == len(ids)
    for row in started:
        assert row.task_id == names.task_id(row.job_key, row.attempt.number, row.job_id)
        assert row.is_current == (row.attempt.stopped_at_ms == 0)
    assert {row.job_id for row in started} >= {job_id(101), f"{job_id(10)}:0", f"{job_id(10)}:1"}
    latest = [max(row.attempt.started_at_ms for row in started if row.job_key == key) for key in order_of(started)]
    assert latest == sorted(latest, reverse=True)


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_what_is_placed_is_listed_by_job(writer: Writer, reader: Reader, limit: int) -> None:
    fill(writer)
    placed = walk(reader, limit, placed=True)
    assert [row.job_key for row in placed if row.job_key >= 100] == [102, 105, 108, 111]
    assert all(row.is_current for row in placed)


def order_of(rows: list[TaskRow]) -> list[int]:
    return list(dict.fromkeys(row.job_key for row in rows))


@pytest.mark.parametrize("cursor", ["x", "WyJzdGFydGVkIl0", "bm9uc2Vuc2U"])
def test_a_wrong_cursor_is_refused(writer: Writer, reader: Reader, cursor: str) -> None:
    for placed in (False, True):
        with pytest.raises(ValueError, match="nextToken is not valid"):
            reader.tasks(5, cursor, placed=placed)
