"""What the operations of EventBridge Scheduler have in common: refusals, names, pages (observability spec 7.3)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

from batchyard.core.model.refusal import Refused
from batchyard.schedules.records import DEFAULT_GROUP
from batchyard.wire.messages import Document

VALIDATION = "ValidationException"
NAME_PATTERN = "[0-9a-zA-Z-_.]+"
NAME = re.compile(r"[0-9a-zA-Z\-_.]{1,64}")
MAX_NAME = 64
MAX_PAGE = 100  # API: MaxResults

Row = TypeVar("Row")


def invalid(message: str) -> Refused:
    return Refused(message, VALIDATION)


def unfit(value: object, path: str, constraint: str) -> Refused:
    """Returns the refusal of a value that the service's model does not allow, in AWS's words (recorded)."""
    where = f"Value '{value}' at '{path}'"
    return invalid(f"1 validation error detected: {where} failed to satisfy constraint: Member must {constraint}")


def check_name(name: str, path: str) -> None:
    if len(name) > MAX_NAME:
        raise unfit(name, path, f"have length less than or equal to {MAX_NAME}")
    if not NAME.fullmatch(name):
        raise unfit(name, path, f"satisfy regular expression pattern: {NAME_PATTERN}")


def check_enum(value: str, path: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise unfit(value, path, f"satisfy enum value set: [{', '.join(allowed)}]")


def check_between(value: int, path: str, low: int, high: int) -> None:
    if value < low:
        raise unfit(value, path, f"have value greater than or equal to {low}")
    if value > high:
        raise unfit(value, path, f"have value less than or equal to {high}")


def group_of(request: Document) -> str:
    """Returns the group that a request names; the default one without."""
    group: str = request.get("GroupName", DEFAULT_GROUP)
    check_name(group, "groupName")
    return group


def page(request: Document, member: str, rows: Sequence[tuple[str, Row]]) -> Document:
    """Returns one page of `rows`, each with the text by which they are sorted."""
    limit = request.get("MaxResults", MAX_PAGE)
    check_between(limit, "maxResults", 1, MAX_PAGE)
    after = request.get("NextToken", "")
    left = [(key, row) for key, row in rows if key > after]
    answer: Document = {member: [row for _, row in left[:limit]]}
    return answer | ({"NextToken": left[limit - 1][0]} if len(left) > limit else {})
