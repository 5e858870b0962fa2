"""ListJobs, by pages: of a queue by status, of a queue by one filter, and of an array's children (AWS Batch user guide,
ListJobs). Every listing is in the order of something that never changes, and a page starts after the last row shown."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, select, tuple_

from batchyard.core.model import names
from batchyard.core.model.records import Ranges, Status
from batchyard.core.state.arrays import virtual_ranges
from batchyard.store.cursors import MAX_INTEGER, Part, decode_cursor, encode_cursor
from batchyard.store.job_queries import TOP_LEVEL, JobView, child_view, find_jobs, listed_view, node_view, views_by_key
from batchyard.store.tables import TEXT_END, job_specs, jobs

Page = tuple[list[JobView], str | None]

FILTERS = ("JOB_NAME", "JOB_DEFINITION", "BEFORE_CREATED_AT", "AFTER_CREATED_AT", "SHARE_IDENTIFIER")

_spec, _job = job_specs.c, jobs.c
_in_queue = TOP_LEVEL.where(_spec.queue == bindparam("queue")).limit(bindparam("limit"))

_BY_STATUS = (
    TOP_LEVEL.where(_job.queue == bindparam("queue"), _job.status == bindparam("status"), _job.key > bindparam("after"))
    .order_by(_job.key)
    .limit(bindparam("limit"))
)
_OF_EVERY_STATUS = _in_queue.where(
    tuple_(_spec.created_at_ms, _spec.key) > tuple_(bindparam("after_ms"), bindparam("after"))
).order_by(_spec.created_at_ms, _spec.key)
_BY_TIME = _in_queue.where(
    _spec.created_at_ms > bindparam("low_ms"),
    tuple_(_spec.created_at_ms, _spec.key) < tuple_(bindparam("before_ms"), bindparam("before")),
).order_by(_spec.created_at_ms.desc(), _spec.key.desc())
_OF_NAME = _in_queue.where(_spec.name_lower == bindparam("name"), _spec.key < bindparam("before")).order_by(
    _spec.key.desc()
)
_OF_NAMES = _in_queue.where(_spec.name_lower > bindparam("low"), _spec.name_lower < bindparam("high")).order_by(
    _spec.name_lower, _spec.key.desc()
)
_NEXT_DEFINITION = select(func.min(_spec.definition)).where(
    _spec.queue == bindparam("queue"), _spec.definition > bindparam("low"), _spec.definition < bindparam("high")
)
_KEYS_OF_DEFINITION = (
    select(_spec.key)
    .where(
        _spec.queue == bindparam("queue"),
        _spec.definition == bindparam("definition"),
        _spec.key < bindparam("before"),
    )
    .order_by(_spec.key.desc())
    .limit(bindparam("limit"))
)
# Few jobs are in a status that jobs leave again: those are searched. In the final statuses the search goes by share.
_OF_SHARE = (
    TOP_LEVEL.where(
        _spec.queue == bindparam("queue"),
        _spec.share_identifier == bindparam("share"),
        _spec.key < bindparam("before"),
    )
    .order_by(_spec.key.desc())
    .limit(bindparam("limit"))
)
_OF_SHARE_ENDED = _OF_SHARE.where(_job.status == bindparam("status"))
_OF_SHARE_UNFINISHED = (
    TOP_LEVEL.where(
        _job.queue == bindparam("queue"),
        _job.status == bindparam("status"),
        _spec.share_identifier == bindparam("share"),
        _job.key < bindparam("before"),
    )
    .order_by(_job.key.desc())
    .limit(bindparam("limit"))
)
_CHILDREN = (
    select(_job.key, _job.body)
    .where(_job.key > bindparam("after"), _job.key <= bindparam("last"))
    .order_by(_job.key)
    .limit(bindparam("limit"))
)
_KEYS_OF_CHILDREN = select(_job.key).where(
    _job.status == bindparam("status"), _job.key > bindparam("after"), _job.key <= bindparam("last")
)
_LAST_CHILD = (
    select(_job.key, _job.body)
    .where(_job.key > bindparam("after"), _job.key <= bindparam("last"), _job.stopped_at_ms > 0)
    .order_by(_job.stopped_at_ms.desc(), _job.key.desc())
    .limit(1)
)
_CHILDREN_BY_STATUS = _CHILDREN.where(_job.status == bindparam("status"))


def list_jobs(
    connection: Connection,
    queue: str,
    status: Status | None,
    filter_name: str | None,
    filter_values: Sequence[str],
    limit: int,
    after: str | None,
) -> Page:
    """Returns one page of a queue's jobs, at most `limit`, and the cursor of the next page (None on the last).

    Without a filter: the jobs in `status` (None: in every one), oldest first. With one, `status` plays no part but for
    SHARE_IDENTIFIER: newest first, by JOB_NAME grouped by name. Several values are alternatives. Raises ValueError,
    with a sentence for the caller, for an unreadable cursor or filter."""
    assert limit > 0, "a page has at least one row"
    if filter_name is None:
        return _unfiltered(connection, queue, status, limit, after)
    if filter_name == "JOB_NAME":
        return _by_name(connection, queue, filter_values, limit, after)
    if filter_name == "JOB_DEFINITION":
        return _by_definition(connection, queue, filter_values, limit, after)
    if filter_name in ("BEFORE_CREATED_AT", "AFTER_CREATED_AT"):
        return _by_time(connection, queue, filter_name, filter_values, limit, after)
    if filter_name == "SHARE_IDENTIFIER":
        return _by_share(connection, queue, status, filter_values, limit, after)
    raise ValueError(f"The filter {filter_name} is not known. Use one of {', '.join(FILTERS)}.")


def list_nodes(connection: Connection, job_id: str, status: Status, limit: int, after: str | None) -> Page:
    """Returns one page of a multi-node job's nodes in `status`, by index."""
    start = int(decode_cursor(after, "node", int)[0]) + 1 if after else 0
    if start < 0:
        raise ValueError("The nextToken is not valid: it names no node.")
    views: list[JobView] = []
    for top in find_jobs(connection, [job_id]):
        nodes = range(start, top.spec.num_nodes) if top.node is None else range(0)
        found = (node_view(top, node) for node in nodes)
        views = list(islice((view for view in found if view is not None and view.job.status is status), limit + 1))
    if len(views) <= limit:
        return views, None
    last = views[limit - 1].node
    assert last is not None, f"the list of nodes of {job_id} has a job without a node"
    return views[:limit], encode_cursor("node", last)


