"""Writes log events: one thread that owns one connection. What has arrived while it committed is the next transaction.

`append` is for the service's own writers (targets of events, dead letters, performance events) and for PutLogEvents:

    await asyncio.wrap_future(writer.append("/events/mine", "stream", [LogEvent(at_ms, text)], creates=True))

It is durable when the future is done. A commit that fails fails the futures that it would have completed, and no
others: unlike the store of jobs, nothing in memory is ahead of this file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from batchyard.core.model.refusal import Refused
from batchyard.store.logs import log_tables
from batchyard.store.logs.log_database import open_for_writing
from batchyard.store.logs.log_records import AppendedEvents, LogEvent, StoredEvent, WrittenGroup

MAX_BATCH_TASKS = 5_000  # in one transaction: some tens of milliseconds
MAX_BATCH_EVENTS = 20_000
MAX_CACHED_STREAMS = 50_000  # whose keys are kept in memory: a few MiB

Result = TypeVar("Result")
Work = Callable[[sqlite3.Connection, int], Any]  # (connection, now_ms) -> result
Listener = Callable[[Sequence[AppendedEvents]], None]
Hook = Callable[[sqlite3.Connection, AppendedEvents], None]

NO_GROUP = "The specified log group does not exist."
NO_STREAM = "The specified log stream does not exist."
NOT_FOUND = "ResourceNotFoundException"


class NotWritten(Exception):
    """Events or changes could not be written, and none of their transaction was. The text is a sentence for the
    caller."""


class _Task:
    """Work for the thread. `size`: the events that it writes."""

    __slots__ = ("future", "size", "work")

    def __init__(self, work: Work, size: int) -> None:
        self.work, self.size = work, size
        self.future: Future[Any] = Future()


class LogWriter:
    """The writer of `path`. `now_ms`: the wall clock, which gives ingestion times."""

    def __init__(self, path: Path, now_ms: Callable[[], int]) -> None:
        self._path, self.now_ms = path, now_ms
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._connection: sqlite3.Connection | None = None
        self._thread: Thread | None = None
        self._keys: dict[tuple[str, str], int] = {}  # of streams
        self._appended: list[AppendedEvents] = []  # in the running transaction
        self._sequence = 0
        self._listeners: list[Listener] = []
        self._hooks: list[Hook] = []

    def open(self) -> None:
        """Raises StoreError."""
        self._connection = open_for_writing(self._path)
        self._sequence = log_tables.counter(self._connection, "sequence")
        self._thread = Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finishes what was asked before."""
        if self._thread is not None:
            self._tasks.put(None)
            self._thread.join()
            self._thread = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def listen(self, listener: Listener) -> None:
        """Has `listener` called with the events of each commit, after it, in the writer's thread."""
        self._listeners.append(listener)

    def unlisten(self, listener: Listener) -> None:
        self._listeners.remove(listener)

    def hook(self, hook: Hook) -> None:
        """Has `hook` called with the events of each append within its transaction, in the writer's thread."""
        self._hooks.append(hook)

    # -- events --

    def append(
        self, group: str, stream: str, events: Sequence[LogEvent], *, creates: bool = False
    ) -> Future[list[StoredEvent]]:
        """Appends events, in any order of times; the future is done when they are durable. `creates`: group and stream
        are created where they are missing; else the future raises Refused (ResourceNotFoundException).

        The future raises NotWritten where they could not be written."""
        return self.run(
            lambda _, now_ms: self.append_within(group, stream, events, now_ms, creates=creates), len(events)
        )

    def append_kept(
        self, group: str, stream: str, events: Sequence[LogEvent], retention_days: int
    ) -> Future[list[StoredEvent]]:
        """Appends events to a group that is created with this retention where it is missing."""

        def work(connection: sqlite3.Connection, now_ms: int) -> list[StoredEvent]:
            if not log_tables.has_group(connection, group):
                log_tables.put_group(connection, WrittenGroup(group, now_ms, retention_days))
            return self.append_within(group, stream, events, now_ms, creates=True)

        return self.run(work, len(events))

    def run(self, work: Callable[[sqlite3.Connection, int], Result], size: int = 1) -> Future[Result]:
        """Does `work` in the next transaction. It raises Refused before it has changed anything."""
        assert self._thread is not None, "this log writer is not open"
        task = _Task(work, size)
        self._tasks.put(task)
        return task.future

    def next_sequence(self) -> int:
        """Returns the number of the next event: for work in the writer's thread."""
        self._sequence += 1
        return self._sequence

    def forget_streams(self) -> None:
        """Drops what is known of keys of streams: called in the writer's thread by work that deletes some."""
        self._keys.clear()

    def append_within(
        self, group: str, stream: str, events: Sequence[LogEvent], now_ms: int, *, creates: bool = False
    ) -> list[StoredEvent]:
        """Appends events within the running transaction: for work in the writer's thread."""
        connection = self._connection
        assert connection is not None
        key = self._key(connection, group, stream, creates, now_ms)
        stored = []
        for at_ms, message in events:
            # Half a surrogate pair is no character, and cannot be stored.
            text = message if message.isascii() else message.encode("utf-8", "replace").decode()
            stored.append(StoredEvent(at_ms, self.next_sequence(), now_ms, text))
        log_tables.insert_events(connection, key, stored)
        appended = AppendedEvents(group, stream, stored)
        for hook in self._hooks:
            hook(connection, appended)
        self._appended.append(appended)
        return stored

    def _key(self, connection: sqlite3.Connection, group: str, stream: str, creates: bool, now_ms: int) -> int:
        key = self._keys.get((group, stream))
        if key is not None:
            return key
        if not log_tables.has_group(connection, group):
            if not creates:
                raise Refused(NO_GROUP, NOT_FOUND)
            log_tables.put_group(connection, WrittenGroup(group, now_ms))
        key = log_tables.stream_key(connection, group, stream)
        if key is None:
            if not creates:
                raise Refused(NO_STREAM, NOT_FOUND)
            key = log_tables.insert_stream(connection, group, stream, now_ms)
        if len(self._keys) >= MAX_CACHED_STREAMS:
            self._keys.clear()
        self._keys[group, stream] = key
        return key

    # -- the thread --

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            batch = [task]
            size, is_last = task.size, False
            while len(batch) < MAX_BATCH_TASKS and size < MAX_BATCH_EVENTS:
                try:
                    following = self._tasks.get_nowait()
                except Empty:
                    break
                if following is None:
                    is_last = True
                    break
                batch.append(following)
                size += following.size
            self._commit(batch)
            if is_last:
                return

    def _commit(self, asked: Sequence[_Task]) -> None:
        connection = self._connection
        assert connection is not None
        batch = [task for task in asked if task.future.set_running_or_notify_cancel()]  # others have no caller any more
        now_ms, before = self.now_ms(), self._sequence
        answers: list[tuple[_Task, Any, BaseException | None]] = []
        self._appended = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for task in batch:
                try:
                    answers.append((task, task.work(connection, now_ms), None))
                except Refused as refusal:
                    answers.append((task, None, refusal))
            if self._sequence != before:
                log_tables.set_counter(connection, "sequence", self._sequence)
            connection.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - the futures carry it to their callers
            self._keys.clear()
            self._sequence = before
            failure = self._failure_of(connection, error)
            for task in batch:
                task.future.set_exception(failure)
            return
        for listener in list(self._listeners) if self._appended else ():
            listener(self._appended)
        for task, answer, refused in answers:
            if refused is not None:
                task.future.set_exception(refused)
            else:
                task.future.set_result(answer)

    def _failure_of(self, connection: sqlite3.Connection, error: BaseException) -> BaseException:
        """Returns what the callers of a failed transaction get, which is rolled back."""
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if not isinstance(error, sqlite3.Error):
            return error
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            failure = NotWritten(f"No space is left for log events in {self._path}.")
        else:
            failure = NotWritten(f"Log events could not be written to {self._path}: {error}.")
        failure.__cause__ = error
        return failure
