"""Executions in the store: what comes back, by pages, and by which index (step functions spec 4, 5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from batchyard.core.model.changes import Changes
from batchyard.core.model.executions import (
    Execution,
    ExecutionStatus,
    Frame,
    FramePhase,
    HistoryEvent,
    MapRun,
    MapRunStatus,
)
from batchyard.simulator.disk import Disk
from batchyard.store import codec, execution_queries, retention_queries
from batchyard.store.queries import ExecutionFilter, Reader
from batchyard.store.sqlite.inspection import survey
from batchyard.store.writer import Writer

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:nightly"
MAP_RUN = "arn:aws:states:us-east-1:123456789012:mapRun:nightly/each:1"
OPEN, DONE, FAILED = ExecutionStatus.RUNNING, ExecutionStatus.SUCCEEDED, ExecutionStatus.FAILED
NOW_MS = 1_700_000_000_000


def execution(key: int, status: ExecutionStatus = OPEN, **members: Any) -> Execution:
    arn = f"arn:aws:states:us-east-1:123456789012:execution:nightly:{key}"
    given = {"machine_arn": MACHINE, "name": str(key), "type": "STANDARD", "input": f'{{"key":  {key}}}', **members}
    return Execution(
        key=key, arn=arn, status=status, revision_id="r", role_arn="role", started_at_ms=NOW_MS + key, **given
    )


def events(key: int, first: int, last: int) -> list[HistoryEvent]:
    return [
        HistoryEvent(key, number, number - 1, NOW_MS, "PassStateEntered", {"name": "A"})
        for number in range(first, last + 1)
    ]


def frame(key: int, number: int) -> Frame:
    return Frame(execution_key=key, id=number, state="A", phase=FramePhase.SLEEPING, input="{}")


def map_run(number: int, status: MapRunStatus = MapRunStatus.RUNNING, key: int = 1) -> MapRun:
    return MapRun(
        arn=f"{MAP_RUN[:-1]}{number}",
        execution_key=key,
        execution_arn="e",
        frame_id=0,
        execution_type="STANDARD",
        state="M",
        machine_arn=f"{MACHINE}/each",
        status=status,
        started_at_ms=NOW_MS + number // 2,
    )


def commit(writer: Writer, *found: Execution, **members: Any) -> None:
    writer.commit(Changes(executions={one.key: one for one in found}, **members), NOW_MS).result(30)


def keys(page: tuple[list[Execution], str | None]) -> list[int]:
    return [one.key for one in page[0]]


def test_an_execution_comes_back_whole_and_changes_keep_its_input(writer: Writer, reader: Reader) -> None:
    begun = execution(1, version_arn=f"{MACHINE}:1")
    commit(writer, begun)
    assert reader.execution(begun.arn) == begun
    ended = execution(1, FAILED, version_arn=f"{MACHINE}:1", error="E", cause="long " * 50, output=None)
    commit(writer, ended)
    assert reader.execution(begun.arn) == ended
    assert reader.execution(f"{begun.arn}x") is None


def test_listings_are_newest_first_by_machine_version_alias_map_run_and_filters(writer: Writer, reader: Reader) -> None:
    children = [execution(key, FAILED, map_run_arn=MAP_RUN, machine_arn=f"{MACHINE}/each") for key in (10, 11)]
    commit(
        writer,
        execution(1, DONE),
        execution(2, FAILED, redrive_count=1, alias_arn=f"{MACHINE}:live", version_arn=f"{MACHINE}:1"),
        execution(3, DONE, version_arn=f"{MACHINE}:1"),
        execution(4),
        *children,
    )
    cases = [
        (ExecutionFilter(MACHINE), [4, 3, 2, 1]),
        (ExecutionFilter(MACHINE, status="SUCCEEDED"), [3, 1]),
        (ExecutionFilter(MACHINE, is_redriven=True), [2]),
        (ExecutionFilter(MACHINE, is_redriven=False), [4, 3, 1]),
        (ExecutionFilter(f"{MACHINE}:1", "version_arn"), [3, 2]),
        (ExecutionFilter(f"{MACHINE}:live", "alias_arn"), [2]),
        (ExecutionFilter(MAP_RUN), [11, 10]),
    ]
    for wanted, expected in cases:
        assert keys(reader.executions(wanted)) == expected
        paged: list[int] = []
        cursor: str | None = None
        while True:
            page = reader.executions(wanted, 1, cursor)
            paged += keys(page)
            cursor = page[1]
            if cursor is None:
                break
        assert paged == expected
    shown = reader.executions(ExecutionFilter(MACHINE))[0][0]
    assert (shown.input, shown.output, shown.started_at_ms) == ("", None, NOW_MS + 4)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 130), min_size=1, max_size=6), st.integers(1, 70), st.booleans())
def test_pages_of_a_history_are_the_history(sizes: list[int], limit: int, is_reverse: bool) -> None:
    """Whatever transactions its events came in, beside those of other executions."""
    rows: list[codec.EventsRow] = []
    last = 0
    for size in sizes:
        mixed = [
            one
            for pair in zip(events(1, last + 1, last + size), events(2, last + 1, last + size), strict=True)
            for one in pair
        ]
        rows += codec.event_rows(mixed)
        last += size
    connection = _Events(rows)
    shown: list[int] = []
    after: int | None = None
    while True:
        page, after = execution_queries.history(connection, 1, limit, after, is_reverse=is_reverse)  # type: ignore[arg-type]
        assert all(one.execution_key == 1 for one in page)
        shown += [one.id for one in page]
        if after is None:
            break
    assert shown == (list(range(last, 0, -1)) if is_reverse else list(range(1, last + 1)))


class _Events:
    """A database in memory that has the rows of histories alone."""

    def __init__(self, rows: list[codec.EventsRow]) -> None:
        from sqlalchemy import create_engine

        from batchyard.store.tables import execution_events

        self.connection = create_engine("sqlite://").connect()
        execution_events.create(self.connection)
        names = execution_events.columns.keys()
        self.connection.execute(execution_events.insert(), [dict(zip(names, row, strict=True)) for row in rows])

    def execute(self, *arguments: Any) -> Any:
        return self.connection.execute(*arguments)


def test_a_snapshot_has_what_is_open(writer: Writer) -> None:
    first = Changes(
        executions={1: execution(1), 2: execution(2), 3: execution(3)},
        frames={(1, 0): frame(1, 0), (1, 1): frame(1, 1), (2, 0): frame(2, 0)},
        history=[*events(1, 1, 3), *events(2, 1, 120)],
        map_runs={one.arn: one for one in (map_run(1), map_run(2))},
    )
    ended = map_run(1, MapRunStatus.FAILED)
    second = Changes(
        executions={3: execution(3, FAILED)},
        frames={(1, 1): None, (3, 0): frame(3, 0)},
        history=events(1, 4, 4),
        map_runs={ended.arn: ended},
    )
    disk = Disk()
    for changes in (first, second):
        writer.commit(changes, NOW_MS).result(30)
        disk.apply(codec.encode_changes(changes), NOW_MS)
    snapshot = writer.load(NOW_MS)
    assert [one.key for one in snapshot.executions] == [1, 2]
    assert snapshot.frames == [frame(1, 0), frame(2, 0)]
    assert snapshot.history_ends == {1: 4, 2: 120}
    assert snapshot.map_runs == [map_run(2)]
    assert snapshot.next_execution_key == 4
    assert disk.snapshot(NOW_MS, 0) == snapshot


def test_what_a_redrive_needs_is_read_together(writer: Writer, reader: Reader) -> None:
    child = execution(5, FAILED, map_run_arn=MAP_RUN)
    commit(
        writer,
        execution(1, FAILED),
        child,
        execution(6, DONE, map_run_arn=MAP_RUN),
        frames={(1, 0): frame(1, 0), (5, 0): frame(5, 0)},
        history=[*events(1, 1, 7), *events(5, 1, 2)],
        map_runs={one.arn: one for one in map(map_run, (4, 1, 2, 3))},
    )
    assert reader.execution_state(1) == ([frame(1, 0)], 7)
    assert reader.unsuccessful_children(MAP_RUN) == [(child, [frame(5, 0)], 2)]
    found, cursor = reader.map_runs(1, 3)
    assert [one.arn[-1] for one in found + reader.map_runs(1, 3, cursor)[0]] == ["1", "2", "3", "4"]
    assert reader.map_run(f"{MAP_RUN[:-1]}4") == map_run(4)
    assert reader.map_run(MAP_RUN[:-1]) is None


@pytest.mark.parametrize("is_redriven", [None, True, False])
@pytest.mark.parametrize("status", [None, "FAILED"])
@pytest.mark.parametrize("column", ["listed_under", "version_arn", "alias_arn"])
def test_listings_search_an_index_and_sort_nothing(
    writer: Writer, reader: Reader, column: str, status: str | None, is_redriven: bool | None
) -> None:
    """By the database's own account of how it finds the rows, since time says little on a small one."""
    for plan in _plans(reader, lambda: reader.executions(ExecutionFilter("a", column, status, is_redriven))):
        assert goes_down_an_index(plan), plan


