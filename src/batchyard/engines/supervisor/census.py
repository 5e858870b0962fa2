"""Which processes belong to which attempt: one scan of /proc for many attempts.

An attempt's processes are those of its session, those whose environment carries its marker, and the descendants of
both. As subreaper we become the parent of every orphan of our tasks, so that only our own children's markers need be
read; after an earlier supervisor's death orphans may have any parent, and all processes' markers are read.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Container, Iterable

from batchyard.engines.supervisor import processes
from batchyard.engines.supervisor.attempts import Attempt
from batchyard.engines.supervisor.processes import Row


class Census:
    """A snapshot. `mains`: pids of running attempts' main processes. `everywhere`: read every process's marker."""

    def __init__(self, mains: Container[int], *, everywhere: bool) -> None:
        self._rows = processes.table()
        self._by_session: dict[int, list[int]] = defaultdict(list)
        self._by_parent: dict[int, list[int]] = defaultdict(list)
        self._by_marker: dict[str, list[int]] = defaultdict(list)
        self._unattributed: list[int] = []  # ours by subreaping, but without a marker
        own = os.getpid()
        for pid, row in self._rows.items():
            self._by_session[row.sid].append(pid)
            self._by_parent[row.ppid].append(pid)
            if (row.ppid == own or everywhere) and pid not in mains and pid != own and not row.is_dead:
                name = processes.marker(pid)
                if name:
                    self._by_marker[name].append(pid)
                elif row.ppid == own:
                    self._unattributed.append(pid)
        self._mains = mains

    def row(self, pid: int) -> Row | None:
        return self._rows.get(pid)

    def members(self, attempt: Attempt) -> list[int]:
        """Returns the pids of its living processes, the main one included."""
        pending = [*self._session(attempt), *self._by_marker.get(attempt.attempt_id, ())]
        if attempt.pid in self._rows and self._rows[attempt.pid].start_ticks == attempt.start_ticks:
            pending.append(attempt.pid)
        found: dict[int, None] = {}
        while pending:
            pid = pending.pop()
            if pid not in found and (pid == attempt.pid or pid not in self._mains):
                found[pid] = None
                pending += self._by_parent.get(pid, ())
        return [pid for pid in found if not self._rows[pid].is_dead]

    def session(self, attempt: Attempt) -> list[int]:
        """Returns the pids of the living processes in its session."""
        return [pid for pid in self._session(attempt) if not self._rows[pid].is_dead]

    def unattributed(self) -> list[int]:
        """Returns orphans without marker and session of an attempt: which task left them behind is unknown."""
        return [
            pid
            for pid in self._unattributed
            if not any(main in self._mains for main in (self._rows[pid].sid, self._rows[pid].pgid))
        ]

    def carrying(self, attempt_id: str) -> list[int]:
        """Returns the processes with the attempt's marker, oldest first."""
        return self.oldest_first(self._by_marker.get(attempt_id, ()))

    def oldest_first(self, pids: Iterable[int]) -> list[int]:
        """Sorts processes by age, without those that the snapshot does not have."""
        known = [pid for pid in pids if pid in self._rows]
        return sorted(known, key=lambda pid: (self._rows[pid].start_ticks, pid))

    def _session(self, attempt: Attempt) -> list[int]:
        leader = self._rows.get(attempt.pid)
        if not attempt.pid or (leader is not None and leader.start_ticks != attempt.start_ticks):
            return []  # the pid was reused
        return [
            pid for pid in self._by_session.get(attempt.pid, ()) if self._rows[pid].start_ticks >= attempt.start_ticks
        ]


def memory_kib(census: Census, members: list[int], worth_asking_kib: int) -> int:
    """Returns the memory of the processes: the resident size of one, the sum of the proportional sizes of several. The
    latter is expensive, and never above the sum of resident sizes: 0 unless that sum is above `worth_asking_kib`."""
    rows = [row for pid in members if (row := census.row(pid)) is not None]
    resident = sum(row.rss_kib for row in rows)
    if len(rows) < 2 or resident <= worth_asking_kib:
        return resident if len(rows) < 2 else 0
    shares = [processes.pss_kib(pid) for pid in members]
    return sum(shares) if all(shares) else resident