def list_children(
    connection: Connection, parent: JobView, status: Status | None, limit: int, after: str | None
) -> Page:
    """Returns one page of an array's children in `status` (None: in every one), by index.

    The parent is read again: only within one snapshot do its ranges and its children's rows complete each other."""
    assert limit > 0, "a page has at least one row"
    start = int(decode_cursor(after, "child", int)[0]) + 1 if after else 0
    if start < 0:
        raise ValueError("The nextToken is not valid: it names no child.")
    (current,) = views_by_key(connection, [parent.spec.key])
    array = current.job.array
    if array is None:
        return [], None
    first = names.child_key(current.spec.key, 0)
    where: dict[str, object] = {"after": first + start - 1, "last": first + array.size - 1, "limit": limit + 1}
    if status is None:
        found = connection.execute(_CHILDREN, where)
    else:
        found = connection.execute(_CHILDREN_BY_STATUS, {**where, "status": status.value})
    rows = {key - first: body for key, body in found}
    merged = heapq.merge(rows, *(_indexes(ranges, start) for ranges in _virtual(current, status)))
    views: list[JobView] = []
    for index in islice(merged, limit + 1):
        view = child_view(current, index, rows.get(index))
        assert view is not None, f"child {index} of job {current.spec.job_id} has neither a row nor a virtual state"
        views.append(view)
    if len(views) <= limit:
        return views, None
    last = views[limit - 1].index
    assert last is not None
    return views[:limit], encode_cursor("child", last)


