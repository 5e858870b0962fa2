"""Log groups and streams as CloudWatch Logs lists them, derived from the jobs: a stream is an attempt that ran.

Stream names are `<prefix>/default/<task id>`, and a task id starts with the job's key and the attempt's number in
digits of fixed width. So the order by (what stands before the task id, key, number) is the order by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, bindparam, func, select, text, tuple_

from batchyard.core import names
from batchyard.core.records import Attempt, Job
from batchyard.store import codec
from batchyard.store.cursors import LARGEST_INTEGER, Part, decode_cursor, encode_cursor
from batchyard.store.tables import STARTED, TEXT_END, job_specs, jobs, log_groups

LARGEST_KEY = (1 << 4 * names.KEY_HEX - names.ATTEMPT_BITS) - 1  # that a task id can hold
LARGEST_NUMBER = (1 << names.ATTEMPT_BITS) - 1

_HEX = re.compile(r"[0-9a-f]*")
_HEAD_END = names.log_stream("", "")  # what stands between the prefix and the task id


class LogGroup(Struct, frozen=True):
    name: str
    created_at_ms: int


class LogStream(Struct, frozen=True):
    """`key` and `job_id`: the child's own for a child of an array."""

    name: str
    task_id: str
    job_id: str
    key: int
    attempt: Attempt


class _Row(Struct, frozen=True):
    """A job with attempts that ran, and what its streams' names start with."""

    head: str
    spec_key: int
    parent_id: str
    job: Job

    def streams_after(self, shown: int | None, descending: bool) -> Iterator[LogStream]:
        """By number, those beyond `shown` (None: all)."""
        index = self.job.key - self.spec_key - 1
        job_id = self.parent_id if index < 0 else names.child_id(self.parent_id, index)
        current = () if self.job.attempt is None else (self.job.attempt,)
        attempts = sorted(self.job.past + current, key=lambda attempt: attempt.number, reverse=descending)
        for attempt in attempts:
            is_new = shown is None or (attempt.number < shown if descending else attempt.number > shown)
            if attempt.started_at_ms and is_new:
                task = names.task_id(self.job.key, attempt.number, job_id)
                yield LogStream(self.head + task, task, job_id, self.job.key, attempt)


class _Scope(Struct, frozen=True):
    """A part of a group: the keys in [low_key, high_key] of one head, or (where `head` is empty) all of the heads
    between `low` and `high`, which are not part of it."""

    head: str = ""
    low_key: int = 0
    high_key: int = LARGEST_KEY
    low: str = ""
    high: str = ""

    def after(self, head: str, key: int, descending: bool) -> list[_Scope]:
        """What of it comes after (head, key), ascending in either direction. The key itself stays: it may have more
        attempts."""
        if self.head:
            if self.head != head:
                return [self] if (self.head < head) == descending else []
            low, high = (
                (self.low_key, min(self.high_key, key)) if descending else (max(self.low_key, key), self.high_key)
            )
            return [_Scope(head=head, low_key=low, high_key=high)] if low <= high else []
        if not self.low < head < self.high:
            return [self] if (self.high <= head) == descending else []
        if descending:
            return [_Scope(low=self.low, high=head), _Scope(head=head, high_key=key)]
        return [_Scope(head=head, low_key=key), _Scope(low=head, high=self.high)]


_spec, _job = job_specs.c, jobs.c
_GROUPS = (
    select(log_groups.c.name, log_groups.c.created_at_ms)
    .where(log_groups.c.name >= bindparam("low"), log_groups.c.name > bindparam("after"))
    .where(log_groups.c.name < bindparam("high"))
    .order_by(log_groups.c.name)
    .limit(bindparam("limit"))
)
_GROUP = select(log_groups.c.name).where(log_groups.c.name == bindparam("name"))
_COLUMNS = select(_spec.stream_head, _spec.key, _spec.job_id, _job.body).limit(bindparam("limit"))
_IN_GROUP = (
    _COLUMNS.select_from(job_specs.join(jobs, _job.key.between(_spec.key, _spec.last_key)))
    .where(_spec.log_group == bindparam("group"))
    .where(text(f"jobs.{STARTED}"))
)
_specs_again = job_specs.alias("again")


def spec_key_of(key: Any) -> Any:
    """The key of the submission that a job's key belongs to."""
    return select(func.coalesce(func.max(_specs_again.c.key), 0)).where(_specs_again.c.key <= key).scalar_subquery()


_OF_HEAD = _IN_GROUP.where(
    _spec.stream_head == bindparam("head"),
    _spec.key >= spec_key_of(bindparam("low_key")),
    _spec.key <= bindparam("high_key"),
    _job.key >= bindparam("low_key"),
    _job.key <= bindparam("high_key"),
)
_OF_HEADS = _IN_GROUP.where(_spec.stream_head > bindparam("low"), _spec.stream_head < bindparam("high"))
_UP = (_spec.stream_head, _spec.key, _job.key)
_DOWN = (_spec.stream_head.desc(), _spec.key.desc(), _job.key.desc())
_BY_NAME = {
    False: (_OF_HEAD.order_by(*_UP), _OF_HEADS.order_by(*_UP)),
    True: (_OF_HEAD.order_by(*_DOWN), _OF_HEADS.order_by(*_DOWN)),
}

