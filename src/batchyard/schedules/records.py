"""What is kept of EventBridge Scheduler: groups and schedules, as documents (observability spec 7.3)."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from batchyard.core.model.documents import register
from batchyard.core.model.names import Account

DEFAULT_GROUP = "default"
ENABLED, DISABLED = "ENABLED", "DISABLED"
DELETE, KEEP = "DELETE", "NONE"  # ActionAfterCompletion
UTC_NAME = "UTC"


class ScheduleGroup(Struct, frozen=True, omit_defaults=True):
    name: str
    created_at_ms: int
    modified_at_ms: int
    tags: dict[str, str] = {}
    client_token: str = ""


class Schedule(Struct, frozen=True, omit_defaults=True):
    """`target`: as it was given. `window_minutes`: 0: exactly at its time. `start_ms`, `end_ms`: None: without bound.
    `anchor_ms`: when it was made or last changed, from which a rate counts."""

    group: str
    name: str
    expression: str
    target: dict[str, Any]
    created_at_ms: int
    modified_at_ms: int
    anchor_ms: int
    zone: str = UTC_NAME
    state: str = ENABLED
    description: str = ""
    window_minutes: int = 0
    start_ms: int | None = None
    end_ms: int | None = None
    after_completion: str = KEEP
    client_token: str = ""

    @property
    def key(self) -> str:
        return schedule_key(self.group, self.name)


GROUP = register("schedule-group", ScheduleGroup)
SCHEDULE = register("schedule", Schedule)


def group_arn(account: Account, group: str) -> str:
    return account.arn("scheduler", f"schedule-group/{group}")


def schedule_key(group: str, name: str) -> str:
    """Returns the name of a schedule's document."""
    return f"{group}/{name}"


def schedule_arn(account: Account, group: str, name: str) -> str:
    return account.arn("scheduler", f"schedule/{group}/{name}")
