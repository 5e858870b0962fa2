"""Timestamps of state machines: RFC 3339 with an offset or Z, an upper-case T, and fractions of any length."""

from __future__ import annotations

import datetime
import re
from typing import NamedTuple

TIMESTAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,100}))?)?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII
)
EPOCH_DAY = datetime.date(1970, 1, 1).toordinal()
NANOSECOND_DIGITS = 9


class Instant(NamedTuple):
    """A moment. `seconds`: since the epoch; `nanoseconds`: from 0 to below a second."""

    seconds: int
    nanoseconds: int

    @property
    def epoch_ms(self) -> int:
        """The first millisecond that is not before it."""
        return self.seconds * 1000 + -(-self.nanoseconds // 1_000_000)


def parse_timestamp(text: str) -> Instant | None:
    """Returns the moment of a timestamp, None for any other text."""
    found = TIMESTAMP.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute = (int(part) for part in found.groups()[:5])
    second, fraction = int(found[6] or 0), (found[7] or "")[:NANOSECOND_DIGITS]
    offset_minutes = 0 if found[8] is None else int(found[9]) * 60 + int(found[10])
    if hour > 23 or minute > 59 or second > 59 or (found[8] and (int(found[9]) > 18 or int(found[10]) > 59)):
        return None
    try:
        days = datetime.date(year, month, day).toordinal() - EPOCH_DAY
    except ValueError:
        return None
    minutes = hour * 60 + minute + (offset_minutes if found[8] == "-" else -offset_minutes)
    return Instant(days * 86_400 + minutes * 60 + second, int(fraction.ljust(NANOSECOND_DIGITS, "0")))
