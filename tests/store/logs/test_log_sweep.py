"""Written events are packed into chunks and read as before, expire, are dropped, and give way when there is no room."""

import random
import sqlite3
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from batchyard.store.logs import log_changes, log_sweep
from batchyard.store.logs.log_reader import LAST, LogReader
from batchyard.store.logs.log_records import LogEvent, WrittenGroup
from batchyard.store.logs.log_writer import LogWriter

NOW_MS = 1_700_000_000_000


class Store:
    def __init__(self, path: Path) -> None:
        self.now_ms = NOW_MS
        self.writer = LogWriter(path, lambda: self.now_ms)
        self.writer.open()
        self.reader = LogReader(path)

    def close(self) -> None:
        self.reader.close()
        self.writer.close()

    def append(self, *events: tuple[int, str], stream: str = "s") -> None:
        found = [LogEvent(NOW_MS + at, text) for at, text in events]
        self.writer.append("/g", stream, found, creates=True).result()

    def do(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        return self.writer.run(lambda connection, _: work(connection)).result()

    def pack(self, **options: bool) -> int:
        bites = 0
        while self.do(lambda connection: log_sweep.pack_bite(connection, self.now_ms, **options)):
            bites += 1
        return bites

    def rows(self, table: str) -> int:
        return int(self.do(lambda connection: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]))

    def messages(self, stream: str = "s") -> list[str]:
        """All events, forward in pages of 7; backward must give the same."""
        found = self.reader.stream("/g", stream)
        assert found is not None
        forward: list[tuple[int, int, str]] = []
        low = (0, 0)
        while page := self.reader.events_from(found.key, low, LAST[0], 7, 10**9):
            forward += [(event.at_ms, event.sequence, event.message) for event in page]
            low = page[-1].at_ms, page[-1].sequence + 1
        backward: list[tuple[int, int, str]] = []
        high = LAST
        while page := self.reader.events_before(found.key, high, 0, 7, 10**9):
            backward += [(event.at_ms, event.sequence, event.message) for event in page]
            high = page[-1].at_ms, page[-1].sequence
        assert backward[::-1] == forward
        assert forward == sorted(forward, key=lambda event: event[:2])
        return [text for _, _, text in forward]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "logs.db")
    yield made
    made.close()


def test_packed_events_read_as_before_and_late_ones_find_their_place(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_sweep, "CHUNK_BYTES", 100)
    chance = random.Random(5)
    expected: list[tuple[int, int, str]] = []
    for number in range(60):
        batch = [(chance.randrange(40), f"{number}.{position} " + "x" * chance.randrange(30)) for position in range(4)]
        store.append(*batch)
        expected += [(at, number * 4 + position, text) for position, (at, text) in enumerate(batch)]
        if number % 7 == 0:
            assert store.pack()
            assert store.messages() == [text for *_, text in sorted(expected)]
    assert store.messages() == [text for *_, text in sorted(expected)]
    assert store.rows("events") < 20
    spans = store.do(
        lambda connection: connection.execute(
            "SELECT first_ms, first_sequence, last_ms, last_sequence FROM chunks ORDER BY 1, 2"
        ).fetchall()
    )
    assert all(one[2:] < two[:2] for one, two in pairwise(spans))


def test_a_quiet_stream_is_packed_to_its_last_event(store: Store) -> None:
    store.append(*((at, "x" * 100) for at in range(100)))
    assert store.pack() == 0
    store.now_ms += log_sweep.QUIET_MS + 1
    assert store.pack() == 1
    assert (store.rows("events"), store.rows("chunks")) == (0, 1)
    assert len(store.messages()) == 100


def test_events_expire_whether_packed_or_not(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_sweep, "CHUNK_BYTES", 20)
    monkeypatch.setattr(log_sweep, "BITE_EVENTS", 3)
    store.append(*((at, f"early {at:03}") for at in range(20)))
    store.pack()
    store.append(*((at, f"late {at:03}") for at in range(20, 40)))
    store.append((1, "other stream"), stream="t")
    while store.do(lambda connection: log_sweep.expire_bite(connection, {"/g": NOW_MS + 30, "/none": NOW_MS})):
        pass
    assert store.messages() == [f"late {at:03}" for at in range(30, 40)]
    assert store.messages("t") == []
    found = store.reader.stream("/g", "s")
    assert found is not None
    assert found.first_at_ms == NOW_MS + 30


def test_what_is_deleted_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_sweep, "CHUNK_BYTES", 20)
    monkeypatch.setattr(log_sweep, "BITE_EVENTS", 3)
    store.append(*((at, f"line {at:03}") for at in range(20)))
    store.pack()
    store.append(*((at, "x") for at in range(20)), stream="t")
    group = WrittenGroup("/g", NOW_MS)
    store.do(lambda connection: log_changes.delete_group(connection, store.writer, group, NOW_MS))
    store.append((0, "new"))
    while store.do(log_sweep.drop_bite):
        pass
    assert (store.rows("events"), store.rows("chunks"), store.rows("streams")) == (1, 0, 1)
    assert store.messages() == ["new"]


def test_the_oldest_chunk_gives_way_to_its_reason(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_sweep, "CHUNK_BYTES", 20)
    store.append(*((at, f"line {at}") for at in range(10)))
    store.pack()
    store.append((5, "x" * 30), stream="t")
    for _ in range(2):
        store.do(lambda connection: log_sweep.evict_oldest(connection, "removed", store.writer.next_sequence()))
    found = store.messages()
    assert found[0] == "removed"
    assert found.count("removed") == 1
    assert found[-1] == "line 9"
    assert "line 0" not in found
