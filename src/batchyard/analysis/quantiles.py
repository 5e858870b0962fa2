"""Quantiles of samples of which some are only known to be beyond a bound. Nearest rank, without interpolation: each
quantile is the value of a sample."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct


def quantile(ordered: Sequence[int], percent: int) -> int:
    """Returns the smallest sample that `percent` of the samples do not exceed. `ordered`: ascending, not empty."""
    assert ordered, "no samples have no quantile"
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(rank, 1) - 1]


class CensoredQuantile(Struct, frozen=True):
    """`value`: the quantile; where `is_beyond`, it is only known to be more than `value`."""

    value: int
    is_beyond: bool


def censored_quantile(samples: Sequence[int], beyond: Sequence[int], percent: int) -> CensoredQuantile:
    """Returns a quantile by the product-limit estimate (Kaplan and Meier 1958). `samples`: values; `beyond`: bounds
    that other values exceeded, by an amount that is not known. At least one of them is not empty."""
    assert samples or beyond, "no samples have no quantile"
    # At equal values the samples come first: what was cut off at a value was at least as large.
    events = sorted([(value, 0) for value in samples] + [(bound, 1) for bound in beyond])
    at_risk, survival = len(events), 1.0
    allowed = 1 - percent / 100
    tolerance = 1e-12  # products of fractions are not exact
    for value, is_bound in events:
        if not is_bound:
            survival *= (at_risk - 1) / at_risk
            if survival <= allowed + tolerance:
                return CensoredQuantile(value, is_beyond=False)
        at_risk -= 1
    return CensoredQuantile(events[-1][0], is_beyond=True)
