"""How long commits took since the service was started, for collectors that read histograms."""

from __future__ import annotations

from bisect import bisect_left

from msgspec import Struct

# Upper bounds in seconds: from what a fast disk takes to what holds up every caller.
BOUNDS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class CommitTimes(Struct, frozen=True):
    """`counts`: commits that took up to each of BOUNDS_SECONDS, not cumulated, and those above the last one."""

    counts: tuple[int, ...] = (0,) * (len(BOUNDS_SECONDS) + 1)
    total_seconds: float = 0.0

    def plus(self, seconds: float) -> CommitTimes:
        """Returns these and one commit more."""
        place = bisect_left(BOUNDS_SECONDS, seconds)
        counts = (*self.counts[:place], self.counts[place] + 1, *self.counts[place + 1 :])
        return CommitTimes(counts, self.total_seconds + seconds)