def last_child(connection: Connection, parent: JobView) -> JobView | None:
    """Returns the child of an array that ended last, of those that ran; None: there is none."""
    (current,) = views_by_key(connection, [parent.spec.key])
    array = current.job.array
    if array is None:
        return None
    first = names.child_key(current.spec.key, 0)
    found = connection.execute(_LAST_CHILD, {"after": first - 1, "last": first + array.size - 1}).first()
    return None if found is None else child_view(current, found[0] - first, found[1])


def _virtual(parent: JobView, status: Status | None) -> list[Ranges]:
    wanted = tuple(Status) if status is None else (status,)
    return [virtual_ranges(parent.spec, parent.job, one) for one in wanted]


def _indexes(ranges: Ranges, start: int) -> Iterator[int]:
    """Yields the indexes from `start` on one by one: an array may have a million."""
    for low, high in ranges:
        yield from range(max(low, start), high)


def _views(connection: Connection, statement: Select[Any], where: dict[str, Part]) -> list[JobView]:
    return [listed_view(*row[2:]) for row in connection.execute(statement, where)]


def _page(views: list[JobView], limit: int, kind: str, *position: str) -> Page:
    """Cuts the rows read, which may be one too many, to a page. `position`: the spec's members that the cursor
    holds."""
    if len(views) <= limit:
        return views, None
    last = views[limit - 1].spec
    parts = [last.name.lower() if member == "name" else getattr(last, member) for member in position]
    return views[:limit], encode_cursor(kind, *parts)


def child_states(connection: Connection, parent: JobView) -> dict[str, Ranges]:
    """Returns the indexes of an array's children by status, ascending, without statuses that no child has."""
    (current,) = views_by_key(connection, [parent.spec.key])
    array = current.job.array
    if array is None:
        return {}
    first = names.child_key(current.spec.key, 0)
    found: dict[str, list[tuple[int, int]]] = {}
    for status in Status:
        if status.is_final:
            found[status.value] = list(array.succeeded if status is Status.SUCCEEDED else array.failed)
            continue
        found[status.value] = list(virtual_ranges(current.spec, current.job, status))
        where = {"status": status.value, "after": first - 1, "last": first + array.size - 1}
        rows = connection.execute(_KEYS_OF_CHILDREN, where)
        found[status.value] += [(key - first, key - first + 1) for (key,) in rows]
    return {status: tuple(sorted(ranges)) for status, ranges in found.items() if ranges}


def _unfiltered(connection: Connection, queue: str, status: Status | None, limit: int, after: str | None) -> Page:
    where: dict[str, Part] = {"queue": queue, "limit": limit + 1}
    if status is None:
        after_ms, key = decode_cursor(after, "every", int, int) if after else (-1, 0)
        views = _views(connection, _OF_EVERY_STATUS, {**where, "after_ms": after_ms, "after": key})
        return _page(views, limit, "every", "created_at_ms", "key")
    key = decode_cursor(after, "status", int)[0] if after else 0
    views = _views(connection, _BY_STATUS, {**where, "status": status.value, "after": key})
    return _page(views, limit, "status", "key")


def _by_time(
    connection: Connection, queue: str, filter_name: str, values: Sequence[str], limit: int, after: str | None
) -> Page:
    times = [_milliseconds(filter_name, value) for value in values]
    low_ms, before_ms = -1, MAX_INTEGER
    if filter_name == "BEFORE_CREATED_AT":
        before_ms = max(times, default=0)
    else:
        low_ms = min(times, default=MAX_INTEGER)
    before: Part = 0
    start_ms: Part = before_ms
    if after:
        start_ms, before = decode_cursor(after, "time", int, int)
    where: dict[str, Part] = {"queue": queue, "limit": limit + 1, "low_ms": low_ms}
    views = _views(connection, _BY_TIME, {**where, "before_ms": start_ms, "before": before})
    return _page(views, limit, "time", "created_at_ms", "key")


