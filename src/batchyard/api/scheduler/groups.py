"""Groups of schedules, which alone have tags (observability spec 7.3)."""

from __future__ import annotations

from batchyard.api.context import Call, Context
from batchyard.api.scheduler.requests import check_name, invalid, page, unfit
from batchyard.api.secret_values import tag_keys_of, tags_of
from batchyard.core.model.refusal import Refused
from batchyard.schedules import commands as c
from batchyard.schedules.records import ScheduleGroup, group_arn
from batchyard.wire.messages import Document

ACTIVE = "ACTIVE"  # a deleted group is gone at once: none is DELETING
ARN_PATTERN = r"arn:aws[a-z-]*:scheduler:[a-z0-9\-]+:\d{12}:schedule-group\/[0-9a-zA-Z-_.]+"


async def create_schedule_group(context: Context, call: Call, request: Document) -> Document:
    """Name, Tags -> ScheduleGroupArn."""
    check_name(request["Name"], "name")
    command = c.CreateScheduleGroup(request["Name"], _tags(request), request.get("ClientToken", ""))
    group = await context.ask(command)
    return {"ScheduleGroupArn": group_arn(context.account, group.name)}


async def get_schedule_group(context: Context, call: Call, request: Document) -> Document:
    check_name(request["Name"], "name")
    return _detail(context, await _find(context, request["Name"]))


async def list_schedule_groups(context: Context, call: Call, request: Document) -> Document:
    """By name; NamePrefix."""
    prefix = request.get("NamePrefix", "")
    found = [group for group in await context.ask(c.AskScheduleGroups()) if group.name.startswith(prefix)]
    return page(request, "ScheduleGroups", [(group.name, _detail(context, group)) for group in found])


async def delete_schedule_group(context: Context, call: Call, request: Document) -> Document:
    """Its schedules go with it."""
    await context.ask(c.DeleteScheduleGroup(request["Name"]))
    return {}


async def tag_resource(context: Context, call: Call, request: Document) -> Document:
    await context.ask(c.TagScheduleGroup(_tagged(context, request), _tags(request)))
    return {}


async def untag_resource(context: Context, call: Call, request: Document) -> Document:
    removed = tuple(tag_keys_of(request["TagKeys"], invalid))
    await context.ask(c.TagScheduleGroup(_tagged(context, request), removed=removed))
    return {}


async def list_tags_for_resource(context: Context, call: Call, request: Document) -> Document:
    group = await _find(context, _tagged(context, request))
    return {"Tags": [{"Key": key, "Value": value} for key, value in sorted(group.tags.items())]}


async def _find(context: Context, name: str) -> ScheduleGroup:
    for group in await context.ask(c.AskScheduleGroups()):
        if group.name == name:
            return group
    raise Refused(f"Schedule group {name} does not exist.", "ResourceNotFoundException")


def _tags(request: Document) -> dict[str, str]:
    return tags_of(request.get("Tags", []), invalid)


def _tagged(context: Context, request: Document) -> str:
    """Returns the name of the group of a ResourceArn. Raises Refused: there is no group of this name here, or the ARN
    is another account's."""
    arn = request["ResourceArn"]
    _, found, name = arn.partition(":schedule-group/")
    if not found:
        raise unfit(arn, "resourceArn", f"satisfy regular expression pattern: {ARN_PATTERN}")
    if arn != group_arn(context.account, name):
        raise Refused(f"Schedule group {arn} does not exist.", "ResourceNotFoundException")
    return str(name)


def _detail(context: Context, group: ScheduleGroup) -> Document:
    return {
        "Arn": group_arn(context.account, group.name),
        "Name": group.name,
        "State": ACTIVE,
        "CreationDate": group.created_at_ms / 1000,
        "LastModificationDate": group.modified_at_ms / 1000,
    }
