"""Supervisors of older protocol versions that retire: they keep their tasks until their end, and take no more.

A supervisor that gets the hello of a newer server hands over: it renames its journal and then its lock, appending its
instance to each name, takes no more work, and ends when its tasks have. Its successor reads that journal again and
again: an end written there is reported and acknowledged here. Once the lock is free the old supervisor is gone: the
attempts that are still alive in its journal are adopted, as after a death.
"""

from __future__ import annotations

import os
from pathlib import Path

from batchyard.engines.file_lock import try_lock
from batchyard.engines.supervisor.adoption import Adoption
from batchyard.engines.supervisor.attempts import JOURNAL, LOCK, AttemptTable
from batchyard.engines.supervisor.journal import Entry, Journal
from batchyard.engines.supervisor.protocol import StartedItem

LOOK_SECONDS = 0.05  # the delay of reports about an old supervisor's tasks, in the minutes of an upgrade
MAX_READS = 10
_NONE = float("inf")


class Predecessors:
    def __init__(self, state_dir: Path, table: AttemptTable, adoption: Adoption) -> None:
        self._state_dir = state_dir
        self._table = table
        self._adoption = adoption
        self._names: list[str] = []  # the instances
        self._seen: dict[str, tuple[int, int, int]] = {}  # inode, size and time of the journal that was read last
        self.next_look = _NONE

    def find(self, now: float, now_ms: int) -> None:
        """Finds the predecessors, once our own journal was read."""
        prefix = f"{JOURNAL}."
        self._names = sorted(
            path.name.removeprefix(prefix)
            for path in self._state_dir.glob(f"{prefix}*")
            if not path.name.endswith(".new")
        )
        for name in self._names:
            self._read(name, now_ms)
        self.look(now, now_ms)

    def look(self, now: float, now_ms: int) -> None:
        """Takes over the attempts that ended, and all attempts of predecessors that are gone."""
        for name in list(self._names):
            is_gone = self._is_gone(name)  # checked before the reading, which thus includes its last records
            self._read(name, now_ms)
            if is_gone:
                self._names.remove(name)
                self._adopt_all(name, now, now_ms)
        self.next_look = now + LOOK_SECONDS if self._names else _NONE

    def fifos(self) -> set[str]:
        return {attempt.output.fifo for attempt in self._table.elsewhere.values()}

    def _path(self, name: str) -> Path:
        return self._state_dir / f"{JOURNAL}.{name}"

    def _is_gone(self, name: str) -> bool:
        try:
            fd = os.open(self._state_dir / f"{LOCK}.{name}", os.O_RDWR)
        except FileNotFoundError:  # it died between the two renamings, and its lock is ours
            return True
        try:
            return try_lock(fd)
        finally:
            os.close(fd)

    def _read(self, name: str, now_ms: int) -> None:
        status = self._path(name).stat()
        seen = status.st_ino, status.st_size, status.st_mtime_ns
        if self._seen.get(name) == seen:
            return
        self._seen[name] = seen
        table = self._table
        replay = Journal(self._path(name)).load()
        for _ in range(MAX_READS):
            if replay.intact:
                break
            replay = Journal(self._path(name)).load()  # an append may be caught in its middle, for microseconds
        table.intact = table.intact and (replay.intact or table.is_accounted)
        table.epoch = max(table.epoch, replay.epoch)
        for attempt_id, final in replay.acknowledged.items():
            table.acknowledged.setdefault(attempt_id, final)
        for attempt_id, final in replay.outcomes.items():
            table.elsewhere.pop(attempt_id, None)
            if not table.has_ended(attempt_id):
                table.end(final)
        for attempt_id, entry in replay.live.items():
            if not table.has_ended(attempt_id) and table.live(attempt_id) is None:
                self._note(entry, now_ms)

    def _note(self, entry: Entry, now_ms: int) -> None:
        attempt = self._adoption.attempt_of(entry.intent)
        if entry.spawned is not None:
            attempt.pid, attempt.start_ticks = entry.spawned.pid, entry.spawned.start_ticks
            attempt.started_at_ms = entry.spawned.at_ms
        known = self._table.elsewhere.get(attempt.attempt_id)
        if known is None:
            self._table.elsewhere[attempt.attempt_id] = attempt
            self._table.reports.append(StartedItem(attempt.attempt_id, attempt.started_at_ms or now_ms))
        elif not known.pid:
            known.pid, known.start_ticks = attempt.pid, attempt.start_ticks

    def _adopt_all(self, name: str, now: float, now_ms: int) -> None:
        replay = Journal(self._path(name)).load()
        left = [entry for attempt_id, entry in replay.live.items() if not self._table.has_ended(attempt_id)]
        for entry in left:
            known = self._table.elsewhere.pop(entry.intent.attempt_id, None)
            if known is not None and known.kill_at_seconds is not None:
                entry.kill_at_seconds = known.kill_at_seconds
        self._adoption.take_entries(left, now, now_ms)
        self._table.compact()  # our own journal has it all now, durably
        self._path(name).unlink()
        (self._state_dir / f"{LOCK}.{name}").unlink(missing_ok=True)
