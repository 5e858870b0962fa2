"""What the operations of EventBridge have in common: names, buses, tags and pages (observability spec 3.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeVar

from batchyard.api.secret_values import tag_keys_of, tags_of
from batchyard.core.model.refusal import Refused
from batchyard.events.records import DEFAULT_BUS, bus_name
from batchyard.wire.messages import Document

NAME = re.compile(r"[.\-_A-Za-z0-9]+")
MAX_NAME_LENGTH = 64  # of a rule, a target's id; API: RuleName, TargetId
MAX_PAGE = 100  # API: LimitMax100

Row = TypeVar("Row")


def invalid(message: str) -> Refused:
    return Refused(message, "ValidationException")


def check_name(name: str, member: str) -> None:
    """Refuses a name that is not of AWS's form, in the words of its validation (recorded)."""
    if not NAME.fullmatch(name):
        raise invalid(
            f"1 validation error detected: Value '{name}' at '{member}' failed to satisfy constraint: Member must "
            rf"satisfy regular expression pattern: [\.\-_A-Za-z0-9]+"
        )
    if len(name) > MAX_NAME_LENGTH:
        raise invalid(
            f"1 validation error detected: Value '{name}' at '{member}' failed to satisfy constraint: Member must have "
            f"length less than or equal to {MAX_NAME_LENGTH}"
        )


def bus_of(request: Document, member: str = "EventBusName") -> str:
    """Returns the name of the bus that a request names, by name or ARN; the default one without."""
    return bus_name(request.get(member) or DEFAULT_BUS)


def tags_in(request: Document) -> dict[str, str]:
    return tags_of(request.get("Tags", []), invalid)


def tag_keys_in(request: Document) -> tuple[str, ...]:
    return tuple(tag_keys_of(request["TagKeys"], invalid))


def page(request: Document, member: str, rows: Sequence[tuple[str, Row]]) -> Document:
    """Returns one page of `rows`, each with the name by which they are sorted."""
    limit = request.get("Limit", MAX_PAGE)
    if not 1 <= limit <= MAX_PAGE:
        raise invalid(f"Limit must be between 1 and {MAX_PAGE}, got {limit}.")
    after = request.get("NextToken", "")
    left = [(name, row) for name, row in rows if name > after]
    answer: dict[str, Any] = {member: [row for _, row in left[:limit]]}
    return answer | ({"NextToken": left[limit - 1][0]} if len(left) > limit else {})
