"""Refuses SubmitJob, StartExecution, PutLogEvents and PutMetricData while the disk is nearly full: accepted jobs must
still be able to run and to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from batchyard.api.context import Call
from batchyard.core.model.refusal import Refused
from batchyard.server.http.app import Handler
from batchyard.server.settings.host import MIB

SUBMISSIONS = (("batch", "SubmitJob"), ("batch", "SubmitServiceJob"), ("yard", "RunJob"))
OTHERS = {
    ("logs", "PutLogEvents"): "no log events",
    ("monitoring", "PutMetricData"): "no metrics",
    ("states", "StartExecution"): "no new executions",
    ("states", "StartSyncExecution"): "no new executions",
}
LOOK_EVERY_MS = 200  # the margin below the limit is large enough for this interval, and each check costs time


class FreeSpace:
    """Checks the disk periodically. `free_bytes` is the store's."""

    def __init__(self, free_bytes: Callable[[], int], least_mib: int, now_ms: Callable[[], int]) -> None:
        self._free_bytes = free_bytes
        self._least_mib = least_mib
        self._now_ms = now_ms
        self._looked_at_ms = -LOOK_EVERY_MS
        self._free_mib = 0

    def check(self, what: str = "no new jobs", code: str = "ServerException") -> None:
        """Raises Refused below the limit. `code`: the request is fine, and clients try again."""
        now_ms = self._now_ms()
        if now_ms - self._looked_at_ms >= LOOK_EVERY_MS:
            self._looked_at_ms, self._free_mib = now_ms, self._free_bytes() // MIB
        if self._free_mib < self._least_mib:
            raise Refused(
                f"The service takes {what}: its disk has {self._free_mib} MiB free and needs {self._least_mib}. "
                "Free some space in its data directory.",
                code,
            )


def guarded(handlers: Mapping[tuple[str, str], Handler], space: FreeSpace) -> dict[tuple[str, str], Handler]:
    """Returns the handlers, with submissions refused while space is short."""
    result = dict(handlers)
    for key in SUBMISSIONS:
        result[key] = _checked(handlers[key], space.check)
    for key, what in OTHERS.items():
        if key in handlers:
            result[key] = _checked(handlers[key], partial(space.check, what, "ServiceUnavailableException"))
    return result


def _checked(handler: Handler, check: Callable[[], None]) -> Handler:
    async def checked(call: Call, request: dict[str, Any]) -> dict[str, Any]:
        check()
        return await handler(call, request)

    return checked
