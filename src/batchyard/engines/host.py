"""Instances that are shares of this host. Their resources are reserved in the machine's ledger, so that this provider
only lets the boot time pass, and interrupts Spot instances at a configured rate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from batchyard.core.model.records import Instance, InstanceState, Market
from batchyard.core.model.reports import InstanceGone, InstanceInterrupted, InstanceReady, InstanceReport
from batchyard.engines.base import InstanceReportSink

SECONDS_PER_HOUR = 3600.0


class HostCapacity:
    """Implements `batchyard.engines.base.Capacity`.

    `boot_seconds`: from the launch to the first job. `interruptions_per_hour`: the average rate for each Spot instance,
    0 for never; `draw` returns the seconds to the next one for a rate per second (exponential times), so that a test
    can decide. `notice_seconds`: between the notice and the loss."""

    def __init__(
        self,
        boot_seconds: float,
        interruptions_per_hour: float = 0.0,
        notice_seconds: float = 0.0,
        draw: Callable[[float], float] = lambda rate: 1 / rate,
    ) -> None:
        self._boot_seconds = boot_seconds
        self._rate = interruptions_per_hour / SECONDS_PER_HOUR
        self._notice_seconds = notice_seconds
        self._draw = draw
        self._report: InstanceReportSink | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def start(self, report: InstanceReportSink) -> None:
        self._report = report

    def launch(self, instances: Sequence[Instance]) -> None:
        for instance in instances:
            if instance.instance_id in self._timers:
                continue
            if instance.state is InstanceState.LAUNCHING:
                self._later(self._boot_seconds, instance, self._ready)
            else:
                self._watch(instance)

    def terminate(self, instance_ids: Sequence[str]) -> None:
        for instance_id in instance_ids:
            timer = self._timers.pop(instance_id, None)
            if timer is not None:
                timer.cancel()
        gone = [InstanceGone(instance_id) for instance_id in instance_ids]
        asyncio.get_running_loop().call_soon(self._emit, gone)

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _later(self, seconds: float, instance: Instance, action: Callable[[Instance], None]) -> None:
        events = asyncio.get_running_loop()
        self._timers[instance.instance_id] = events.call_later(seconds, action, instance)

    def _ready(self, instance: Instance) -> None:
        self._emit([InstanceReady(instance.instance_id)])
        self._watch(instance)

    def _watch(self, instance: Instance) -> None:
        if self._rate > 0 and instance.market is Market.SPOT and instance.state is not InstanceState.DRAINING:
            self._later(self._draw(self._rate), instance, self._interrupt)

    def _interrupt(self, instance: Instance) -> None:
        self._emit([InstanceInterrupted(instance.instance_id, self._notice_seconds)])

    def _emit(self, facts: Sequence[InstanceReport]) -> None:
        assert self._report is not None, "a command before start"
        self._report(facts)
