"""The commands of alarms: writes of the API, what evaluations came to, and questions to memory."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from batchyard.alarms.records import Alarm, HistoryItem
from batchyard.core.model.commands import Command


class PutAlarm(Command[Alarm], frozen=True):
    """Creates an alarm or replaces its configuration; its state stays, and its tags, which count at its creation
    only."""

    name: str
    kind: str
    document: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)


class DeleteAlarms(Command[None], frozen=True):
    """Deletes alarms. Those that are not there are no fault."""

    names: tuple[str, ...]


class SetAlarmState(Command[None], frozen=True):
    """Sets a state until the next evaluation."""

    name: str
    state: str
    reason: str
    reason_data: str = ""


class EnableActions(Command[None], frozen=True):
    """Enables or disables the actions of alarms. Those that are not there are no fault."""

    names: tuple[str, ...]
    is_enabled: bool


class TagAlarm(Command[None], frozen=True):
    """Tags an alarm. `tags` are merged; those of `removed` go."""

    name: str
    tags: dict[str, str] = field(default_factory=dict)
    removed: tuple[str, ...] = ()


class Evaluation(Struct, frozen=True):
    """What an evaluation of a metric alarm came to. `configured_at_ms`: of the configuration that was evaluated."""

    name: str
    configured_at_ms: int
    state: str
    reason: str
    reason_data: str


class TakeEvaluations(Command[None], frozen=True):
    """Takes what evaluations came to, as far as the alarms are what they were."""

    evaluations: tuple[Evaluation, ...]


class AskAlarms(Command[tuple[Alarm, ...]], frozen=True):
    """Asks for all alarms, by name."""


class AskAlarmHistory(Command[tuple[HistoryItem, ...]], frozen=True):
    """Asks for what has happened, the newest first; of one alarm where it is named."""

    name: str = ""