_STARTED = (
    _COLUMNS.add_columns(_job.started_at_ms)
    .select_from(jobs.join(job_specs, _spec.key == spec_key_of(_job.key).correlate(jobs)))
    .where(_spec.log_group == bindparam("group"), text(f"jobs.{STARTED}"))
)
_time_and_key = tuple_(_job.started_at_ms, _job.key)
_position = tuple_(bindparam("at_ms"), bindparam("at_key"))
_BY_TIME = {
    False: _STARTED.where(_time_and_key >= _position).order_by(_job.started_at_ms, _job.key),
    True: _STARTED.where(_time_and_key <= _position).order_by(_job.started_at_ms.desc(), _job.key.desc()),
}


def list_groups(
    connection: Connection, prefix: str, limit: int, after: str | None
) -> tuple[list[LogGroup], str | None]:
    """The groups whose names start with `prefix`, by name."""
    at = str(decode_cursor(after, "groups", str)[0]) if after else ""
    where = {"low": prefix, "after": at, "high": prefix + TEXT_END, "limit": limit + 1}
    found = [LogGroup(name, created_at_ms) for name, created_at_ms in connection.execute(_GROUPS, where)]
    return found[:limit], encode_cursor("groups", found[limit - 1].name) if len(found) > limit else None


def list_streams(
    connection: Connection, group: str, prefix: str, limit: int, after: str | None, descending: bool, by_time: bool
) -> tuple[list[LogStream], str | None]:
    """A page of a group's streams: by name, or `by_time`: by the start of each job's latest attempt, a job's attempts
    together. Raises ValueError for an unreadable cursor, and for a prefix with `by_time`."""
    if by_time and prefix:
        raise ValueError("Cannot order by LastEventTime with a logStreamNamePrefix.")
    if connection.execute(_GROUP, {"name": group}).one_or_none() is None:
        return [], None  # else the order by time would look for it among all the jobs of other groups
    first: type = int if by_time else str
    kind = ("time" if by_time else "name") + ("-down" if descending else "-up")
    position = tuple(decode_cursor(after, kind, first, int, int)) if after else None
    if by_time:
        found = _by_time(connection, group, limit, position, descending)
    else:
        found = _by_name(connection, group, prefix, limit, position, descending)
    page = list(islice(found, limit + 1))
    streams = [stream for _, stream in page[:limit]]
    return streams, encode_cursor(kind, *page[limit - 1][0]) if len(page) > limit else None


def _by_time(
    connection: Connection, group: str, limit: int, after: tuple[Part, ...] | None, descending: bool
) -> Iterator[tuple[tuple[Part, ...], LogStream]]:
    at_ms, at_key, at_number = after or ((LARGEST_INTEGER, LARGEST_KEY, 0) if descending else (0, 0, 0))
    # One row more than the page and its successor need: the row that the cursor names may be shown in full already.
    where = {"group": group, "at_ms": at_ms, "at_key": at_key, "limit": limit + 2}
    for head, spec_key, parent_id, body, started_at_ms in connection.execute(_BY_TIME[descending], where):
        row = _Row(head, spec_key, parent_id, codec.decode_job(body))
        shown = int(at_number) if after and (started_at_ms, row.job.key) == (at_ms, at_key) else None
        for stream in row.streams_after(shown, descending):
            yield (started_at_ms, row.job.key, stream.attempt.number), stream


def _by_name(
    connection: Connection, group: str, prefix: str, limit: int, after: tuple[Part, ...] | None, descending: bool
) -> Iterator[tuple[tuple[Part, ...], LogStream]]:
    of_head, of_heads = _BY_NAME[descending]
    for scope in _scopes(prefix, after, descending):
        where = {"group": group, "limit": limit + 2}
        if scope.head:
            where |= {"head": scope.head, "low_key": scope.low_key, "high_key": scope.high_key}
        else:
            where |= {"low": scope.low, "high": scope.high}
        for head, spec_key, parent_id, body in connection.execute(of_head if scope.head else of_heads, where):
            row = _Row(head, spec_key, parent_id, codec.decode_job(body))
            shown = int(after[2]) if after and (head, row.job.key) == after[:2] else None
            for stream in row.streams_after(shown, descending):
                if stream.name.startswith(prefix):
                    yield (head, row.job.key, stream.attempt.number), stream


def _scopes(prefix: str, after: tuple[Part, ...] | None, descending: bool) -> list[_Scope]:
    """Which parts of a group's index hold the names that start with `prefix` and come after `after`, in order."""
    scopes: list[_Scope] = []
    for match in re.finditer(f"(?={re.escape(_HEAD_END)})", prefix):  # the prefix reaches into the task id
        head, digits = prefix[: match.start() + len(_HEAD_END)], prefix[match.start() + len(_HEAD_END) :]
        if digits and _HEX.fullmatch(digits):
            low, high = (int(digits[: names.KEY_HEX].ljust(names.KEY_HEX, fill), 16) for fill in "0f")
            scopes.append(_Scope(head=head, low_key=low >> names.ATTEMPT_BITS, high_key=high >> names.ATTEMPT_BITS))
    if prefix.endswith(_HEAD_END):
        scopes.append(_Scope(head=prefix))  # the open range below does not hold its own start
    scopes.append(_Scope(low=prefix, high=prefix + TEXT_END))
    if after is not None:
        scopes = [cut for scope in scopes for cut in scope.after(str(after[0]), int(after[1]), descending)]
    return scopes[::-1] if descending else scopes
