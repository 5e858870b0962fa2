"""Looks at the GPUs periodically: one that is lost leaves the ledger, one that comes back is offered again, and what
they do is noted for the attempts that have them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

from batchyard.core.model.commands import Command, NoteGpuUse, SetGpus
from batchyard.core.model.gpus import GpuSample
from batchyard.engines.gpu_probes import Use
from batchyard.engines.gpus import NVML, GpuFinder
from batchyard.loop import Busy, Stopped
from batchyard.server.admin.terminal import complain
from batchyard.server.settings.offered_gpus import OfferedGpus

# Between looks. NVML answers within milliseconds; a program is started for each look, and opens the driver anew.
NVML_LOOK_SECONDS = 5.0
PROGRAM_LOOK_SECONDS = 30.0
BUSY_SECONDS = 0.1  # between tries while the inbox is full of callers' commands


class GpuWatch:
    """Watches the GPUs that were found by UUID; without any there is nothing to watch. `ask`: gives commands to the
    machine; `in_use`: returns the device ids that jobs have."""

    def __init__(
        self,
        offered: OfferedGpus,
        ask: Callable[[Command[None]], Awaitable[None]],
        in_use: Callable[[], Collection[int]],
        finder: GpuFinder | None = None,
    ) -> None:
        self._offered, self._ask, self._in_use, self._finder = offered, ask, in_use, finder or GpuFinder()
        self._lost = offered.lost
        self._has_answer = True  # whether the tool answered the last look

    async def run(self) -> None:
        """Looks for as long as the service runs. First it reports what was lost while no service ran."""
        if self._lost:
            await self._send_gpus()
        while self._offered.is_watched:
            await asyncio.sleep(NVML_LOOK_SECONDS if self._offered.found.source == NVML else PROGRAM_LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Looks once. A tool that does not answer changes nothing, and is reported once."""
        seen = await asyncio.to_thread(self._finder.again, self._offered.found.source)
        if (seen is not None) != self._has_answer:
            self._has_answer = seen is not None
            why = f"can't be looked at: {self._finder.problem}. The loss of one is not noticed meanwhile."
            complain(f"The GPUs {'are looked at again.' if self._has_answer else why}")
        if seen is None:
            return
        await self._note_loss({gpu.uuid for gpu in seen.gpus})
        await self._note_use(seen.use)

    async def _note_loss(self, there: set[str]) -> None:
        lost = {gpu.device_id for gpu in self._offered.gpus if gpu.uuid and gpu.uuid not in there}
        lost |= {*self._offered.lost}
        if lost == {*self._lost}:
            return
        for gpu in self._offered.gpus:
            if (gpu.device_id in lost) != (gpu.device_id in self._lost):
                what = "is lost; jobs that use it are stopped" if gpu.device_id in lost else "is back"
                complain(f"The GPU {gpu.uuid} ({gpu.model}) {what}.")
        self._lost = tuple(sorted(lost))
        await self._send_gpus()

    async def _note_use(self, use: Mapping[str, Use]) -> None:
        in_use = self._in_use()
        samples = tuple(
            GpuSample(gpu.device_id, use[gpu.uuid].memory_mib, use[gpu.uuid].percent)
            for gpu in self._offered.gpus
            if gpu.uuid in use and gpu.device_id in in_use
        )
        if samples:
            await self._send(NoteGpuUse(samples))

    async def _send_gpus(self) -> None:
        left = sorted(gpu.device_id for gpu in self._offered.gpus if gpu.device_id not in self._lost)
        await self._send(SetGpus(tuple(left), self._lost))

    async def _send(self, command: Command[None]) -> None:
        while True:
            try:
                return await self._ask(command)
            except Busy:
                await asyncio.sleep(BUSY_SECONDS)
            except Stopped:  # the service ends; the next one looks again
                return None
