"""The values of one metric in a minute that is under way."""

from __future__ import annotations

from batchyard.job_metrics.records import Durations, rounded

NOTHING = Durations(0, 0, -1, 0, ())


class Tally:
    """Durations. It is added to for every job: so little is done there."""

    __slots__ = ("count", "maximum_ms", "minimum_ms", "total_ms", "values")

    def __init__(self, durations: Durations = NOTHING) -> None:
        self.count, self.total_ms = durations.count, durations.total_ms
        self.minimum_ms, self.maximum_ms = durations.minimum_ms, durations.maximum_ms
        self.values = dict(durations.values)

    def add(self, value_ms: int, times: int) -> None:
        self.count += times
        self.total_ms += value_ms * times
        if value_ms < self.minimum_ms or self.minimum_ms < 0:
            self.minimum_ms = value_ms
        if value_ms > self.maximum_ms:
            self.maximum_ms = value_ms
        self.values[value_ms] = self.values.get(value_ms, 0) + times

    def freeze(self) -> Durations:
        """Returns them, and rounds the values."""
        short: dict[int, int] = {}
        for value_ms, times in self.values.items():
            value = rounded(value_ms)
            short[value] = short.get(value, 0) + times
        self.values = short
        return Durations(self.count, self.total_ms, self.minimum_ms, self.maximum_ms, tuple(sorted(short.items())))
