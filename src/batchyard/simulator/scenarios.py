"""Loads that show how environments scale; `python -m batchyard.simulator.scenarios DIRECTORY` draws them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from batchyard.simulator.charts import chart
from batchyard.simulator.rng import seeded
from batchyard.simulator.scenario_runner import LIMITS, Arrival, Fleet, Load, Record, ScenarioRunner, Storm

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
FIRST_MS = 2000  # when the first job comes: environments and queue are made before
SCALE_DOWN_MS = int(LIMITS.scale_down_seconds * SECOND_MS)
ON_DEMAND = Fleet("on-demand", "EC2", 16)


class Scenario(Struct, frozen=True):
    """A load, and the title of its chart."""

    title: str
    load: Load

    def run(self) -> Record:
        return ScenarioRunner(self.load).run()


def steady() -> Scenario:
    """Submits a job every two seconds that runs for about 16: eight vCPUs are busy."""
    rng = seeded("steady")
    times = range(FIRST_MS, 6 * MINUTE_MS, 2 * SECOND_MS)
    arrivals = tuple(Arrival(at_ms, 1, (rng.randrange(14_000, 18_000),)) for at_ms in times)
    return Scenario("Steady: a job of 1 vCPU every 2 s, each runs 14 to 18 s", Load((ON_DEMAND,), arrivals))


def bursts() -> Scenario:
    """Submits three arrays of 24, with pauses in between."""
    rng = seeded("bursts")
    arrivals = tuple(
        Arrival(at_ms, 1, tuple(rng.randrange(10_000, 30_000) for _ in range(24)), 24)
        for at_ms in (10_000, 100_000, 220_000)
    )
    return Scenario("Bursts: arrays of 24 jobs of 1 vCPU, each runs 10 to 30 s", Load((ON_DEMAND,), arrivals))


def sawtooth() -> Scenario:
    """Raises the load for 90 seconds and lets it fall to zero, three times."""
    arrivals = []
    for tooth in range(3):
        for step in range(18):
            at_ms = FIRST_MS + tooth * 100_000 + step * 5000
            arrivals += [Arrival(at_ms + number * 200, 1, (10_000,)) for number in range(1 + step // 3)]
    title = "Sawtooth: every 5 s one to six jobs of 1 vCPU that run 10 s, rising for 90 s"
    return Scenario(title, Load((ON_DEMAND,), tuple(arrivals)))


def giant() -> Scenario:
    """Submits one job of 8 vCPUs among small ones, in an environment that small ones alone would fill."""
    rng = seeded("giant")
    small = [Arrival(at_ms, 1, (rng.randrange(12_000, 20_000),)) for at_ms in range(FIRST_MS, 4 * MINUTE_MS, 1100)]
    large = Arrival(MINUTE_MS, 8, (40_000,))
    arrivals = tuple(sorted([*small, large], key=lambda arrival: arrival.at_ms))
    title = "One giant: a job of 8 vCPUs at 60 s, among jobs of 1 vCPU that fill the environment"
    return Scenario(title, Load((ON_DEMAND,), arrivals))


def storms() -> Scenario:
    """Uses Spot first, then On-Demand; twice all Spot instances are interrupted and refused for a while."""
    rng = seeded("storms")
    times = range(FIRST_MS, 6 * MINUTE_MS, 2 * SECOND_MS)
    arrivals = tuple(Arrival(at_ms, 1, (rng.randrange(14_000, 18_000),)) for at_ms in times)
    fleets = (Fleet("spot", "SPOT", 16), ON_DEMAND)
    blows = (Storm(90_000, 2000, 60_000), Storm(240_000, 2000, 30_000))
    title = "Spot storms at 90 s and 240 s; Spot is refused for 60 s and 30 s, On-Demand takes over"
    return Scenario(title, Load(fleets, arrivals, storms=blows))


SCENARIOS = {"steady": steady, "bursts": bursts, "sawtooth": sawtooth, "giant": giant, "storms": storms}


def charts() -> dict[str, str]:
    """Returns the charts of the documentation, by file name."""
    found = {}
    for name, make in SCENARIOS.items():
        scenario = make()
        found[f"{name}.svg"] = chart(scenario.title, scenario.load, scenario.run())
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    (directory,) = sys.argv[1:] if arguments is None else arguments
    for name, text in charts().items():
        (Path(directory) / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
