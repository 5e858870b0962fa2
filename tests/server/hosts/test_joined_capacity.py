"""The provider of joined hosts reports who comes and goes, and launches nothing."""

from __future__ import annotations

import asyncio

from batchyard.core.model.reports import InstanceAway, InstanceGone, InstanceInterrupted, InstanceReady, InstanceReport
from batchyard.server.hosts.joined_capacity import JoinedCapacity


def test_what_becomes_of_hosts_is_reported_in_order() -> None:
    async def work() -> list[InstanceReport]:
        seen: list[InstanceReport] = []
        dismissed: list[str] = []
        capacity = JoinedCapacity()
        capacity.dismiss = dismissed.append
        capacity.connected("i-1")  # before the loop runs
        capacity.start(seen.extend)
        capacity.draining("i-1", 30.0)
        capacity.disconnected("i-1")
        capacity.lost("i-1")
        capacity.terminate(["i-1"])
        await asyncio.sleep(0)
        assert dismissed == ["i-1"]
        return seen

    assert asyncio.run(work()) == [
        InstanceReady("i-1"),
        InstanceInterrupted("i-1", 30.0),
        InstanceAway("i-1"),
        InstanceGone("i-1"),
    ]
