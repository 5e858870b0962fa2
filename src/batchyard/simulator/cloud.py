"""Where instances come from: a fake cloud with its faults, and one server's connection to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from batchyard.core.model.commands import InstanceGone, InstanceReady, InstanceRefused, InstanceReport
from batchyard.core.model.records import Instance, Market
from batchyard.engines.base import FactSink
from batchyard.engines.fake import FakeCapacity, FakeCloud, InstancePlan
from batchyard.simulator.agenda import Agenda
from batchyard.simulator.ledger import Ledger, ViolationError
from batchyard.simulator.lots import lot
from batchyard.simulator.site import SLOWEST_REPORT_MS, Site, Way

NO_CAPACITY = "no Spot capacity"


class Cloud:
    """Outlives servers; `calm` ends its faults. What runs on an instance dies with it, at every site."""

    def __init__(self, seed: int, noise: float, agenda: Agenda, ledger: Ledger, sites: Sequence[Site]) -> None:
        self.seed = seed
        self.noise = noise
        self._agenda = agenda
        self.ledger = ledger
        self._sites = sites
        self._is_calm = False
        self._dry_until_ms = 0
        self._sent: dict[tuple[str, str], int] = {}
        self.fake = FakeCloud(self._plan_instance, self._carry, self._on_end)
        self.fake.advance(agenda.now_ms)

    def calm(self) -> None:
        self.noise, self._is_calm, self._dry_until_ms = 0.0, True, 0

    def advance(self, now_ms: int) -> None:
        self.fake.advance(now_ms)

    # -- faults --

    def storm(self, notice_ms: int) -> None:
        """Every Spot instance is taken away."""
        self.fake.advance(self._agenda.now_ms)
        for instance in self.fake.alive():
            if instance.market is Market.SPOT:
                self.fake.interrupt(instance.instance_id, notice_ms)

    def lose(self, pick: int) -> None:
        self.fake.advance(self._agenda.now_ms)
        alive = self.fake.alive()
        if alive:
            self.fake.lose(alive[pick % len(alive)].instance_id)

    def run_dry(self, for_ms: int) -> None:
        """Whatever is asked for meanwhile is refused."""
        self._dry_until_ms = self._agenda.now_ms + for_ms

    def reboot(self) -> None:
        """The machine whose shares the instances are went down."""
        self.fake.forget()

    # -- what the fake asks --

    def _plan_instance(self, instance: Instance) -> InstancePlan:
        draw = lot(self.seed, "fortune", instance.instance_id)
        is_spot = instance.market is Market.SPOT
        is_refused = self._agenda.now_ms < self._dry_until_ms or draw.random() < self.noise / 2
        plan = InstancePlan(
            boots_ms=draw.choice((0, 1, 50, 500)),
            refusal=NO_CAPACITY if is_refused else "",
            interrupted_after_ms=draw.choice((0, 100, 1500)) if is_spot and draw.random() < 0.2 else None,
            notice_ms=draw.choice((0, 100, 1000)),
            lost_after_ms=draw.choice((0, 50, 1000)) if draw.random() < self.noise / 4 else None,
            ends_ms=draw.choice((0, 0, 10, 300)),
        )
        return InstancePlan(plan.boots_ms, ends_ms=plan.ends_ms) if self._is_calm else plan

    def _carry(self, report: InstanceReport) -> Sequence[int]:
        """As Site: late, more than once, or not before a server asks again."""
        if isinstance(report, InstanceReady):
            self.ledger.booted.add(report.instance_id)
        elif isinstance(report, InstanceGone | InstanceRefused):
            self.ledger.ended.add(report.instance_id)
        if not self.noise:
            return (0,)
        kind = type(report).__name__
        times = self._sent[report.instance_id, kind] = self._sent.get((report.instance_id, kind), 0) + 1
        draw = lot(self.seed, "carry", report.instance_id, kind, times)
        if draw.random() >= self.noise:
            return (draw.choice((0, 0, 1, 5)),)
        late_ms = draw.randrange(SLOWEST_REPORT_MS)
        return draw.choice(((), (late_ms,), (0, late_ms), (late_ms, 0, late_ms + 1)))

    def _on_end(self, instance_id: str) -> None:
        for site in self._sites:
            site.host.advance(self._agenda.now_ms)
            site.lose(instance_id)


class CloudConnection:
    """One server's way to the cloud: implements engines.base.Capacity."""

    def __init__(self, cloud: Cloud, agenda: Agenda, latency: Callable[[], int]) -> None:
        self._cloud = cloud
        self._far_end = FakeCapacity(cloud.fake)
        self._way = Way(agenda, latency, lambda: cloud.advance(agenda.now_ms))

    def start(self, report: FactSink) -> None:
        self._far_end.start(report)

    def launch(self, instances: Sequence[Instance]) -> None:
        for instance in instances:
            self._way.send(lambda instance=instance: self._far_end.launch([instance]))  # type: ignore[misc]

    def terminate(self, instance_ids: Sequence[str]) -> None:
        for instance_id in instance_ids:
            self._way.send(lambda instance_id=instance_id: self._terminate(instance_id))  # type: ignore[misc]

    def close(self) -> None:
        """Lets go in good order: what was sent arrives."""
        self._way.arrive()
        self._far_end.close()

    def cut(self) -> None:
        """The server is dead."""
        self._way.cut()
        self._far_end.close()

    def _terminate(self, instance_id: str) -> None:
        held = self._cloud.ledger.held(instance_id)
        if held.milli_vcpus:
            raise ViolationError(f"instance {instance_id} is told to end, and {held} is in use on it")
        self._far_end.terminate([instance_id])
