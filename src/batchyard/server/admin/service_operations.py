"""Operations about the service itself: GetService and Shutdown."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import msgspec

from batchyard.api.context import Ask, Call
from batchyard.core.model.commands import TerminateAllRunning
from batchyard.core.model.resources import MILLI_PER_VCPU
from batchyard.core.questions.capacity import AskCapacity
from batchyard.server.admin.doctor import findings
from batchyard.server.settings.config import Settings
from batchyard.server.settings.paths import Paths

Document = dict[str, Any]

KILL_REASON = "Terminated by batchyard down --kill."


class ServiceOperations:
    """`ask` is the loop's. `health`: what /health says. `stop(kill)`: begins the end of the service, and returns."""

    def __init__(
        self,
        settings: Settings,
        paths: Paths,
        address: str,
        ask: Ask,
        health: Callable[[], Document],
        stop: Callable[[bool], None],
    ) -> None:
        self._settings = settings
        self._paths = paths
        self._address = address
        self._ask = ask
        self._health = health
        self._stop = stop

    async def get_service(self, call: Call, request: Document) -> Document:
        """What `batchyard doctor` and others show of a running service; memory in MiB."""
        capacity = await self._ask(AskCapacity())
        # Looks at files and sockets: not in the event loop's thread.
        found = await asyncio.get_running_loop().run_in_executor(None, findings, self._settings, self._paths)
        return {
            **self._health(),
            "capacity": {
                "vcpus": capacity.total_milli_vcpus // MILLI_PER_VCPU,
                "memory": capacity.total_memory_mib,
                "gpus": capacity.total_gpus,
            },
            "free": {
                "vcpus": capacity.free_milli_vcpus // MILLI_PER_VCPU,
                "memory": capacity.free_memory_mib,
                "gpus": capacity.free_gpus,
            },
            "dataDirectory": str(self._paths.data_dir),
            "address": self._address,
            "processId": os.getpid(),
            "jobsRunning": capacity.jobs_running,
            "jobsWaiting": capacity.jobs_waiting,
            "findings": [msgspec.to_builtins(finding) for finding in found],
        }

    async def shutdown(self, call: Call, request: Document) -> Document:
        """Answers when the terminations are committed; the service ends when their jobs have."""
        kill: bool = request.get("kill", False)
        terminated = await self._ask(TerminateAllRunning(KILL_REASON)) if kill else 0
        capacity = await self._ask(AskCapacity())
        self._stop(kill)
        return {"jobsRunning": capacity.jobs_running, "jobsTerminated": terminated}
