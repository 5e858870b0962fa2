"""What the processes of running attempts use now, from /proc: those that carry their attempt in their environment.

Containers are among them where the service may read their processes. What it may not read is missing, and never 0."""

from __future__ import annotations

import time

from msgspec import Struct

from batchyard.engines.supervisor import processes


class TaskUsage(Struct, frozen=True):
    """The use of one task. `cores`: CPU time since the look before, or its start, in parts of that time;
    `storage`: the bytes that it has read and written so far, as far as its processes were seen; None: not known."""

    cores: float
    memory_kib: int
    storage: tuple[int, int] | None = None


class ProcessUsage:
    """Looks at all processes. For one thread at a time, beside the event loop."""

    def __init__(self) -> None:
        self._markers: dict[tuple[int, int], str] = {}  # by pid and start
        self._ticks: dict[str, int] = {}  # of a task's processes at the last look, those they waited for included
        self._storage: dict[str, dict[int, tuple[int, int]]] = {}  # by task and pid, of processes that ended too
        self._looked_at = time.monotonic()

    def look(self) -> dict[str, TaskUsage]:
        """Returns the use by task id."""
        rows = {pid: row for pid, row in processes.table().items() if not row.is_dead}
        known = {(pid, row.start_ticks): self._marker(pid, row.start_ticks) for pid, row in rows.items()}
        self._markers = known
        members: dict[str, list[int]] = {}
        for (pid, _), task_id in known.items():
            if task_id:
                members.setdefault(task_id, []).append(pid)
        now = time.monotonic()
        passed, self._looked_at = max(now - self._looked_at, 0.001), now
        before, self._ticks = self._ticks, {}
        storage = {task_id: self._storage.get(task_id, {}) for task_id in members}
        self._storage = storage
        found: dict[str, TaskUsage] = {}
        for task_id, pids in members.items():
            ticks = self._ticks[task_id] = sum(rows[pid].cpu_ticks for pid in pids)
            spent = max(0, ticks - before.get(task_id, 0)) / processes.TICKS_PER_SECOND
            storage[task_id] |= {pid: moved for pid in pids if (moved := processes.storage_bytes(pid)) is not None}
            each = list(storage[task_id].values())
            total = (sum(one[0] for one in each), sum(one[1] for one in each)) if each else None
            found[task_id] = TaskUsage(spent / passed, _memory_kib(rows, pids), total)
        return found

    def _marker(self, pid: int, start_ticks: int) -> str:
        known = self._markers.get((pid, start_ticks))
        return processes.marker(pid) if known is None else known


def _memory_kib(rows: dict[int, processes.Row], pids: list[int]) -> int:
    """Returns the memory of processes; of several with what they share divided among them, where that can be read."""
    if len(pids) == 1:
        return rows[pids[0]].rss_kib
    shares = [processes.pss_kib(pid) for pid in pids]
    return sum(shares) if all(shares) else sum(rows[pid].rss_kib for pid in pids)
