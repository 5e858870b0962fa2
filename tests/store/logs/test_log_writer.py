"""Log events are durable once answered, whatever becomes of the other writes of their transaction."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from batchyard.core.model.refusal import Refused
from batchyard.store.logs.log_records import AppendedEvents, LogEvent
from batchyard.store.logs.log_writer import LogWriter, NotWritten

NOW_MS = 1_700_000_000_000


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[LogWriter]:
    opened = LogWriter(tmp_path / "logs.db", lambda: NOW_MS)
    opened.open()
    yield opened
    opened.close()


def messages(path: Path) -> list[tuple[str, str, int, str]]:
    """(group, stream, time, message) in the order of the streams."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute(
            "SELECT log_group, name, at_ms, message FROM events JOIN streams ON stream = key "
            "ORDER BY log_group, name, at_ms, sequence"
        ).fetchall()
    finally:
        connection.close()


def test_events_are_there_once_answered_in_the_order_of_their_times(writer: LogWriter, tmp_path: Path) -> None:
    late = [LogEvent(NOW_MS - 5, "late\nwith two lines"), LogEvent(NOW_MS, "same time")]
    writer.append("/g", "s", [LogEvent(NOW_MS, "first")], creates=True).result()
    stored = writer.append("/g", "s", late).result()
    writer.append("/g", "t", [LogEvent(NOW_MS, "other")], creates=True).result()
    assert [event.ingested_ms for event in stored] == [NOW_MS, NOW_MS]
    assert messages(tmp_path / "logs.db") == [
        ("/g", "s", NOW_MS - 5, "late\nwith two lines"),
        ("/g", "s", NOW_MS, "first"),
        ("/g", "s", NOW_MS, "same time"),
        ("/g", "t", NOW_MS, "other"),
    ]


def test_without_creates_group_and_stream_must_be_there(writer: LogWriter) -> None:
    event = [LogEvent(NOW_MS, "x")]
    with pytest.raises(Refused, match="log group does not exist"):
        writer.append("/g", "s", event).result()
    writer.append("/g", "s", event, creates=True).result()
    with pytest.raises(Refused, match="log stream does not exist"):
        writer.append("/g", "t", event).result()


def test_a_failed_transaction_fails_its_own_callers_alone(writer: LogWriter, tmp_path: Path) -> None:
    def fail(connection: sqlite3.Connection, now_ms: int) -> None:
        connection.execute("INSERT INTO nowhere VALUES (1)")

    with pytest.raises(NotWritten, match="nowhere"):
        writer.run(fail).result()
    writer.append("/g", "s", [LogEvent(NOW_MS, "after")], creates=True).result()
    assert [row[3] for row in messages(tmp_path / "logs.db")] == ["after"]


def test_listeners_get_what_is_durable(writer: LogWriter, tmp_path: Path) -> None:
    heard: list[AppendedEvents] = []
    durable: list[int] = []

    def listen(appended: Sequence[AppendedEvents]) -> None:
        heard.extend(appended)
        durable.append(len(messages(tmp_path / "logs.db")))

    writer.listen(listen)
    writer.append("/g", "s", [LogEvent(NOW_MS, "one"), LogEvent(NOW_MS, "two")], creates=True).result()
    assert [(batch.group, batch.stream, [event.message for event in batch.events]) for batch in heard] == [
        ("/g", "s", ["one", "two"])
    ]
    assert durable == [2]


def test_half_a_surrogate_pair_is_replaced(writer: LogWriter, tmp_path: Path) -> None:
    writer.append("/g", "s", [LogEvent(NOW_MS, "a\ud800\u00e9\0b")], creates=True).result()
    assert [row[3] for row in messages(tmp_path / "logs.db")] == ["a?\u00e9\0b"]


PROGRAM = """
import sys
from pathlib import Path
from batchyard.store.logs.log_records import LogEvent
from batchyard.store.logs.log_writer import LogWriter
writer = LogWriter(Path(sys.argv[1]), lambda: 1_700_000_000_000)
writer.open()
number = 0
while True:
    sent = [writer.append("/g", "s", [LogEvent(number + n, f"{number + n}")], creates=True) for n in range(50)]
    for future in sent:
        future.result()
    number += 50
    print(number, flush=True)
"""


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "logs.db"
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        answered = [int(process.stdout.readline()) for _ in range(5)][-1]
        os.kill(process.pid, signal.SIGKILL)
        rest = process.stdout.read().split()
    answered = max([answered, *map(int, rest)])
    again = LogWriter(path, lambda: NOW_MS)
    again.open()
    stored = again.append("/g", "s", [LogEvent(NOW_MS, "next")]).result()
    again.close()
    found = messages(path)
    assert [row[3] for row in found[:answered]] == [str(number) for number in range(answered)]
    assert stored[0].sequence == len(found)
