"""The samples of one series over some hours or days, in few bytes: columns of numbers, compressed together.

A column holds whole multiples of a power of ten as differences, which most measurements are, and other numbers as
doubles whose bytes of equal rank lie together. Both are exact."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from batchyard.evaluators.metrics.samples import Pairs, Samples, packed_values, unpacked_values

MAX_DECIMALS = 4  # beyond it a measurement is rarely rounded, and is kept as a double
MAX_EXACT_WHOLE = 2.0**53  # whole numbers up to here are exact as doubles
NO_VALUES = -1  # in place of the number of values of a point of which only the statistic set is known
DOUBLES = -1  # in place of the decimals of a column that is kept as doubles
DOUBLE_BYTES = 8
LEVEL = 6  # zlib's own default: higher ones cost twice the time for one percent

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder()


# -- one point --


def packed_point(samples: Samples) -> bytes:
    """Returns the samples of one period; a single value takes one to nine bytes."""
    if _is_single(samples):
        return _encoder.encode(_short(samples.minimum))
    count, total, minimum, maximum, values = samples
    return _encoder.encode((count, total, minimum, maximum, packed_values(values)))


def unpacked_point(data: bytes) -> Samples:
    """Returns what `packed_point` was given."""
    found = _decoder.decode(data)
    if not isinstance(found, list):
        return _single(float(found))
    count, total, minimum, maximum, values = found
    return Samples(float(count), float(total), float(minimum), float(maximum), unpacked_values(values))


def _is_single(samples: Samples) -> bool:
    return samples.sample_count == 1 and samples.values is not None and samples.total == samples.minimum


def _single(value: float) -> Samples:
    return Samples(1.0, value, value, value, ((value, 1.0),))


def _short(number: float) -> float | int:
    return int(number) if number.is_integer() and abs(number) < MAX_EXACT_WHOLE else number


# -- a block --


def packed_block(points: Mapping[int, Samples], start_s: int, resolution_s: int) -> bytes:
    """Returns the points of a block, by second: multiples of the resolution from its start on."""
    times = sorted(points)
    ordered = [points[at_s] for at_s in times]
    places = [(at_s - start_s) // resolution_s for at_s in times]
    steps = [place - before - 1 for place, before in zip(places, [-1, *places], strict=False)]
    singles = [samples for samples in ordered if _is_single(samples)]
    sets = [samples for samples in ordered if not _is_single(samples)]
    columns = [
        len(ordered),
        steps if any(steps) else None,
        bytes(map(_is_single, ordered)) if sets else None,
        _column([samples.minimum for samples in singles]),
        *(_set_columns(sets) if sets else ()),
    ]
    return zlib.compress(_encoder.encode(columns), LEVEL)


def _set_columns(sets: Sequence[Samples]) -> list[Any]:
    pairs = [pair for samples in sets for pair in samples.values or ()]
    return [
        _column([samples.sample_count for samples in sets]),
        _column([samples.total for samples in sets]),
        _column([samples.minimum for samples in sets]),
        _column([samples.maximum for samples in sets]),
        [NO_VALUES if samples.values is None else len(samples.values) for samples in sets],
        _column([value for value, _ in pairs]),
        _column([count for _, count in pairs]),
    ]


def unpacked_block(data: bytes, start_s: int, resolution_s: int) -> dict[int, Samples]:
    """Returns what `packed_block` was given."""
    count, steps, kinds, single_values, *columns = _decoder.decode(zlib.decompress(data))
    singles = map(_single, _numbers(single_values))
    sets = iter(_sets(columns)) if columns else iter(())
    points: dict[int, Samples] = {}
    place = -1
    for number in range(count):
        place += 1 + (steps[number] if steps is not None else 0)
        samples = next(singles) if kinds is None or kinds[number] else next(sets)
        points[start_s + place * resolution_s] = samples
    return points


def _sets(columns: list[Any]) -> Iterable[Samples]:
    counts, totals, minima, maxima = (_numbers(column) for column in columns[:4])
    values, times = iter(_numbers(columns[5])), iter(_numbers(columns[6]))
    for count, total, minimum, maximum, length in zip(counts, totals, minima, maxima, columns[4], strict=True):
        pairs: Pairs | None = None
        if length != NO_VALUES:
            pairs = tuple((next(values), next(times)) for _ in range(length))
        yield Samples(count, total, minimum, maximum, pairs)


# -- a column --


def _column(numbers: list[float]) -> list[Any]:
    for decimals in range(MAX_DECIMALS + 1):
        scale = 10.0**decimals
        whole = [_scaled(number, scale) for number in numbers]
        if None not in whole:
            kept = [number for number in whole if number is not None]
            return [decimals, *(number - before for number, before in zip(kept, [0, *kept], strict=False))]
    raw = struct.pack(f"<{len(numbers)}d", *numbers)
    return [DOUBLES, b"".join(raw[rank::DOUBLE_BYTES] for rank in range(DOUBLE_BYTES))]


def _scaled(number: float, scale: float) -> int | None:
    """Returns the number as a whole multiple of 1 / scale; None where it is none, or too large."""
    product = number * scale
    if not abs(product) < MAX_EXACT_WHOLE:
        return None
    whole = round(product)
    return whole if whole / scale == number and (whole or not _is_negative_zero(number)) else None


def _is_negative_zero(number: float) -> bool:
    return number == 0 and str(number)[0] == "-"


def _numbers(column: list[Any]) -> list[float]:
    decimals, *rest = column
    if decimals == DOUBLES:
        (shuffled,) = rest
        count = len(shuffled) // DOUBLE_BYTES
        raw = bytes(shuffled[rank * count + number] for number in range(count) for rank in range(DOUBLE_BYTES))
        return list(struct.unpack(f"<{count}d", raw))
    scale, total, numbers = 10.0**decimals, 0, []
    for step in rest:
        total += step
        numbers.append(total / scale)
    return numbers
