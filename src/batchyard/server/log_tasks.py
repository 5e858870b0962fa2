"""What a running service does for logs beside requests."""

from __future__ import annotations

import asyncio

from batchyard.clock import wall_clock_ms
from batchyard.server.admin.log_sweep import LogSweep
from batchyard.server.front_end import FrontEnd
from batchyard.server.parts import Parts


class LogTasks:
    """`run`, until cancelled."""

    def __init__(self, parts: Parts, front: FrontEnd) -> None:
        stores = front.reader, front.log_reader, parts.log_writer
        self._sweep = LogSweep(stores, parts.paths.logs_dir, parts.settings.log_disk_mib, wall_clock_ms, front.threads)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sweep.run())
