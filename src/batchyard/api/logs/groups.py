"""Log groups that callers make, keep for a time, tag and delete (observability spec 16)."""

from __future__ import annotations

import re
from typing import Any

from batchyard.api.checks import MAX_TAGS, check_tags, quoted
from batchyard.api.context import Call, Context
from batchyard.api.logs.requests import (
    bad_token,
    change,
    check_group_name,
    find_group,
    group_arn,
    invalid,
    limit_of,
    name_of,
    page,
)
from batchyard.core.model.refusal import Refused
from batchyard.store.logs import log_changes
from batchyard.wire.messages import Document

# API: PutRetentionPolicy.
RETENTION_DAYS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
)  # fmt: skip
MAX_LISTED = 1000  # API: ListLogGroupsRequestLimit
DEFAULT_LISTED = 50
NOT_LISTED_BY = ("accountIdentifiers", "dataSources", "fieldIndexNames", "logGroupTags")


async def create_log_group(context: Context, call: Call, request: Document) -> Document:
    """logGroupName, tags, logGroupClass."""
    name = check_group_name(request["logGroupName"])
    if request.get("kmsKeyId"):
        raise invalid("kmsKeyId is not built here: leave it out; log events are not encrypted with keys of KMS.")
    if request.get("deletionProtectionEnabled"):
        raise invalid("deletionProtectionEnabled is not built here: leave it out.")
    if request.get("logGroupClass", "STANDARD") != "STANDARD":
        raise invalid(f"logGroupClass {request['logGroupClass']} is not built here: use STANDARD.")
    tags = request.get("tags") or {}
    _check_tags(tags)
    if await context.read(context.log_catalogue.group, name) is not None:
        raise Refused("The specified log group already exists", log_changes.ALREADY_EXISTS)
    await change(context, lambda connection, now_ms: log_changes.create_group(connection, name, tags, now_ms))
    return {}


async def delete_log_group(context: Context, call: Call, request: Document) -> Document:
    """Deletes a group with its streams and filters; a job that starts later makes the group again."""
    group = await find_group(context, request["logGroupName"])

    def work(connection: Any, now_ms: int) -> None:
        log_changes.delete_group(connection, context.log_writer, group, now_ms)
        context.log_filters.forget(group.name)

    await change(context, work)
    return {}


async def put_retention_policy(context: Context, call: Call, request: Document) -> Document:
    """logGroupName, retentionInDays: events are deleted once they are older."""
    days = request["retentionInDays"]
    if days not in RETENTION_DAYS:
        choices = ", ".join(map(str, RETENTION_DAYS))
        raise invalid(
            f"1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: Member "
            f"must satisfy enum value set: [{choices}]"
        )
    await _set_retention(context, request["logGroupName"], days)
    return {}


async def delete_retention_policy(context: Context, call: Call, request: Document) -> Document:
    await _set_retention(context, request["logGroupName"], 0)
    return {}


async def _set_retention(context: Context, name: str, days: int) -> None:
    group = await find_group(context, name)
    await change(context, lambda connection, _: log_changes.set_retention(connection, group, days))


async def list_log_groups(context: Context, call: Call, request: Document) -> Document:
    """logGroupNamePattern (texts in the name, `^` at its start, `|` between them), limit, nextToken -> logGroups."""
    for member in NOT_LISTED_BY:
        if request.get(member):
            raise invalid(f"{member} is not built here: leave it out.")
    if request.get("logGroupClass", "STANDARD") != "STANDARD":
        return {"logGroups": []}
    pattern = request.get("logGroupNamePattern", "")
    wanted = [
        re.compile(("^" if text.startswith("^") else "") + re.escape(text.removeprefix("^")))
        for text in pattern.split("|")
    ]
    limit = limit_of(request, MAX_LISTED, default=DEFAULT_LISTED)
    try:
        groups, cursor = await context.read(context.log_catalogue.groups, "", limit, request.get("nextToken"))
    except ValueError:
        raise bad_token() from None
    shown = [
        {"logGroupName": group.name, "logGroupArn": group_arn(context, group.name), "logGroupClass": "STANDARD"}
        for group in groups
        if any(one.search(group.name) for one in wanted)
    ]
    return page({"logGroups": shown}, cursor)


# -- tags --


async def tag_resource(context: Context, call: Call, request: Document) -> Document:
    """resourceArn, tags."""
    await _tag(context, _tagged(request), request["tags"], ())
    return {}


async def untag_resource(context: Context, call: Call, request: Document) -> Document:
    """resourceArn, tagKeys."""
    await _tag(context, _tagged(request), {}, request["tagKeys"])
    return {}


async def list_tags_for_resource(context: Context, call: Call, request: Document) -> Document:
    """resourceArn -> tags."""
    return {"tags": (await find_group(context, _tagged(request))).tags}


async def tag_log_group(context: Context, call: Call, request: Document) -> Document:
    """logGroupName, tags: the older form of TagResource."""
    await _tag(context, request["logGroupName"], request["tags"], ())
    return {}


async def untag_log_group(context: Context, call: Call, request: Document) -> Document:
    """logGroupName, tags (keys)."""
    await _tag(context, request["logGroupName"], {}, request["tags"])
    return {}


async def list_tags_log_group(context: Context, call: Call, request: Document) -> Document:
    """logGroupName -> tags."""
    return {"tags": (await find_group(context, request["logGroupName"])).tags}


async def _tag(context: Context, name: str, added: dict[str, str], removed: list[str] | tuple[str, ...]) -> None:
    _check_tags(added)
    group = await find_group(context, name)
    await change(context, lambda connection, _: log_changes.set_tags(connection, group, added, removed, MAX_TAGS))


def _check_tags(tags: dict[str, str]) -> None:
    try:
        check_tags(tags)
    except Refused as refusal:
        raise invalid(refusal.message) from refusal


def _tagged(request: Document) -> str:
    arn = request["resourceArn"]
    if ":log-group:" not in arn:
        raise invalid(f"resourceArn is not the ARN of a log group: {quoted(arn)}.")
    return name_of(arn, "resourceArn")
