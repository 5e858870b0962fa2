"""Events of executions in log groups: which, in what form, and that a full disk only delays them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from batchyard.core.model.executions import HistoryEvent, Logging
from batchyard.server.workflows import history_logs
from batchyard.server.workflows.history_logs import HistoryLogs, is_logged
from batchyard.store.logs.log_writer import LogWriter, NotWritten
from batchyard.store.sqlite.side_files import open_for_reading
from batchyard.workflows.commands import LogHistory
from tests.loop.test_loop import settle

NOW_MS = 1_764_000_000_000  # 2025-11-24
ARN = "arn:aws:states:us-east-1:123456789012:execution:pipeline:one"
GROUP = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/vendedlogs/states/pipeline:*"
STARTED = HistoryEvent(7, 1, 0, NOW_MS, "ExecutionStarted", {"input": '{"a":1}', "roleArn": "r"})
FAILED = HistoryEvent(7, 2, 1, NOW_MS + 5, "ExecutionFailed", {"error": "E", "cause": "c"})


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[LogWriter]:
    made = LogWriter(tmp_path / "logs.db", lambda: NOW_MS)
    made.open()
    yield made
    made.close()


def effect(*events: HistoryEvent, level: str = "ALL", data: bool = True, group: str = GROUP) -> LogHistory:
    return LogHistory(ARN, Logging(level, data, group), events, redrive_count=2)


def written(directory: Path) -> list[tuple[str, str, int, dict[str, Any]]]:
    rows = open_for_reading(directory / "logs.db").execute(
        "SELECT log_group, name, at_ms, message FROM events JOIN streams ON streams.key = events.stream ORDER BY at_ms"
    )
    return [(group, stream, at_ms, json.loads(text)) for group, stream, at_ms, text in rows]


async def log(logs: HistoryLogs, *effects: LogHistory) -> None:
    running = asyncio.create_task(logs.run())
    logs.carry_out(effects)
    await settle()
    await asyncio.wrap_future(logs._writer.run(lambda *_: None))
    running.cancel()


def test_the_events_of_an_execution_are_lines_of_its_machines_stream_of_the_day(
    tmp_path: Path, writer: LogWriter
) -> None:
    asyncio.run(log(HistoryLogs(writer), effect(STARTED, FAILED), effect(FAILED, group="")))
    place = "/aws/vendedlogs/states/pipeline", "states/pipeline/2025-11-24"
    assert written(tmp_path) == [
        (
            *place,
            NOW_MS,
            {
                "id": "1",
                "type": "ExecutionStarted",
                "details": {"input": '{"a":1}', "inputDetails": {"truncated": False}, "roleArn": "r"},
                "redrive_count": "2",
                "previous_event_id": "0",
                "event_timestamp": str(NOW_MS),
                "execution_arn": ARN,
            },
        ),
        (
            *place,
            NOW_MS + 5,
            {
                "id": "2",
                "type": "ExecutionFailed",
                "details": {"error": "E", "cause": "c"},
                "redrive_count": "2",
                "previous_event_id": "1",
                "event_timestamp": str(NOW_MS + 5),
                "execution_arn": ARN,
            },
        ),
    ]


def test_data_is_left_out_where_the_machine_does_not_include_it(tmp_path: Path, writer: LogWriter) -> None:
    asyncio.run(log(HistoryLogs(writer), effect(STARTED, data=False)))
    assert written(tmp_path)[0][3]["details"] == {"roleArn": "r"}


@pytest.mark.parametrize(
    ("level", "logged"),
    [
        ("ALL", ["ExecutionStarted", "FailStateEntered", "TaskTimedOut", "MapIterationAborted", "ExecutionFailed"]),
        ("ERROR", ["FailStateEntered", "TaskTimedOut", "MapIterationAborted", "ExecutionFailed"]),
        ("FATAL", ["ExecutionFailed"]),
        ("OFF", []),
    ],
)
def test_a_level_covers_types_of_events(level: str, logged: list[str]) -> None:
    types = ["ExecutionStarted", "FailStateEntered", "TaskTimedOut", "MapIterationAborted", "ExecutionFailed"]
    assert [one for one in types if is_logged(level, one)] == logged


def test_a_full_disk_delays_a_line_and_a_full_queue_drops_what_comes_next(
    writer: LogWriter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(history_logs, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(history_logs, "MAX_WAITING", 1)
    tries: list[Sequence[Any]] = []

    class Full:
        def append(self, group: str, stream: str, events: Sequence[Any], *, creates: bool) -> Future[None]:
            tries.append(events)
            done: Future[None] = Future()
            if len(tries) < 3:
                done.set_exception(NotWritten("full"))
            else:
                done.set_result(None)
            return done

    async def scenario() -> None:
        logs = HistoryLogs(Full())  # type: ignore[arg-type]
        logs.carry_out([effect(STARTED), effect(FAILED)])
        running = asyncio.create_task(logs.run())
        await settle()
        running.cancel()

    asyncio.run(asyncio.wait_for(scenario(), timeout=60))
    assert len(tries) == 3
    assert "events of 1 steps of executions were not logged" in caplog.text
