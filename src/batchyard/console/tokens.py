"""The filter of the jobs page: words such as `queue:hi state:failed name:tr* tag:team=a since:1d`, which are the
parameters of its address too."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime

from msgspec import Struct

from batchyard.core.model.records import Status
from batchyard.store.queries import JobFilter

NAMES = ("queue", "state", "name", "definition", "share", "tag", "since", "before")
ACTIVE = tuple(status for status in Status if not status.is_final)
ENDED = tuple(status for status in Status if status.is_final)
GROUPS = {"active": ACTIVE, "ended": ENDED}
UNITS_MS = {"s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}
AGE = re.compile(r"(\d{1,6})\s*(s|min|m|h|d|w)", re.ASCII)
DATES = ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ")
MAX_CHARACTERS = 1000  # of one value: longer than any name
HINT = "Words are: " + ", ".join(f"{name}:…" for name in NAMES) + "; a word without a colon is part of a name."


class BadFilter(Exception):
    """A word is none of ours. The text is a sentence."""


class Filter(Struct, frozen=True):
    """What the page shows: `given` has its parameters as text, `wanted` what they mean."""

    given: dict[str, str]
    wanted: JobFilter

    @property
    def text(self) -> str:
        """The words for the box."""
        return " ".join(f"{name}:{_quoted(value)}" for name, value in self.given.items())

    def with_(self, **changes: str) -> dict[str, str]:
        """Returns the parameters with some changed; an empty value removes one."""
        return {name: value for name, value in (self.given | changes).items() if value}


def split_words(text: str) -> dict[str, str]:
    """Returns the parameters of what was typed into the box. Raises BadFilter."""
    try:
        words = shlex.split(text[: MAX_CHARACTERS * len(NAMES)])
    except ValueError as error:
        raise BadFilter(f"A quotation mark lacks its other one: {error}.") from error
    given: dict[str, str] = {}
    for word in words:
        name, colon, value = word.partition(":")
        if not colon:
            name, value = "name", f"*{word.strip('*')}*"
        if name.lower() not in NAMES:
            raise BadFilter(f"{name}: is no word of the filter. {HINT}")
        given[name.lower()] = value
    return given


def read_filter(parameters: Mapping[str, str], now_ms: int) -> Filter:
    """Returns the filter of an address. Raises BadFilter."""
    given = {name: parameters[name][:MAX_CHARACTERS] for name in NAMES if parameters.get(name)}
    key, _, value = given.get("tag", "").partition("=")
    wanted = JobFilter(
        given.get("queue", ""),
        _statuses(given.get("state", "")),
        given.get("name", ""),
        given.get("definition", ""),
        given.get("share", ""),
        (key, value) if key else None,
        _time(given.get("since", ""), now_ms),
        _time(given.get("before", ""), now_ms),
    )
    return Filter(given, wanted)


def _statuses(text: str) -> tuple[Status, ...]:
    found: dict[Status, None] = {}
    for word in filter(None, text.lower().split(",")):
        if word in GROUPS:
            found |= dict.fromkeys(GROUPS[word])
        elif word.upper() in Status.__members__:
            found[Status(word.upper())] = None
        else:
            raise BadFilter(f"{word} is no state: use {', '.join(s.lower() for s in Status)}, active or ended.")
    return tuple(found)


def _time(text: str, now_ms: int) -> int:
    if not text:
        return 0
    age = AGE.fullmatch(text)
    if age:
        return max(1, now_ms - int(age[1]) * UNITS_MS[age[2]])
    for form in DATES:
        try:
            return max(1, int(datetime.strptime(text, form).replace(tzinfo=UTC).timestamp() * 1000))
        except ValueError:
            continue
    raise BadFilter(f"{text} is no time: use an age such as 30m, 6h or 7d, or a date such as 2026-11-28 (UTC).")


def _quoted(value: str) -> str:
    return shlex.quote(value) if re.search(r"[\s'\"\\]", value) else value
