"""Totals and histograms since the start of the service."""

from __future__ import annotations

from batchyard.job_metrics.totals import BOUNDS_SECONDS, TotalCounter


def test_counts_add_up_and_durations_fall_into_their_buckets() -> None:
    counter = TotalCounter()
    counter.count("default", "JobsSubmitted", 2)
    counter.count("default", "JobsSubmitted", 5)
    for value_ms, times in ((100, 1), (101, 2), (90_000_000, 1)):
        counter.took("default", "Took", value_ms, times)
    totals = counter.freeze()
    assert totals.counts == {("default", "JobsSubmitted"): 7}
    ((key, histogram),) = totals.histograms.items()
    assert key == ("default", "Took")
    assert histogram.counts[:2] == (1, 2)  # a bound belongs to its bucket
    assert histogram.counts[len(BOUNDS_SECONDS)] == 1
    assert histogram.total_ms == 100 + 202 + 90_000_000
