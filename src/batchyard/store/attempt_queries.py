"""The query of attempts that ran in a span of time, for costs, right sizes and replays of what happened."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, and_, bindparam, or_, select, text, tuple_

from batchyard.core.model import names
from batchyard.core.model.records import Attempt, Job, JobSpec
from batchyard.store import codec
from batchyard.store.cursors import decode_cursor, encode_cursor
from batchyard.store.log_queries import spec_key_of
from batchyard.store.tables import STARTED, TEXT_END, job_specs, jobs

KIND = "attempts"  # of cursors


class PastAttempt(Struct, frozen=True):
    """An attempt of a job, or of child `index` (-1: of no array), that ran. `is_last`: the job's latest."""

    spec: JobSpec
    job_id: str
    index: int
    job: Job
    attempt: Attempt
    is_last: bool


class AttemptFilter(Struct, frozen=True):
    """What of the past is wanted: attempts that ran at some time from `since_ms` up to and without `until_ms`.
    `queue`, `definition` (a name, or name:revision): empty: all."""

    since_ms: int
    until_ms: int
    queue: str = ""
    definition: str = ""


_spec, _job = job_specs.c, jobs.c
_ROWS = (
    select(_spec.key, _job.started_at_ms, _job.body)
    .select_from(jobs.join(job_specs, _spec.key == spec_key_of(_job.key).correlate(jobs)))
    .where(text(f"jobs.{STARTED}"))
    .where(tuple_(_job.started_at_ms, _job.key) > tuple_(bindparam("at_ms"), bindparam("at_key")))
    .where(or_(_job.stopped_at_ms == 0, _job.stopped_at_ms > bindparam("since_ms")))
    .order_by(_job.started_at_ms, _job.key)
    .limit(bindparam("limit"))
)
_SPECS = select(_spec.key, _spec.body, _spec.tags).where(_spec.key.in_(bindparam("keys", expanding=True)))


def past_attempts(
    connection: Connection, wanted: AttemptFilter, limit: int, after: str | None
) -> tuple[list[PastAttempt], str | None]:
    """Returns the attempts of at most `limit` jobs, a job's together, by the start of each job's latest attempt. A job
    that starts again between two pages comes twice. Raises ValueError for a wrong cursor."""
    at_ms, at_key = decode_cursor(after, KIND, int, int) if after else (0, 0)
    statement = _ROWS
    if wanted.queue:
        statement = statement.where(_spec.queue == wanted.queue)
    if wanted.definition:
        statement = statement.where(_of_definition(wanted.definition))
    where = {"at_ms": at_ms, "at_key": at_key, "since_ms": wanted.since_ms, "limit": limit + 1}
    rows = connection.execute(statement, where).all()
    page = rows[:limit]
    specs = {
        key: codec.decode_spec(body, tags)
        for key, body, tags in connection.execute(_SPECS, {"keys": sorted({row[0] for row in page})})
    }
    found: list[PastAttempt] = []
    for spec_key, _, body in page:
        found += _attempts(specs[spec_key], codec.decode_job(body), wanted)
    if len(rows) <= limit:
        return found, None
    _, last_ms, last_body = page[-1]
    return found, encode_cursor(KIND, last_ms, codec.decode_job(last_body).key)


def _of_definition(wanted: str) -> Any:
    if ":" in wanted:
        return _spec.definition == wanted
    return and_(_spec.definition > f"{wanted}:", _spec.definition < f"{wanted}:{TEXT_END}")


def _attempts(spec: JobSpec, job: Job, wanted: AttemptFilter) -> Iterator[PastAttempt]:
    """Yields a job's attempts that ran in the span."""
    index = names.child_index(spec.key, job.key)
    job_id = spec.job_id if index < 0 else names.child_id(spec.job_id, index)
    attempts = job.past if job.attempt is None else (*job.past, job.attempt)
    for attempt in attempts:
        if not attempt.started_at_ms or attempt.started_at_ms >= wanted.until_ms:
            continue
        if not attempt.stopped_at_ms or attempt.stopped_at_ms > wanted.since_ms:
            yield PastAttempt(spec, job_id, index, job, attempt, attempt is attempts[-1])
