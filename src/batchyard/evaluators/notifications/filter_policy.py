"""Filter policies of SNS subscriptions (spec 8.4): event patterns in an older dialect, on attributes or the body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from batchyard.core.model.refusal import Refused
from batchyard.evaluators.events.event_pattern import EventPattern, parse_branches
from batchyard.evaluators.events.match_expressions import InvalidExpression
from batchyard.evaluators.json_text import InvalidJson, Members, parse_json, parse_members
from batchyard.evaluators.notifications.message_attributes import MessageAttribute, filter_values

MAX_KEYS = 5  # AWS's own, as is the next
MAX_COMBINATIONS = 150
SCOPES = ("MessageAttributes", "MessageBody")


class InvalidPolicy(Refused):
    """A filter policy that AWS refuses. `reason`: AWS's text, without the sentence around it."""

    def __init__(self, reason: str, *, is_subscribe: bool) -> None:
        attribute = "Attributes Reason: FilterPolicy" if is_subscribe else "FilterPolicy"
        super().__init__(f"Invalid parameter: {attribute}: {reason}", "InvalidParameter")
        self.reason = reason


class FilterPolicy:
    """A compiled policy."""

    __slots__ = ("_pattern", "is_of_body")

    def __init__(self, pattern: EventPattern, *, is_of_body: bool) -> None:
        self._pattern = pattern
        self.is_of_body = is_of_body

    def accepts(self, body: str, attributes: Mapping[str, MessageAttribute]) -> bool:
        """Whether the subscription gets a message. A body that is no JSON object is not for a policy of the body."""
        if not self.is_of_body:
            return self._pattern.matches(filter_values(attributes))
        try:
            document = parse_json(body)
        except InvalidJson:
            return False
        return isinstance(document, dict) and self._pattern.matches(document)


def compile_filter_policy(
    text: str, scope: str = "MessageAttributes", *, is_subscribe: bool = True
) -> FilterPolicy | None:
    """Returns the compiled policy, or None for `""` and `{}`, which remove it. Raises InvalidPolicy.

    `is_subscribe`: the attribute of a Subscribe, and not of SetSubscriptionAttributes, where the text is another."""

    def fail(reason: str) -> NoReturn:
        raise InvalidPolicy(reason, is_subscribe=is_subscribe)

    if not text:
        return None
    try:
        members = parse_members(text)
    except InvalidJson:
        fail("failed to parse JSON.")
    if isinstance(members, Members) and not members:
        return None
    try:
        branches = parse_branches(text, is_sns=True)
    except InvalidExpression as error:
        fail(error.reason)
    is_of_body = scope == "MessageBody"
    if not is_of_body and _is_nested(members):
        fail("Filter policy scope MessageAttributes does not support nested filter policy")
    if len(_parent_keys(members)) > MAX_KEYS:
        fail(f"Filter policy can not have more than {MAX_KEYS} keys")
    if combinations(members) > MAX_COMBINATIONS:
        fail("Filter policy is too complex")
    return FilterPolicy(EventPattern(branches), is_of_body=is_of_body)


def _parent_keys(members: Members) -> set[str]:
    """Returns the keys that AWS counts: those of the first level, also within `$or`."""
    found: set[str] = set()
    for key, value in members:
        found |= set().union(*(_parent_keys(branch) for branch in value)) if key == "$or" else {key}
    return found


def _is_nested(members: Members) -> bool:
    return any(
        any(_is_nested(branch) for branch in value) if key == "$or" else isinstance(value, Members)
        for key, value in members
    )


def combinations(members: Members, level: int = 1) -> int:
    """Returns how complex AWS finds a policy: for each key, its values times its level, multiplied over all keys."""
    product = 1
    for key, value in members:
        if key == "$or":
            product *= sum(combinations(branch, level) for branch in value)
        elif isinstance(value, Members):
            product *= combinations(value, level + 1)
        else:
            product *= len(value) * level
    return product
