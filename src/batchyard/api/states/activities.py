"""Activities and task tokens: work that is done by programs of the caller's (step functions spec 15)."""

from __future__ import annotations

import asyncio

from batchyard.api.context import Call, Context
from batchyard.api.states.logging import ENCRYPTION, check_encryption
from batchyard.api.states.machines import next_place, page_place
from batchyard.api.states.requests import check_name, check_payload_size, fault_of_json, page_size, seconds, tags_of
from batchyard.core.model.refusal import Refused
from batchyard.wire.messages import Document
from batchyard.workflows import registry_commands as c
from batchyard.workflows.arns import activity_arn
from batchyard.workflows.commands import SendTaskFailure, SendTaskHeartbeat, SendTaskSuccess, TakeActivityTask
from batchyard.workflows.executions.task_tokens import parse_token
from batchyard.workflows.records import Activity

MAX_WORKERS = 1000  # service quotas: pollers of an activity


async def create_activity(context: Context, call: Call, request: Document) -> Document:
    """name -> activityArn, creationDate. One that is there already is returned."""
    check_name(request["name"])
    check_encryption(request)
    activity = await context.ask(c.CreateActivity(request["name"], tags_of(request.get("tags", []))))
    return _summary(context, activity, has_name=False)


async def delete_activity(context: Context, call: Call, request: Document) -> Document:
    await context.ask(c.DeleteActivity(request["activityArn"]))
    return {}


async def describe_activity(context: Context, call: Call, request: Document) -> Document:
    activity = await context.ask(c.AskActivity(request["activityArn"]))
    return _summary(context, activity) | {"encryptionConfiguration": ENCRYPTION}


async def list_activities(context: Context, call: Call, request: Document) -> Document:
    """In the order in which they were made."""
    limit = page_size(request)
    found = await context.ask(c.AskActivities(limit + 1, page_place(request)))
    last = found[limit - 1] if len(found) > limit else None
    rows = [_summary(context, activity) for activity in found[:limit]]
    return {"activities": rows} | ({} if last is None else next_place(last.created_at_ms, last.name))


def _summary(context: Context, activity: Activity, *, has_name: bool = True) -> Document:
    document: Document = {
        "activityArn": activity_arn(context.account, activity.name),
        "creationDate": seconds(activity.created_at_ms),
    }
    return document | ({"name": activity.name} if has_name else {})


async def get_activity_task(context: Context, call: Call, request: Document) -> Document:
    """activityArn, workerName -> taskToken, input; without a task for a minute an answer without them."""
    arn = request["activityArn"]
    if "workerName" in request:
        check_name(request["workerName"])
    await context.ask(c.AskActivity(arn))
    if context.waiters.workers(arn) >= MAX_WORKERS:
        raise Refused(
            f"{MAX_WORKERS} workers wait for tasks of {arn} already: ask again when some have got one.",
            "ActivityWorkerLimitExceeded",
        )
    until = asyncio.get_running_loop().time() + context.activity_poll_seconds
    with context.waiters.expect_task(arn) as ready:
        while True:
            ready.clear()
            task = await context.ask(TakeActivityTask(arn, request.get("workerName")))
            if task is not None:
                return {"taskToken": task.token, "input": task.input}
            if context.waiters.is_closed:
                return {}
            try:
                await asyncio.wait_for(ready.wait(), until - asyncio.get_running_loop().time())
            except TimeoutError:
                return {}


async def send_task_success(context: Context, call: Call, request: Document) -> Document:
    """taskToken, output: JSON text."""
    output = request["output"]
    parse_token(context.account.account_id, request["taskToken"])  # before the output, as on AWS
    check_payload_size(output, "output")
    fault = fault_of_json(output)
    if fault:
        raise Refused(f"Invalid Output: '{fault}'", "InvalidOutput")
    await context.ask(SendTaskSuccess(request["taskToken"], output))
    return {}


async def send_task_failure(context: Context, call: Call, request: Document) -> Document:
    await context.ask(SendTaskFailure(request["taskToken"], request.get("error"), request.get("cause")))
    return {}


async def send_task_heartbeat(context: Context, call: Call, request: Document) -> Document:
    await context.ask(SendTaskHeartbeat(request["taskToken"]))
    return {}
