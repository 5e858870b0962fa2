"""Finds finished jobs and executions that are old enough to be deleted, in batches small enough for one transaction.

Keys follow the order of submission, so that a walk along them ends at the first that is younger than the limit: what
was submitted later cannot have ended earlier.
"""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import Connection, bindparam, select

from batchyard.core.model import names
from batchyard.core.model.attempt_node import task_id_of
from batchyard.core.model.records import DEFAULT_CONTAINER, Job, Status
from batchyard.store import codec
from batchyard.store.tables import container_logs, executions, job_specs, jobs, map_runs

BITE_ROWS = 500  # deleted in one transaction, which other commits wait for: a few milliseconds
SPECS_AT_ONCE = 200  # looked at in one query
EXECUTIONS_AT_ONCE = 200  # likewise; each may have 500 rows of events


class Prunable(Struct, frozen=True):
    """A finished submission: the range of its rows, the task ids of every attempt that ran, and the containers whose
    logs each of those has."""

    key: int
    last_key: int
    task_ids: tuple[str, ...]
    containers: tuple[str, ...] = (DEFAULT_CONTAINER,)


class Bite(Struct, frozen=True):
    """`after`: where the next bite begins; None when nothing older is left."""

    jobs: list[Prunable]
    after: int | None


class ExecutionBite(Struct, frozen=True):
    """`keys`: of executions that go; `after`: where the next bite begins; None when nothing older is left."""

    keys: list[int]
    after: int | None


_SPECS = (
    select(
        job_specs.c.key, job_specs.c.last_key, job_specs.c.job_id, job_specs.c.created_at_ms,
        jobs.c.status, jobs.c.stopped_at_ms, job_specs.c.log_group,
    )
    .select_from(job_specs.join(jobs, jobs.c.key == job_specs.c.key))
    .where(job_specs.c.key > bindparam("after"))
    .order_by(job_specs.c.key)
    .limit(SPECS_AT_ONCE)
)  # fmt: skip
_ROWS = select(jobs.c.key, jobs.c.body).where(jobs.c.key.between(bindparam("key"), bindparam("last_key")))

_HEADS = select(container_logs.c.stream_head).where(container_logs.c.key == bindparam("key"))


def next_bite(connection: Connection, after: int, before_ms: int) -> Bite:
    """Returns the submissions after the key `after` that ended before `before_ms`: about BITE_ROWS rows, or one
    array."""
    found: list[Prunable] = []
    rows = 0
    specs = connection.execute(_SPECS, {"after": after}).all()
    for spec in specs:
        if spec.created_at_ms >= before_ms or rows >= BITE_ROWS:
            return Bite(found, after if rows >= BITE_ROWS else None)
        after = spec.key
        if Status(spec.status).is_final and spec.stopped_at_ms < before_ms:
            tasks, count = _tasks(connection, spec.key, spec.last_key, spec.job_id)
            found.append(Prunable(spec.key, spec.last_key, tasks, _containers(connection, spec.key, spec.log_group)))
            rows += count
    return Bite(found, after if len(specs) == SPECS_AT_ONCE else None)


def _containers(connection: Connection, key: int, log_group: str) -> tuple[str, ...]:
    if log_group:
        return (DEFAULT_CONTAINER,)
    heads = connection.execute(_HEADS, {"key": key}).scalars()
    return tuple(container_of_head(head) for head in heads)


def container_of_head(head: str) -> str:
    """`<prefix>/<container>/` -> the container."""
    return head[:-1].rpartition("/")[2]


def _tasks(connection: Connection, key: int, last_key: int, job_id: str) -> tuple[tuple[str, ...], int]:
    """Returns the task ids of all attempts of the submission, and the number of its rows."""
    tasks: list[str] = []
    count = 0
    for row_key, body in connection.execute(_ROWS, {"key": key, "last_key": last_key}):
        count += 1
        name = job_id if row_key == key else names.child_id(job_id, names.child_index(key, row_key))
        for number, nodes in _attempts(codec.decode_job(body)):
            attempt_id = names.task_id(row_key, number, name)
            tasks += [task_id_of(attempt_id, node) for node in range(nodes)]
    return tuple(tasks), count


def _attempts(job: Job) -> list[tuple[int, int]]:
    """Returns the number of each attempt, and how many nodes it has."""
    current = () if job.attempt is None else (job.attempt,)
    return [(attempt.number, len(attempt.placements)) for attempt in (*job.past, *current)]


_EXECUTIONS = (
    select(executions.c.key, executions.c.status, executions.c.body, map_runs.c.arn.label("map_run"))
    .select_from(executions.outerjoin(map_runs, map_runs.c.arn == executions.c.listed_under))
    .where(executions.c.key > bindparam("after"))
    .order_by(executions.c.key)
    .limit(EXECUTIONS_AT_ONCE)
)


def next_executions(connection: Connection, after: int, before_ms: int) -> ExecutionBite:
    """Returns the executions after the key `after` that ended before `before_ms`. Children of a map run stay for as
    long as it does, which goes with the execution of its Map state."""
    rows = connection.execute(_EXECUTIONS, {"after": after}).all()
    keys: list[int] = []
    for row in rows:
        execution = codec.decode_listed_execution(row.body)
        if execution.started_at_ms >= before_ms:
            return ExecutionBite(keys, None)
        after = row.key
        if execution.status.is_final and execution.stopped_at_ms < before_ms and row.map_run is None:
            keys.append(row.key)
    return ExecutionBite(keys, after if len(rows) == EXECUTIONS_AT_ONCE else None)
