"""Statistics of samples by CloudWatch's names (spec 9.3): `Average`, `p99.9`, `TM(10%:90%)`, `PR(:300)`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import NamedTuple

from batchyard.evaluators.metrics.samples import Pairs, Samples

NUMBER = r"\d{1,15}(?:\.\d{0,10})?"
SHORT = re.compile(rf"(?P<kind>p|tm|wm|tc|ts)(?P<percent>{NUMBER})")
RANGE = re.compile(rf"(?P<kind>TM|WM|TC|TS|PR)\((?P<low>{NUMBER}%?)?:(?P<high>{NUMBER}%?)?\)")
MIN_SAMPLES_BEYOND = 10  # that a percentile needs on its far side to say something (guide: low data samples)


class InvalidStatistic(ValueError):
    """A text that names no statistic of CloudWatch."""


class Statistic(NamedTuple):
    """A statistic. `low`, `high`: bounds in the unit of the values, or percent; None for an open end."""

    name: str
    kind: str
    low: float | None = None
    high: float | None = None
    is_percent: bool = False

    def value_of(self, samples: Samples) -> float | None:
        """Returns the statistic, or None where the samples do not say it."""
        basic = BASIC.get(self.kind)
        if basic is not None:
            return basic(samples)
        values = samples.known_values
        if values is None or samples.minimum < 0:
            return None
        if self.kind == "p":
            return percentile(values, self.high or 0.0)
        if self.kind == "WM":
            return _winsorized_mean(values, self)
        kept = _within_percent(values, self) if self.is_percent else _within(values, self)
        count = math.fsum(part for _, part in kept)
        total = math.fsum(value * part for value, part in kept)
        if self.kind == "PR":
            return 100 * count / samples.sample_count
        if self.kind == "TM":
            return total / count if count else None
        return count if self.kind == "TC" else total

    @property
    def is_extended(self) -> bool:
        return self.kind not in BASIC

    @property
    def min_samples(self) -> float:
        """The samples below which a percentile says little: an alarm may ignore it then. 0 for other statistics."""
        if self.kind != "p" or not 0 < (self.high or 0) < 100:
            return 0.0
        share = (self.high or 0) / 100
        return MIN_SAMPLES_BEYOND / (1 - share if share >= 0.5 else share)


BASIC: dict[str, Callable[[Samples], float | None]] = {
    "SampleCount": lambda samples: samples.sample_count,
    "Sum": lambda samples: samples.total,
    "Average": lambda samples: samples.total / samples.sample_count if samples.sample_count else None,
    "Minimum": lambda samples: samples.minimum,
    "Maximum": lambda samples: samples.maximum,
}


def parse_statistic(name: str) -> Statistic:
    """Returns the statistic of a name. Raises InvalidStatistic."""
    if name in BASIC:
        return Statistic(name, name)
    if name == "IQM":
        return Statistic(name, "TM", 25.0, 75.0, True)
    if found := SHORT.fullmatch(name):
        percent = float(found["percent"])
        if percent > 100:
            raise InvalidStatistic(f"{name}: a percentile is at most 100")
        return Statistic(name, "p" if found["kind"] == "p" else found["kind"].upper(), None, percent, True)
    if found := RANGE.fullmatch(name):
        bounds = [found["low"], found["high"]]
        given = [bound for bound in bounds if bound is not None]
        percents = [bound.endswith("%") for bound in given]
        if not given or any(percents) != all(percents):
            raise InvalidStatistic(f"{name}: one bound at least, both in percent or neither")
        low, high = (float(bound.rstrip("%")) if bound is not None else None for bound in bounds)
        if low is not None and high is not None and low >= high:
            raise InvalidStatistic(f"{name}: the lower bound is not below the upper one")
        if percents[0] and (found["kind"] == "PR" or max(low or 0, high or 0) > 100):
            raise InvalidStatistic(f"{name}: no such percentage")
        return Statistic(name, found["kind"], low, high, percents[0])
    raise InvalidStatistic(f"{name} is no statistic: Average, Sum, p99, TM(10%:90%), PR(:300) are")


def percentile(values: Pairs, percent: float) -> float:
    """Returns a percentile of values in ascending order, between two of them by linear interpolation."""
    count = math.fsum(part for _, part in values)
    rank = max(0.0, (count - 1) * percent / 100)
    below = math.floor(rank)
    first, second = _at_rank(values, below), _at_rank(values, below + 1)
    return first + (second - first) * (rank - below)


def _at_rank(values: Pairs, rank: float) -> float:
    passed = 0.0
    for value, part in values:
        passed += part
        if passed > rank:
            return value
    return values[-1][0]


def _within(values: Pairs, statistic: Statistic) -> list[tuple[float, float]]:
    """Returns the values above the lower bound and up to the upper one."""
    return [
        (value, part)
        for value, part in values
        if (statistic.low is None or value > statistic.low) and (statistic.high is None or value <= statistic.high)
    ]


def _within_percent(values: Pairs, statistic: Statistic) -> list[tuple[float, float]]:
    """Returns the values between two percentages of the count; one at a bound counts in part."""
    count = math.fsum(part for _, part in values)
    start = count * (statistic.low or 0.0) / 100
    stop = count * (100.0 if statistic.high is None else statistic.high) / 100
    kept, passed = [], 0.0
    for value, part in values:
        inside = min(passed + part, stop) - max(passed, start)
        passed += part
        if inside > 0:
            kept.append((value, inside))
    return kept


def _winsorized_mean(values: Pairs, statistic: Statistic) -> float:
    """Returns the mean with what is outside the bounds taken as the bound."""
    low, high = statistic.low, statistic.high
    if statistic.is_percent:
        low = percentile(values, low) if low is not None else None
        high = percentile(values, high) if high is not None else None
    count = total = 0.0
    for value, part in values:
        inside = value if low is None else max(value, low)
        inside = inside if high is None else min(inside, high)
        count += part
        total += inside * part
    return total / count
