"""Searches jobs over all queues, newest first, for people who look: by state, queue, name, definition, share, tag and
time of submission, by pages in both directions.

Every search walks one index in the order of keys, which is that of submission, and stops at its page or at a bound: the
most selective condition that has an index chooses it, the others are checked on the rows that it gives. So a page costs
the same however many jobs there are; one that ends at its bound reports how far it came, and goes on from there."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Select, func, literal, select

from batchyard.core.model.records import Status
from batchyard.store.cursors import MAX_INTEGER, decode_cursor, encode_cursor
from batchyard.store.job_queries import JobView, views_by_key
from batchyard.store.tables import TEXT_END, job_specs, jobs

MAX_WALKED = 10_000  # rows of one index that one page looks at: some 20 ms
MAX_LATER = 2_000  # jobs submitted after one among which those that depend on it are looked for: some 3 ms
MAX_QUEUES = 500  # whose jobs are searched at once, by name
KIND = "search"  # of the cursors

_spec, _job = job_specs.c, jobs.c


class JobFilter(Struct, frozen=True):
    """What jobs must have. `name`: a name in lower case, a beginning with `*` after it, or a part between two.
    `definition`: `name:revision`, or a name. `tag`: key and value; an empty value is any. Times: of submission, from
    `since_ms` on and before `before_ms`; 0: any."""

    queue: str = ""
    statuses: tuple[Status, ...] = ()
    name: str = ""
    definition: str = ""
    share: str = ""
    tag: tuple[str, str] | None = None
    since_ms: int = 0
    before_ms: int = 0


class SearchPage(Struct, frozen=True):
    """One page, newest first. `newer` and `older`: the cursors of the pages beside it, None where there is none.
    `walked`: how many jobs were looked at, where that was the bound of the search; else 0."""

    views: list[JobView]
    newer: str | None
    older: str | None
    walked: int = 0


def search_jobs(
    connection: Connection, wanted: JobFilter, limit: int, older: str | None, newer: str | None
) -> SearchPage:
    """Returns the newest jobs, or the page `older` than a cursor, or `newer`. Raises ValueError for an unreadable
    cursor."""
    if newer:
        key = int(decode_cursor(newer, KIND, int)[0])
        keys, bound = _keys(connection, wanted, limit + 1, key, is_up=True)
        if len(keys) <= limit and bound is None:
            return search_jobs(connection, wanted, limit, None, None)  # the newest: a whole page of them
        shown = sorted(keys[:limit], reverse=True)
        views = _views(connection, shown)
        more = encode_cursor(KIND, shown[0] if bound is None else bound)
        return SearchPage(views, more, encode_cursor(KIND, shown[-1] if shown else key), MAX_WALKED if bound else 0)
    before = int(decode_cursor(older, KIND, int)[0]) if older else MAX_INTEGER
    keys, bound = _keys(connection, wanted, limit + 1, before, is_up=False)
    shown = keys[:limit]
    after: str | None = None
    if len(keys) > limit:
        after, bound = encode_cursor(KIND, shown[-1]), None
    elif bound is not None:
        after = encode_cursor(KIND, bound)
    back = encode_cursor(KIND, shown[0] if shown else before) if older else None
    return SearchPage(_views(connection, shown), back, after, MAX_WALKED if bound is not None else 0)


def dependents(connection: Connection, job: JobView, limit: int) -> list[JobView]:
    """Returns jobs that depend on a job, the oldest first, of the first MAX_LATER submitted after it: a job is mostly
    submitted soon after those that it depends on."""
    job_id = job.spec.job_id
    after = (
        select(_spec.key, _spec.body).where(_spec.key > job.spec.key).order_by(_spec.key).limit(MAX_LATER).subquery()
    )
    naming = select(after.c.key).where(after.c.body.contains(job_id, autoescape=True)).order_by(after.c.key)
    keys = connection.execute(naming.limit(limit * 2)).scalars().all()  # some may only speak of it, as parameters do
    found = sorted(views_by_key(connection, keys), key=lambda view: view.spec.key)
    named = [view for view in found if any(one.job_id.partition(":")[0] == job_id for one in view.spec.depends_on)]
    return named[:limit]


def count_jobs(connection: Connection, queue: str, most: int) -> dict[str, int]:
    """Returns the number of top-level jobs by status, of one queue or of all (empty), each counted up to `most`."""
    counts: dict[str, int] = {}
    queues = [queue] if queue else queues_with_jobs(connection)
    for status in Status:
        number = 0
        for name in queues:
            some = select(literal(1)).where(_job.queue == name, _job.status == status.value).limit(most - number)
            number += connection.execute(select(func.count()).select_from(some.subquery())).scalar_one()
            if number >= most:
                break
        counts[status.value] = number
    return counts


def queues_with_jobs(connection: Connection) -> list[str]:
    """Returns the names of queues that have jobs, or had a job that is still kept: each by one step down an index."""
    found: list[str] = []
    while len(found) < MAX_QUEUES:
        following = select(func.min(_spec.queue)).where(_spec.queue > (found[-1] if found else ""))
        name = connection.execute(following).scalar_one()
        if name is None:
            break
        found.append(name)
    return found


def _views(connection: Connection, keys: Sequence[int]) -> list[JobView]:
    return sorted(views_by_key(connection, keys), key=lambda view: -view.spec.key)


# -- the walk --


def _keys(
    connection: Connection, wanted: JobFilter, limit: int, start: int, *, is_up: bool
) -> tuple[list[int], int | None]:
    """Returns the keys beyond `start` in the direction of the walk, and the key up to which it looked, where it ended
    at its bound."""
    low, high = _window(connection, wanted)
    low, high = (max(low, start), high) if is_up else (low, min(high, start))
    if high - low <= 1:
        return [], None
    found: list[list[int]] = []
    bound: int | None = None
    nearest = min if is_up else max
    for walk, key, conditions in _walks(connection, wanted):
        order = key if is_up else key.desc()
        last: int | None = None
        if conditions:  # how far one page looks
            ordered = walk.where(key > low, key < high).order_by(order)
            last = connection.execute(ordered.offset(MAX_WALKED - 1).limit(1)).scalar_one_or_none()
            walk = walk.where(*conditions)
        # One bound on each side: of two, SQLite would go by the first and check the other on each row.
        least = low if last is None or is_up else last - 1
        most = high if last is None or not is_up else last + 1
        walk = walk.where(key > least, key < most)
        found.append([row.key for row in connection.execute(walk.order_by(order).limit(limit))])
        if last is not None and len(found[-1]) < limit:
            bound = last if bound is None else nearest(bound, last)
    merged = heapq.merge(*found, reverse=not is_up)
    if bound is None:
        return [key for key, _ in zip(merged, range(limit), strict=False)], None
    inside = [key for key in merged if (key <= bound if is_up else key >= bound)]
    return inside[:limit], None if len(inside) >= limit else bound


def _walks(connection: Connection, wanted: JobFilter) -> Iterator[tuple[Select[Any], Any, list[Any]]]:
    """Yields, for each index range to walk: a statement that gives its keys, the column of the keys, and the conditions
    that its index does not hold."""
    queues = [wanted.queue] if wanted.queue else queues_with_jobs(connection)
    exact, conditions = _indexed(wanted), _conditions(wanted)
    # The only index of a queue's jobs in the order of keys has them by status.
    statuses = wanted.statuses or (tuple(Status) if wanted.queue and exact is None else ())
    if statuses:
        walked = select(_job.key)
        if conditions:
            walked = walked.select_from(jobs.join(job_specs, _spec.key == _job.key))
        for queue in queues:
            for status in statuses:
                yield walked.where(_job.queue == queue, _job.status == status.value), _job.key, conditions
        return
    walked = select(_spec.key)
    if exact is None:
        yield walked, _spec.key, conditions
        return
    others = conditions if len(conditions) > 1 else []
    for queue in queues:
        yield walked.where(_spec.queue == queue, exact), _spec.key, others


def _indexed(wanted: JobFilter) -> Any:
    """Returns the condition that has an index in the order of keys within a queue; None: there is none."""
    if wanted.name and "*" not in wanted.name:
        return _spec.name_lower == wanted.name.lower()
    if ":" in wanted.definition:
        return _spec.definition == wanted.definition
    if wanted.share:
        return _spec.share_identifier == wanted.share
    return None


def _conditions(wanted: JobFilter) -> list[Any]:
    """Returns the conditions on specs, but for the queue, which is part of the walk, and times, which limit keys."""
    found: list[Any] = []
    if wanted.name:
        found.append(_named(wanted.name.lower()))
    if wanted.definition:
        name = wanted.definition
        is_whole = ":" in name
        low = f"{name}:"
        found.append(
            _spec.definition == name if is_whole else (_spec.definition > low) & (_spec.definition < low + TEXT_END)
        )
    if wanted.share:
        found.append(_spec.share_identifier == wanted.share)
    if wanted.tag is not None:
        key, value = (msgspec.json.encode(part).decode() for part in wanted.tag)
        found.append(_spec.tags.contains(f"{key}:{value}" if wanted.tag[1] else f"{key}:", autoescape=True))
    return found


def _named(name: str) -> Any:
    if name.startswith("*"):
        return _spec.name_lower.contains(name.strip("*"), autoescape=True)
    if name.endswith("*"):
        low = name.removesuffix("*")
        return (_spec.name_lower >= low) & (_spec.name_lower < low + TEXT_END)
    return _spec.name_lower == name


def _window(connection: Connection, wanted: JobFilter) -> tuple[int, int]:
    """Returns the keys between which the jobs of the filter's times are: keys are given in the order of time."""
    low, high = 0, MAX_INTEGER
    if not wanted.since_ms and not wanted.before_ms:
        return low, high
    queues = [wanted.queue] if wanted.queue else queues_with_jobs(connection)
    if wanted.since_ms:
        firsts = [_edge(connection, queue, _spec.created_at_ms >= wanted.since_ms, is_first=True) for queue in queues]
        low = min((key for key in firsts if key is not None), default=MAX_INTEGER) - 1
    if wanted.before_ms:
        lasts = [_edge(connection, queue, _spec.created_at_ms < wanted.before_ms, is_first=False) for queue in queues]
        high = max((key for key in lasts if key is not None), default=0) + 1
    return low, high


def _edge(connection: Connection, queue: str, condition: Any, *, is_first: bool) -> int | None:
    """Returns the key of a queue's first job for which the condition holds, or of its last."""
    statement = select(_spec.key).where(_spec.queue == queue, condition).limit(1)
    order = (_spec.created_at_ms, _spec.key) if is_first else (_spec.created_at_ms.desc(), _spec.key.desc())
    found: int | None = connection.execute(statement.order_by(*order)).scalar_one_or_none()
    return found
