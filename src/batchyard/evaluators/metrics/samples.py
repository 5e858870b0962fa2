"""What is kept of the samples of one period: count, sum, extremes, and the values as far as they are known.

Values are (value, count) pairs: exact up to a number of distinct values, beyond it in buckets of a logarithmic scale.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

MAX_EXACT_VALUES = 500  # distinct values that are kept as they are: a minute of one metric rarely has more
ACCURACY = 0.01  # relative error of a bucket's value
GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
MAX_SHORT = 2.0**31  # below it a whole number takes fewer bytes as such
MIN_BUCKET_VALUE = 1e-300  # what is nearer to zero is zero: its bucket's value would be no number

Pairs = tuple[tuple[float, float], ...]


class Samples(NamedTuple):
    """`values`: (value, count), in ascending order; None where only the statistic set is known."""

    sample_count: float
    total: float
    minimum: float
    maximum: float
    values: Pairs | None

    @property
    def known_values(self) -> Pairs | None:
        """The values, also of a statistic set that leaves no doubt about them."""
        if self.values is None and (self.sample_count == 1 or self.minimum == self.maximum):
            return ((self.minimum, self.sample_count),)
        return self.values


def samples_of(values: Sequence[float], counts: Sequence[float] | None = None) -> Samples:
    """Returns the samples of at least one value, each as often as its count says."""
    pairs = _merged(zip(values, counts if counts is not None else [1.0] * len(values), strict=True))
    assert pairs, "samples without a value"
    return Samples(
        math.fsum(count for _, count in pairs),
        math.fsum(value * count for value, count in pairs),
        pairs[0][0],
        pairs[-1][0],
        _compacted(pairs),
    )


def statistic_set(sample_count: float, total: float, minimum: float, maximum: float) -> Samples:
    return Samples(sample_count, total, minimum, maximum, None)


def merged(parts: Iterable[Samples]) -> Samples:
    """Returns the samples of several, at least one. The values are known if those of all parts are."""
    found = list(parts)
    assert found, "nothing to merge"
    if len(found) == 1:
        return found[0]
    known = [part.known_values for part in found]
    pairs = None
    if all(values is not None for values in known):
        pairs = _compacted(_merged(pair for values in known for pair in values or ()))
    return Samples(
        math.fsum(part.sample_count for part in found),
        math.fsum(part.total for part in found),
        min(part.minimum for part in found),
        max(part.maximum for part in found),
        pairs,
    )


def grouped(points: Iterable[tuple[int, Samples]], start_s: int, end_s: int, period_s: int) -> dict[int, Samples]:
    """Returns the samples of each period that has any, by its start. Points are (seconds, samples); the range is
    [start_s, end_s), and periods align to multiples of their length since the epoch."""
    parts: dict[int, list[Samples]] = {}
    for at_s, samples in points:
        if start_s <= at_s < end_s:
            parts.setdefault(at_s - at_s % period_s, []).append(samples)
    return {at_s: merged(parts[at_s]) for at_s in sorted(parts)}


# -- as bytes --


def packed_values(values: Pairs | None) -> bytes:
    """Returns values in a few bytes: whole numbers take one to five, and counts nothing where each is 1."""
    if values is None:
        return b""
    counts = [_short(count) for _, count in values]
    numbers = [_short(value) for value, _ in values]
    return msgspec.msgpack.encode((numbers, None if all(count == 1 for count in counts) else counts))


def unpacked_values(data: bytes) -> Pairs | None:
    """Returns what `packed_values` was given."""
    if not data:
        return None
    numbers, counts = msgspec.msgpack.decode(data)
    times = counts if counts is not None else [1.0] * len(numbers)
    return tuple((float(value), float(count)) for value, count in zip(numbers, times, strict=True))


def _short(number: float) -> float | int:
    return int(number) if number.is_integer() and abs(number) < MAX_SHORT else number


# -- values --


def _merged(pairs: Iterable[tuple[float, float]]) -> Pairs:
    counts: dict[float, float] = {}
    for value, count in pairs:
        if count > 0:
            counts[value] = counts.get(value, 0.0) + count
    return tuple(sorted(counts.items()))


def _compacted(pairs: Pairs) -> Pairs:
    if len(pairs) <= MAX_EXACT_VALUES:
        return pairs
    return _merged((bucket_value(value), count) for value, count in pairs)


def bucket_value(value: float) -> float:
    """Returns what stands for all values of a bucket, within ACCURACY of each. It is the value of its own bucket."""
    if abs(value) < MIN_BUCKET_VALUE:
        return 0.0
    middle = 2 * GAMMA / (GAMMA + 1)
    bucket = math.ceil(math.log(abs(value) / middle) / math.log(GAMMA) - 0.5)
    return math.copysign(middle * GAMMA**bucket, value)
