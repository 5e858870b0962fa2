"""Looks at the GPUs periodically: one that is lost leaves the ledger, and one that comes back is offered again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from batchyard.core.model.commands import SetGpus
from batchyard.engines.gpus import GpuFinder
from batchyard.loop import Busy, Stopped
from batchyard.server.admin.terminal import complain
from batchyard.server.settings.offered_gpus import OfferedGpus

# Between looks. A job on a lost GPU has failed or hangs; a look with nvidia-smi costs about a second of a processor.
LOOK_SECONDS = 30.0
BUSY_SECONDS = 0.1  # between tries while the inbox is full of callers' commands


class GpuWatch:
    """Watches the GPUs that were found by UUID; without any there is nothing to watch. `ask`: gives commands to the
    machine."""

    def __init__(
        self, offered: OfferedGpus, ask: Callable[[SetGpus], Awaitable[None]], finder: GpuFinder | None = None
    ) -> None:
        self._offered, self._ask, self._finder = offered, ask, finder or GpuFinder()
        self._lost = offered.lost

    async def run(self) -> None:
        """Looks for as long as the service runs. First it reports what was lost while no service ran."""
        if self._lost:
            await self._send()
        while self._offered.is_watched:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Looks once. A tool that does not answer changes nothing."""
        seen = await asyncio.to_thread(self._finder.again, self._offered.found.source)
        if seen is None:
            return
        there = {gpu.uuid for gpu in seen}
        lost = {gpu.device_id for gpu in self._offered.gpus if gpu.uuid and gpu.uuid not in there}
        lost |= {*self._offered.lost}
        if lost == {*self._lost}:
            return
        for gpu in self._offered.gpus:
            if (gpu.device_id in lost) != (gpu.device_id in self._lost):
                what = "is lost; jobs that use it are stopped" if gpu.device_id in lost else "is back"
                complain(f"The GPU {gpu.uuid} ({gpu.model}) {what}.")
        self._lost = tuple(sorted(lost))
        await self._send()

    async def _send(self) -> None:
        left = sorted(gpu.device_id for gpu in self._offered.gpus if gpu.device_id not in self._lost)
        while True:
            try:
                return await self._ask(SetGpus(tuple(left), self._lost))
            except Busy:
                await asyncio.sleep(BUSY_SECONDS)
            except Stopped:  # the service ends; the next one looks again
                return None
