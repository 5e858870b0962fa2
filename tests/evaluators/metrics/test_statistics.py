"""Statistics of samples, exact and in buckets."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.evaluators.metrics.samples import (
    MAX_EXACT_VALUES,
    Samples,
    grouped,
    merged,
    packed_values,
    samples_of,
    statistic_set,
    unpacked_values,
)
from batchyard.evaluators.metrics.statistics import InvalidStatistic, parse_statistic

TEN = samples_of([float(value) for value in range(1, 11)])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SampleCount", 10),
        ("Sum", 55),
        ("Average", 5.5),
        ("Minimum", 1),
        ("Maximum", 10),
        ("p0", 1),
        ("p50", 5.5),
        ("p90", 9.1),
        ("p99.9", 9.991),
        ("p100", 10),
        ("tm90", 5),
        ("TM(:90%)", 5),
        ("TM(10%:90%)", 5.5),
        ("TM(25%:75%)", 5.5),
        ("IQM", 5.5),
        ("TM(2:8)", 5.5),
        ("TM(8:)", 9.5),
        ("TM(20:30)", None),
        ("WM(3:8)", 5.5),
        ("WM(:5)", 4),
        ("wm50", (1 + 2 + 3 + 4 + 5 + 5 * 5.5) / 10),
        ("tc90", 9),
        ("TC(2:8)", 6),
        ("ts90", 45),
        ("TS(80%:)", 19),
        ("PR(:3)", 30),
        ("PR(3:8)", 50),
        ("PR(8:)", 20),
    ],
)
def test_statistics(name: str, value: float | None) -> None:
    found = parse_statistic(name).value_of(TEN)
    assert found == (None if value is None else pytest.approx(value))


@pytest.mark.parametrize(
    "name",
    ["", "average", "p", "p101", "px", "TM", "TM()", "TM(:)", "TM(1%:2)", "TM(5:3)", "PR(10%:20%)", "tm(5)", "P5"],
)
def test_no_statistics(name: str) -> None:
    with pytest.raises(InvalidStatistic):
        parse_statistic(name)


def test_a_percentile_needs_the_values() -> None:
    p50 = parse_statistic("p50")
    assert p50.value_of(statistic_set(4, 10, 1, 4)) is None
    assert p50.value_of(statistic_set(1, 3, 3, 3)) == 3
    assert p50.value_of(statistic_set(5, 10, 2, 2)) == 2
    assert p50.value_of(samples_of([-1.0, 1.0])) is None
    assert p50.value_of(merged([TEN, statistic_set(4, 10, 1, 4)])) is None
    assert p50.value_of(merged([TEN, statistic_set(5, 25, 5, 5)])) == 5
    assert parse_statistic("Average").value_of(statistic_set(0, 0, 0, 0)) is None


def test_samples_that_a_percentile_needs() -> None:
    assert [parse_statistic(name).min_samples for name in ("p99", "p10", "p50", "Average", "tm99", "p100")] == [
        pytest.approx(1000),
        pytest.approx(100),
        20,
        0,
        0,
        0,
    ]


def test_periods_align_to_the_epoch_and_end_before_the_end() -> None:
    points = [(at, samples_of([float(at)])) for at in (59, 60, 119, 120, 179, 180)]
    found = grouped(points, 60, 180, 60)
    assert {at: samples.total for at, samples in found.items()} == {60: 179, 120: 299}
    assert {at: samples.total for at, samples in grouped(points, 60, 180, 300).items()} == {0: 60 + 119 + 120 + 179}


VALUES = st.lists(st.floats(0, 1e12), min_size=1, max_size=40)


@given(VALUES, st.lists(st.integers(1, 5), min_size=40, max_size=40))
def test_counts_are_repetitions(values: list[float], counts: list[int]) -> None:
    counts = counts[: len(values)]
    one = samples_of(values, [float(count) for count in counts])
    other = samples_of([value for value, count in zip(values, counts, strict=True) for _ in range(count)])
    assert one.values == other.values
    for name in ("Sum", "p50", "p99", "tm90", "wm90", "PR(:5)"):
        assert parse_statistic(name).value_of(one) == pytest.approx(parse_statistic(name).value_of(other))


@given(VALUES, VALUES)
def test_merging_is_the_samples_of_all(first: list[float], second: list[float]) -> None:
    both = merged([samples_of(first), samples_of(second)])
    every = samples_of(first + second)
    assert both.values == every.values
    assert both.total == pytest.approx(every.total)
    low, high = parse_statistic("p10").value_of(both), parse_statistic("p90").value_of(both)
    assert low is not None
    assert high is not None
    assert both.minimum <= low <= high * (1 + 1e-12) <= both.maximum * (1 + 1e-9)


def test_many_values_are_kept_within_one_percent() -> None:
    values = [1.001**at for at in range(20_000)]
    samples = samples_of(values)
    assert samples.values is not None
    assert len(samples.values) < 1100
    for percent in (0, 1, 25, 50, 90, 99, 100):
        found = parse_statistic(f"p{percent}").value_of(samples)
        assert found == pytest.approx(1.001 ** (percent / 100 * 19_999), rel=0.011)
    again = merged([samples, samples])
    assert again.values is not None
    assert len(again.values) == len(samples.values), "a bucket's value is in its own bucket"
    assert math.isfinite(samples_of([5e-324 * at for at in range(1, MAX_EXACT_VALUES + 2)]).total)


@given(st.text("pPtmTMwWcsRIQ()%:0159.", max_size=12))
def test_any_text_is_a_statistic_or_refused(name: str) -> None:
    try:
        statistic = parse_statistic(name)
    except InvalidStatistic:
        return
    value = statistic.value_of(TEN)
    assert value is None or math.isfinite(value)


VALUES = st.floats(-(2.0**360), 2.0**360)  # what PutMetricData takes


@given(st.lists(VALUES, min_size=1), st.lists(st.integers(1, 9), min_size=1))
def test_values_survive_being_packed(values: list[float], counts: list[int]) -> None:
    times = [float(counts[at % len(counts)]) for at in range(len(values))]
    found = samples_of(values, times).values
    assert unpacked_values(packed_values(found)) == found


def test_packed_values_are_small() -> None:
    assert len(packed_values(samples_of([0.0]).values)) == 4
    assert len(packed_values(samples_of([float(at) for at in range(100)]).values)) < 110
    assert unpacked_values(packed_values(None)) is None


def test_a_statistic_set_has_no_values() -> None:
    assert statistic_set(2, 3, 1, 2) == Samples(2, 3, 1, 2, None)
