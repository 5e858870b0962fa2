"""What is kept of EventBridge: buses and rules with their targets, as documents (observability spec 3)."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from batchyard.core.model.documents import register
from batchyard.core.model.names import Account

DEFAULT_BUS = "default"
ENABLED, DISABLED = "ENABLED", "DISABLED"


class EventBus(Struct, frozen=True, omit_defaults=True):
    name: str
    created_at_ms: int
    modified_at_ms: int
    description: str = ""
    tags: dict[str, str] = {}


class Target(Struct, frozen=True):
    """A target as it was put. `document`: all of its members, `Id` and `Arn` included."""

    id: str
    arn: str
    document: dict[str, Any]


class Rule(Struct, frozen=True, omit_defaults=True):
    """`pattern` and `schedule`: at least one of them; empty: there is none. `targets`: in the order of their ids.
    `anchor_ms`: when it was made or enabled, from which a rate counts."""

    bus: str
    name: str
    state: str
    pattern: str = ""
    schedule: str = ""
    description: str = ""
    role_arn: str = ""
    tags: dict[str, str] = {}
    targets: tuple[Target, ...] = ()
    anchor_ms: int = 0

    @property
    def is_enabled(self) -> bool:
        return self.state != DISABLED


EVENT_BUS = register("event-bus", EventBus)
RULE = register("event-rule", Rule)


def bus_arn(account: Account, bus: str) -> str:
    return account.arn("events", f"event-bus/{bus}")


def rule_key(bus: str, rule: str) -> str:
    """Returns the name of a rule's document."""
    return f"{bus}/{rule}"


def rule_arn(account: Account, bus: str, rule: str) -> str:
    return account.arn("events", f"rule/{rule}" if bus == DEFAULT_BUS else f"rule/{bus}/{rule}")


def bus_name(text: str) -> str:
    """Returns the name in a bus's name or ARN."""
    head, found, name = text.partition(":event-bus/")
    return name if found and head.startswith("arn:") else text
