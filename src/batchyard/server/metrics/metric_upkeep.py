"""Keeps the store of metrics small: packs, rolls up and deletes, some series at a time, beside all other work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from batchyard.store.metrics.metric_store import MetricStore

SWEEP_SECONDS = 300.0  # between sweeps: rows become due a few hours at a time
PAUSE_SECONDS = 0.2  # between its steps, each of some tens of milliseconds at most


async def tend(store: MetricStore, now_ms: Callable[[], int]) -> None:
    """Runs until cancelled."""
    while True:
        goes_on = await asyncio.to_thread(store.tend, now_ms() // 1000)
        await asyncio.sleep(PAUSE_SECONDS if goes_on else SWEEP_SECONDS)
