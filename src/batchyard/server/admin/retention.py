"""Deletes finished jobs and executions after the retention time: logs, then rows, in small batches beside all other
work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from pathlib import Path

from batchyard.engines.base import log_path
from batchyard.observe.packed_log import remove_log
from batchyard.store.load import IDEMPOTENCY_MS
from batchyard.store.queries import Reader
from batchyard.store.retention_queries import Bite
from batchyard.store.writer import Writer

SWEEP_SECONDS = 60.0  # between walks; jobs are kept for days
PAUSE_SECONDS = 0.05  # after each batch: other commits come first
MS_PER_DAY = 24 * 3600 * 1000
# A retried submission is recognised by its job's row: that is kept for as long, and a margin.
MIN_KEPT_MS = 2 * IDEMPOTENCY_MS


def kept_ms(days: float) -> int:
    """Returns how long finished jobs are kept; 0: for ever."""
    return max(int(days * MS_PER_DAY), MIN_KEPT_MS) if days else 0


class Pruning:
    """`now_ms` is the wall clock. `days`: how long finished jobs and closed executions are kept; 0 keeps them for
    ever."""

    def __init__(
        self, reader: Reader, writer: Writer, logs_dir: Path, days: float, now_ms: Callable[[], int], threads: Executor
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._logs_dir = logs_dir
        self._kept_ms = kept_ms(days)
        self._now_ms = now_ms
        self._threads = threads

    async def run(self) -> None:
        """Runs until cancelled. Raises CommitFailed."""
        while True:
            if self._kept_ms:
                await self.sweep()
                await self.sweep_executions()
            await asyncio.sleep(SWEEP_SECONDS)

    async def sweep(self) -> int:
        """Walks along all jobs once; returns how many submissions were deleted."""
        events = asyncio.get_running_loop()
        before_ms = self._now_ms() - self._kept_ms
        after: int | None = 0
        count = 0
        while after is not None:
            bite: Bite = await events.run_in_executor(self._threads, self._reader.prunable, after, before_ms)
            if bite.jobs:
                # Logs first: a crash in between leaves a job without logs, which goes next time, and no file for ever.
                logs = [(task, container) for job in bite.jobs for task in job.task_ids for container in job.containers]
                await events.run_in_executor(self._threads, self._remove_logs, logs)
                ranges = [(job.key, job.last_key) for job in bite.jobs]
                await asyncio.wrap_future(self._writer.prune(ranges, self._now_ms()))
                count += len(bite.jobs)
                await asyncio.sleep(PAUSE_SECONDS)
            after = bite.after
        return count

    async def sweep_executions(self) -> int:
        """Walks along all executions once; returns how many were deleted."""
        events = asyncio.get_running_loop()
        before_ms = self._now_ms() - self._kept_ms
        after: int | None = 0
        count = 0
        while after is not None:
            bite = await events.run_in_executor(self._threads, self._reader.prunable_executions, after, before_ms)
            if bite.keys:
                await asyncio.wrap_future(self._writer.prune_executions(bite.keys, self._now_ms()))
                count += len(bite.keys)
                await asyncio.sleep(PAUSE_SECONDS)
            after = bite.after
        return count

    def _remove_logs(self, logs: Iterable[tuple[str, str]]) -> None:
        for task_id, container in logs:
            remove_log(log_path(self._logs_dir, task_id, container))
