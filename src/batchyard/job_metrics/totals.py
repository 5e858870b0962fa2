"""Totals since the start of the service, for collectors that read counters: what jobs did, and how long they took."""

from __future__ import annotations

from bisect import bisect_left

from msgspec import Struct

# Upper bounds in seconds: from what a process takes to start to a day.
BOUNDS_SECONDS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 10_800, 43_200, 86_400)
MS_PER_SECOND = 1000


class Histogram(Struct, frozen=True):
    """`counts`: durations up to each of BOUNDS_SECONDS, not cumulated, and those above the last one."""

    counts: tuple[int, ...]
    total_ms: int


class Totals(Struct, frozen=True):
    """`counts`: by queue and metric; `histograms`: likewise, of durations."""

    counts: dict[tuple[str, str], int]
    histograms: dict[tuple[str, str], Histogram]


class TotalCounter:
    """Counts for as long as the service runs."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}
        self._buckets: dict[tuple[str, str], list[int]] = {}
        self._total_ms: dict[tuple[str, str], int] = {}

    def count(self, queue: str, name: str, number: int) -> None:
        key = queue, name
        self._counts[key] = self._counts.get(key, 0) + number

    def took(self, queue: str, name: str, value_ms: int, times: int) -> None:
        key = queue, name
        buckets = self._buckets.get(key)
        if buckets is None:
            buckets = self._buckets[key] = [0] * (len(BOUNDS_SECONDS) + 1)
        buckets[bisect_left(BOUNDS_SECONDS, value_ms / MS_PER_SECOND)] += times
        self._total_ms[key] = self._total_ms.get(key, 0) + value_ms * times

    def freeze(self) -> Totals:
        histograms = {key: Histogram(tuple(found), self._total_ms[key]) for key, found in self._buckets.items()}
        return Totals(dict(self._counts), histograms)