def test_histories_frames_and_map_runs_search_an_index(writer: Writer, reader: Reader) -> None:
    def ask() -> None:
        reader.execution("a")
        reader.history(1, 100, 7)
        reader.history(1, 100, 7, is_reverse=True)
        reader.execution_state(1)
        reader.unsuccessful_children("a")
        reader.map_runs(1)
        reader.map_run("a")

    plans = _plans(reader, ask)
    assert len(plans) == 9
    for plan in plans:
        assert goes_down_an_index(plan), plan


def goes_down_an_index(plan: str) -> bool:
    return "INDEX" in plan and "SCAN" not in plan and "TEMP B-TREE" not in plan


def _plans(reader: Reader, ask: Any) -> list[str]:
    """Returns how the database finds the rows of each statement that `ask` makes it run."""
    found: list[str] = []

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        if not statement.startswith("SELECT"):
            return
        plan = connection.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
        found.append("; ".join(row[3] for row in plan))

    event.listen(reader._engine, "before_cursor_execute", explain)
    try:
        ask()
    finally:
        event.remove(reader._engine, "before_cursor_execute", explain)
    return found


def test_an_event_is_written_once(writer: Writer, path: Path) -> None:
    commit(writer, execution(1), history=events(1, 1, 2))
    with pytest.raises(Exception, match="UNIQUE"):
        commit(writer, history=events(1, 1, 2))


