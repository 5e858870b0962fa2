"""Waits for running jobs that are being terminated: `batchyard down --kill`."""

from __future__ import annotations

import asyncio
import time

from batchyard.core.questions.capacity import AskCapacity
from batchyard.loop import Loop

POLL_SECONDS = 0.05  # only during `down --kill`
EXTRA_SECONDS = 20.0  # beyond the jobs' own grace: their reports and commits


async def count_running_jobs(loop: Loop) -> int:
    capacity = await loop.ask(AskCapacity())
    return capacity.jobs_running


async def wait_for_jobs(loop: Loop, grace_seconds: float) -> bool:
    """Returns whether no job runs any more within the jobs' grace and some time for their reports."""
    deadline = time.monotonic() + grace_seconds + EXTRA_SECONDS
    while time.monotonic() < deadline:
        if await count_running_jobs(loop) == 0:
            return True
        await asyncio.sleep(POLL_SECONDS)
    return False
