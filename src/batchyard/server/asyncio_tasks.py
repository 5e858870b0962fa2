"""Ends asyncio tasks that run beside each other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any


async def run_beside(running: asyncio.Task[None], work: Awaitable[None]) -> None:
    """Does `work`. If `running` ends meanwhile, raises its error, and not the error's effect on the work."""
    task = asyncio.ensure_future(work)
    await asyncio.wait({task, running}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        task.cancel()
        await asyncio.wait({task})
        running.result()
    await task


async def cancel_tasks(*tasks: asyncio.Task[Any]) -> None:
    """Cancels the tasks and waits for their ends; their errors are not raised."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
