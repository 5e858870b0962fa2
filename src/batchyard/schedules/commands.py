"""The commands of EventBridge Scheduler. Shapes were checked; machine.py checks them against what there is."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from batchyard.core.model.commands import Command
from batchyard.schedules.records import Schedule, ScheduleGroup


class CreateScheduleGroup(Command[ScheduleGroup], frozen=True):
    name: str
    tags: dict[str, str] = field(default_factory=dict)
    client_token: str = ""  # a group that was made with the same one is the answer to a repeated request


class DeleteScheduleGroup(Command[None], frozen=True):
    """Deletes a group with its schedules."""

    name: str


class TagScheduleGroup(Command[None], frozen=True):
    name: str
    tags: dict[str, str] = field(default_factory=dict)
    removed: tuple[str, ...] = ()


class ScheduleSettings(Struct, frozen=True):
    """What a request says of a schedule; the members are those of records.Schedule."""

    expression: str
    target: dict[str, Any]
    zone: str
    state: str
    description: str
    window_minutes: int
    start_ms: int | None
    end_ms: int | None
    after_completion: str


class CreateSchedule(Command[Schedule], frozen=True):
    """Creates a schedule. One that was made with the same `client_token` is the answer to a repeated request."""

    group: str
    name: str
    settings: ScheduleSettings
    client_token: str = ""


class UpdateSchedule(Command[Schedule], frozen=True):
    """Replaces all of a schedule."""

    group: str
    name: str
    settings: ScheduleSettings


class DeleteSchedule(Command[None], frozen=True):
    group: str
    name: str


class AskScheduleGroups(Command[tuple[ScheduleGroup, ...]], frozen=True):
    """Asks for all groups, by name."""


class AskSchedules(Command[tuple[Schedule, ...]], frozen=True):
    """Asks for the schedules of a group, or of all, by group and name."""

    group: str = ""
