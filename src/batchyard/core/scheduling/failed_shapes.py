"""The shapes that found no place in a visit of a queue, so that others that ask for as much need not be tried.

While a queue is visited room only shrinks, and what is claimed only grows: what has failed once fails again, and so
does what asks for as much of every kind and may stay for as long."""

from __future__ import annotations

from batchyard.core.state.runnable import Shape

FOREVER = 1 << 62  # seconds: how long a job without a timeout may stay


class FailedShapes:
    """Keeps only those that do not follow from others. Valid among shapes that may start where something is free, and
    have nothing launched for them: the first of a visit that fails is its head, for which instances may be launched."""

    __slots__ = ("_failed",)

    def __init__(self) -> None:
        self._failed: dict[tuple[str, ...], list[tuple[int, int, int, int]]] = {}  # by engines

    def add(self, shape: Shape) -> None:
        """Adds a shape that found no place. One of several nodes says nothing of others: its nodes may have failed
        together."""
        if shape.nodes or self.implies(shape):
            return
        mine = _measures(shape)
        others = self._failed.setdefault(shape.engines, [])
        others[:] = [other for other in others if not _is_least(mine, other)]
        others.append(mine)

    def implies(self, shape: Shape) -> bool:
        """Whether a shape finds no place since another found none."""
        if shape.nodes:
            return False
        mine = _measures(shape)
        return any(_is_least(failed, mine) for failed in self._failed.get(shape.engines, ()))


def _measures(shape: Shape) -> tuple[int, int, int, int]:
    asked = shape.resources
    return asked.milli_vcpus, asked.memory_mib, asked.gpus, shape.timeout_seconds or FOREVER


def _is_least(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    """Whether `one` asks for at most as much as `other` in every way."""
    return one[0] <= other[0] and one[1] <= other[1] and one[2] <= other[2] and one[3] <= other[3]
