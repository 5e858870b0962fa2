"""A set of integers kept as ranges: children of an array by index."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from batchyard.core.model.records import Ranges


class RangeSet:
    """Mutable; ascending, disjoint, half-open ranges. Cost of a change: the number of ranges, of a look-up: its log."""

    __slots__ = ("_size", "_starts", "_stops")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        self._size = 0
        for start, stop in ranges:
            assert start < stop, f"empty range {start}..{stop}"
            assert not self._stops or self._stops[-1] < start, f"ranges overlap or touch at {start}"
            self._starts.append(start)
            self._stops.append(stop)
            self._size += stop - start

    def __len__(self) -> int:
        return self._size

    def __contains__(self, index: int) -> bool:
        at = bisect_right(self._starts, index) - 1
        return at >= 0 and index < self._stops[at]

    def __iter__(self) -> Iterator[int]:
        for start, stop in zip(self._starts, self._stops, strict=True):
            yield from range(start, stop)

    def first(self) -> int | None:
        return self._starts[0] if self._starts else None

    def freeze(self) -> Ranges:
        return tuple(zip(self._starts, self._stops, strict=True))

    def add(self, index: int) -> None:
        assert index not in self, f"{index} is in the set already"
        at = bisect_right(self._starts, index)
        joins_left = at > 0 and self._stops[at - 1] == index
        joins_right = at < len(self._starts) and self._starts[at] == index + 1
        if joins_left and joins_right:
            self._stops[at - 1] = self._stops[at]
            del self._starts[at], self._stops[at]
        elif joins_left:
            self._stops[at - 1] = index + 1
        elif joins_right:
            self._starts[at] = index
        else:
            self._starts.insert(at, index)
            self._stops.insert(at, index + 1)
        self._size += 1

    def remove(self, index: int) -> None:
        at = bisect_right(self._starts, index) - 1
        assert index in self, f"{index} is not in the set"
        start, stop = self._starts[at], self._stops[at]
        if stop - start == 1:
            del self._starts[at], self._stops[at]
        elif index == start:
            self._starts[at] = index + 1
        elif index == stop - 1:
            self._stops[at] = index
        else:
            self._stops[at] = index
            self._starts.insert(at + 1, index + 1)
            self._stops.insert(at + 1, stop)
        self._size -= 1

    def remove_all(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Removes whole ranges, all of whose members are in the set."""
        left = subtract(self.freeze(), tuple(ranges))
        self.__init__(left)  # type: ignore[misc]

    def update(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Adds whole ranges, none of whose members may be in the set."""
        merged = sorted([*zip(self._starts, self._stops, strict=True), *ranges])
        joined: list[tuple[int, int]] = []
        for start, stop in merged:
            assert not joined or joined[-1][1] <= start, f"{start} is in the set already"
            if joined and joined[-1][1] == start:
                joined[-1] = (joined[-1][0], stop)
            else:
                joined.append((start, stop))
        self.__init__(joined)  # type: ignore[misc]

    def clear(self) -> None:
        self._starts.clear()
        self._stops.clear()
        self._size = 0


def subtract(ranges: Ranges, other: Ranges) -> Ranges:
    """Returns what is in `ranges` and not in `other`."""
    left: list[tuple[int, int]] = []
    at = 0
    for start, stop in ranges:
        while at < len(other) and other[at][1] <= start:
            at += 1
        cut = at
        while start < stop and cut < len(other) and other[cut][0] < stop:
            if start < other[cut][0]:
                left.append((start, other[cut][0]))
            start = max(start, other[cut][1])
            cut += 1
        if start < stop:
            left.append((start, stop))
    return tuple(left)


def union(ranges: Ranges, other: Ranges) -> Ranges:
    """Returns what is in either."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted((*ranges, *other)):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return tuple(joined)


def within(ranges: Ranges, start: int, stop: int) -> Ranges:
    """Returns the part of `ranges` inside [start, stop)."""
    return tuple((max(a, start), min(b, stop)) for a, b in ranges if a < stop and start < b)


def count(ranges: Ranges) -> int:
    return sum(stop - start for start, stop in ranges)


def contains(ranges: Ranges, index: int) -> bool:
    return any(start <= index < stop for start, stop in ranges)
