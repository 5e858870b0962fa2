"""Queries of log groups and streams as CloudWatch Logs lists them, derived from the jobs: a stream is a container of an
attempt that ran.

Stream names are `<prefix>/<container>/<task id>`, and a task id starts with the job's key and the attempt's number
in digits of fixed width. So the order by (what stands before the task id, key, number) is the order by name. The
text before the task id is in `job_specs`; for tasks of several containers it is in `container_logs`, once for each
container.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from heapq import merge
from itertools import islice
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, Table, and_, bindparam, func, or_, select, text, tuple_

from batchyard.core.model import names
from batchyard.core.model.attempt_node import MAX_NODES, NODE_HEX, parse_node, task_id_of
from batchyard.core.model.records import DEFAULT_CONTAINER, Attempt, Job
from batchyard.core.state.node_views import node_attempt
from batchyard.store import codec
from batchyard.store.cursors import MAX_INTEGER, Part, decode_cursor, encode_cursor
from batchyard.store.retention_queries import container_of_head
from batchyard.store.tables import STARTED, TEXT_END, container_logs, job_specs, jobs, log_groups

MAX_KEY = (1 << 4 * names.KEY_HEX - names.ATTEMPT_BITS) - 1  # that a task id can hold
MAX_ATTEMPT_NUMBER = (1 << names.ATTEMPT_BITS) - 1

_HEX = re.compile(r"[0-9a-f]+")
MAX_CONTAINERS = 10  # of a task (API: EcsTaskProperties): so many rows may have one job


class LogGroup(Struct, frozen=True):
    name: str
    created_at_ms: int


class LogStream(Struct, frozen=True):
    """One log stream. `key` and `job_id`: the child's own for a child of an array, `job_id` the node's for a node of a
    multi-node job, whose `attempt` is that of the node alone. `container`: the name that its log file has."""

    name: str
    task_id: str
    job_id: str
    key: int
    attempt: Attempt
    container: str = DEFAULT_CONTAINER

    @property
    def number(self) -> int:
        """Returns the number of the stream among those of its job and container: it ascends with attempts and nodes."""
        return self.attempt.number * MAX_NODES + parse_node(self.task_id)[1]


class _Row(Struct, frozen=True):
    """A job with attempts that ran, and what its streams' names start with."""

    head: str
    spec_key: int
    parent_id: str
    job: Job
    is_several: bool

    def streams_after(self, shown: int | None, descending: bool) -> Iterator[LogStream]:
        """Yields the streams by attempt and node, those after the number `shown` (None: all)."""
        index = names.child_index(self.spec_key, self.job.key)
        job_id = self.parent_id if index < 0 else names.child_id(self.parent_id, index)
        current = () if self.job.attempt is None else (self.job.attempt,)
        container = container_of_head(self.head) if self.is_several else DEFAULT_CONTAINER
        attempts = sorted(self.job.past + current, key=lambda attempt: attempt.number, reverse=descending)
        for attempt in attempts:
            nodes = range(len(attempt.nodes) or 1)
            for node in reversed(nodes) if descending else nodes:
                number = attempt.number * MAX_NODES + node
                own = node_attempt(attempt, node) if attempt.nodes else attempt
                if not own.started_at_ms or not (shown is None or (number < shown if descending else number > shown)):
                    continue
                task = task_id_of(names.task_id(self.job.key, attempt.number, job_id), node)
                named = names.node_id(job_id, node) if attempt.nodes else job_id
                yield LogStream(self.head + task, task, named, self.job.key, own, container)


class _Scope(Struct, frozen=True):
    """A part of a group: the keys in [low_key, high_key] of one head, or (where `head` is empty) all of the heads
    between `low` and `high`, which are not part of it."""

    head: str = ""
    low_key: int = 0
    high_key: int = MAX_KEY
    low: str = ""
    high: str = ""

    def after(self, head: str, key: int, descending: bool) -> list[_Scope]:
        """Returns the part of the scope after (head, key), ascending in either direction. The key itself stays: it
        may have more attempts."""
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


_spec, _job, _log = job_specs.c, jobs.c, container_logs.c
_GROUPS = (
    select(log_groups.c.name, log_groups.c.created_at_ms)
    .where(log_groups.c.name >= bindparam("low"), log_groups.c.name > bindparam("after"))
    .where(log_groups.c.name < bindparam("high"))
    .order_by(log_groups.c.name)
    .limit(bindparam("limit"))
)
_GROUP = select(log_groups.c.name).where(log_groups.c.name == bindparam("name"))
_specs_again = job_specs.alias("again")


