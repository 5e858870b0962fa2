"""What a running service does for logs beside requests."""

from __future__ import annotations

import asyncio

from batchyard.clock import wall_clock_ms
from batchyard.server.admin.log_sweep import LogSweep
from batchyard.server.front_end import FrontEnd
from batchyard.server.log_filtering import FilterTargets, LogFiltering
from batchyard.server.parts import Parts


class LogTasks:
    """`run`, until cancelled."""

    def __init__(self, parts: Parts, front: FrontEnd) -> None:
        stores = front.reader, front.log_reader, parts.log_writer
        self._sweep = LogSweep(stores, parts.paths.logs_dir, parts.settings.log_disk_mib, wall_clock_ms, front.threads)

        context = front.context
        targets = FilterTargets(parts.metric_store, context.ask, context.account)
        self._filtering = LogFiltering(
            context.log_catalogue, parts.log_writer, context.log_filters, targets, front.threads
        )

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sweep.run())
            tasks.create_task(self._filtering.run())
