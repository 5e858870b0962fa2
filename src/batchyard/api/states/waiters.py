"""Callers who wait for an execution: the end of a synchronous one, or a task of an activity."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from batchyard.core.model.effects import Effect
from batchyard.core.model.executions import Execution
from batchyard.workflows.commands import ActivityTaskReady, ExecutionEnded


class Waiters:
    """Those who wait now; in the event loop's own thread. After a restart there are none, and clients ask again."""

    def __init__(self) -> None:
        self._ends: dict[str, asyncio.Future[Execution]] = {}  # by ARN
        self._workers: dict[str, set[asyncio.Event]] = {}  # by the ARN of an activity
        self.is_closed = False

    @contextmanager
    def expect_end(self, arn: str) -> Iterator[asyncio.Future[Execution]]:
        """Gives the end of an execution. To be entered before the execution is started."""
        future: asyncio.Future[Execution] = asyncio.get_running_loop().create_future()
        self._ends[arn] = future
        try:
            yield future
        finally:
            del self._ends[arn]

    @contextmanager
    def expect_task(self, activity_arn: str) -> Iterator[asyncio.Event]:
        """Gives what is set when the activity has a task that no worker has taken. To be entered before asking for
        one."""
        ready = asyncio.Event()
        self._workers.setdefault(activity_arn, set()).add(ready)
        try:
            yield ready
        finally:
            waiting = self._workers[activity_arn]
            waiting.remove(ready)
            if not waiting:
                del self._workers[activity_arn]

    def close(self) -> None:
        """Ends all waits, and those that would begin: the service is about to end."""
        self.is_closed = True
        for waiting in self._workers.values():
            for ready in waiting:
                ready.set()
        for end in self._ends.values():
            end.cancel()

    def workers(self, activity_arn: str) -> int:
        """Returns how many wait for a task of an activity."""
        return len(self._workers.get(activity_arn, ()))

    def carry_out(self, effects: Iterable[Effect]) -> None:
        """Wakes those for whom these effects are. All workers of an activity ask again; one gets the task."""
        for effect in effects:
            if isinstance(effect, ActivityTaskReady):
                for ready in self._workers.get(effect.activity_arn, ()):
                    ready.set()
            elif isinstance(effect, ExecutionEnded):
                future = self._ends.get(effect.execution.arn)
                if future is not None and not future.done():
                    future.set_result(effect.execution)
