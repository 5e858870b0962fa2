"""Blocks and points give back exactly what was packed, and stay small."""

from hypothesis import given
from hypothesis import strategies as st

from batchyard.evaluators.metrics.samples import Samples, samples_of, statistic_set
from batchyard.store.metrics.blocks import packed_block, packed_point, unpacked_block, unpacked_point

NUMBERS = st.one_of(
    st.integers(-(10**9), 10**9).map(float),
    st.integers(-(10**6), 10**6).map(lambda number: number / 100),
    st.floats(-(2.0**360), 2.0**360, allow_nan=False),
)
SAMPLES = st.one_of(
    NUMBERS.map(lambda value: samples_of([value])),
    st.lists(NUMBERS, min_size=1, max_size=5).map(samples_of),
    st.tuples(NUMBERS, st.integers(1, 5)).map(lambda pair: samples_of([pair[0]], [float(pair[1])])),
    st.tuples(NUMBERS, NUMBERS).map(lambda pair: statistic_set(2.0, pair[0], min(pair), max(pair))),
)
START_S = 1_700_006_400


@given(SAMPLES)
def test_a_point_is_what_it_was(samples: Samples) -> None:
    assert unpacked_point(packed_point(samples)) == samples


@given(st.dictionaries(st.integers(0, 239).map(lambda place: START_S + 60 * place), SAMPLES, max_size=20))
def test_a_block_is_what_it_was(points: dict[int, Samples]) -> None:
    assert unpacked_block(packed_block(points, START_S, 60), START_S, 60) == points


def test_the_zero_below_zero_stays_below_zero() -> None:
    points = {START_S: samples_of([-0.0]), START_S + 60: samples_of([1.0])}
    found = unpacked_block(packed_block(points, START_S, 60), START_S, 60)
    assert str(found[START_S].minimum) == "-0.0"


def test_four_hours_of_one_value_take_few_bytes_and_those_of_percentages_two_a_minute() -> None:
    flat = {START_S + 60 * place: samples_of([7.0]) for place in range(240)}
    assert len(packed_block(flat, START_S, 60)) < 40
    uneven = {START_S + 60 * place: samples_of([40 + place * 37 % 2000 / 100]) for place in range(240)}
    assert len(packed_block(uneven, START_S, 60)) < 3 * 240
