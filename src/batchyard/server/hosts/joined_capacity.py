"""The capacity provider of hosts that join: it launches nothing, and reports which are connected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from batchyard.core.model.records import Instance
from batchyard.core.model.reports import InstanceAway, InstanceGone, InstanceInterrupted, InstanceReady, InstanceReport
from batchyard.engines.base import InstanceReportSink


class JoinedCapacity:
    """Implements `engines.base.Capacity` and `engines.remote.engine.HostWatcher`. `dismiss`: lets a host leave, set
    once the engine is there."""

    def __init__(self) -> None:
        self.dismiss: Callable[[str], object] = lambda instance_id: None
        self._report: InstanceReportSink | None = None
        self._early: list[InstanceReport] = []  # before `start`

    # -- the seam --

    def start(self, report: InstanceReportSink) -> None:
        self._report = report
        early, self._early = self._early, []
        if early:
            report(early)

    def launch(self, instances: Sequence[Instance]) -> None:
        """Does nothing: hosts come by themselves."""

    def terminate(self, instance_ids: Sequence[str]) -> None:
        for instance_id in instance_ids:
            self.dismiss(instance_id)
        gone = [InstanceGone(instance_id) for instance_id in instance_ids]
        asyncio.get_running_loop().call_soon(self._emit, gone)

    def close(self) -> None:
        self._report = None

    # -- what becomes of hosts --

    def connected(self, instance_id: str) -> None:
        self._emit([InstanceReady(instance_id)])

    def disconnected(self, instance_id: str) -> None:
        self._emit([InstanceAway(instance_id)])

    def lost(self, instance_id: str) -> None:
        """Says nothing: its attempts were reported, and it may come back."""

    def draining(self, instance_id: str, notice_seconds: float) -> None:
        self._emit([InstanceInterrupted(instance_id, notice_seconds)])

    def _emit(self, facts: Sequence[InstanceReport]) -> None:
        if self._report is None:
            self._early += facts
        else:
            self._report(facts)
