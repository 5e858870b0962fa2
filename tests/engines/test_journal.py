"""What the supervisor's journal remembers, and what it makes of damage."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.engines import record_log
from batchyard.engines.log_file import LogFile
from batchyard.engines.supervisor import journal as records
from batchyard.engines.supervisor.attempts import MAX_ACKNOWLEDGED, Attempt, AttemptTable
from batchyard.engines.supervisor.fifos import Output
from batchyard.engines.supervisor.journal import IntentItem, Journal, Replay, SpawnedItem
from batchyard.engines.supervisor.protocol import FinalItem, NotStartedItem


def intent(attempt_id: str) -> IntentItem:
    return IntentItem(attempt_id, f"/run/{attempt_id}", True, 64)


def ended(attempt_id: str) -> FinalItem:
    return NotStartedItem(attempt_id, 5, "why", 127)


STORY: list[records.Record] = [
    records.Opened("boot", records.FORMAT),
    records.Epoch(3),
    records.Intents((intent("a"), intent("b"), intent("c"))),
    records.Spawned((SpawnedItem("a", 1, 2, 3), SpawnedItem("b", 4, 5, 6))),
    records.Ended((ended("a"),)),
    records.Acknowledged(("a",)),
    records.Stopping("b", 7.5),
    records.Ended((ended("c"),)),
]
BYTES = b"".join(map(records.encode, STORY))


def named(state: Replay) -> set[str]:
    return {*state.live, *state.outcomes, *state.acknowledged}


def test_everything_is_remembered() -> None:
    state, good = records.replay(BYTES)
    assert (good, state.intact, state.epoch, state.boot_id) == (len(BYTES), True, 3, "boot")
    assert list(state.live) == ["b"]
    assert (state.live["b"].spawned, state.live["b"].kill_at_seconds) == (SpawnedItem("b", 4, 5, 6), 7.5)
    assert (list(state.outcomes), list(state.acknowledged)) == (["c"], ["a"])


def test_a_cut_anywhere_never_hides_an_intent() -> None:
    """Either the journal admits the damage, or all attempts whose intent was written before the cut are known."""
    ends = [len(b"".join(map(records.encode, STORY[: n + 1]))) for n in range(len(STORY))]
    intents_begin, intents_end = ends[1], ends[2]
    for cut in range(len(BYTES) + 1):
        state, _ = records.replay(BYTES[:cut])
        if intents_begin < cut < intents_end:
            assert not state.intact, cut
        elif state.intact:
            assert named(state) == ({"a", "b", "c"} if cut >= intents_end else set()), cut


@given(at=st.integers(0, len(BYTES) - 1), flip=st.integers(1, 255))
def test_a_changed_byte_anywhere_is_noticed(at: int, flip: int) -> None:
    data = bytearray(BYTES)
    data[at] ^= flip
    state, _ = records.replay(bytes(data))
    assert not state.intact


def test_zeros_behind_the_end_are_a_crash_of_the_host() -> None:
    state, good = records.replay(BYTES + bytes(4096))
    assert (state.intact, good) == (True, len(BYTES))
    assert named(state) == {"a", "b", "c"}


def test_records_behind_a_damaged_one_are_still_read() -> None:
    data = bytearray(BYTES)
    data[data.index(b"why")] ^= 0xFF  # in the outcome of a
    state, _ = records.replay(bytes(data))
    assert not state.intact
    assert set(state.outcomes) == {"c"}
    assert "a" in state.live


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "journal")
    journal.rewrite(STORY[:3])
    before = (tmp_path / "journal").read_bytes()

    def half(fd: int, data: bytes) -> None:
        os.write(fd, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(record_log, "_write_all", half)
        journal.append(STORY[3])
        with pytest.raises(OSError, match="No space"):
            journal.write()
    assert (tmp_path / "journal").read_bytes() == before
    journal.write()
    journal.close()
    state = Journal(tmp_path / "journal").load()
    assert state.intact
    assert state.live["a"].spawned == SpawnedItem("a", 1, 2, 3)


def test_a_compacted_book_says_the_same(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.rewrite([])
    table = AttemptTable(journal)
    table.boot_id = "boot"
    table.raise_epoch(9)
    for attempt_id in ("running", "stopping"):
        attempt = Attempt(intent(attempt_id), Output("", lambda: LogFile(tmp_path / "log")))
        attempt.pid, attempt.start_ticks, attempt.started_at_ms = 1, 2, 3
        table.running[attempt_id] = attempt
    table.running["stopping"].kill_at_seconds = 4.5
    for attempt_id in ("acknowledged", "ended"):
        table.end(ended(attempt_id))
    table.acknowledge(("acknowledged",))
    table.intact = False
    table.compact()
    state = Journal(tmp_path / "journal").load()
    assert (state.boot_id, state.epoch, state.intact) == ("boot", 9, False)
    assert {entry.spawned for entry in state.live.values()} == {
        SpawnedItem("running", 1, 2, 3),
        SpawnedItem("stopping", 1, 2, 3),
    }
    assert [entry.kill_at_seconds for entry in state.live.values()] == [None, 4.5]
    assert (list(state.outcomes), list(state.acknowledged)) == (["ended"], ["acknowledged"])
    journal.close()


def test_the_acknowledged_are_remembered_within_bounds(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.rewrite([])
    table = AttemptTable(journal)
    names = [f"{number}" for number in range(MAX_ACKNOWLEDGED + 10)]
    for attempt_id in names:
        table.end(ended(attempt_id))
        table.acknowledge((attempt_id,))
    assert list(table.acknowledged) == names[10:]
    assert not table.outcomes
    journal.close()
