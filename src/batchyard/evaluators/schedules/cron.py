"""Cron expressions of AWS (spec 7.1): six fields, weekdays 1-7 from Sunday, `? L W #`, one of the day fields a `?`."""

from __future__ import annotations

import re
from bisect import bisect_left
from calendar import monthrange
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import NamedTuple

FIELDS = 6
YEARS = range(1970, 2200)
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")  # 1 is Sunday
ITEM = re.compile(r"(?:(?P<all>\*)|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d{1,4}))?")
NEAREST_WEEKDAY = re.compile(r"(\d{1,2})W")
LAST_WEEKDAY = re.compile(r"(\w+)L")
NTH_WEEKDAY = re.compile(r"(\w+)#([1-5])")
MINUTE = timedelta(minutes=1)


class InvalidCron(ValueError):
    """Fields that are no cron expression of AWS."""


class Cron(NamedTuple):
    """What a cron expression allows. One of `days` and `weekdays` is None: the other decides which days.

    `special`: the one of L, LW, W and # that a day field has, as (kind, number, number)."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int] | None
    months: tuple[int, ...]
    weekdays: frozenset[int] | None
    years: tuple[int, ...]
    special: tuple[str, int, int] | None

    def days_of(self, year: int, month: int) -> list[int]:
        """Returns the days of a month that it allows, in order."""
        length = monthrange(year, month)[1]
        if self.special is not None:
            return [day for day in [_special_day(self.special, year, month, length)] if day is not None]
        if self.days is not None:
            return sorted(day for day in self.days if day <= length)
        weekdays = self.weekdays or frozenset()
        first = _weekday(date(year, month, 1))
        return [day for day in range(1, length + 1) if (first + day - 2) % 7 + 1 in weekdays]

    def after(self, at: datetime) -> Iterator[datetime]:
        """Yields the local times after `at`, which has no zone, in order. Each costs at most the months up to it."""
        start = at.replace(second=0, microsecond=0) + MINUTE
        for year in self.years[bisect_left(self.years, start.year) :]:
            for month in self.months:
                if (year, month) < (start.year, start.month):
                    continue
                for day in self.days_of(year, month):
                    here = date(year, month, day)
                    if here > start.date():
                        yield from self._times(here, 0, 0)
                    elif here == start.date():
                        yield from self._times(here, start.hour, start.minute)

    def _times(self, day: date, hour: int, minute: int) -> Iterator[datetime]:
        """Yields the times of a day from a time on."""
        for at in self.hours[bisect_left(self.hours, hour) :]:
            for part in self.minutes[bisect_left(self.minutes, minute) if at == hour else 0 :]:
                yield datetime.combine(day, time(at, part))


def _weekday(day: date) -> int:
    return day.isoweekday() % 7 + 1


def _special_day(special: tuple[str, int, int], year: int, month: int, length: int) -> int | None:
    kind, number, count = special
    if kind == "L":
        return length
    if kind in ("W", "LW"):
        day = length if kind == "LW" else number
        if day > length:
            return None
        weekday = _weekday(date(year, month, day))
        if weekday == 7:
            return day - 1 if day > 1 else day + 2
        if weekday == 1:
            return day + 1 if day < length else day - 2
        return day
    first = _weekday(date(year, month, 1))
    day = 1 + (number - first) % 7
    if kind == "#":
        day += 7 * (count - 1)
        return day if day <= length else None
    return day + 7 * ((length - day) // 7)  # the last one of that weekday


# -- reading --


def parse_cron(text: str) -> Cron:
    """Returns what the fields between the parentheses allow. Raises InvalidCron."""
    fields = text.split()
    if len(fields) != FIELDS:
        raise InvalidCron(f"{len(fields)} fields where there are {FIELDS}: minutes hours day month weekday year")
    minutes, hours, day, month, weekday, year = (field.upper() for field in fields)
    if (day == "?") == (weekday == "?"):
        raise InvalidCron("exactly one of day-of-month and day-of-week is ?")
    special = _read_special_day(day) or _read_special_weekday(weekday)
    return Cron(
        minutes=_numbers(minutes, range(60)),
        hours=_numbers(hours, range(24), wraps=True),
        days=None if day == "?" or special else frozenset(_numbers(day, range(1, 32))),
        months=_numbers(month, range(1, 13), MONTHS, wraps=True),
        weekdays=None if weekday == "?" or special else frozenset(_numbers(weekday, range(1, 8), WEEKDAYS, wraps=True)),
        years=_numbers(year, YEARS),
        special=special,
    )


def _read_special_day(field: str) -> tuple[str, int, int] | None:
    if field in ("L", "LW"):
        return field, 0, 0
    found = NEAREST_WEEKDAY.fullmatch(field)
    return ("W", _number(found[1], range(1, 32)), 0) if found else None


def _read_special_weekday(field: str) -> tuple[str, int, int] | None:
    found = NTH_WEEKDAY.fullmatch(field)
    if found:
        return "#", _number(found[1], range(1, 8), WEEKDAYS), int(found[2])
    found = LAST_WEEKDAY.fullmatch(field)
    return ("last", _number(found[1], range(1, 8), WEEKDAYS), 0) if found else None


def _numbers(field: str, allowed: range, names: tuple[str, ...] = (), *, wraps: bool = False) -> tuple[int, ...]:
    """Returns the numbers of a field, in order. `wraps`: a range may go over the end (`FRI-MON`)."""
    found: set[int] = set()
    for item in field.split(","):
        if item == "L" and names == WEEKDAYS:
            item = "SAT"
        parts = ITEM.fullmatch(item)
        if parts is None:
            raise InvalidCron(f"{item!r} is no number, range or step")
        step = int(parts["step"] or 1)
        if step < 1:
            raise InvalidCron(f"the step of {item!r} is 0")
        if parts["all"]:
            first, last = allowed[0], allowed[-1]
        else:
            first = _number(parts["first"], allowed, names)
            last = _number(parts["last"], allowed, names) if parts["last"] else first
            if parts["last"] is None and parts["step"] is not None:
                last = allowed[-1]
        if first > last and not wraps:
            raise InvalidCron(f"{item!r} ends before it begins")
        length = (last - first) % len(allowed) + 1
        found.update(allowed[0] + (first - allowed[0] + at) % len(allowed) for at in range(0, length, step))
    return tuple(sorted(found))


def _number(text: str, allowed: range, names: tuple[str, ...] = ()) -> int:
    if text in names:
        return allowed[names.index(text)]
    if not (text.isascii() and text.isdigit() and len(text) <= 4) or int(text) not in allowed:
        raise InvalidCron(f"{text!r} is not from {allowed[0]} to {allowed[-1]}")
    return int(text)
