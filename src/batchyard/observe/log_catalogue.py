"""Log groups and their streams, of jobs and written ones together.

A group is there when it was created, or when a job that has started names it. Streams of jobs are those of the store of
jobs; the others are those of the file of written events. Listings merge both."""

from __future__ import annotations

import base64
import binascii
from heapq import merge
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from batchyard.core.model import names
from batchyard.core.model.records import log_file_container, logs_of
from batchyard.engines.base import log_path
from batchyard.observe.logfile import LogFile
from batchyard.observe.packed_log import remove_log
from batchyard.observe.written_log import EventLog, WrittenLog
from batchyard.store.logs.log_reader import LogReader
from batchyard.store.logs.log_records import WrittenGroup, WrittenStream
from batchyard.store.queries import LogStream, Reader

Place = TypeVar("Place")

HIDDEN_STREAM = "hidden-stream"  # kind of documents: streams of jobs that a caller deleted


class JobStream(Struct, frozen=True):
    """The output of one container of an attempt."""

    name: str
    created_at_ms: int
    task_id: str
    job_id: str
    path: Path
    is_ended: bool

    def open(self) -> EventLog:
        return LogFile(self.path)

    def remove(self) -> None:
        """Removes the output, of an attempt that has ended."""
        remove_log(self.path)


class EventStream(Struct, frozen=True):
    """A written stream."""

    stream: WrittenStream
    reader: LogReader

    @property
    def name(self) -> str:
        return self.stream.name

    @property
    def created_at_ms(self) -> int:
        return self.stream.created_at_ms

    def open(self) -> EventLog:
        return WrittenLog(self.reader, self.stream)


AnyStream = JobStream | EventStream


class StreamPage(NamedTuple):
    """A page of streams. `cursor`: where the next one begins; None on the last."""

    streams: list[AnyStream]
    cursor: str | None


class _Cursor(Struct, array_like=True):
    """`jobs`: the cursor of the streams of jobs, None before their first. `written`: (last event, name) of the last
    written stream seen. `has_jobs`, `has_written`: more of them may follow."""

    jobs: str | None = None
    written: tuple[int, str] | None = None
    has_jobs: bool = True
    has_written: bool = True


class _GroupCursor(Struct, array_like=True, tag="groups"):
    name: str  # of the last one seen