def spec_key_of(key: Any) -> Any:
    """Returns the key of the submission that a job's key belongs to."""
    return select(func.coalesce(func.max(_specs_again.c.key), 0)).where(_specs_again.c.key <= key).scalar_subquery()


class _ByName:
    """The statements over one of the tables that have log_group, stream_head and the submission's key: `of_head` and
    `of_heads` by direction (True: descending)."""

    def __init__(self, holder: Table, is_several: bool) -> None:
        place = holder.c
        specs = holder.join(job_specs, _spec.key == place.key) if is_several else job_specs
        in_group = (
            select(place.stream_head, _spec.key, _spec.job_id, _job.body)
            .select_from(specs.join(jobs, _job.key.between(_spec.key, _spec.last_key)))
            .where(place.log_group == bindparam("group"), text(f"jobs.{STARTED}"))
            .limit(bindparam("limit"))
        )
        of_head = in_group.where(
            place.stream_head == bindparam("head"),
            place.key >= spec_key_of(bindparam("low_key")),
            place.key <= bindparam("high_key"),
            _job.key >= bindparam("low_key"),
            _job.key <= bindparam("high_key"),
        )
        of_heads = in_group.where(place.stream_head > bindparam("low"), place.stream_head < bindparam("high"))
        up = (place.stream_head, place.key, _job.key)
        down = tuple(column.desc() for column in up)
        self.is_several = is_several
        self.of_head = {False: of_head.order_by(*up), True: of_head.order_by(*down)}
        self.of_heads = {False: of_heads.order_by(*up), True: of_heads.order_by(*down)}


_BY_NAME = (_ByName(job_specs, False), _ByName(container_logs, True))

_started_head = func.coalesce(_log.stream_head, _spec.stream_head)
_STARTED = (
    select(_started_head, _spec.key, _spec.job_id, _job.body, _log.key.is_not(None), _job.started_at_ms)
    .select_from(
        jobs.join(job_specs, _spec.key == spec_key_of(_job.key).correlate(jobs)).outerjoin(
            container_logs, and_(_log.key == _spec.key, _log.log_group == bindparam("group"))
        )
    )
    .where(or_(_spec.log_group == bindparam("group"), _log.key.is_not(None)), text(f"jobs.{STARTED}"))
    .limit(bindparam("limit"))
)
_time_and_key = tuple_(_job.started_at_ms, _job.key)
_position = tuple_(bindparam("at_ms"), bindparam("at_key"))
_BY_TIME = {
    False: _STARTED.where(_time_and_key >= _position).order_by(_job.started_at_ms, _job.key, _started_head),
    True: _STARTED.where(_time_and_key <= _position).order_by(
        _job.started_at_ms.desc(), _job.key.desc(), _started_head.desc()
    ),
}


def list_groups(
    connection: Connection, prefix: str, limit: int, after: str | None
) -> tuple[list[LogGroup], str | None]:
    """Returns the groups whose names start with `prefix`, by name."""
    at = str(decode_cursor(after, "groups", str)[0]) if after else ""
    where = {"low": prefix, "after": at, "high": prefix + TEXT_END, "limit": limit + 1}
    found = [LogGroup(name, created_at_ms) for name, created_at_ms in connection.execute(_GROUPS, where)]
    return found[:limit], encode_cursor("groups", found[limit - 1].name) if len(found) > limit else None


def list_streams(
    connection: Connection, group: str, prefix: str, limit: int, after: str | None, descending: bool, by_time: bool
) -> tuple[list[LogStream], str | None]:
    """Returns a page of a group's streams: by name, or `by_time`: by the start of each job's latest attempt, a job's
    attempts together. Raises ValueError for an unreadable cursor, and for a prefix with `by_time`."""
    if by_time and prefix:
        raise ValueError("Cannot order by LastEventTime with a logStreamNamePrefix.")
    if connection.execute(_GROUP, {"name": group}).one_or_none() is None:
        return [], None  # else the order by time would look for it among all the jobs of other groups
    parts: tuple[type, ...] = (int, int, str, int) if by_time else (str, int, int)
    kind = ("time" if by_time else "name") + ("-down" if descending else "-up")
    position = tuple(decode_cursor(after, kind, *parts)) if after else None
    if by_time:
        found = _by_time(connection, group, limit, position, descending)
    else:
        found = _by_name(connection, group, prefix, limit, position, descending)
    page = list(islice(found, limit + 1))
    streams = [stream for _, stream in page[:limit]]
    return streams, encode_cursor(kind, *page[limit - 1][0]) if len(page) > limit else None


