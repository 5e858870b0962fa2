"""Puts each minute of the service's own metrics into the store of metrics, once it is over."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence

from batchyard.api.context import Ask
from batchyard.core.questions.gauges import AskGauges
from batchyard.job_metrics.execution_metrics import AskExecutionMinutes, ForgetExecutionMinutes
from batchyard.job_metrics.machine import AskMinutes, AskUse, ForgetMinutes
from batchyard.loop import Busy, Stopped
from batchyard.server.metrics.own_metrics import (
    data_of_executions,
    data_of_gauges,
    data_of_minute,
    data_of_usage,
    data_of_use,
)
from batchyard.server.metrics.performance_events import Append, write_performance_events
from batchyard.server.metrics.process_usage import TaskUsage
from batchyard.store.metrics.metric_store import MetricStore
from batchyard.store.metrics.series import Datum

MINUTE_MS = 60_000
EARLY_SECONDS = 0.05
RETRY_SECONDS = 5.0  # while the disk is full or the inbox is: minutes are kept until they are stored

logger = logging.getLogger("batchyard.metrics")


class MinuteRecorder:
    """`also`: gets the data of each minute once they are stored. `after`: what follows each minute, such as the
    evaluation of alarms; it gets the minute's end in ms. `look`: returns what tasks use now, by task id. `append`:
    writes performance events into log groups."""

    def __init__(
        self,
        store: MetricStore,
        ask: Ask,
        now_ms: Callable[[], int],
        *,
        has_prices: bool,
        after: Callable[[int], Awaitable[None]],
        append: Append,
        also: Callable[[Sequence[Datum]], None] = lambda data: None,
        look: Callable[[], Mapping[str, TaskUsage]] = dict,
    ) -> None:
        self._look = look
        self._store = store
        self._ask = ask
        self._now_ms = now_ms
        self._has_prices = has_prices
        self._after = after
        self._append = append
        self._also = also

    async def run(self) -> None:
        """Runs until cancelled, or the loop has ended."""
        end_ms = self._now_ms() // MINUTE_MS * MINUTE_MS
        while True:
            end_ms = max(end_ms, self._now_ms() // MINUTE_MS * MINUTE_MS) + MINUTE_MS
            await asyncio.sleep((end_ms - self._now_ms()) / 1000)
            if self._now_ms() < end_ms:  # a timer may be some milliseconds early
                await asyncio.sleep(EARLY_SECONDS)
            try:
                await self.record(end_ms)
                await self._after(end_ms)
            except Stopped:
                return
            except (Busy, sqlite3.OperationalError) as error:
                logger.warning("The metrics of a minute are kept for later: %s", error)
                await asyncio.sleep(RETRY_SECONDS)

    async def record(self, end_ms: int) -> None:
        """Records the minutes that were over at `end_ms`, and the gauges of the last of them."""
        at_s = end_ms // 1000 - 60
        usage = await asyncio.to_thread(self._look)  # before the gauges: what they have is then still there
        minutes = await self._ask(AskMinutes())
        executions = await self._ask(AskExecutionMinutes())
        gauges = await self._ask(AskGauges())
        use = await self._ask(AskUse())
        ended = frozenset(minute.queue for minute in minutes if minute.start_s == at_s)
        data = [datum for minute in minutes for datum in data_of_minute(minute)]
        data += [datum for minute in executions for datum in data_of_executions(minute)]
        data += data_of_gauges(gauges, at_s, ended)
        data += data_of_usage(gauges, usage, end_ms)
        data += data_of_use(use, at_s, has_prices=self._has_prices)
        await asyncio.to_thread(self._store.replace, data)
        self._also(data)
        if minutes:
            await self._ask(ForgetMinutes(tuple(minute.name for minute in minutes)))
        if executions:
            await self._ask(ForgetExecutionMinutes(tuple(minute.name for minute in executions)))
        await write_performance_events(self._append, gauges, usage, end_ms)
