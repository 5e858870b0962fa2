"""Queries of executions of Step Functions: by ARN, in listings newest first, their frames, histories and map runs.

Each goes down an index and reads what it shows: a page costs the same however many executions or events there are."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, bindparam, func, select, text

from batchyard.core.model.executions import Execution, ExecutionStatus, Frame, HistoryEvent, MapRun
from batchyard.store import codec
from batchyard.store.budgets import check_time
from batchyard.store.cursors import MAX_INTEGER, Part, decode_cursor, encode_cursor
from batchyard.store.tables import (
    OPEN_EXECUTION,
    OPEN_MAP_RUN,
    REDRIVEN,
    execution_events,
    execution_frames,
    executions,
    map_runs,
)

UNSUCCESSFUL = (ExecutionStatus.FAILED.value, ExecutionStatus.TIMED_OUT.value, ExecutionStatus.ABORTED.value)
MAX_EVENTS = 1000  # of a page of a history
CHILDREN_AT_ONCE = 500  # of a map run, read by one statement

_one = executions.c
_FULL = select(_one.body, _one.input, _one.output, _one.cause)
_BY_ARN = _FULL.where(_one.arn == bindparam("arn"))
_OPEN = text(f"executions.{OPEN_EXECUTION}")
_OPEN_EXECUTIONS = _FULL.where(_OPEN).order_by(_one.key)
_OPEN_FRAMES = (
    select(execution_frames.c.body)
    .select_from(executions.join(execution_frames, execution_frames.c.execution_key == _one.key))
    .where(_OPEN)
    .order_by(execution_frames.c.execution_key, execution_frames.c.id)
)
_LAST_ID = (
    select(execution_events.c.last_id)
    .where(execution_events.c.execution_key == _one.key)
    .order_by(execution_events.c.first_id.desc())
    .limit(1)
    .scalar_subquery()
)
_OPEN_ENDS = select(_one.key, _LAST_ID).where(_OPEN).order_by(_one.key)
_OPEN_MAP_RUNS = select(map_runs.c.body).where(text(f"map_runs.{OPEN_MAP_RUN}")).order_by(map_runs.c.arn)
_FRAMES = (
    select(execution_frames.c.body)
    .where(execution_frames.c.execution_key == bindparam("key"))
    .order_by(execution_frames.c.id)
)
_event = execution_events.c
_OF_EXECUTION = select(_event.first_id, _event.body).where(_event.execution_key == bindparam("key"))
_EVENTS_AFTER = _OF_EXECUTION.where(_event.first_id >= bindparam("first")).order_by(_event.first_id)
_EVENTS_BEFORE = _OF_EXECUTION.where(_event.first_id < bindparam("before")).order_by(_event.first_id.desc())
_ROW_OF = select(func.max(_event.first_id)).where(
    _event.execution_key == bindparam("key"), _event.first_id <= bindparam("id")
)
_HISTORY_END = (
    select(_event.last_id).where(_event.execution_key == bindparam("key")).order_by(_event.first_id.desc()).limit(1)
)
_MAP_RUN = select(map_runs.c.body).where(map_runs.c.arn == bindparam("arn"))
_MAP_RUNS = select(map_runs.c.started_at_ms, map_runs.c.arn, map_runs.c.body).where(
    map_runs.c.execution_key == bindparam("key")
)


# -- what a machine starts from --


def open_executions(connection: Connection) -> list[Execution]:
    return [codec.decode_execution(*row) for row in connection.execute(_OPEN_EXECUTIONS)]


def open_frames(connection: Connection) -> list[Frame]:
    return [codec.decode_frame(body) for (body,) in connection.execute(_OPEN_FRAMES)]


def open_history_ends(connection: Connection) -> dict[int, int]:
    """Returns the id of the last event of each open execution that has any, by key."""
    return {key: last for key, last in connection.execute(_OPEN_ENDS) if last is not None}


def open_map_runs(connection: Connection) -> list[MapRun]:
    return [codec.decode_map_run(body) for (body,) in connection.execute(_OPEN_MAP_RUNS)]


def last_key(connection: Connection) -> int:
    """Returns the highest key of an execution; 0: there is none."""
    return connection.execute(select(func.max(_one.key))).scalar_one() or 0


# -- executions --


class ExecutionFilter(Struct, frozen=True):
    """What ListExecutions lists. `arn`: of a state machine, a version, an alias or a map run, in which column stands in
    `column`."""

    arn: str
    column: str = "listed_under"  # or version_arn, alias_arn
    status: str | None = None
    is_redriven: bool | None = None


def find_execution(connection: Connection, arn: str) -> Execution | None:
    row = connection.execute(_BY_ARN, {"arn": arn}).one_or_none()
    return None if row is None else codec.decode_execution(*row)


def list_executions(
    connection: Connection, wanted: ExecutionFilter, limit: int, after: str | None
) -> tuple[list[Execution], str | None]:
    """Returns executions newest first, without their inputs, outputs and causes. Raises ValueError where `after` is no
    cursor of these."""
    before = decode_cursor(after, "executions", int)[0] if after else MAX_INTEGER
    statement = select(_one.key, _one.body).where(_one[wanted.column] == wanted.arn, _one.key < before)
    if wanted.status is not None:
        statement = statement.where(_one.status == wanted.status)
    if wanted.is_redriven is not None:
        condition = text(f"executions.{REDRIVEN}") if wanted.is_redriven else _one.redrive_count == 0
        statement = statement.where(condition)
    rows = connection.execute(statement.order_by(_one.key.desc()).limit(limit + 1)).all()
    cursor = encode_cursor("executions", rows[limit - 1].key) if len(rows) > limit else None
    return [codec.decode_listed_execution(row.body) for row in rows[:limit]], cursor


def frames(connection: Connection, execution_key: int) -> list[Frame]:
    return [codec.decode_frame(body) for (body,) in connection.execute(_FRAMES, {"key": execution_key})]


def unsuccessful_children(connection: Connection, map_run_arn: str) -> list[tuple[Execution, list[Frame], int]]:
    """Returns the children of a map run that did not succeed, each with its frames and the id of its last event."""
    found: list[tuple[Execution, list[Frame], int]] = []
    key = 0
    while True:
        check_time()
        statement = (
            _FULL.where(_one.listed_under == map_run_arn, _one.status.in_(UNSUCCESSFUL), _one.key > key)
            .order_by(_one.key)
            .limit(CHILDREN_AT_ONCE)
        )
        rows = connection.execute(statement).all()
        for row in rows:
            child = codec.decode_execution(*row)
            key = child.key
            found.append((child, frames(connection, key), history_end(connection, key)))
        if len(rows) < CHILDREN_AT_ONCE:
            return found


# -- histories --


def history_end(connection: Connection, execution_key: int) -> int:
    """Returns the id of an execution's last event; 0: it has none."""
    return connection.execute(_HISTORY_END, {"key": execution_key}).scalar_one_or_none() or 0