class LogCatalogue:
    """Finds groups and streams. `jobs`: the store of jobs; `written`: the written events."""

    def __init__(self, jobs: Reader, written: LogReader, logs_directory: Path) -> None:
        self.jobs, self.written, self._logs_directory = jobs, written, logs_directory

    # -- groups --

    def group(self, name: str) -> WrittenGroup | None:
        """Returns the group of that name, if it is there."""
        stored = self.written.group(name)
        if stored is not None and not stored.is_deleted:
            return stored
        found, _ = self.jobs.log_groups(name, 1)
        if not found or found[0].name != name:
            return None
        return self._of_jobs(found[0].name, found[0].created_at_ms, stored)

    def groups(self, prefix: str, limit: int, cursor: str | None = None) -> tuple[list[WrittenGroup], str | None]:
        """Returns a page of groups by name, and where the next one begins. Raises ValueError for an unreadable
        cursor."""
        after = "" if cursor is None else _decode(cursor, _GroupCursor).name
        stored = {group.name: group for group in self.written.groups(prefix, after, limit + 1)}
        of_jobs = {group.name: group.created_at_ms for group in self.jobs.log_groups_after(prefix, after, limit + 1)}
        last = sorted({*stored, *of_jobs})[:limit]
        found = []
        for name in last:
            group = stored.get(name) or self.written.group(name)
            if (group is None or group.is_deleted) and name in of_jobs:
                group = self._of_jobs(name, of_jobs[name], group)
            if group is not None and not group.is_deleted:
                found.append(group)
        is_more = len({*stored, *of_jobs}) > limit
        return found, _encode(_GroupCursor(last[-1])) if is_more else None

    def _of_jobs(self, name: str, created_at_ms: int, stored: WrittenGroup | None) -> WrittenGroup | None:
        """Returns a group that only jobs name: after its deletion it is there again once another job starts."""
        if stored is None:
            return WrittenGroup(name, created_at_ms)
        streams, _ = self.jobs.log_streams(name, limit=1, descending=True, by_time=True)
        started_at_ms = streams[0].attempt.started_at_ms if streams else None
        if started_at_ms is None or started_at_ms < stored.hidden_before_ms:
            return None
        return WrittenGroup(name, started_at_ms, hidden_before_ms=stored.hidden_before_ms)

    # -- streams --

    def stream(self, group: str, name: str) -> AnyStream | None:
        """Returns the stream of that name, if it is there."""
        task_id = name.rpartition("/")[2]
        view = self.jobs.attempt(task_id)
        if view is not None and view.attempt is not None and view.attempt.started_at_ms:
            spec, attempt = view.view.spec, view.attempt
            for log in logs_of(spec):
                if log.group == group and names.log_stream(log.prefix, task_id, log.container) == name:
                    path = log_path(self._logs_directory, task_id, log_file_container(spec, log.container))
                    ended = bool(attempt.stopped_at_ms)
                    found = JobStream(name, attempt.started_at_ms, task_id, view.view.job_id, path, ended)
                    return next(iter(self._shown(group, [found])), None)
        written = self.written.stream(group, name)
        return EventStream(written, self.written) if written is not None else None

    def streams(
        self,
        group: str,
        prefix: str = "",
        limit: int = 50,
        after: str | None = None,
        *,
        descending: bool = False,
        by_time: bool = False,
    ) -> StreamPage:
        """Returns a page of a group's streams, by name, or `by_time`: streams of jobs by their start, written ones by
        their last event. Raises ValueError for an unreadable cursor."""
        place = _Cursor() if after is None else _decode(after, _Cursor)
        of_jobs, more = self._of_jobs_after(group, prefix, limit, place, descending, by_time)
        written: list[AnyStream] = []
        if place.has_written:
            written += [
                EventStream(one, self.written)
                for one in self.written.streams(
                    group, prefix, limit + 1, place.written, descending=descending, by_time=by_time
                )
            ]
        key = _time_and_name if by_time else _name
        merged = list(merge(of_jobs, written, key=key, reverse=descending))
        page = merged[:limit]
        cursor = None
        if len(merged) > limit or more is not None:
            jobs = sum(isinstance(stream, JobStream) for stream in page)
            if jobs == len(of_jobs):
                place.jobs, place.has_jobs = more, more is not None
            elif jobs:  # the cursor behind those shown, which comes with a page of that size
                _, place.jobs = self._of_jobs_after(group, prefix, jobs, place, descending, by_time)
            place.has_written = len(page) - jobs < len(written)
            if place.has_written and len(page) > jobs:
                last = written[len(page) - jobs - 1]
                assert isinstance(last, EventStream)
                place.written = last.stream.last_at_ms, last.name
            cursor = _encode(place)
        return StreamPage(self._shown(group, page), cursor)

    def _of_jobs_after(
        self, group: str, prefix: str, limit: int, place: _Cursor, descending: bool, by_time: bool
    ) -> tuple[list[AnyStream], str | None]:
        if not place.has_jobs:
            return [], None
        found, more = self.jobs.log_streams(group, prefix, limit, place.jobs, descending=descending, by_time=by_time)
        return [self._job_stream(stream) for stream in found], more

    def started_since(self, group: str, since_ms: int, limit: int) -> list[AnyStream]:
        """Returns the streams of jobs in a group whose latest attempts started at `since_ms` or later, by that."""
        return self._shown(
            group, [self._job_stream(stream) for stream in self.jobs.log_streams_since(group, since_ms, limit)]
        )

    def _job_stream(self, stream: LogStream) -> JobStream:
        return JobStream(
            stream.name,
            stream.attempt.started_at_ms,
            stream.task_id,
            stream.job_id,
            log_path(self._logs_directory, stream.task_id, stream.container),
            bool(stream.attempt.stopped_at_ms),
        )

    def _shown(self, group: str, streams: list[AnyStream]) -> list[AnyStream]:
        """Returns the streams without those of jobs that went with their group, or were deleted themselves."""
        of_jobs = [stream.name for stream in streams if isinstance(stream, JobStream)]
        stored = self.written.group(group) if of_jobs else None
        if stored is None:
            return streams
        hidden = self.written.document_names(HIDDEN_STREAM, group, of_jobs)
        return [
            stream
            for stream in streams
            if isinstance(stream, EventStream)
            or (stream.created_at_ms >= stored.hidden_before_ms and stream.name not in hidden)
        ]


def _name(stream: AnyStream) -> tuple[int, str]:
    return 0, stream.name


def _time_and_name(stream: AnyStream) -> tuple[int, str]:
    return stream.stream.last_at_ms if isinstance(stream, EventStream) else stream.created_at_ms, stream.name


# -- cursors --


def _encode(cursor: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode()


def _decode(text: str, kind: type[Place]) -> Place:
    """Raises ValueError."""
    try:
        return msgspec.json.decode(base64.b64decode(text, altchars=b"-_", validate=True), type=kind)
    except (binascii.Error, msgspec.MsgspecError) as error:
        raise ValueError("no cursor") from error
