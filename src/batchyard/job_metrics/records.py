"""What is kept until it is in the store of metrics: counts of a minute of a queue or of a state machine; and what a
month used."""

from __future__ import annotations

from msgspec import Struct

from batchyard.core.model.documents import register

DIGITS = 3  # of a duration's value, for percentiles: half a percent off at most. Sum, minimum and maximum are exact


class Durations(Struct, frozen=True):
    """Durations in milliseconds. `values`: (rounded value, count)."""

    count: int
    total_ms: int
    minimum_ms: int
    maximum_ms: int
    values: tuple[tuple[int, int], ...]


class QueueMinute(Struct, frozen=True):
    """What the jobs of a queue did in a minute, by metric. `start_s`: of the minute."""

    queue: str
    start_s: int
    counts: dict[str, int]
    durations: dict[str, Durations] = {}

    @property
    def name(self) -> str:
        """The name of its document."""
        return f"{self.queue}/{self.start_s}"


class MonthUse(Struct, frozen=True):
    """What a calendar month (UTC) used, of attempts and instances that have ended. `milli_vcpu_ms`: by queue;
    `micro_dollar_ms`: instances' time, each millisecond times the owner's price of an hour."""

    month: str
    milli_vcpu_ms: dict[str, int] = {}
    micro_dollar_ms: int = 0


class MachineMinute(Struct, frozen=True):
    """What the executions of a state machine did in a minute: counts by metric, and how long those took that ended;
    None: none ended. `start_s`: of the minute."""

    machine_arn: str
    start_s: int
    counts: dict[str, int]
    times: Durations | None = None

    @property
    def name(self) -> str:
        """The name of its document."""
        return f"{self.machine_arn}/{self.start_s}"


QUEUE_MINUTE = register("queue-minute", QueueMinute)
MACHINE_MINUTE = register("machine-minute", MachineMinute)
MONTH_USE = register("month-use", MonthUse)


def rounded(value: int) -> int:
    """Returns a number of milliseconds with its first digits alone."""
    if value < 10**DIGITS:
        return value
    unit: int = 10 ** (len(str(value)) - DIGITS)
    return (value + unit // 2) // unit * unit
