"""Loads what a machine starts from: everything unfinished, and what can still be asked about finished jobs.

The cost depends on the unfinished work alone; finished jobs are not read here, however many the database has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, bindparam, select, text

from batchyard.core.model import names
from batchyard.core.model.changes import Snapshot
from batchyard.core.model.records import Definition, Environment, Job, JobSpec, Queue, Status
from batchyard.store import codec, delivery_queries, execution_queries, fact_queries
from batchyard.store.job_queries import find_tags, finished_statuses
from batchyard.store.tables import (
    UNFINISHED,
    definitions,
    documents,
    environments,
    job_specs,
    jobs,
    meta,
    queues,
    revisions,
)

IDEMPOTENCY_MS = 3_600_000  # a retried submission is recognised for an hour

_UNFINISHED = text(f"jobs.{UNFINISHED}")
_SPECS = (
    select(job_specs.c.body, job_specs.c.tags)
    .select_from(jobs.join(job_specs, job_specs.c.key == jobs.c.key))
    .where(_UNFINISHED, jobs.c.queue.is_not(None))
    .order_by(jobs.c.key)
)
_JOBS = select(jobs.c.key, jobs.c.queue, jobs.c.body).where(_UNFINISHED).order_by(jobs.c.key)
_IDEMPOTENCY = (
    select(job_specs.c.idempotency_key, job_specs.c.job_id, job_specs.c.created_at_ms)
    .where(job_specs.c.idempotency_key.is_not(None), job_specs.c.created_at_ms > bindparam("since"))
    .order_by(job_specs.c.created_at_ms, job_specs.c.key)
)


def load(connection: Connection, now_ms: int) -> Snapshot:
    """Loads the state of a machine. `now_ms`: from it follows which submissions are less than an hour old."""
    row = connection.execute(select(meta.c.next_key, meta.c.last_time_ms)).one()
    specs = [codec.decode_spec(body, tags) for body, tags in connection.execute(_SPECS)]
    wanted = sorted({entry.job_id for spec in specs for entry in spec.depends_on if entry.job_id})
    cursors = fact_queries.cursors(connection)
    return Snapshot(
        environments=_environments(connection),
        queues=_queues(connection),
        definitions=_definitions(connection),
        revisions={row.name: row.revision for row in connection.execute(select(revisions).order_by(revisions.c.name))},
        specs=specs,
        jobs=_unfinished(connection, specs),
        finished=_pruned(connection, specs, wanted) | finished_statuses(connection, wanted),
        idempotency={
            key: (job_id, at)
            for key, job_id, at in connection.execute(_IDEMPOTENCY, {"since": now_ms - IDEMPOTENCY_MS})
        },
        next_key=row.next_key,
        last_time_ms=row.last_time_ms,
        documents={
            (kind, name): codec.decode_document(kind, body)
            for kind, name, body in connection.execute(select(documents).order_by(documents.c.kind, documents.c.name))
        },
        deliveries=delivery_queries.states(connection),
        executions=execution_queries.open_executions(connection),
        frames=execution_queries.open_frames(connection),
        history_ends=execution_queries.open_history_ends(connection),
        map_runs=execution_queries.open_map_runs(connection),
        next_execution_key=execution_queries.last_key(connection) + 1,
        cursors=cursors,
        fact_sequence=fact_queries.last_sequence(connection, cursors),
    )


def _pruned(connection: Connection, specs: list[JobSpec], wanted: list[str]) -> dict[str, str]:
    """Returns the dependencies that were pruned: only finished jobs are pruned, and if one had failed, the jobs that
    waited for it would have ended with it."""
    unfinished = {spec.job_id for spec in specs}
    asked = [text for text in wanted if names.parse_job_id(text).uuid not in unfinished]
    known = find_tags(connection, [names.parse_job_id(text).uuid for text in asked])
    return {text: Status.SUCCEEDED.value for text in asked if names.parse_job_id(text).uuid not in known}


def _unfinished(connection: Connection, specs: list[JobSpec]) -> list[Job]:
    """Returns the unfinished rows, by key, without children whose parent has finished."""
    found: list[Job] = []
    last_key = 0  # of the unfinished submission passed last: rows and specs ascend together
    arrays = iter(specs)
    for key, queue, body in connection.execute(_JOBS):
        if queue is not None:
            spec = next(arrays)
            assert spec.key == key, f"the unfinished job {key} has no spec"
            last_key = key + spec.array_size
        elif key > last_key:
            continue
        found.append(codec.decode_job(body))
    return found


def _environments(connection: Connection) -> list[Environment]:
    rows = connection.execute(select(environments.c.body).order_by(environments.c.name))
    return [codec.decode_environment(body) for (body,) in rows]


def _queues(connection: Connection) -> list[Queue]:
    rows = connection.execute(select(queues.c.body).order_by(queues.c.name))
    return [codec.decode_queue(body) for (body,) in rows]


def _definitions(connection: Connection) -> list[Definition]:
    rows = connection.execute(select(definitions.c.body).order_by(definitions.c.name, definitions.c.revision))
    return [codec.decode_definition(body) for (body,) in rows]


def misfit(snapshot: Snapshot) -> str:
    """Returns what unfinished work depends on and is missing; empty: nothing. Must be cheap: it runs at every start."""
    for fault in missing_environments(snapshot.queues, {one.name for one in snapshot.environments}):
        return fault
    queues = {queue.name for queue in snapshot.queues}
    return next(
        (
            f"the queue {spec.queue} of the unfinished job {spec.job_id} is missing"
            for spec in snapshot.specs
            if spec.queue not in queues
        ),
        "",
    )


def missing_environments(queues: Sequence[Queue], known: set[str]) -> Iterator[str]:
    """Returns the beginning of a sentence for each environment of `queues` that is not `known`."""
    for queue in queues:
        for one in queue.environments:
            if one.environment not in known:
                yield f"the environment {one.environment} of the queue {queue.name} is missing"
