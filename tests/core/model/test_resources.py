"""Resource vectors: what fits, sums, and how vCPUs are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.model.resources import UNBOUNDED, Resources, format_vcpus, largest

AMOUNTS = st.builds(Resources, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))


@pytest.mark.parametrize(
    ("asked", "fits"),
    [
        (Resources(1000, 64, 1), True),
        (Resources(1001, 64, 1), False),
        (Resources(1000, 65, 1), False),
        (Resources(1000, 64, 2), False),
        (Resources(), True),
    ],
)
def test_each_kind_must_fit(asked: Resources, fits: bool) -> None:
    assert asked.fits(Resources(1000, 64, 1)) is fits


@given(AMOUNTS, AMOUNTS)
def test_sums_and_maxima(one: Resources, other: Resources) -> None:
    assert one.plus(other).minus(other) == one
    assert one.fits(one.plus(other))
    most = one.most(other)
    assert one.fits(most)
    assert other.fits(most)
    assert most.milli_vcpus in (one.milli_vcpus, other.milli_vcpus)


@given(AMOUNTS, AMOUNTS)
def test_an_amount_is_counted_in_another(part: Resources, whole: Resources) -> None:
    count = part.count_in(whole)
    if part == Resources():
        assert count == UNBOUNDED
    else:
        assert part.times(count).fits(whole)
        assert not part.times(count + 1).fits(whole)


def test_the_largest_has_the_most_of_each_kind() -> None:
    assert largest([Resources(1000, 64), Resources(500, 128, 1)]) == Resources(1000, 128, 1)
    assert largest([]) == Resources()


@pytest.mark.parametrize(("milli_vcpus", "text"), [(2000, "2"), (250, "0.25"), (0, "0"), (1500, "1.5")])
def test_vcpus_are_written_as_aws_writes_them(milli_vcpus: int, text: str) -> None:
    assert format_vcpus(milli_vcpus) == text
