"""Right sizes: quantiles with attempts that were killed, the margin, and who would have been killed."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.analysis.past_runs import OUT_OF_MEMORY
from batchyard.analysis.quantiles import CensoredQuantile, censored_quantile, quantile
from batchyard.analysis.rightsizing import (
    FARGATE_SIZES,
    Host,
    Usage,
    fargate_size,
    fitting,
    histogram,
    recommend,
    usage_of,
)
from tests.analysis.runs import HOUR_MS, run

samples = st.lists(st.integers(1, 100_000), min_size=1).map(sorted)


def test_a_quantile_is_a_sample_by_nearest_rank() -> None:
    assert quantile(range(1, 101), 95) == 95
    assert quantile(range(1, 11), 95) == 10
    assert quantile([7], 50) == 7


@given(samples, st.integers(1, 99))
def test_without_bounds_both_quantiles_are_one(ordered: list[int], percent: int) -> None:
    assert censored_quantile(ordered, [], percent) == CensoredQuantile(quantile(ordered, percent), is_beyond=False)


@given(samples, st.lists(st.integers(1, 100_000), max_size=20))
def test_values_that_are_only_known_to_be_larger_raise_the_quantile(ordered: list[int], bounds: list[int]) -> None:
    without, found = quantile(ordered, 95), censored_quantile(ordered, bounds, 95)
    assert found.value >= without or (found.is_beyond and found.value == max([*ordered, *bounds]))


def test_killed_attempts_shift_the_quantile_as_they_should() -> None:
    """By hand: of ten, three are only known to exceed 100. Of those at risk beyond 100 (two values and none cut off)
    the product is 1 x (1 - 1/2) of what was left there."""
    found = censored_quantile([10, 20, 30, 40, 50, 300, 400], [100, 100, 100], 70)
    assert found == CensoredQuantile(300, is_beyond=False), "half of what was left at 100 needs 300 or less"
    assert censored_quantile([10, 20], [100] * 8, 95) == CensoredQuantile(100, is_beyond=True)


def usage(peaks: Sequence[int], limits: Sequence[int] = (), rates: Sequence[int] = ()) -> Usage:
    return Usage(tuple(sorted(peaks)), tuple(sorted(rates)), tuple(sorted(limits)), 0)


def test_the_95th_percentile_and_a_fifth_more() -> None:
    found = recommend(usage(range(1, 1001), rates=[900] * 1000))
    assert found is not None
    assert found.is_confident
    assert found.peak.value == 950
    assert found.memory_mib == 1152, "1140, in steps of 64"
    assert found.milli_vcpus == 2000, "1080, whole vCPUs"
    assert found.killed == 0


def test_attempts_beyond_the_recommendation_would_have_been_killed() -> None:
    found = recommend(usage([100] * 97 + [5000] * 3))
    assert found is not None
    assert (found.memory_mib, found.killed) == (128, 3)


def test_killed_attempts_count_where_their_limit_was_as_large() -> None:
    found = recommend(usage([100] * 99, limits=[500]))
    assert found is not None
    assert (found.memory_mib, found.killed) == (128, 1)


def test_few_attempts_are_named_so() -> None:
    found = recommend(usage([100] * 19))
    assert found is not None
    assert not found.is_confident
    assert recommend(usage([])) is None


def test_more_than_all_limits_is_not_known() -> None:
    found = recommend(usage([], limits=[512] * 30))
    assert found is not None
    assert found.memory_mib is None
    assert found.peak == CensoredQuantile(512, is_beyond=True)


def test_what_counts_as_a_sample() -> None:
    runs = [
        run(peak_memory_mib=100, cpu_ms=HOUR_MS // 2),
        run(peak_memory_mib=50),
        run(peak_memory_mib=1024, outcome=OUT_OF_MEMORY),
        run(peak_memory_mib=7, outcome="FAILED"),
        run(peak_memory_mib=7, stopped_at_ms=0, outcome="RUNNING"),
        run(peak_memory_mib=7, num_nodes=2),
        run(peak_memory_mib=0),
    ]
    assert usage_of(runs) == Usage((50, 100), (500,), (1024,), 2)


@pytest.mark.parametrize(
    ("wanted", "size"),
    [((100, 100), (250, 512)), ((250, 3000), (500, 3072)), ((900, 20_000), (4000, 20_480)), ((17_000, 1), None)],
)
def test_fargate_has_sizes_of_its_own(wanted: tuple[int, int], size: tuple[int, int] | None) -> None:
    assert fargate_size(*wanted) == size
    assert len(FARGATE_SIZES) == 7


def test_how_many_fit() -> None:
    hosts = [Host(4000, 8192), Host(2000, 1000)]
    assert fitting(hosts, 1000, 2048) == 4
    assert fitting(hosts, 1000, 512) == 5


@given(samples)
def test_a_histogram_has_every_sample_once(ordered: list[int]) -> None:
    bars = histogram(ordered)
    assert len(bars) <= 12
    assert sum(bar.count for bar in bars) == len(ordered)
    assert all(sum(bar.low <= value < bar.high for value in ordered) == bar.count for bar in bars)
