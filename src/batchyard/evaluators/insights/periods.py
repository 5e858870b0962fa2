"""Periods of queries (`5m`, `1d`, `2mo`), and times rounded to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

SECOND_MS = 1000
DAY_MS = 24 * 3600 * SECOND_MS
EPOCH_MONDAY_MS = 4 * DAY_MS  # 5 January 1970: weeks begin on Mondays
UNITS = {
    "ms": ("ms", "msec", "msecs", "millisecond", "milliseconds"),
    "s": ("s", "sec", "secs", "second", "seconds"),
    "m": ("m", "min", "mins", "minute", "minutes"),
    "h": ("h", "hr", "hrs", "hour", "hours"),
    "d": ("d", "day", "days"),
    "w": ("w", "week", "weeks"),
    "mo": ("mo", "mon", "mons", "month", "months"),
    "q": ("q", "qtr", "qtrs", "quarter", "quarters"),
    "y": ("y", "yr", "yrs", "year", "years"),
}
UNIT_OF = {name: unit for unit, names in UNITS.items() for name in names}
LENGTH_MS = {"ms": 1, "s": SECOND_MS, "m": 60 * SECOND_MS, "h": 3600 * SECOND_MS, "d": DAY_MS, "w": 7 * DAY_MS}
MONTHS = {"mo": 1, "q": 3, "y": 12}
MAX_COUNT = 1_000_000  # of a unit in one period
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MIN_MS, MAX_MS = -62_135_596_800_000, 253_402_300_799_999  # the years 1 to 9999, which can be written


class Time(int):
    """A time in milliseconds since the epoch, which rows show as a date."""


class Period(NamedTuple):
    number: int
    unit: str

    def floor(self, at_ms: int) -> Time:
        """Returns the beginning of the period that a time is in, counted from the epoch."""
        length = LENGTH_MS.get(self.unit)
        if length is not None:
            origin = EPOCH_MONDAY_MS if self.unit == "w" else 0
            return Time(at_ms - (at_ms - origin) % (length * self.number))
        at = EPOCH + timedelta(milliseconds=at_ms)
        months = (at.year - 1970) * 12 + at.month - 1
        return _month_ms(months - months % (MONTHS[self.unit] * self.number))

    def ceil(self, at_ms: int) -> Time:
        """Returns the first beginning of a period that is not before a time."""
        floor = self.floor(at_ms)
        if floor == at_ms:
            return floor
        length = LENGTH_MS.get(self.unit)
        if length is not None:
            return Time(floor + length * self.number)
        at = EPOCH + timedelta(milliseconds=floor)
        return _month_ms((at.year - 1970) * 12 + at.month - 1 + MONTHS[self.unit] * self.number)


def _month_ms(months: int) -> Time:
    year = min(max(1970 + months // 12, 1), 9999)
    return Time((datetime(year, months % 12 + 1, 1, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1))


def time_text(at_ms: int) -> str:
    """Returns a time as rows show it: `2026-11-27 10:36:00.123`."""
    at_ms = min(max(at_ms, MIN_MS), MAX_MS)
    at = EPOCH + timedelta(milliseconds=at_ms)
    return f"{at:%Y-%m-%d %H:%M:%S}.{at_ms % 1000:03d}"
