"""The resources of Task states: ARNs of integrations and activities, taken apart (step functions spec 13)."""

from __future__ import annotations

import re

from msgspec import Struct

ACTIVITY = "activity"
SYNC, SYNC_2, TOKEN = ".sync", ".sync:2", ".waitForTaskToken"
PATTERNS = (SYNC_2, SYNC, TOKEN)  # endings of an action; a longer one before its prefix
_INTEGRATION = re.compile(r"arn:[^:]*:states:::(?P<service>aws-sdk:[^:]+|[^:]+):(?P<action>.+)")
_ACTIVITY = re.compile(r"arn:[^:]*:states:[^:]*:[^:]*:activity:.+")


class Resource(Struct, frozen=True):
    """The Resource of a Task. `service`: `batch`, `aws-sdk:sfn`, ..., `activity`; empty: not recognized. `action`:
    without `pattern`, which is one of PATTERNS or empty: request and response."""

    arn: str
    service: str
    action: str = ""
    pattern: str = ""

    @property
    def type_name(self) -> str:
        """Returns what events have as `resourceType`: of other ARNs, such as those of Lambda functions, the service."""
        return self.service or self.arn.split(":")[2]

    @property
    def name(self) -> str:
        """Returns what events have as `resource`: action and pattern."""
        return self.action + self.pattern


def parse_resource(arn: str) -> Resource:
    if _ACTIVITY.fullmatch(arn):
        return Resource(arn, ACTIVITY)
    found = _INTEGRATION.fullmatch(arn)
    if found is None:
        return Resource(arn, "")
    action = found["action"]
    for pattern in PATTERNS:
        if action.endswith(pattern):
            return Resource(arn, found["service"], action.removesuffix(pattern), pattern)
    return Resource(arn, found["service"], action)
