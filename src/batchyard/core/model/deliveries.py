"""Messages on their way to targets outside: what is kept of them until they have arrived or are given up."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

DAY_SECONDS = 86_400


class DeliveryPolicy(Struct, frozen=True):
    """When a delivery is given up: after this many attempts beyond the first, or at this age. The defaults are
    EventBridge's (observability spec 6). `pauses_seconds`: before each retry; empty: growing ones."""

    max_retries: int = 185
    max_age_seconds: int = DAY_SECONDS
    pauses_seconds: tuple[int, ...] = ()


class Message(Struct, frozen=True):
    """One message for one target.

    `lane`: what is sent to, one target of a rule or one subscription: lanes never wait for each other. `order_key`:
    messages of a lane with equal keys are sent one after the other; empty: in any order. `channel`: the name of the
    sender that takes it. `target`: where to, as JSON values of the channel's own record. `body`: the text that is sent.
    `dead_letter_group`: the log group that gets the message when it is given up; empty: none. `original`: what it then
    gets, where that is not the body; `dead_letter_attributes`: more of those that it then has. `token`: the same for
    repeated deliveries of the same message."""

    lane: str
    channel: str
    target: Any
    body: str
    token: str
    order_key: str = ""
    dead_letter_group: str = ""
    original: str = ""
    policy: DeliveryPolicy = DeliveryPolicy()
    dead_letter_attributes: dict[str, str] = {}


class Undeliverable(Struct, frozen=True):
    """A message that cannot be made: there is nothing to send, but the failure is to be seen."""

    lane: str
    token: str
    error_code: str
    error: str


class DeliveryState(Struct, frozen=True):
    """What memory has of a delivery that is not finished. `sequence`: its number; later ones have higher numbers.
    `retries`: attempts that failed. `due_ms`: when the next one may begin."""

    sequence: int
    lane: str
    order_key: str
    created_at_ms: int
    due_ms: int
    policy: DeliveryPolicy = DeliveryPolicy()
    retries: int = 0


class Delivery(Struct, frozen=True):
    """A delivery as it is stored."""

    state: DeliveryState
    message: Message
