"""The only writer: one thread that owns one connection. A commit is one transaction, durable when its future is done.

A commit that fails ends the writer: what the process holds in memory may then be ahead of the disk, so that it must end
and start again from what is durable.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, Table, bindparam, delete, update
from sqlalchemy.exc import DatabaseError
from sqlalchemy.sql.dml import UpdateBase

from batchyard.core.model.changes import Changes, Snapshot
from batchyard.store import dialects, tables
from batchyard.store.codec import UNDECODABLE, Rows, encode_changes
from batchyard.store.commit_times import CommitTimes
from batchyard.store.driver import Driver
from batchyard.store.epoch import claim
from batchyard.store.errors import CommitFailed, DiskFull, StoreDamaged, StoreFenced
from batchyard.store.load import load
from batchyard.store.migrations import current_version, migrate

# Below this SubmitJob is refused. It leaves room for what must still be written for the work already accepted: the ends
# of running attempts, the supervisor's journal, the write-ahead log (16 MiB between checkpoints) and the jobs' logs.
SUBMIT_FREE_BYTES = 128 * 1024 * 1024

_Task = tuple[Changes | Rows, int, "Future[None]"]


class Writer:
    """The writer of a store. `driver`: of the database, which is created when it does not exist."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.epoch = 0
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._failure: CommitFailed | None = None
        self._engine: Engine | None = None
        self._connection: Connection | None = None
        self._thread: Thread | None = None
        self._next_key = 1
        self._last_time_ms = 0
        self.commit_times = CommitTimes()  # replaced by the writer's thread, so that any other may read it

    def open(self, account_id: str, region: str) -> int:
        """Takes the database for this process and returns its new epoch, which is durable.

        Raises StoreLocked when another server has it, StoreMismatch when it belongs to another account or region or a
        newer version wrote it, StoreDamaged when it is not what was written, StoreError when it cannot be opened."""
        assert self._thread is None, "this writer is open"
        errors: tuple[type[Exception], ...] = (DatabaseError, *self._driver.errors)
        self._driver.acquire()
        try:
            self._engine = self._driver.write_engine()
            self._connection = self._engine.connect()
            self._driver.check(self._connection)
            self._claim(self._connection, account_id, region)
            self._statements = _Statements(self._engine.dialect)
        except errors as error:
            self._release()
            raise self._driver.explain(getattr(error, "orig", None) or error) from error
        except BaseException:
            self._release()
            raise
        self._thread = Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()
        return self.epoch

    def load(self, now_ms: int) -> Snapshot:
        """Loads what a machine starts from. Must be called between `open` and the first commit. Raises StoreDamaged
        where a record cannot be decoded."""
        assert self._engine is not None, "this writer is not open"
        try:
            with self._engine.connect() as connection:
                return load(connection, now_ms)
        except DatabaseError as error:
            raise self._driver.explain(error.orig or error) from error
        except UNDECODABLE as error:
            raise self.damaged(str(error)) from error

    def commit(self, changes: Changes, now_ms: int) -> Future[None]:
        """Writes all of `changes` in one transaction; the future is done when it is durable. Commits keep their order.

        `changes` must not be changed afterwards. The future raises DiskFull, StoreFenced or another CommitFailed; so
        does every later commit."""
        return self._enqueue(changes, now_ms)

    def _enqueue(self, work: Changes | Rows, now_ms: int) -> Future[None]:
        assert self._thread is not None, "this writer is not open"
        future: Future[None] = Future()
        self._tasks.put((work, now_ms, future))
        return future

    def prune(self, ranges: list[tuple[int, int]], now_ms: int) -> Future[None]:
        """Deletes finished submissions, each given by the range of its rows' keys, in one transaction."""
        return self._enqueue(Rows(pruned=ranges), now_ms)

    def prune_executions(self, keys: list[int], now_ms: int) -> Future[None]:
        """Deletes closed executions with their frames, histories and map runs, in one transaction."""
        return self._enqueue(Rows(pruned_executions=[(key,) for key in keys]), now_ms)

    def damaged(self, reason: str) -> StoreDamaged:
        """Returns the complete description of the database's damage, as an error to raise; `reason`: what was
        observed."""
        return self._driver.damaged(reason)

    @property
    def is_restored(self) -> bool:
        """Whether the database is a backup's copy that no server has taken into use: it is not known here what its
        placed attempts did since, and none of them may be started."""
        return self._driver.is_restored

    def take_into_use(self) -> None:
        """Turns a restored database, whose attempts have been handled durably, into an ordinary one."""
        self._driver.take_into_use()

    def free_bytes(self) -> int:
        """Returns the space left for this process where the database is stored. Compare with SUBMIT_FREE_BYTES."""
        return self._driver.free_bytes()

    def close(self) -> None:
        """Finishes the commits already requested, and releases the database."""
        if self._thread is not None:
            self._tasks.put(None)
            self._thread.join()
            self._thread = None
        self._release()

    def _release(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None
        self._driver.release()

    def _claim(self, connection: Connection, account_id: str, region: str) -> None:
        connection.exec_driver_sql(dialects.begin_statement(connection.dialect))
        reached = migrate(connection, current_version(connection))
        claimed = claim(connection, self._driver.place, account_id, region, reached)
        connection.exec_driver_sql("COMMIT")
        self.epoch = claimed.epoch
        self._next_key = claimed.next_key
        self._last_time_ms = claimed.last_time_ms

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            changes, now_ms, future = task
            if self._failure is not None:
                future.set_exception(CommitFailed(f"An earlier commit failed: {self._failure}"))
                continue
            began = time.monotonic()
            try:
                self._write(changes if isinstance(changes, Rows) else encode_changes(changes), now_ms)
            except BaseException as error:  # noqa: BLE001 - the future carries it to its caller
                self._failure = self._explain(error)
                self._failure.__cause__ = error
                future.set_exception(self._failure)
            else:
                self.commit_times = self.commit_times.plus(time.monotonic() - began)
                future.set_result(None)

    def _explain(self, error: BaseException) -> CommitFailed:
        if isinstance(error, CommitFailed):
            return error
        if self._driver.is_disk_full(error):
            return DiskFull(
                f"No space is left for the database {self._driver.place}; everything committed before is safe."
            )
        return CommitFailed(f"A commit to the database {self._driver.place} failed: {type(error).__name__}: {error}")

    def _write(self, rows: Rows, now_ms: int) -> None:
        assert self._connection is not None
        cursor = self._connection.connection.cursor()
        next_key = max(self._next_key, rows.next_key)  # 0: no key was given out
        last_time_ms = max(self._last_time_ms, now_ms)
        try:
            cursor.execute(self._statements.begin)
            self._fence(cursor, next_key, last_time_ms)
            self._statements.write(cursor, rows)
            cursor.execute("COMMIT")
        except BaseException as error:
            try:
                cursor.execute("ROLLBACK")
            except self._connection.dialect.loaded_dbapi.Error as second:
                error.add_note(f"Nor could it be rolled back: {second}")  # closing the connection rolls back
            raise
        finally:
            cursor.close()
        self._next_key = next_key
        self._last_time_ms = last_time_ms

    def _fence(self, cursor: Any, next_key: int, last_time_ms: int) -> None:
        cursor.execute(self._statements.fence, (last_time_ms, next_key, self.epoch))
        if cursor.rowcount != 1:
            raise StoreFenced(
                f"Another server has taken the database {self._driver.place}; this one (epoch {self.epoch}) must not "
                "write."
            )


class _Statements:
    """The statements of a commit, compiled once: for a few dozen rows, building them costs more than running them."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.begin = dialects.begin_statement(dialect)
        meta = tables.meta
        self.fence = self._compile(
            update(meta)
            .values(next_key=bindparam("key"), last_time_ms=bindparam("time"))
            .where(meta.c.epoch == bindparam("mine")),
            ("time", "key", "mine"),
        )
        body = ("body",)
        # In this order within a transaction; each with the field of Rows that it takes.
        self._steps: tuple[tuple[str, str], ...] = (
            ("environments", self._upsert(tables.environments, body)),
            ("deleted_environments", self._delete(tables.environments)),
            ("queues", self._upsert(tables.queues, body)),
            ("deleted_queues", self._delete(tables.queues)),
            ("definitions", self._upsert(tables.definitions, ("status", "body"))),
            ("deleted_definitions", self._delete(tables.definitions)),
            ("revisions", self._upsert(tables.revisions, ("revision",))),
            ("documents", self._upsert(tables.documents, body)),
            ("deleted_documents", self._delete(tables.documents)),
            ("log_groups", self._upsert(tables.log_groups, ())),
            ("container_logs", self._compile(tables.container_logs.insert(), tables.container_logs.columns.keys())),
            ("specs", self._compile(tables.job_specs.insert(), tables.job_specs.columns.keys())),
            # Not `queue` and `created_at_ms`, which never change: an update does not know the queue.
            ("jobs", self._upsert(tables.jobs, ("status", "started_at_ms", "stopped_at_ms", "body"))),
            ("job_tags", self._tags()),
            ("pruned", self._prune(tables.jobs)),
            ("pruned", self._prune(tables.job_specs)),
            ("pruned", self._prune(tables.container_logs)),
            ("deliveries", self._compile(tables.deliveries.insert(), tables.deliveries.columns.keys())),
            ("delivery_states", self._delivery_state()),
            ("deleted_deliveries", self._delete(tables.deliveries)),
            ("executions", self._upsert(tables.executions, ("status", "redrive_count", "body", "output", "cause"))),
            ("frames", self._upsert(tables.execution_frames, body)),
            ("deleted_frames", self._delete(tables.execution_frames)),
            ("events", self._compile(tables.execution_events.insert(), tables.execution_events.columns.keys())),
            ("map_runs", self._upsert(tables.map_runs, ("status", "body"))),
            ("pruned_executions", self._delete(tables.executions)),
            ("pruned_executions", self._delete_of_execution(tables.execution_frames)),
            ("pruned_executions", self._delete_of_execution(tables.execution_events)),
            ("pruned_executions", self._delete_of_execution(tables.map_runs)),
            ("facts", self._compile(tables.facts.insert(), tables.facts.columns.keys())),
            ("cursors", self._upsert(tables.fact_cursors, body)),
            ("deleted_cursors", self._delete(tables.fact_cursors)),
            ("forgotten_facts", self._forget_facts()),
        )

    def write(self, cursor: Any, rows: Rows) -> None:
        for field, sql in self._steps:
            values = getattr(rows, field)
            if values:
                cursor.executemany(sql, values)

    def _upsert(self, table: Any, changing: tuple[str, ...]) -> str:
        return self._compile(dialects.upsert(table, changing, self._dialect), table.columns.keys())

    def _delete(self, table: Any) -> str:
        keys = [column.name for column in table.primary_key.columns]
        condition = [table.c[name] == bindparam(name) for name in keys]
        return self._compile(delete(table).where(*condition), keys)

    def _delete_of_execution(self, table: Table) -> str:
        return self._compile(delete(table).where(table.c.execution_key == bindparam("which")), ("which",))

    def _tags(self) -> str:
        specs = tables.job_specs
        statement = update(specs).values(tags=bindparam("new")).where(specs.c.key == bindparam("which"))
        return self._compile(statement, ("new", "which"))

    def _delivery_state(self) -> str:
        table = tables.deliveries
        statement = update(table).values(state=bindparam("new")).where(table.c.sequence == bindparam("which"))
        return self._compile(statement, ("new", "which"))

    def _forget_facts(self) -> str:
        delivered = tables.facts.c.sequence <= bindparam("last")
        return self._compile(delete(tables.facts).where(delivered), ("last",))

    def _prune(self, table: Table) -> str:
        rows = table.c.key.between(bindparam("first"), bindparam("last"))
        return self._compile(delete(table).where(rows), ("first", "last"))

    def _compile(self, statement: UpdateBase, expected: Sequence[str]) -> str:
        """Compiles a statement to text; its parameters must come in the order of the rows that will be given to it."""
        compiled = statement.compile(dialect=self._dialect)
        order = compiled.positiontup
        assert order == list(expected), f"{compiled} takes {order}, the rows are {expected}"
        return str(compiled)
