"""Every query that other rooms can make of the store. Uses read-only connections of its own; each call sees one state.

Pages are lists with the cursor of the next page, an opaque text, None on the last. Functions that take a cursor
raise ValueError, with a sentence for the caller, when it cannot be read. All raise OutOfTime inside a `time_budget`
that is used up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, func, select, tuple_

from batchyard.core.model.changes import Snapshot
from batchyard.core.model.deliveries import Message
from batchyard.core.model.executions import Execution, Frame, HistoryEvent, MapRun
from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.records import Definition, Environment, Queue, Ranges, Status
from batchyard.store import (
    attempt_queries,
    codec,
    delivery_queries,
    execution_queries,
    fact_queries,
    job_queries,
    job_search,
    listing_queries,
    log_queries,
    task_queries,
)
from batchyard.store.attempt_queries import AttemptFilter, PastAttempt
from batchyard.store.budgets import OutOfTime, check_time, is_spent, time_budget
from batchyard.store.cursors import decode_cursor, encode_cursor
from batchyard.store.driver import Driver
from batchyard.store.execution_queries import ExecutionFilter
from batchyard.store.job_queries import AttemptView, JobTags, JobView
from batchyard.store.job_search import JobFilter, SearchPage
from batchyard.store.load import load
from batchyard.store.log_queries import LogGroup, LogStream
from batchyard.store.retention_queries import Bite, ExecutionBite, next_bite, next_executions
from batchyard.store.tables import TEXT_END, definitions, documents, environments, jobs, queues
from batchyard.store.task_queries import TaskRow

__all__ = [
    "AttemptFilter",
    "AttemptView",
    "ExecutionFilter",
    "JobFilter",
    "JobTags",
    "JobView",
    "LogGroup",
    "LogStream",
    "OutOfTime",
    "PastAttempt",
    "Reader",
    "SearchPage",
    "TaskRow",
    "check_time",
    "is_spent",
    "time_budget",
]


_DEFINITIONS = (
    select(definitions.c.name, definitions.c.revision, definitions.c.body)
    .where(tuple_(definitions.c.name, definitions.c.revision) > tuple_(bindparam("at_name"), bindparam("at_revision")))
    .order_by(definitions.c.name, definitions.c.revision)
    .limit(bindparam("limit"))
)
_COUNTS = (
    select(jobs.c.status, func.count().label("number"))
    .where(jobs.c.queue == bindparam("queue"))
    .group_by(jobs.c.status)
)


class Reader:
    """The queries of one database. `driver`: of a database that a Writer has opened before. May be used from several
    threads at once."""

    def __init__(self, driver: Driver) -> None:
        self._engine = driver.read_engine()

    def close(self) -> None:
        self._engine.dispose()

    def snapshot(self, now_ms: int) -> Snapshot:
        """Returns the state that a machine would start from now; see load.load."""
        with self._engine.connect() as connection:
            return load(connection, now_ms)

    # -- Facts --

    def facts_after(self, sequence: int, limit: int) -> list[tuple[int, list[Fact]]]:
        """Returns facts that wait for their consumers; see fact_queries.facts_after."""
        with self._engine.connect() as connection:
            return fact_queries.facts_after(connection, sequence, limit)

    # -- Deliveries --

    def messages(self, sequences: Sequence[int]) -> dict[int, Message]:
        """Returns the messages of these deliveries; see delivery_queries.messages."""
        with self._engine.connect() as connection:
            return delivery_queries.messages(connection, sequences)

    # -- Executions --

    def execution(self, arn: str) -> Execution | None:
        with self._engine.connect() as connection:
            return execution_queries.find_execution(connection, arn)

    def executions(
        self, wanted: ExecutionFilter, limit: int = 100, after: str | None = None
    ) -> tuple[list[Execution], str | None]:
        """Returns executions newest first; see execution_queries.list_executions."""
        with self._engine.connect() as connection:
            return execution_queries.list_executions(connection, wanted, limit, after)

    def history(
        self, execution_key: int, limit: int = 100, after: int | None = None, *, is_reverse: bool = False
    ) -> tuple[list[HistoryEvent], int | None]:
        """Returns a page of an execution's history; see execution_queries.history."""
        with self._engine.connect() as connection:
            return execution_queries.history(connection, execution_key, limit, after, is_reverse=is_reverse)

    def execution_state(self, execution_key: int) -> tuple[list[Frame], int]:
        """Returns the frames of an execution, and the id of its last event."""
        with self._engine.connect() as connection:
            end = execution_queries.history_end(connection, execution_key)
            return execution_queries.frames(connection, execution_key), end

    def unsuccessful_children(self, map_run_arn: str) -> list[tuple[Execution, list[Frame], int]]:
        """Returns what RedriveExecution needs of a map run; see execution_queries.unsuccessful_children."""
        with self._engine.connect() as connection:
            return execution_queries.unsuccessful_children(connection, map_run_arn)

    def map_run(self, arn: str) -> MapRun | None:
        with self._engine.connect() as connection:
            return execution_queries.find_map_run(connection, arn)

    def map_runs(
        self, execution_key: int, limit: int = 100, after: str | None = None
    ) -> tuple[list[MapRun], str | None]:
        """Returns the map runs of an execution, in the order in which they started."""
        with self._engine.connect() as connection:
            return execution_queries.list_map_runs(connection, execution_key, limit, after)

    # -- Jobs --

    def jobs(self, ids: Sequence[str]) -> list[JobView]:
        """Returns the jobs and children with these ids or ARNs, each once, in the order of the request, without
        unknown ones."""
        with self._engine.connect() as connection:
            return job_queries.find_jobs(connection, ids)

    def prunable(self, after: int, before_ms: int) -> Bite:
        """Returns submissions after the key `after` that ended before `before_ms`; see pruning.next_bite."""
        with self._engine.connect() as connection:
            return next_bite(connection, after, before_ms)

    def prunable_executions(self, after: int, before_ms: int) -> ExecutionBite:
        """Returns executions after the key `after` that ended before `before_ms`; see
        retention_queries.next_executions."""
        with self._engine.connect() as connection:
            return next_executions(connection, after, before_ms)

    def list_jobs(
        self,
        queue: str,
        status: Status | None = None,
        filter_name: str | None = None,
        filter_values: Sequence[str] = (),
        limit: int = 100,
        after: str | None = None,
    ) -> tuple[list[JobView], str | None]:
        """Returns a queue's top-level jobs; see listing_queries.list_jobs."""
        with self._engine.connect() as connection:
            return listing_queries.list_jobs(connection, queue, status, filter_name, filter_values, limit, after)

    def search_jobs(
        self, wanted: JobFilter, limit: int = 50, older: str | None = None, newer: str | None = None
    ) -> SearchPage:
        """Returns top-level jobs of all queues, newest first; see job_search.search_jobs."""
        with self._engine.connect() as connection:
            return job_search.search_jobs(connection, wanted, limit, older, newer)

    def dependents(self, job: JobView, limit: int = 30) -> list[JobView]:
        """Returns jobs that depend on this one, the oldest first; see job_search.dependents."""
        with self._engine.connect() as connection:
            return job_search.dependents(connection, job, limit)

    def capped_counts(self, queue: str = "", most: int = 1001) -> dict[str, int]:
        """Returns the number of top-level jobs by status, each counted up to `most`; see job_search.count_jobs."""
        with self._engine.connect() as connection:
            return job_search.count_jobs(connection, queue, most)

    def list_children(
        self, parent: JobView, status: Status | None = None, limit: int = 100, after: str | None = None
    ) -> tuple[list[JobView], str | None]:
        """Returns an array's children by index; none for a job that is not an array."""
        with self._engine.connect() as connection:
            return listing_queries.list_children(connection, parent, status, limit, after)

    def child_states(self, parent: JobView) -> dict[str, Ranges]:
        """Returns the indexes of an array's children by status; none for a job that is not an array."""
        with self._engine.connect() as connection:
            return listing_queries.child_states(connection, parent)

    def last_child(self, parent: JobView) -> JobView | None:
        """Returns the child of an array that ended last; None for a job that is not an array."""
        with self._engine.connect() as connection:
            return listing_queries.last_child(connection, parent)

    def list_nodes(
        self, job_id: str, status: Status, limit: int = 100, after: str | None = None
    ) -> tuple[list[JobView], str | None]:
        """Returns a multi-node job's nodes by index; none for another job, or an unknown one."""
        with self._engine.connect() as connection:
            return listing_queries.list_nodes(connection, job_id, status, limit, after)

    def finished_statuses(self, ids: Sequence[str]) -> dict[str, str]:
        """Returns the final statuses of those of the jobs and children that have ended, by the id as given."""
        with self._engine.connect() as connection:
            return job_queries.finished_statuses(connection, ids)

    def tags(self, ids: Sequence[str]) -> dict[str, JobTags]:
        """Returns the tags and keys of top-level jobs, by job id, without unknown ones."""
        with self._engine.connect() as connection:
            return job_queries.find_tags(connection, ids)

    def counts(self, queue: str) -> dict[str, int]:
        """Returns the number of a queue's top-level jobs by status, without statuses that have none."""
        with self._engine.connect() as connection:
            return {row.status: row.number for row in connection.execute(_COUNTS, {"queue": queue})}

    # -- Logs --

    def attempt(self, task_id: str) -> AttemptView | None:
        """Returns the job and attempt that a task id names; None when no job can ever have had it."""
        with self._engine.connect() as connection:
            return job_queries.find_attempt(connection, task_id)

    def log_groups(
        self, prefix: str = "", limit: int = 50, after: str | None = None
    ) -> tuple[list[LogGroup], str | None]:
        """Returns the log groups, by name. A group exists from the first submission that names it."""
        with self._engine.connect() as connection:
            return log_queries.list_groups(connection, prefix, limit, after)

    def log_groups_after(self, prefix: str, name: str, limit: int) -> list[LogGroup]:
        """Returns the log groups after the name `name`, by name."""
        with self._engine.connect() as connection:
            return log_queries.list_groups(connection, prefix, limit, encode_cursor("groups", name))[0]

    def log_streams_since(self, group: str, since_ms: int, limit: int) -> list[LogStream]:
        """Returns a group's streams of jobs whose latest attempts started at `since_ms` or later, by that start."""
        with self._engine.connect() as connection:
            return log_queries.streams_since(connection, group, since_ms, limit)

    def log_streams(
        self,
        group: str,
        stream_prefix: str = "",
        limit: int = 50,
        after: str | None = None,
        *,
        descending: bool = False,
        by_time: bool = False,
    ) -> tuple[list[LogStream], str | None]:
        """Returns a group's streams: the attempts that ran; see log_queries.list_streams."""
        with self._engine.connect() as connection:
            return log_queries.list_streams(connection, group, stream_prefix, limit, after, descending, by_time)

    # -- Tasks --

    def tasks(self, limit: int, after: str | None = None, *, placed: bool) -> tuple[list[TaskRow], str | None]:
        """Returns attempts as ECS lists them: those placed now, or all that ever started; see
        task_queries.list_tasks."""
        with self._engine.connect() as connection:
            return task_queries.list_tasks(connection, limit, after, placed=placed)

    def past_attempts(
        self, wanted: AttemptFilter, limit: int, after: str | None = None
    ) -> tuple[list[PastAttempt], str | None]:
        """Returns the attempts that ran in a span of time; see attempt_queries.past_attempts."""
        with self._engine.connect() as connection:
            return attempt_queries.past_attempts(connection, wanted, limit, after)

    # -- Environments, queues, definitions --

    def environments(
        self, wanted: Sequence[str] | None = None, limit: int = 100, after: str | None = None
    ) -> tuple[list[Environment], str | None]:
        """Returns the environments by name; `wanted`: only those names (None: all)."""
        return self._documents(environments, codec.decode_environment, wanted, limit, after)

    def queues(
        self, wanted: Sequence[str] | None = None, limit: int = 100, after: str | None = None
    ) -> tuple[list[Queue], str | None]:
        """Returns the queues by name; `wanted`: only those names (None: all)."""
        return self._documents(queues, codec.decode_queue, wanted, limit, after)

    def definitions(
        self,
        wanted: Sequence[tuple[str, int]] | None = None,
        name: str | None = None,
        status: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> tuple[list[Definition], str | None]:
        """Returns the definitions by name and revision. `wanted`: only those (name, revision); `name`, `status`:
        only those that have them."""
        statement = _DEFINITIONS
        if wanted is not None:
            statement = statement.where(tuple_(definitions.c.name, definitions.c.revision).in_(list(wanted)))
        if name is not None:
            statement = statement.where(definitions.c.name == name)
        if status is not None:
            statement = statement.where(definitions.c.status == status)
        at_name, at_revision = decode_cursor(after, "definitions", str, int) if after else ("", 0)
        where = {"at_name": at_name, "at_revision": at_revision, "limit": limit + 1}
        with self._engine.connect() as connection:
            rows = connection.execute(statement, where).all()
        cursor = encode_cursor("definitions", *rows[limit - 1][:2]) if len(rows) > limit else None
        return [codec.decode_definition(row.body) for row in rows[:limit]], cursor

    def documents(
        self,
        kind: str,
        wanted: Sequence[str] | None = None,
        limit: int = 100,
        after: str | None = None,
        prefix: str = "",
    ) -> tuple[list[Any], str | None]:
        """Returns the records of one kind of documents, by name; `wanted`: only those names (None: all); `prefix`: only
        those whose names begin so."""
        name = documents.c.name
        at = decode_cursor(after, kind, str)[0] if after else ""
        statement = select(name, documents.c.body).where(documents.c.kind == kind, name > at)
        if prefix:
            statement = statement.where(name >= prefix, name < prefix + TEXT_END)
        if wanted is not None:
            statement = statement.where(name.in_(list(wanted)))
        with self._engine.connect() as connection:
            rows = connection.execute(statement.order_by(name).limit(limit + 1)).all()
        cursor = encode_cursor(kind, rows[limit - 1][0]) if len(rows) > limit else None
        return [codec.decode_document(kind, body) for _, body in rows[:limit]], cursor

    def _documents(
        self, table: Any, decode: Any, wanted: Sequence[str] | None, limit: int, after: str | None
    ) -> tuple[list[Any], str | None]:
        kind = str(table.name)  # a plain text: SQLAlchemy's own kind of name cannot be encoded
        at = decode_cursor(after, kind, str)[0] if after else ""
        statement = select(table.c.name, table.c.body).where(table.c.name > at).order_by(table.c.name).limit(limit + 1)
        if wanted is not None:
            statement = statement.where(table.c.name.in_(list(wanted)))
        with self._engine.connect() as connection:
            rows = connection.execute(statement).all()
        cursor = encode_cursor(kind, rows[limit - 1][0]) if len(rows) > limit else None
        return [decode(body) for _, body in rows[:limit]], cursor
