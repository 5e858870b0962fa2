"""What the operations of Step Functions have in common: names, JSON texts, tags, pages (step functions spec 1, 2)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from batchyard.core.model.refusal import Refused
from batchyard.evaluators.states.json_faults import find_fault
from batchyard.evaluators.states.json_values import parse_value
from batchyard.wire.messages import Document

VALIDATION = "ValidationException"
INVALID_TOKEN = "InvalidToken"
BAD_TOKEN_TEXT = "Invalid Token: 'Invalid token'"
DEFAULT_PAGE = 100  # API: maxResults 0 is this, too
MAX_NAME_CHARACTERS = 80
MAX_PAYLOAD_BYTES = 262_144  # of an input or an output
MAX_TAGS = 50
ROLE = re.compile(r"arn:[a-z0-9\-]+:iam::\d{12}:role/.+", re.ASCII | re.DOTALL)
# Whitespace, brackets, wildcards, special characters and control characters (guide: service quotas).
FORBIDDEN = re.compile(r"""[\s?*<>{}\[\]"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]""")


def invalid(message: str) -> Refused:
    return Refused(message, VALIDATION)


def check_name(name: str) -> None:
    """Refuses what is no name of a state machine, an execution or an activity."""
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS or FORBIDDEN.search(name):
        raise Refused(f"Invalid Name: '{name}'", "InvalidName")


def check_role(arn: str) -> None:
    if not ROLE.fullmatch(arn):
        raise Refused(f"Invalid Role Arn: '{arn}'", "InvalidArn")


def check_payload_size(text: str, member: str) -> None:
    if len(text) * 4 > MAX_PAYLOAD_BYTES and len(text.encode()) > MAX_PAYLOAD_BYTES:
        raise invalid(
            f"1 validation error detected: Value at '{member}' failed to satisfy constraint: Member must have length "
            f"less than or equal to {MAX_PAYLOAD_BYTES}"
        )


def fault_of_json(text: str) -> str:
    """Returns what is wrong with a JSON text, in the words of the parser that AWS uses; empty: nothing."""
    fault = find_fault(text)
    if fault is not None:
        return fault.message
    try:
        parse_value(text)
    except ValueError as error:  # nested too deeply, or a number that is none
        return str(error)
    return ""


def tags_of(entries: Sequence[Document], arn: str = "") -> dict[str, str]:
    """Returns a list of tags as a map. The last value of a repeated key counts."""
    tags = {entry.get("key", ""): entry.get("value", "") for entry in entries}
    if len(tags) > MAX_TAGS:
        raise Refused(f"A resource can have at most {MAX_TAGS} tags, got {len(tags)}.", "TooManyTags")
    for key in tags:
        if not key:
            raise invalid("A tag must have a key of 1 to 128 characters.")
    return tags


def tag_list(tags: dict[str, str]) -> list[Document]:
    return [{"key": key, "value": value} for key, value in sorted(tags.items())]


def page_size(request: Document) -> int:
    return request.get("maxResults") or DEFAULT_PAGE


def seconds(at_ms: int) -> float:
    """Returns a time as Step Functions writes it: seconds since 1970."""
    return at_ms / 1000
