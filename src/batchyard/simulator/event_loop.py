"""An asyncio event loop under virtual time. Its steps are in the event queue with all other events."""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVarTuple

from batchyard.simulator.event_queue import SimulatorEventQueue

_Ts = TypeVarTuple("_Ts")


class VirtualLoop(asyncio.BaseEventLoop):
    """One server's event loop: no threads, no sockets, no sleeping. `after_step` is called between any two steps of
    its tasks, which are the only points at which asyncio code can observe a process's death."""

    def __init__(self, event_queue: SimulatorEventQueue, after_step: Callable[[], None]) -> None:
        super().__init__()
        self._event_queue = event_queue
        self._after_step = after_step
        self._tasks: list[asyncio.Task[Any]] = []
        self.is_dead = False
        self.steps = 0
        self.error_context: dict[str, Any] | None = (
            None  # of what a callback raised, or a task whose result was never read
        )

    def time(self) -> float:
        return self._event_queue.now_ms / 1000

    def call_soon(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        if not self.is_dead:
            self._event_queue.after(0, partial(self._step, handle))
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        if not self.is_dead:
            self._event_queue.at(math.ceil(round(when * 1000, 3)), partial(self._step, handle))
        return handle

    def create_task(self, coro: Any, *, name: object = None, context: Any = None) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = super().create_task(coro, name=name, context=context)
        self._tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.is_dead and self.error_context is None:
            self.error_context = context

    def _step(self, handle: asyncio.Handle) -> None:
        if self.is_dead or handle.cancelled():
            return
        asyncio._set_running_loop(self)
        try:
            handle._run()
        finally:
            asyncio._set_running_loop(None)
        self.steps += 1
        self._after_step()

    def die(self) -> None:
        """Drops every task at its current step: none acts on the world any more."""
        if self.is_dead:
            return
        self.is_dead = True
        for task in self._tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                coroutine = task.get_coro()
                assert isinstance(coroutine, Coroutine)
                coroutine.close()
        self._tasks.clear()
        self.close()
