"""The takeover of an earlier supervisor's attempts: survivors are watched, the others are Lost once proven dead."""

from __future__ import annotations

import os

from batchyard import failpoints
from batchyard.engines.base import log_path
from batchyard.engines.log_file import LogFile
from batchyard.engines.supervisor import processes
from batchyard.engines.supervisor.attempts import Attempt, AttemptTable, Settings
from batchyard.engines.supervisor.census import Census
from batchyard.engines.supervisor.cgroups import Cgroups
from batchyard.engines.supervisor.fifos import Output
from batchyard.engines.supervisor.journal import Entry, IntentItem, Replay
from batchyard.engines.supervisor.outputs import Outputs
from batchyard.engines.supervisor.protocol import LostItem, StartedItem
from batchyard.engines.supervisor.reaper import Reaper

HOST_RESTARTED = "The host restarted while the attempt ran."


class Adoption:
    def __init__(
        self, settings: Settings, table: AttemptTable, reaper: Reaper, outputs: Outputs, cgroups: Cgroups
    ) -> None:
        self._settings = settings
        self._cgroups = cgroups
        self._table = table
        self._reaper = reaper
        self._outputs = outputs

    def take_over(self, replay: Replay, now: float, now_ms: int) -> None:
        """Loads a journal into the table, and watches the survivors."""
        table = self._table
        table.epoch, table.intact = replay.epoch, replay.intact
        table.outcomes, table.acknowledged = replay.outcomes, replay.acknowledged
        self.take_entries([*replay.live.values()], now, now_ms)

    def take_entries(self, entries: list[Entry], now: float, now_ms: int) -> None:
        """Takes over the live attempts of a journal whose supervisor is gone."""
        table = self._table
        here = [entry for entry in entries if entry.boot_id == table.boot_id]
        census = Census((), everywhere=True) if here else None
        for entry in entries:
            if census is None or entry.boot_id != table.boot_id:
                attempt = self.attempt_of(entry.intent)
                attempt.output.reopen(0, self._settings.runtime_dir)  # to end its log; its processes are gone
                self._outputs.close(attempt, now_ms)
                started_at_ms = entry.spawned.at_ms if entry.spawned else 0
                table.end(LostItem(entry.intent.attempt_id, now_ms, HOST_RESTARTED, started_at_ms))
            else:
                self._take(entry, census, now, now_ms)
            if failpoints.armed:
                failpoints.reach("during-adoption", ["STARTING" if entry.spawned is None else "RUNNING"])

    def adopt_orphan(self, intent: IntentItem, census: Census, now: float, now_ms: int) -> bool:
        """Adopts the processes with the attempt's marker or in its cgroup, although the attempt is not in the journal.
        Returns False where there are none."""
        cgroup = self._cgroups.find(intent.attempt_id)
        if not census.carrying(intent.attempt_id) and not (cgroup is not None and cgroup.members()):
            return False
        entry = Entry(intent, self._table.boot_id)
        self._take(entry, census, now, now_ms)
        return True

    def attempt_of(self, intent: IntentItem) -> Attempt:
        path = log_path(self._settings.logs_dir, intent.attempt_id)
        output = Output(intent.fifo, lambda: LogFile(path, self._settings.log_limit_bytes))
        attempt = Attempt(intent, output)
        attempt.cgroup = self._cgroups.find(intent.attempt_id)
        return attempt

    def _take(self, entry: Entry, census: Census, now: float, now_ms: int) -> None:
        attempt = self.attempt_of(entry.intent)
        if entry.spawned is not None:
            attempt.pid, attempt.start_ticks = entry.spawned.pid, entry.spawned.start_ticks
            attempt.started_at_ms = entry.spawned.at_ms
        else:  # it died between the start and its record
            self._identify(attempt, census, now_ms)
        attempt.output.reopen(attempt.pid, self._settings.runtime_dir)
        if attempt.output.fd >= 0:
            self._outputs.add(attempt, now)
        if not self._watch(attempt):
            self._reaper.end_lost(attempt, now, now_ms)
            return
        self._table.running[attempt.attempt_id] = attempt
        self._table.reports.append(StartedItem(attempt.attempt_id, attempt.started_at_ms))
        if entry.kill_at_seconds is not None:
            attempt.kill_at_seconds = entry.kill_at_seconds
            self._reaper.stopping[attempt.attempt_id] = attempt

    def _identify(self, attempt: Attempt, census: Census, now_ms: int) -> None:
        carrying = census.carrying(attempt.attempt_id)
        if attempt.cgroup is not None:
            carrying = census.oldest_first({*carrying, *attempt.cgroup.members()})
        leaders = [pid for pid in carrying if (row := census.row(pid)) is not None and row.sid == pid]
        for pid in (leaders or carrying)[:1]:
            attempt.pid, attempt.start_ticks = pid, processes.start_ticks(pid)
            attempt.started_at_ms = now_ms

    def _watch(self, attempt: Attempt) -> bool:
        """Opens a pidfd for the main process. Returns False when the process is gone."""
        if not attempt.pid:
            return False
        try:
            attempt.pidfd = os.pidfd_open(attempt.pid)
        except ProcessLookupError:
            return False
        # Compared after the opening: from here on the pid can't be reused unnoticed.
        if not attempt.start_ticks or processes.start_ticks(attempt.pid) != attempt.start_ticks:
            os.close(attempt.pidfd)
            attempt.pidfd = -1
            return False
        self._reaper.adopt(attempt)
        return True
