"""The running service, for its own operations: described by GetService, ended by Shutdown."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import msgspec

from batchyard.server.admin.doctor import findings
from batchyard.server.settings.config import Settings
from batchyard.server.settings.paths import Paths
from batchyard.wire.messages import Document


class RunningService:
    """An `api.context.ServiceControl`. `health`: the body of /health. `stop(kill)` begins the end of the service."""

    def __init__(
        self,
        settings: Settings,
        paths: Paths,
        address: str,
        health: Callable[[], Document],
        stop: Callable[[bool], None],
    ) -> None:
        self._settings = settings
        self._paths = paths
        self._address = address
        self._health = health
        self._stop = stop

    async def describe(self) -> Document:
        """Returns the members of GetService's answer that do not need the machine."""
        # The checks block on files and sockets: not in the event loop's thread.
        found = await asyncio.get_running_loop().run_in_executor(None, findings, self._settings, self._paths)
        return {
            **self._health(),
            "dataDirectory": str(self._paths.data_dir),
            "address": self._address,
            "processId": os.getpid(),
            "findings": [msgspec.to_builtins(finding) for finding in found],
        }

    def end(self, kill: bool) -> None:
        """Begins the end of the service; with `kill` it waits for the jobs, which end too."""
        self._stop(kill)
