"""How much disk the store of metrics takes: series of four kinds over some days, through the real store.

    python -m bench.metric_store [--series 100] [--days 30]

A quarter of the series each: counts of events (some minutes have none), whole numbers that change little (such as jobs
that wait), measurements with two decimals, and what stays 0. Time is simulated."""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

from batchyard.evaluators.metrics.samples import Samples, samples_of
from batchyard.store.metrics.metric_store import MetricStore
from batchyard.store.metrics.series import Datum, Series

DAY, MINUTE = 86_400, 60
START_S = 1_700_006_400
PUT_AT_ONCE = 60  # minutes


def sample(kind: int, dice: random.Random, level: dict[int, float], number: int) -> Samples | None:
    """Returns a minute of a series of a kind; None: nothing happened."""
    if kind == 0:
        count = dice.randint(0, 20)
        return samples_of([1.0], [float(count)]) if count else None
    if kind == 1:
        level[number] = max(0.0, level.get(number, 10.0) + dice.choice((-1, 0, 0, 0, 1)))
        return samples_of([level[number]])
    return samples_of([round(dice.gauss(60, 8), 2) if kind == 2 else 0.0])


def fill(store: MetricStore, count: int, days: int) -> float:
    """Fills the store; returns the seconds that its own work took."""
    dice, level, spent = random.Random(1), dict[int, float](), 0.0
    every = [Series("App", f"metric-{number}", (("Host", f"host-{number % 50}"),)) for number in range(count)]
    for start_s in range(START_S, START_S + days * DAY, PUT_AT_ONCE * MINUTE):
        data = [
            Datum(series, at_s, samples)
            for at_s in range(start_s, start_s + PUT_AT_ONCE * MINUTE, MINUTE)
            for number, series in enumerate(every)
            if (samples := sample(number % 4, dice, level, number)) is not None
        ]
        began = time.perf_counter()
        store.put(data)
        while store.tend(start_s + PUT_AT_ONCE * MINUTE):
            pass
        spent += time.perf_counter() - began
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--series", type=int, default=100)
    parser.add_argument("--days", type=int, default=30)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        store = MetricStore(Path(directory) / "metrics.db")
        spent = fill(store, arguments.series, arguments.days)
        store.close()
        size = sum(path.stat().st_size for path in Path(directory).iterdir())
    each = size / arguments.series
    print(f"{arguments.series} series, {arguments.days} days: {size / 2**20:.1f} MiB, {each / 1024:.1f} KiB a series")
    print(f"10,000 series at this rate: {each * 10_000 / 2**20:.0f} MiB; {spent:.1f} s of work")


if __name__ == "__main__":
    main()
