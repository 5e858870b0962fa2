"""Sends the logs of a joined host's tasks to the server: while they grow, and whole before the end is reported."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from batchyard.core.model.records import DEFAULT_CONTAINER
from batchyard.engines.base import log_path, open_log
from batchyard.engines.remote.messages import MAX_CHUNK_BYTES, LogChunk

SendChunk = Callable[[LogChunk], Awaitable[None]]  # returns when the connection takes more


class LogShipping:
    """Over one connection. `shipped`: how much of each task's log the server has."""

    def __init__(self, logs_dir: Path, send: SendChunk) -> None:
        self._logs_dir = logs_dir
        self._send = send
        self._shipped: dict[str, int] = {}  # by task id

    @property
    def is_idle(self) -> bool:
        return not self._shipped

    def begin(self, task_id: str, shipped_bytes: int = 0) -> None:
        """Begins with a task of which the server has so much."""
        self._shipped[task_id] = shipped_bytes

    def end(self, task_id: str) -> None:
        self._shipped.pop(task_id, None)

    def is_behind(self, task_id: str) -> bool:
        """Whether the server lacks a part of the log as it is now."""
        shipped = self._shipped.get(task_id)
        if shipped is None:
            return False
        try:
            return os.stat(log_path(self._logs_dir, task_id)).st_size > shipped
        except FileNotFoundError:
            return False

    async def ship(self, task_id: str) -> None:
        """Sends what there is. ConnectionError."""
        if not self.is_behind(task_id):
            return
        fd = open_log(log_path(self._logs_dir, task_id))
        if fd < 0:
            return
        try:
            while (offset := self._shipped.get(task_id)) is not None:
                data = os.pread(fd, MAX_CHUNK_BYTES, offset)
                if not data:
                    return
                self._shipped[task_id] = offset + len(data)
                await self._send(LogChunk(task_id, DEFAULT_CONTAINER, offset, data))
        finally:
            os.close(fd)

    async def ship_all(self) -> None:
        """Sends a round of what has grown."""
        for task_id in list(self._shipped):
            await self.ship(task_id)

    def remove(self, task_id: str) -> None:
        """Removes the log of an attempt that is acknowledged: the server has it."""
        self.end(task_id)
        log_path(self._logs_dir, task_id).unlink(missing_ok=True)
