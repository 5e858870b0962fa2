"""Integer resource vectors: the request of a task, the total of an instance, what is free."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

from msgspec import Struct

MILLI_PER_VCPU = 1000
UNBOUNDED = 1 << 62  # how often an empty amount fits


class Resources(Struct, frozen=True, order=True):
    """An amount of vCPU (thousandths), memory (MiB) and whole GPUs. Integers only, so that sums are exact."""

    milli_vcpus: int = 0
    memory_mib: int = 0
    gpus: int = 0

    def fits(self, free: Resources) -> bool:
        """True when this amount can be taken from `free`."""
        return self.milli_vcpus <= free.milli_vcpus and self.memory_mib <= free.memory_mib and self.gpus <= free.gpus

    def plus(self, other: Resources) -> Resources:
        return Resources(
            self.milli_vcpus + other.milli_vcpus, self.memory_mib + other.memory_mib, self.gpus + other.gpus
        )

    def minus(self, other: Resources) -> Resources:
        return Resources(
            self.milli_vcpus - other.milli_vcpus, self.memory_mib - other.memory_mib, self.gpus - other.gpus
        )

    def most(self, other: Resources) -> Resources:
        """Returns the larger amount of each kind."""
        return Resources(
            max(self.milli_vcpus, other.milli_vcpus), max(self.memory_mib, other.memory_mib), max(self.gpus, other.gpus)
        )

    def times(self, count: int) -> Resources:
        return Resources(self.milli_vcpus * count, self.memory_mib * count, self.gpus * count)

    def count_in(self, whole: Resources) -> int:
        """Returns how often this amount can be taken from `whole`; UNBOUNDED where it is zero."""
        pairs = (
            (self.milli_vcpus, whole.milli_vcpus),
            (self.memory_mib, whole.memory_mib),
            (self.gpus, whole.gpus),
        )
        return max(0, min((has // takes for takes, has in pairs if takes > 0), default=UNBOUNDED))


def largest(amounts: Iterable[Resources]) -> Resources:
    """Returns the largest amount of each kind in any of them."""
    return reduce(Resources.most, amounts, Resources())


def sum_of(amounts: Iterable[Resources]) -> Resources:
    return reduce(Resources.plus, amounts, Resources())


def format_vcpus(milli_vcpus: int) -> str:
    """Formats `2000` as `2`, `250` as `0.25`, like AWS."""
    whole, rest = divmod(milli_vcpus, MILLI_PER_VCPU)
    return str(whole) if rest == 0 else f"{milli_vcpus / MILLI_PER_VCPU:g}"
