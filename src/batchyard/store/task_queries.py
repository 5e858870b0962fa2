"""Queries of attempts as ECS lists tasks: those that are placed, and those that have started, the latest first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, bindparam, select, text, tuple_

from batchyard.core.model import names
from batchyard.core.model.attempt_node import task_id_of
from batchyard.core.model.records import Attempt, JobSpec
from batchyard.store import codec
from batchyard.store.cursors import MAX_INTEGER, decode_cursor, encode_cursor
from batchyard.store.log_queries import MAX_KEY, spec_key_of
from batchyard.store.tables import STARTED, UNFINISHED, job_specs, jobs


class TaskRow(Struct, frozen=True):
    """Attempt `attempt` of the job or child `job_id`, whose key is `job_key`; `spec` comes without task and
    container. `is_current`: it is placed now. `cursor`: of the page that starts after it."""

    spec: JobSpec
    job_key: int
    job_id: str
    task_id: str
    attempt: Attempt
    is_current: bool
    cursor: str


_spec, _job = job_specs.c, jobs.c
_ROWS = (
    select(_spec.key, _spec.body, _spec.tags, _job.started_at_ms, _job.body)
    .select_from(jobs.join(job_specs, _spec.key == spec_key_of(_job.key).correlate(jobs)))
    .limit(bindparam("limit"))
)
_PLACED = (
    _ROWS.where(text(f"jobs.{UNFINISHED}"), _job.status.in_(("STARTING", "RUNNING")), _job.key >= bindparam("at_key"))
).order_by(_job.key)
_LATEST = (
    _ROWS.where(text(f"jobs.{STARTED}"))
    .where(tuple_(_job.started_at_ms, _job.key) <= tuple_(bindparam("at_ms"), bindparam("at_key")))
    .order_by(_job.started_at_ms.desc(), _job.key.desc())
)


def list_tasks(
    connection: Connection, limit: int, after: str | None, *, placed: bool
) -> tuple[list[TaskRow], str | None]:
    """Returns a page of at most `limit` attempts. `placed`: those that are placed now, by job; else all attempts of
    jobs that have started, by the start of each job's latest attempt, a job's attempts together. Raises ValueError
    for a wrong cursor."""
    kind = "placed" if placed else "started"
    at_ms, at_key, at_number = (0, 0, 0) if placed else (MAX_INTEGER, MAX_KEY, 0)
    if after:
        at_ms, at_key, at_number = (int(part) for part in decode_cursor(after, kind, int, int, int))
    # One row more than the page and its successor need: the row that the cursor names may be shown in full already.
    where = {"at_ms": at_ms, "at_key": at_key, "limit": limit + 2}
    found: list[TaskRow] = []
    for row in connection.execute(_PLACED if placed else _LATEST, where):
        found += [task for task in _tasks(row, kind) if task.job_key != at_key or task.attempt.number > at_number]
    return found[:limit], found[limit - 1].cursor if len(found) > limit else None


def _tasks(row: Any, kind: str) -> Iterator[TaskRow]:
    """Yields a job's attempts by number. Listings of placed attempts leave out those that ended before."""
    spec_key, body, tags, started_at_ms, job_body = row
    spec, job = codec.decode_listed_spec(body, tags), codec.decode_job(job_body)
    index = names.child_index(spec_key, job.key)
    job_id = spec.job_id if index < 0 else names.child_id(spec.job_id, index)
    current = () if job.attempt is None else (job.attempt,)
    for attempt in current if kind == "placed" else job.past + current:
        task_id = task_id_of(names.task_id(job.key, attempt.number, job_id), attempt.main_node)
        cursor = encode_cursor(kind, started_at_ms, job.key, attempt.number)
        yield TaskRow(spec, job.key, job_id, task_id, attempt, attempt is job.attempt, cursor)
