"""Work on many jobs that goes on while people look elsewhere: one operation for each job, counted as it is done.

It lives in memory: what is left of it when the service ends is not done, and its page is gone."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from batchyard.core.model.refusal import Refused

MAX_KEPT = 20  # that ended, whose counts people may still look at
MAX_ACTIVE = 4  # each is as fast as the loop takes single requests: more would only wait for each other

logger = logging.getLogger(__name__)

Act = Callable[[str], Awaitable[object]]  # takes the id of a job; raises Refused


class TooMany(Exception):
    """As many as may be at work are. The text is a sentence."""


class BulkWork:
    """One work. `done`, `refused`: how many jobs so far; `reason`: of the latest refusal; `failure`: why it ended
    early."""

    def __init__(self, title: str, started_ms: int) -> None:
        self.title, self.started_ms = title, started_ms
        self.done = self.refused = 0
        self.reason = self.failure = ""
        self.is_active = True
        self.is_stopped = False

    async def run(self, ids: AsyncIterator[str], act: Act) -> None:
        """Does it, job by job. Raises what operations raise but Refused: the service is busy, or ends."""
        try:
            async for job_id in ids:
                if self.is_stopped:
                    break
                try:
                    await act(job_id)
                    self.done += 1
                except Refused as error:
                    self.refused += 1
                    self.reason = error.message
        finally:
            self.is_active = False


class BulkWorks:
    """The works of a service by number, the newest last."""

    def __init__(self) -> None:
        self._works: OrderedDict[int, BulkWork] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._number = 0

    def start(self, work: BulkWork, ids: AsyncIterator[str], act: Act) -> int:
        """Begins a work; returns its number. Raises TooMany."""
        if sum(one.is_active for one in self._works.values()) >= MAX_ACTIVE:
            raise TooMany(f"{MAX_ACTIVE} such works go on already. Wait for the end of one, or stop it.")
        self._number += 1
        self._works[self._number] = work
        ended = [number for number, one in self._works.items() if not one.is_active]
        for number in ended[: max(0, len(self._works) - MAX_KEPT)]:
            del self._works[number]
        task = asyncio.get_running_loop().create_task(work.run(ids, act))
        self._tasks.add(task)
        task.add_done_callback(partial(self._end, work))
        return self._number

    def _end(self, work: BulkWork, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            work.failure = "the service ends"
        elif (error := task.exception()) is not None:
            work.failure = str(error) or type(error).__name__
            logger.warning("%s ended after %d jobs", work.title, work.done, exc_info=error)

    def get(self, number: int) -> BulkWork | None:
        return self._works.get(number)
