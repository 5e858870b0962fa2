"""What the operations of SNS have in common: refusals, ARNs, pages, tags (observability spec 8.1, 8.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from batchyard.api.secret_values import tag_keys_of, tags_of
from batchyard.core.model.refusal import Refused
from batchyard.wire.messages import Document

INVALID = "InvalidParameter"
NOT_FOUND = "NotFound"
ARN_PARTS = 6
PAGE = 100  # API: ListTopics, ListSubscriptions

Row = TypeVar("Row")


def invalid(reason: str) -> Refused:
    return Refused(f"Invalid parameter: {reason}", INVALID)


def arn_in(request: Document, member: str) -> str:
    """Returns the ARN in `member`. Refused: it has too few parts, in AWS's words."""
    arn: str = request.get(member, "")
    count = len(arn.split(":"))
    if count < ARN_PARTS:
        raise invalid(f"{member} Reason: An ARN must have at least {ARN_PARTS} elements, not {count}")
    return arn


def subscription_arn_in(request: Document) -> str:
    """Returns the ARN of a subscription: its topic's with an id."""
    arn = arn_in(request, "SubscriptionArn")
    if len(arn.split(":")) == ARN_PARTS:
        raise invalid("SubscriptionId")
    return arn


def tags_in(request: Document) -> dict[str, str]:
    entries = request.get("Tags", [])
    if len({entry.get("Key") for entry in entries}) < len(entries):
        raise invalid("Duplicated keys are not allowed.")
    return tags_of(entries, lambda reason: invalid(f"Tags Reason: {reason}"))


def tag_keys_in(request: Document) -> tuple[str, ...]:
    return tuple(tag_keys_of(request["TagKeys"], lambda reason: invalid(f"TagKeys Reason: {reason}")))


def page(request: Document, member: str, rows: Sequence[tuple[str, Row]]) -> Document:
    """Returns one page of `rows`, each with the ARN by which they are sorted."""
    after = request.get("NextToken", "")
    left = [(arn, row) for arn, row in rows if arn > after]
    answer: Document = {member: [row for _, row in left[:PAGE]]}
    return answer | ({"NextToken": left[PAGE - 1][0]} if len(left) > PAGE else {})