def streams_since(connection: Connection, group: str, since_ms: int, limit: int) -> list[LogStream]:
    """Returns a group's streams of jobs whose latest attempts started at `since_ms` or later, by that start, a job's
    attempts together."""
    return [stream for _, stream in _by_time(connection, group, limit, (since_ms, 0, "", -1), False)]


def _by_time(
    connection: Connection, group: str, limit: int, after: tuple[Part, ...] | None, descending: bool
) -> Iterator[tuple[tuple[Part, ...], LogStream]]:
    at_ms, at_key, at_head, at_number = after or ((MAX_INTEGER, MAX_KEY, "", 0) if descending else (0, 0, "", 0))
    # More rows than the page and its successor need: those of the job that the cursor names may all be shown already.
    where = {"group": group, "at_ms": at_ms, "at_key": at_key, "limit": limit + 1 + MAX_CONTAINERS}
    for head, spec_key, parent_id, body, is_several, started_at_ms in connection.execute(_BY_TIME[descending], where):
        row = _Row(head, spec_key, parent_id, codec.decode_job(body), is_several)
        shown = None
        if after and (started_at_ms, row.job.key) == (at_ms, at_key):
            if head != at_head and (head < str(at_head)) != descending:
                continue
            shown = int(at_number) if head == at_head else None
        for stream in row.streams_after(shown, descending):
            yield (started_at_ms, row.job.key, head, stream.number), stream


def _by_name(
    connection: Connection, group: str, prefix: str, limit: int, after: tuple[Part, ...] | None, descending: bool
) -> Iterator[tuple[tuple[Part, ...], LogStream]]:
    for scope in _scopes(prefix, after, descending):
        where = {"group": group, "limit": limit + 2}
        if scope.head:
            where |= {"head": scope.head, "low_key": scope.low_key, "high_key": scope.high_key}
        else:
            where |= {"low": scope.low, "high": scope.high}
        found = []
        for one in _BY_NAME:
            statement = one.of_head[descending] if scope.head else one.of_heads[descending]
            rows = connection.execute(statement, where).all()
            found.append(
                [(head, codec.decode_job(body), key, job_id, one.is_several) for head, key, job_id, body in rows]
            )
        for head, job, spec_key, parent_id, is_several in merge(*found, key=_place, reverse=descending):
            row = _Row(head, spec_key, parent_id, job, is_several)
            shown = int(after[2]) if after and (head, job.key) == after[:2] else None
            for stream in row.streams_after(shown, descending):
                if stream.name.startswith(prefix):
                    yield (head, job.key, stream.number), stream


def _place(found: tuple[str, Job, int, str, bool]) -> tuple[str, int]:
    return found[0], found[1].key


def _scopes(prefix: str, after: tuple[Part, ...] | None, descending: bool) -> list[_Scope]:
    """Returns the parts of a group's index that hold the names that start with `prefix` and come after `after`, in
    order."""
    scopes: list[_Scope] = []
    head, slash, digits = prefix.rpartition("/")
    if slash and _HEX.fullmatch(digits):  # the prefix may reach into the task id
        # The first digits are the node's: the key comes after them.
        low, high = (int(digits[NODE_HEX : names.KEY_HEX].ljust(names.KEY_HEX - NODE_HEX, fill), 16) for fill in "0f")
        scopes.append(_Scope(head=head + "/", low_key=low >> names.ATTEMPT_BITS, high_key=high >> names.ATTEMPT_BITS))
    elif slash and not digits:
        scopes.append(_Scope(head=prefix))  # the open range below does not hold its own start
    scopes.append(_Scope(low=prefix, high=prefix + TEXT_END))
    if after is not None:
        scopes = [cut for scope in scopes for cut in scope.after(str(after[0]), int(after[1]), descending)]
    return scopes[::-1] if descending else scopes
