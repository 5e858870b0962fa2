"""Which definitions lose work when hosts go, and what Spot would save or saves them.

With an interruption rate of r per hour and without checkpoints, an attempt that needs t hours takes
(e^(rt) - 1) / r hours of paid time on average until one runs through. Spot pays where that, at the Spot price, is less
than t hours at the on-demand price."""

from __future__ import annotations

import math
from collections.abc import Iterable

from msgspec import Struct

from batchyard.analysis.past_runs import SUCCEEDED, PastRun

MS_PER_HOUR = 3_600_000
MAX_EXPONENT = 700.0  # beyond it e^x is no number
RESTARTS_FROM_NOTHING = 0.9  # a successful attempt after a lost one that takes as long as others has no checkpoint


class SpotRow(Struct, frozen=True):
    """A definition. `attempts`: those that ended; `lost`: with their hosts; hours are vCPU hours. `mean_hours`: of an
    attempt that succeeded. `rate_per_hour`: interruptions by hour of run time. `has_checkpoints`: None: not known,
    since nothing was run again after a loss. `worth_below`: Spot pays while its price is below this share of the
    on-demand price; None: nothing succeeded."""

    definition: str
    attempts: int
    lost: int
    useful_vcpu_hours: float
    lost_vcpu_hours: float
    mean_hours: float
    rate_per_hour: float
    has_checkpoints: bool | None
    worth_below: float | None


def spot_rows(runs: Iterable[PastRun]) -> list[SpotRow]:
    """Returns a row for each definition, those that lost most first."""
    by_definition: dict[str, list[PastRun]] = {}
    for run in runs:
        if run.stopped_at_ms:
            by_definition.setdefault(run.definition_name, []).append(run)
    rows = [_row(name, found) for name, found in by_definition.items()]
    return sorted(rows, key=lambda row: (-row.lost_vcpu_hours, -row.useful_vcpu_hours, row.definition))


def _row(definition: str, runs: list[PastRun]) -> SpotRow:
    lost = [run for run in runs if run.is_interrupted]
    done = [run for run in runs if run.outcome == SUCCEEDED]
    total_hours = sum(map(_hours, runs))
    rate = len(lost) / total_hours if total_hours else 0.0
    mean_hours = sum(map(_hours, done)) / len(done) if done else 0.0
    return SpotRow(
        definition,
        len(runs),
        len(lost),
        sum(_vcpu_hours(run) for run in done),
        sum(_vcpu_hours(run) for run in lost),
        mean_hours,
        rate,
        _has_checkpoints(done, lost),
        worth_below(rate, mean_hours) if done else None,
    )


def _has_checkpoints(done: list[PastRun], lost: list[PastRun]) -> bool | None:
    """Compares attempts that succeeded after a loss with those that succeeded at once."""
    interrupted = {run.job_id for run in lost}
    again = [_hours(run) for run in done if run.job_id in interrupted]
    at_once = [_hours(run) for run in done if run.job_id not in interrupted]
    if not again or not at_once or not sum(at_once):
        return None
    return sum(again) / len(again) < RESTARTS_FROM_NOTHING * sum(at_once) / len(at_once)


def worth_below(rate_per_hour: float, hours: float) -> float:
    """Returns the share of the on-demand price below which Spot pays for attempts without checkpoints."""
    expected = rate_per_hour * hours
    if expected <= 0:
        return 1.0
    return expected / math.expm1(expected) if expected < MAX_EXPONENT else 0.0


def _hours(run: PastRun) -> float:
    return (run.stopped_at_ms - run.started_at_ms) / MS_PER_HOUR


def _vcpu_hours(run: PastRun) -> float:
    return _hours(run) * run.milli_vcpus / 1000
