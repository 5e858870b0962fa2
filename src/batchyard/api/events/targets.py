"""Targets of rules (observability spec 5.1)."""

from __future__ import annotations

from batchyard.api.context import Call, Context
from batchyard.api.events.requests import bus_of, check_name, page
from batchyard.api.events.rules import find_rule
from batchyard.core.model.refusal import Refused
from batchyard.events import commands as c
from batchyard.events.machine import MAX_TARGETS
from batchyard.events.records import Target
from batchyard.events.target_kinds import compile_input_of
from batchyard.wire.messages import Document


async def put_targets(context: Context, call: Call, request: Document) -> Document:
    """Rule and Targets -> FailedEntryCount, FailedEntries: targets of a kind that is not served fail alone."""
    entries = request["Targets"]
    for number, entry in enumerate(entries, 1):
        check_name(entry["Id"], f"targets.{number}.member.id")
    if len(entries) > MAX_TARGETS:
        raise Refused("The requested resource exceeds the maximum number allowed.", "LimitExceededException")
    targets = tuple(Target(entry["Id"], entry["Arn"], entry) for entry in entries)
    for target in targets:
        compile_input_of(target)  # one whose input cannot be made fails the whole request, as on AWS
    failed = await context.ask(c.PutTargets(bus_of(request), request["Rule"], targets))
    return {
        "FailedEntryCount": len(failed),
        "FailedEntries": [
            {"TargetId": one.id, "ErrorCode": one.error_code, "ErrorMessage": one.error} for one in failed
        ],
    }


async def list_targets_by_rule(context: Context, call: Call, request: Document) -> Document:
    """The targets as they were put, by id."""
    rule = await find_rule(context, bus_of(request), request["Rule"])
    return page(request, "Targets", [(target.id, target.document) for target in rule.targets])


async def remove_targets(context: Context, call: Call, request: Document) -> Document:
    """Ids that are not there are no fault."""
    await context.ask(c.RemoveTargets(bus_of(request), request["Rule"], tuple(request["Ids"])))
    return {"FailedEntryCount": 0, "FailedEntries": []}