def history(
    connection: Connection, execution_key: int, limit: int, after: int | None, *, is_reverse: bool
) -> tuple[list[HistoryEvent], int | None]:
    """Returns a page of a history by id, or with `is_reverse` from its end, and the id of the last event shown where
    more follow. `after`: that of the page before."""
    assert limit <= MAX_EVENTS, f"a page of {limit} events"
    found = _backwards if is_reverse else _forwards
    events = found(connection, execution_key, limit + 1, after)
    return events[:limit], events[limit - 1].id if len(events) > limit else None


def _forwards(connection: Connection, key: int, limit: int, after: int | None) -> list[HistoryEvent]:
    first = 0
    if after is not None:  # the row that has the next event may begin before it
        first = connection.execute(_ROW_OF, {"key": key, "id": after + 1}).scalar_one() or 0
    found: list[HistoryEvent] = []
    rows = connection.execute(_EVENTS_AFTER.limit(limit + 1), {"key": key, "first": first})
    for _, body in rows:
        found += [event for event in codec.decode_events(key, body) if after is None or event.id > after]
        if len(found) >= limit:
            rows.close()
            break
    return found[:limit]


def _backwards(connection: Connection, key: int, limit: int, after: int | None) -> list[HistoryEvent]:
    before = MAX_INTEGER if after is None else after
    found: list[HistoryEvent] = []
    rows = connection.execute(_EVENTS_BEFORE.limit(limit), {"key": key, "before": before})
    for _, body in rows:
        found += [event for event in reversed(codec.decode_events(key, body)) if event.id < before]
        if len(found) >= limit:
            rows.close()
            break
    return found[:limit]


# -- map runs --


def find_map_run(connection: Connection, arn: str) -> MapRun | None:
    body = connection.execute(_MAP_RUN, {"arn": arn}).scalar_one_or_none()
    return None if body is None else codec.decode_map_run(body)


def list_map_runs(
    connection: Connection, execution_key: int, limit: int, after: str | None
) -> tuple[list[MapRun], str | None]:
    """Returns the map runs of an execution, in the order in which they started."""
    started, arn = decode_cursor(after, "map runs", int, str) if after else (-1, "")
    statement: Any = _MAP_RUNS
    if after:
        later = (map_runs.c.started_at_ms > started) | ((map_runs.c.started_at_ms == started) & (map_runs.c.arn > arn))
        statement = statement.where(later)
    where: dict[str, Part] = {"key": execution_key}
    statement = statement.order_by(map_runs.c.started_at_ms, map_runs.c.arn).limit(limit + 1)
    rows = connection.execute(statement, where).all()
    last = rows[limit - 1] if len(rows) > limit else None
    cursor = None if last is None else encode_cursor("map runs", last.started_at_ms, last.arn)
    return [codec.decode_map_run(row.body) for row in rows[:limit]], cursor
