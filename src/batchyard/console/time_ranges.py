"""The spans of time that pages offer, as words in addresses."""

from __future__ import annotations

from msgspec import Struct

MINUTE, HOUR, DAY = 60, 3600, 86_400


class TimeRange(Struct, frozen=True):
    """`name`: in addresses; `period_seconds`: of a point that makes some hundred of them in the range."""

    name: str
    label: str
    seconds: int
    period_seconds: int


RANGES = {
    one.name: one
    for one in (
        TimeRange("1h", "1 hour", HOUR, MINUTE),
        TimeRange("3h", "3 hours", 3 * HOUR, MINUTE),
        TimeRange("12h", "12 hours", 12 * HOUR, 5 * MINUTE),
        TimeRange("1d", "1 day", DAY, 15 * MINUTE),
        TimeRange("7d", "7 days", 7 * DAY, HOUR),
        TimeRange("30d", "30 days", 30 * DAY, 6 * HOUR),
    )
}


def range_named(name: str, default: str = "3h") -> TimeRange:
    """Returns the range of this name; of any other text the default."""
    return RANGES.get(name) or RANGES[default]