def _milliseconds(filter_name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise ValueError(
            f"The filter {filter_name} takes milliseconds since 1970, in digits, such as 1700000000000; not {value!r}."
        )
    return min(int(value[:20]), MAX_INTEGER)


def _by_name(connection: Connection, queue: str, values: Sequence[str], limit: int, after: str | None) -> Page:
    at_name, at_key = decode_cursor(after, "name", str, int) if after else ("", MAX_INTEGER)
    views: list[JobView] = []
    for name, is_prefix in _searches([value.lower() for value in values]):
        end = name + TEXT_END if is_prefix else name
        if str(at_name) > end:
            continue  # shown on earlier pages
        start, before = (str(at_name), int(at_key)) if str(at_name) >= name else (name, MAX_INTEGER)
        where: dict[str, Part] = {"queue": queue, "limit": limit + 1 - len(views)}
        views += _views(connection, _OF_NAME, {**where, "name": start, "before": before})
        if is_prefix and len(views) <= limit:
            where["limit"] = limit + 1 - len(views)
            views += _views(connection, _OF_NAMES, {**where, "low": start, "high": end})
        if len(views) > limit:
            break
    return _page(views, limit, "name", "name", "key")


def _searches(values: Sequence[str]) -> list[tuple[str, bool]]:
    """Returns (text, whether it is a prefix), ascending, without those that a prefix among them covers."""
    found: list[tuple[str, bool]] = []
    for text, is_exact in sorted({(value.removesuffix("*"), not value.endswith("*")) for value in values}):
        if not (found and found[-1][1] and text.startswith(found[-1][0])):
            found.append((text, not is_exact))
    return found


def _by_share(
    connection: Connection, queue: str, status: Status | None, values: Sequence[str], limit: int, after: str | None
) -> Page:
    where: dict[str, Part] = {"queue": queue, "limit": limit + 1}
    where["before"] = decode_cursor(after, "share", int)[0] if after else MAX_INTEGER
    statement = _OF_SHARE
    if status is not None:
        where["status"] = status.value
        statement = _OF_SHARE_ENDED if status.is_final else _OF_SHARE_UNFINISHED
    found = [view for share in sorted(set(values)) for view in _views(connection, statement, {**where, "share": share})]
    return _page(sorted(found, key=lambda view: -view.spec.key)[: limit + 1], limit, "share", "key")


def _by_definition(connection: Connection, queue: str, values: Sequence[str], limit: int, after: str | None) -> Page:
    before = decode_cursor(after, "definition", int)[0] if after else MAX_INTEGER
    keys: set[int] = set()
    for definition in sorted({one for value in values for one in _definitions(connection, queue, value)}):
        where = {"queue": queue, "definition": definition, "before": before, "limit": limit + 1}
        keys.update(key for (key,) in connection.execute(_KEYS_OF_DEFINITION, where))
    newest = heapq.nlargest(limit + 1, keys)
    views = sorted(views_by_key(connection, newest), key=lambda view: -view.spec.key)
    return _page(views, limit, "definition", "key")


def _definitions(connection: Connection, queue: str, value: str) -> Iterator[str]:
    """Yields the `name:revision`s of a queue's jobs that a filter value matches, each found by one step down the
    index."""
    name, revision = names.split_definition(value)
    if revision is not None:
        yield f"{name}:{revision}"
        return
    is_prefix = name.endswith("*") and not value.startswith("arn:")
    low = name.removesuffix("*") if is_prefix else f"{name}:"
    high = low + TEXT_END
    while True:
        found = connection.execute(_NEXT_DEFINITION, {"queue": queue, "low": low, "high": high}).scalar_one()
        if found is None:
            return
        low = found
        yield low