def bites(reader: Reader, before_ms: int) -> list[int]:
    after: int | None = 0
    found: list[int] = []
    while after is not None:
        bite = reader.prunable_executions(after, before_ms)
        found += bite.keys
        after = bite.after
    return found


def closed(key: int, **members: Any) -> Execution:
    return execution(key, DONE, stopped_at_ms=NOW_MS + 1000, **members)


def test_closed_executions_go_with_all_their_rows_and_children_after_their_map_run(
    writer: Writer, reader: Reader, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_queries, "EXECUTIONS_AT_ONCE", 2)
    run = map_run(1)
    commit(
        writer,
        closed(1),
        execution(2),
        closed(3, map_run_arn=run.arn),
        execution(4, FAILED, stopped_at_ms=NOW_MS + 5000),
        closed(5),
        frames={(1, 0): frame(1, 0), (2, 0): frame(2, 0)},
        history=[*events(1, 1, 60), *events(2, 1, 3)],
        map_runs={run.arn: run},
    )
    assert bites(reader, NOW_MS + 2000) == [1, 5]
    assert bites(reader, NOW_MS + 4) == [], "5 began later: nothing behind it is looked at"
    writer.prune_executions([1, 5], NOW_MS).result(30)
    assert keys(reader.executions(ExecutionFilter(MACHINE))) == [4, 2]
    assert (reader.execution_state(1), reader.map_runs(1)) == (([], 0), ([], None))
    assert reader.execution_state(2) == ([frame(2, 0)], 3)
    assert bites(reader, NOW_MS + 2000) == [3]
    commit(writer, execution(6, name="1", version_arn="v"))
    assert survey(path).faults == []


def test_rows_that_do_not_fit_together_are_found(writer: Writer, path: Path) -> None:
    commit(writer, execution(1), frames={(1, 0): frame(1, 0), (9, 0): frame(9, 0)}, history=events(8, 1, 2))
    assert [fault.split()[-1] for fault in survey(path).faults] == ["execution", "execution"]
