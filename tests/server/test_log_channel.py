"""Messages that are written into log groups (observability spec 5.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchyard.core.model.deliveries import Message
from batchyard.server.deliveries.log_channel import LogChannel, log_event, stream_of
from batchyard.server.deliveries.sender import ARRIVED, Outcome
from batchyard.store.logs.log_records import LogEvent
from batchyard.store.logs.log_writer import LogWriter
from batchyard.store.sqlite.side_files import open_for_reading

NOW_MS = 1_764_000_000_000
MORE = '{"timestamp": 5, "message": "text", "more": 1}'
LANE = "arn:aws:events:us-east-1:123456789012:rule/failed#t1"


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[LogWriter]:
    made = LogWriter(tmp_path / "logs.db", lambda: NOW_MS)
    made.open()
    yield made
    made.close()


def message(lane: str = LANE, body: str = "text") -> Message:
    return Message(lane, "logs", {"group": "/aws/events/all"}, body, "token")


def test_a_message_is_an_event_of_the_group_in_a_stream_of_its_rule_target_and_day(
    tmp_path: Path, writer: LogWriter
) -> None:
    channel = LogChannel(writer, lambda: NOW_MS)
    assert asyncio.run(channel.send(message())) == ARRIVED
    connection = open_for_reading(tmp_path / "logs.db")
    rows = connection.execute("SELECT log_group, name, at_ms, message FROM events JOIN streams ON key = stream")
    assert rows.fetchall() == [("/aws/events/all", "failed/t1/2025-11-24", NOW_MS, "text")]
    connection.close()


def test_streams_of_buses_and_of_dead_letters_have_names_that_streams_can_have() -> None:
    assert stream_of(LANE.replace("rule/", "rule/bus/"), NOW_MS) == "bus/failed/t1/2025-11-24"
    assert stream_of("logs:/dead", NOW_MS) == "dead-letters/2025-11-24"


@pytest.mark.parametrize(
    ("body", "event"),
    [
        ('{"timestamp": 5, "message": "text"}', LogEvent(5, "text")),
        ('{"timestamp": "2025-11-24T16:00:00Z", "message": "text"}', LogEvent(NOW_MS, "text")),
        ('{"timestamp": "2025-11-24T16:00:00", "message": {"a": 1}}', LogEvent(NOW_MS, '{"a":1}')),
        ('{"timestamp": "soon", "message": "text"}', LogEvent(NOW_MS, "text")),
        ('{"timestamp": true, "message": "text"}', LogEvent(NOW_MS, "text")),
        (
            '{"timestamp": 5, "message": "text", "more": 1}',
            LogEvent(NOW_MS, '{"timestamp": 5, "message": "text", "more": 1}'),
        ),
        ('{"broken', LogEvent(NOW_MS, '{"broken')),
        ('"a string"', LogEvent(NOW_MS, '"a string"')),
    ],
)
def test_a_transformer_may_give_time_and_text(body: str, event: LogEvent) -> None:
    assert log_event(body, NOW_MS) == event


def test_a_group_that_cannot_be_written_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = LogWriter(tmp_path / "logs.db", lambda: NOW_MS)
    writer.open()
    assert writer._connection is not None
    writer._connection.execute("PRAGMA max_page_count=1")
    outcome = asyncio.run(LogChannel(writer, lambda: NOW_MS).send(message(body="x" * 200_000)))
    assert outcome == Outcome("THROTTLING", f"No space is left for log events in {tmp_path / 'logs.db'}.")
    writer.close()
