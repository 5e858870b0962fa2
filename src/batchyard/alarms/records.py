"""What is kept of alarms: their configuration and state, and what has happened to them."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from batchyard.core.model.documents import register
from batchyard.core.model.names import Account
from batchyard.evaluators.alarms.evaluation import AlarmState

METRIC, COMPOSITE = "MetricAlarm", "CompositeAlarm"  # AlarmType


class Alarm(Struct, frozen=True):
    """`document`: its configuration, with the members of PutMetricAlarm or PutCompositeAlarm. `changed_at_ms`: when its
    state became another; `updated_at_ms`: when it was set, to the same too."""

    name: str
    kind: str
    document: dict[str, Any]
    configured_at_ms: int
    state: str
    reason: str
    reason_data: str
    updated_at_ms: int
    changed_at_ms: int
    tags: dict[str, str] = {}

    @property
    def actions_enabled(self) -> bool:
        return bool(self.document.get("ActionsEnabled", True))

    def actions(self) -> list[str]:
        """Returns the actions of its state."""
        member = ACTIONS_OF[AlarmState(self.state)]
        return list(self.document.get(member, ())) if self.actions_enabled else []


class HistoryItem(Struct, frozen=True):
    """Something that has happened to an alarm. `kind`: StateUpdate, ConfigurationUpdate or Action; `data`: a JSON text;
    `number` orders what happened at the same time."""

    alarm: str
    alarm_kind: str
    at_ms: int
    number: int
    kind: str
    summary: str
    data: str

    @property
    def document_name(self) -> str:
        return f"{self.alarm}/{self.number}"


ALARM = register("alarm", Alarm)
HISTORY = register("alarm-history", HistoryItem)
ACTIONS_OF = {
    AlarmState.OK: "OKActions",
    AlarmState.ALARM: "AlarmActions",
    AlarmState.INSUFFICIENT_DATA: "InsufficientDataActions",
}


def alarm_arn(account: Account, name: str) -> str:
    return account.arn("cloudwatch", f"alarm:{name}")


def alarm_name(text: str) -> str:
    """Returns the name of an alarm that is named so, or by its ARN."""
    return text.partition(":alarm:")[2] if text.startswith("arn:") else text


def described(alarm: Alarm, account: Account) -> dict[str, Any]:
    """Returns an alarm as DescribeAlarms has it; times in seconds."""
    lists: dict[str, Any] = {member: [] for member in ACTIONS_OF.values()}
    if alarm.kind == METRIC and "Metrics" not in alarm.document:
        lists["Dimensions"] = []
    return {
        "AlarmName": alarm.name,
        "AlarmArn": alarm_arn(account, alarm.name),
        "ActionsEnabled": True,
        **lists,
        **alarm.document,
        "AlarmConfigurationUpdatedTimestamp": alarm.configured_at_ms / 1000,
        "StateValue": alarm.state,
        "StateReason": alarm.reason,
        "StateUpdatedTimestamp": alarm.updated_at_ms / 1000,
        "StateTransitionedTimestamp": alarm.changed_at_ms / 1000,
    } | ({"StateReasonData": alarm.reason_data} if alarm.reason_data else {})
