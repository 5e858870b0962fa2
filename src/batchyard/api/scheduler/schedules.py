"""Schedules of EventBridge Scheduler (observability spec 7.3)."""

from __future__ import annotations

from batchyard.api.context import Call, Context
from batchyard.api.scheduler.requests import check_enum, check_name, group_of, page
from batchyard.api.scheduler.settings import settings_of, target_document, window_document
from batchyard.core.model.refusal import Refused
from batchyard.schedules import commands as c
from batchyard.schedules.records import DISABLED, ENABLED, Schedule, schedule_arn
from batchyard.wire.messages import Document


async def create_schedule(context: Context, call: Call, request: Document) -> Document:
    """Name, ScheduleExpression, FlexibleTimeWindow, Target -> ScheduleArn."""
    check_name(request["Name"], "name")
    token = request.get("ClientToken", "")
    command = c.CreateSchedule(group_of(request), request["Name"], settings_of(request), token)
    return {"ScheduleArn": _arn(context, await context.ask(command))}


async def update_schedule(context: Context, call: Call, request: Document) -> Document:
    """Replaces all of a schedule: what the request leaves out is the default."""
    command = c.UpdateSchedule(group_of(request), request["Name"], settings_of(request))
    return {"ScheduleArn": _arn(context, await context.ask(command))}


async def delete_schedule(context: Context, call: Call, request: Document) -> Document:
    await context.ask(c.DeleteSchedule(group_of(request), request["Name"]))
    return {}


async def get_schedule(context: Context, call: Call, request: Document) -> Document:
    group, name = group_of(request), request["Name"]
    check_name(name, "name")
    for schedule in await context.ask(c.AskSchedules(group)):
        if schedule.name == name:
            return _detail(context, schedule)
    raise Refused(f"Schedule {name} does not exist.", "ResourceNotFoundException")


async def list_schedules(context: Context, call: Call, request: Document) -> Document:
    """By group and name; GroupName, NamePrefix, State."""
    group, prefix, state = request.get("GroupName", ""), request.get("NamePrefix", ""), request.get("State", "")
    if state:
        check_enum(state, "state", (ENABLED, DISABLED))
    found = [
        schedule
        for schedule in await context.ask(c.AskSchedules(group))
        if schedule.name.startswith(prefix) and state in ("", schedule.state)
    ]
    return page(request, "Schedules", sorted((schedule.key, _summary(context, schedule)) for schedule in found))


def _arn(context: Context, schedule: Schedule) -> str:
    return schedule_arn(context.account, schedule.group, schedule.name)


def _common(context: Context, schedule: Schedule) -> Document:
    return {
        "Arn": _arn(context, schedule),
        "Name": schedule.name,
        "GroupName": schedule.group,
        "State": schedule.state,
        "CreationDate": schedule.created_at_ms / 1000,
        "LastModificationDate": schedule.modified_at_ms / 1000,
    }


def _summary(context: Context, schedule: Schedule) -> Document:
    return _common(context, schedule) | {"Target": {"Arn": schedule.target["Arn"]}}


def _detail(context: Context, schedule: Schedule) -> Document:
    document = _common(context, schedule) | {
        "ScheduleExpression": schedule.expression,
        "ScheduleExpressionTimezone": schedule.zone,
        "FlexibleTimeWindow": window_document(schedule.window_minutes),
        "Target": target_document(schedule.target),
        "ActionAfterCompletion": schedule.after_completion,
    }
    if schedule.description:
        document["Description"] = schedule.description
    if schedule.start_ms is not None:
        document["StartDate"] = schedule.start_ms / 1000
    if schedule.end_ms is not None:
        document["EndDate"] = schedule.end_ms / 1000
    return document
