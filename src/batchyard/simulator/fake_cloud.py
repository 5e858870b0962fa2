"""A fake cloud that launches instances, with its faults, and one server's connection to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from batchyard.core.model.records import Instance, Market
from batchyard.core.model.reports import InstanceGone, InstanceReady, InstanceRefused, InstanceReport
from batchyard.engines.base import InstanceReportSink
from batchyard.engines.fake import FakeCapacity, FakeCloud, InstancePlan
from batchyard.simulator.attempt_ledger import AttemptLedger, ViolationError
from batchyard.simulator.event_queue import SimulatorEventQueue
from batchyard.simulator.fake_site import MAX_REPORT_DELAY_MS, CommandChannel, FakeSite
from batchyard.simulator.rng import seeded

NO_CAPACITY = "no Spot capacity"


class Cloud:
    """The fake cloud. It outlives servers; `calm` ends its faults. What runs on an instance dies with it, at every
    site."""

    def __init__(
        self,
        seed: int,
        noise: float,
        event_queue: SimulatorEventQueue,
        ledger: AttemptLedger,
        sites: Sequence[FakeSite],
    ) -> None:
        self.seed = seed
        self.noise = noise
        self._event_queue = event_queue
        self.ledger = ledger
        self._sites = sites
        self._is_calm = False
        self._refused_until_ms = 0
        self._sent: dict[tuple[str, str], int] = {}
        self.fake = FakeCloud(self._plan_instance, self._carry, self._on_end)
        self.fake.advance(event_queue.now_ms)

    def calm(self) -> None:
        self.noise, self._is_calm, self._refused_until_ms = 0.0, True, 0

    def advance(self, now_ms: int) -> None:
        self.fake.advance(now_ms)

    # -- faults --

    def storm(self, notice_ms: int) -> None:
        """Interrupts every Spot instance."""
        self.fake.advance(self._event_queue.now_ms)
        for instance in self.fake.alive():
            if instance.market is Market.SPOT:
                self.fake.interrupt(instance.instance_id, notice_ms)

    def lose(self, pick: int) -> None:
        self.fake.advance(self._event_queue.now_ms)
        alive = self.fake.alive()
        if alive:
            self.fake.lose(alive[pick % len(alive)].instance_id)

    def refuse_launches(self, for_ms: int) -> None:
        """Refuses every launch for a time."""
        self._refused_until_ms = self._event_queue.now_ms + for_ms

    def reboot(self) -> None:
        """Simulates a reboot of the machine whose shares the instances are."""
        self.fake.forget()

    # -- what the fake asks --

    def _plan_instance(self, instance: Instance) -> InstancePlan:
        rng = seeded(self.seed, "fortune", instance.instance_id)
        is_spot = instance.market is Market.SPOT
        is_refused = self._event_queue.now_ms < self._refused_until_ms or rng.random() < self.noise / 2
        plan = InstancePlan(
            boots_ms=rng.choice((0, 1, 50, 500)),
            refusal=NO_CAPACITY if is_refused else "",
            interrupted_after_ms=rng.choice((0, 100, 1500)) if is_spot and rng.random() < 0.2 else None,
            notice_ms=rng.choice((0, 100, 1000)),
            lost_after_ms=rng.choice((0, 50, 1000)) if rng.random() < self.noise / 4 else None,
            ends_ms=rng.choice((0, 0, 10, 300)),
        )
        return InstancePlan(plan.boots_ms, ends_ms=plan.ends_ms) if self._is_calm else plan

    def _carry(self, report: InstanceReport) -> Sequence[int]:
        """Decides on the delivery of a report, as in FakeSite: late, more than once, or not until a server asks
        again."""
        if isinstance(report, InstanceReady):
            self.ledger.booted.add(report.instance_id)
        elif isinstance(report, InstanceGone | InstanceRefused):
            self.ledger.ended.add(report.instance_id)
        if not self.noise:
            return (0,)
        kind = type(report).__name__
        times = self._sent[report.instance_id, kind] = self._sent.get((report.instance_id, kind), 0) + 1
        rng = seeded(self.seed, "carry", report.instance_id, kind, times)
        if rng.random() >= self.noise:
            return (rng.choice((0, 0, 1, 5)),)
        late_ms = rng.randrange(MAX_REPORT_DELAY_MS)
        return rng.choice(((), (late_ms,), (0, late_ms), (late_ms, 0, late_ms + 1)))

    def _on_end(self, instance_id: str) -> None:
        for site in self._sites:
            site.host.advance(self._event_queue.now_ms)
            site.lose(instance_id)


class CloudConnection:
    """One server's connection to the cloud: implements engines.base.Capacity."""

    def __init__(self, cloud: Cloud, event_queue: SimulatorEventQueue, latency: Callable[[], int]) -> None:
        self._cloud = cloud
        self._engine = FakeCapacity(cloud.fake)
        self._channel = CommandChannel(event_queue, latency, lambda: cloud.advance(event_queue.now_ms))

    def start(self, report: InstanceReportSink) -> None:
        self._engine.start(report)

    def launch(self, instances: Sequence[Instance]) -> None:
        for instance in instances:
            self._channel.send(lambda instance=instance: self._engine.launch([instance]))  # type: ignore[misc]

    def terminate(self, instance_ids: Sequence[str]) -> None:
        for instance_id in instance_ids:
            self._channel.send(lambda instance_id=instance_id: self._terminate(instance_id))  # type: ignore[misc]

    def close(self) -> None:
        """Delivers what was sent, then closes."""
        self._channel.arrive()
        self._engine.close()

    def cut(self) -> None:
        """Cuts the connection: the server is dead."""
        self._channel.cut()
        self._engine.close()

    def _terminate(self, instance_id: str) -> None:
        held = self._cloud.ledger.held(instance_id)
        if held.milli_vcpus:
            raise ViolationError(f"instance {instance_id} is terminated, and {held} is in use on it")
        self._engine.terminate([instance_id])
