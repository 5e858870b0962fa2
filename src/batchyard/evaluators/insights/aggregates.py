"""Aggregates of `stats`: what they keep while rows come in, and what they come to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from batchyard.evaluators.insights.batches import Column, mapped, numbers_of
from batchyard.evaluators.insights.values import Row, Value, number_of, sort_key, text_of
from batchyard.evaluators.metrics.samples import MAX_EXACT_VALUES, bucket_value
from batchyard.evaluators.metrics.statistics import percentile

MAX_DISTINCT = 200_000  # texts that one count_distinct keeps
MAX_DISTINCT_CHARACTERS = 200  # of each


class TooLarge(Exception):
    """A query that keeps more than there is room for. Its argument says what."""


class Aggregate(Protocol):
    """One aggregate of one group."""

    def add(self, row: Row, value: Value) -> None: ...

    def add_all(self, column: Column) -> None:
        """Takes the values of many rows: as add() of one after the other."""

    def result(self) -> Value: ...


class CountRows:
    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def add(self, row: Row, value: Value) -> None:
        self.count += 1

    def add_all(self, column: Column) -> None:
        self.count += len(column)

    def result(self) -> Value:
        return self.count


class Count(CountRows):
    """Rows that have the field."""

    __slots__ = ()

    def add(self, row: Row, value: Value) -> None:
        self.count += value is not None

    def add_all(self, column: Column) -> None:
        self.count += sum(value is not None for value in column.values)


class CountDistinct:
    __slots__ = ("texts",)

    def __init__(self) -> None:
        self.texts: set[str] = set()

    def add(self, row: Row, value: Value) -> None:
        text = text_of(value)
        if text is not None:
            self.texts.add(text[:MAX_DISTINCT_CHARACTERS])
            self._check()

    def add_all(self, column: Column) -> None:
        texts = [value if type(value) is str else text_of(value) for value in column.values]
        self.texts.update([text[:MAX_DISTINCT_CHARACTERS] for text in texts if text is not None])
        self._check()

    def _check(self) -> None:
        if len(self.texts) > MAX_DISTINCT:
            raise TooLarge(f"count_distinct has more than {MAX_DISTINCT} values")

    def result(self) -> Value:
        return len(self.texts)


class Numbers:
    """Sum, average and deviation, without keeping the numbers (Welford)."""

    __slots__ = ("count", "kind", "mean", "squares", "total")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.count = 0
        self.total = self.mean = self.squares = 0.0

    def add(self, row: Row, value: Value) -> None:
        number = number_of(value)
        if number is None:
            return
        self.count += 1
        self.total += number
        distance = number - self.mean
        self.mean += distance / self.count
        self.squares += distance * (number - self.mean)

    def add_all(self, column: Column) -> None:
        numbers = [number for number in column.numbers if number is not None]
        count = len(numbers)
        if not count:
            return
        if self.kind == "stddev":  # the deviations of both parts, and that between their means
            mean = sum(numbers) / count
            distances = [number - mean for number in numbers]
            between = mean - self.mean
            both = self.count + count
            self.squares += sum([distance * distance for distance in distances])
            self.squares += between * between * self.count * count / both
            self.mean += between * count / both
        self.total = sum(numbers, self.total)
        self.count += count

    def result(self) -> Value:
        if not self.count:
            return None
        if self.kind == "sum":
            return self.total
        return self.total / self.count if self.kind == "avg" else math.sqrt(self.squares / self.count)


class Extreme:
    """min, max; sortsFirst, sortsLast, which order texts, too."""

    __slots__ = ("best", "is_largest", "takes_texts", "value")

    def __init__(self, is_largest: bool, takes_texts: bool) -> None:
        self.is_largest = is_largest
        self.takes_texts = takes_texts
        self.best: tuple[int, float | str] | None = None
        self.value: Value = None

    def add(self, row: Row, value: Value) -> None:
        if value is None:
            return
        key = sort_key(value)
        if key[0] and not self.takes_texts:
            return
        # The keys of one kind compare with each other; a number comes before a text.
        if self.best is None or (key > self.best if self.is_largest else key < self.best):
            self.best, self.value = key, value

    def add_all(self, column: Column) -> None:
        keys: list[tuple[tuple[int, float | str], Value]]
        if self.takes_texts:
            pairs = zip(mapped(column.values, sort_key), column.values, strict=True)
            keys = [(key, value) for key, value in pairs if value is not None]
        else:
            numbers = column.numbers
            there = [number for number in numbers if number is not None]
            if not there:
                return
            best = max(there) if self.is_largest else min(there)
            keys = [((0, float(best)), column.values[numbers.index(best)])]
        for key, value in keys:
            if self.best is None or (key > self.best if self.is_largest else key < self.best):
                self.best, self.value = key, value

    def result(self) -> Value:
        return self.value


class ByTime:
    """earliest, latest: the value of the row with the first or last time."""

    __slots__ = ("at_ms", "is_latest", "value")

    def __init__(self, is_latest: bool) -> None:
        self.is_latest = is_latest
        self.at_ms: float | None = None
        self.value: Value = None

    def add(self, row: Row, value: Value) -> None:
        at_ms = number_of(row.field("@timestamp", ("@timestamp",)))
        if value is None or at_ms is None:
            return
        if self.at_ms is None or (at_ms > self.at_ms if self.is_latest else at_ms < self.at_ms):
            self.at_ms, self.value = at_ms, value

    def add_all(self, column: Column) -> None:
        for value, at_ms in zip(column.values, numbers_of(column.times), strict=True):
            if value is None or at_ms is None:
                continue
            if self.at_ms is None or (at_ms > self.at_ms if self.is_latest else at_ms < self.at_ms):
                self.at_ms, self.value = at_ms, value

    def result(self) -> Value:
        return self.value


class Percentile:
    """pct(f, p): exact while there are few different numbers, then within one percent."""

    __slots__ = ("counts", "is_exact", "percent")

    def __init__(self, percent: float) -> None:
        self.percent = percent
        self.counts: dict[float, float] = {}
        self.is_exact = True

    def add(self, row: Row, value: Value) -> None:
        number = number_of(value)
        if number is not None:
            self._add(float(number), 1)

    def add_all(self, column: Column) -> None:
        for number, times in Counter([float(number) for number in column.numbers if number is not None]).items():
            self._add(number, times)

    def _add(self, number: float, times: int) -> None:
        number = number if self.is_exact else bucket_value(number)
        self.counts[number] = self.counts.get(number, 0.0) + times
        if self.is_exact and len(self.counts) > 10 * MAX_EXACT_VALUES:
            self.is_exact = False
            exact, self.counts = self.counts, {}
            for kept, count in exact.items():
                bucket = bucket_value(kept)
                self.counts[bucket] = self.counts.get(bucket, 0.0) + count

    def result(self) -> Value:
        return percentile(tuple(sorted(self.counts.items())), self.percent) if self.counts else None


AGGREGATES: dict[str, Callable[[], Aggregate]] = {
    "count": Count,
    "count_distinct": CountDistinct,
    "sum": lambda: Numbers("sum"),
    "avg": lambda: Numbers("avg"),
    "stddev": lambda: Numbers("stddev"),
    "min": lambda: Extreme(False, False),
    "max": lambda: Extreme(True, False),
    "sortsfirst": lambda: Extreme(False, True),
    "sortslast": lambda: Extreme(True, True),
    "earliest": lambda: ByTime(False),
    "latest": lambda: ByTime(True),
}
