"""What everything that instances come from promises: shares of this host, and the fake of the simulator."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from batchyard.core.model.records import Instance, InstanceState, Market
from batchyard.core.model.reports import (
    InstanceGone,
    InstanceInterrupted,
    InstanceReady,
    InstanceRefused,
    InstanceReport,
)
from batchyard.core.model.resources import Resources
from batchyard.engines.base import Capacity
from batchyard.engines.fake import FakeCapacity, FakeCloud, InstancePlan
from batchyard.engines.host import HostCapacity
from batchyard.simulator.event_loop import VirtualLoop
from batchyard.simulator.event_queue import SimulatorEventQueue

BOOT_MS = 1000
SPOT_LASTS_MS = 60_000
NOTICE_MS = 2000
LONG_MS = 10 * SPOT_LASTS_MS
NEW = Instance("i-1", Resources(2000, 4096), environment="fleet", state=InstanceState.LAUNCHING)
SPOT = replace(NEW, market=Market.SPOT)


class Harness:
    """A server's connection under virtual time. `restart` is another server's."""

    capacity: Capacity

    def __init__(self) -> None:
        self.facts: list[InstanceReport] = []

    def do(self, command: Callable[[Capacity], None]) -> None:
        raise NotImplementedError

    def wait(self, milliseconds: int) -> None:
        raise NotImplementedError

    def restart(self) -> None:
        raise NotImplementedError

    def launch(self, instance: Instance) -> None:
        self.do(lambda capacity: capacity.launch([instance]))

    def terminate(self, instance_id: str) -> None:
        self.do(lambda capacity: capacity.terminate([instance_id]))

    def end(self) -> None:
        """Lets go of what the harness holds."""


class HostHarness(Harness):
    def __init__(self) -> None:
        super().__init__()
        self.event_queue = SimulatorEventQueue(0)
        self._connect()

    def _connect(self) -> None:
        self.loop = VirtualLoop(self.event_queue, lambda: None)
        self.facts = []
        self.capacity = HostCapacity(BOOT_MS / 1000, 3_600_000 / SPOT_LASTS_MS, NOTICE_MS / 1000, lambda rate: 1 / rate)
        self.capacity.start(self.facts.extend)

    def do(self, command: Callable[[Capacity], None]) -> None:
        self.loop.call_soon(lambda: command(self.capacity))
        self.wait(0)

    def wait(self, milliseconds: int) -> None:
        end_ms = self.event_queue.now_ms + milliseconds
        while (next_ms := self.event_queue.next_event_ms()) is not None and next_ms <= end_ms:
            self.event_queue.run_next()
        self.event_queue.now_ms = end_ms
        assert self.loop.error_context is None, self.loop.error_context

    def restart(self) -> None:
        self.loop.die()
        self._connect()

    def end(self) -> None:
        self.loop.die()


class FakeHarness(Harness):
    def __init__(self) -> None:
        super().__init__()
        self.cloud = FakeCloud(self._plan_instance)
        self._connect()

    def _plan_instance(self, instance: Instance) -> InstancePlan:
        return InstancePlan(BOOT_MS, "", SPOT_LASTS_MS if instance.market is Market.SPOT else None, NOTICE_MS)

    def _connect(self) -> None:
        self.facts = []
        self.capacity = FakeCapacity(self.cloud)
        self.capacity.start(self.facts.extend)

    def do(self, command: Callable[[Capacity], None]) -> None:
        command(self.capacity)
        self.wait(0)

    def wait(self, milliseconds: int) -> None:
        self.cloud.advance(self.cloud.now_ms + milliseconds)

    def restart(self) -> None:
        self._connect()


@pytest.fixture(params=[HostHarness, FakeHarness])
def harness(request: pytest.FixtureRequest) -> Iterator[Harness]:
    made: Harness = request.param()
    yield made
    made.end()


READY, GONE = InstanceReady("i-1"), InstanceGone("i-1")


def test_one_that_was_launched_is_ready_after_its_boot(harness: Harness) -> None:
    harness.launch(NEW)
    harness.wait(BOOT_MS - 1)
    assert harness.facts == []
    harness.wait(1)
    assert harness.facts == [READY]
    harness.wait(LONG_MS)
    assert harness.facts == [READY], "nobody takes an On-Demand instance away"


def test_a_launch_is_idempotent(harness: Harness) -> None:
    harness.launch(NEW)
    harness.wait(BOOT_MS // 2)
    harness.launch(NEW)
    harness.wait(BOOT_MS // 2)
    assert harness.facts == [READY], "it boots once, from the first time on"


def test_after_a_restart_what_boots_becomes_ready(harness: Harness) -> None:
    harness.launch(NEW)
    harness.wait(BOOT_MS // 2)
    harness.restart()
    harness.launch(NEW)
    harness.wait(BOOT_MS)
    assert harness.facts == [READY]


def test_after_a_restart_what_was_ready_is_still_there(harness: Harness) -> None:
    harness.launch(SPOT)
    harness.wait(BOOT_MS)
    harness.restart()
    harness.launch(replace(SPOT, state=InstanceState.READY))
    harness.wait(SPOT_LASTS_MS - 1)
    assert not any(isinstance(fact, InstanceGone | InstanceRefused) for fact in harness.facts)
    harness.wait(1)
    assert InstanceInterrupted("i-1", NOTICE_MS / 1000) in harness.facts, "it is still watched"


def test_an_end_is_answered(harness: Harness) -> None:
    harness.launch(NEW)
    harness.wait(BOOT_MS)
    harness.terminate("i-1")
    harness.wait(LONG_MS)
    assert harness.facts == [READY, GONE]


def test_one_that_boots_can_be_ended(harness: Harness) -> None:
    harness.launch(NEW)
    harness.terminate("i-1")
    harness.wait(LONG_MS)
    assert harness.facts == [GONE], "nothing is ready after its end"


def test_the_end_of_an_unknown_one_is_answered_too(harness: Harness) -> None:
    harness.terminate("i-1")
    harness.wait(LONG_MS)
    assert harness.facts == [GONE]


def test_a_spot_instance_is_taken_away_with_a_notice(harness: Harness) -> None:
    harness.launch(SPOT)
    harness.wait(BOOT_MS + SPOT_LASTS_MS)
    assert harness.facts == [READY, InstanceInterrupted("i-1", NOTICE_MS / 1000)]
    harness.terminate("i-1")
    harness.wait(LONG_MS)
    assert harness.facts[2:] == [GONE], "once, whoever was first"


def test_after_the_end_of_a_connection_nothing_is_reported(harness: Harness) -> None:
    harness.launch(NEW)
    harness.do(lambda capacity: capacity.close())
    harness.wait(LONG_MS)
    assert harness.facts == []


# -- what only the fake does --


def test_faults_of_the_fake_are_those_that_were_asked_for() -> None:
    fortunes = {
        "i-refused": InstancePlan(5, "no capacity"),
        "i-lost": InstancePlan(5, lost_after_ms=10),
        "i-slow": InstancePlan(5, ends_ms=100),
    }
    ended: list[str] = []
    cloud = FakeCloud(
        lambda instance: fortunes[instance.instance_id],
        lambda report: (0, 1) if isinstance(report, InstanceGone) else (0,),
        ended.append,
    )
    facts: list[InstanceReport] = []
    capacity = FakeCapacity(cloud)
    capacity.start(facts.extend)
    capacity.launch([replace(NEW, instance_id=name) for name in fortunes])
    cloud.advance(5)
    assert facts == [InstanceRefused("i-refused", "no capacity"), InstanceReady("i-lost"), InstanceReady("i-slow")]
    cloud.advance(16)
    assert facts[3:] == [InstanceGone("i-lost")] * 2, "a report that comes twice"
    capacity.terminate(["i-slow"])
    cloud.advance(100)
    assert [instance.instance_id for instance in cloud.alive()] == ["i-slow"]
    cloud.advance(117)
    assert cloud.alive() == []
    assert ended == ["i-refused", "i-lost", "i-slow"]


def test_what_the_fake_forgot_it_believes() -> None:
    cloud = FakeCloud(lambda instance: InstancePlan(5))
    capacity = FakeCapacity(cloud)
    facts: list[InstanceReport] = []
    capacity.start(facts.extend)
    capacity.launch([NEW])
    cloud.advance(5)
    cloud.forget()
    capacity.launch([replace(NEW, state=InstanceState.READY), replace(NEW, instance_id="i-2")])
    cloud.advance(10)
    assert facts == [READY, InstanceReady("i-2")]
    assert cloud.is_up("i-1")
