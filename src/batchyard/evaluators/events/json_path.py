"""The subset of JSONPath that EventBridge's targets know (spec 5.2): `$.detail.instance-id`, `$.a['b c'][0]`."""

from __future__ import annotations

import re
from typing import Any

# After `$`: a member with a dot (hyphens and other characters need no quotes), or brackets with a quoted name or index.
STEP = re.compile(r"\.(?P<name>[^.\[\]\s'\"*]+)|\[(?P<index>\d{1,9})\]|\[(?P<quote>['\"])(?P<quoted>.+?)(?P=quote)\]")

Steps = tuple[str | int, ...]


class Absent:
    """What a path that finds nothing returns, since null is a value."""


ABSENT = Absent()


class InvalidPath(ValueError):
    """A text that is no path of this subset."""


def parse_path(text: str) -> Steps:
    """Returns the members and indices of a path; none for `$`. Raises InvalidPath."""
    if not text.startswith("$"):
        raise InvalidPath(f"A path begins with $, and {text!r} does not.")
    steps: list[str | int] = []
    at = 1
    while at < len(text):
        found = STEP.match(text, at)
        if found is None:
            raise InvalidPath(f"{text!r} is no path: a member (.name), ['name'] or [0] is expected at {text[at:]!r}.")
        if found["index"] is not None:
            steps.append(int(found["index"]))
        else:
            steps.append(found["name"] if found["name"] is not None else found["quoted"])
        at = found.end()
    return tuple(steps)


def find(steps: Steps, value: Any) -> Any:
    """Returns what a path leads to in a value parsed from JSON, or ABSENT."""
    for step in steps:
        if isinstance(step, int):
            if not isinstance(value, list) or step >= len(value):
                return ABSENT
            value = value[step]
        else:
            if not isinstance(value, dict) or step not in value:
                return ABSENT
            value = value[step]
    return value
