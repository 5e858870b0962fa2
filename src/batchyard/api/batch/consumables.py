"""CreateConsumableResource, UpdateConsumableResource, DeleteConsumableResource, DescribeConsumableResource,
ListConsumableResources, ListJobsByConsumableResource (AWS Batch behaviour 2.6)."""

from __future__ import annotations

from batchyard.api.batch import render
from batchyard.api.checks import check_name, check_tags, client_token_of, one_filter, quoted, require
from batchyard.api.context import Call, Context
from batchyard.api.pages import page_size
from batchyard.core.model import consumable_commands as commands
from batchyard.core.model.consumable_records import MAX_QUANTITY, ConsumableType
from batchyard.core.model.names import resource_name
from batchyard.core.model.records import Status
from batchyard.core.state.document_kinds import CONSUMABLE_RESOURCE
from batchyard.store.queries import JobView
from batchyard.wire.messages import Document

NAME_FILTER = "CONSUMABLE_RESOURCE_NAME"
JOB_FILTERS = ("JOB_STATUS", "JOB_NAME")
OPERATIONS = ("SET", "ADD", "REMOVE")
MAX_READS = 20  # of jobs, as many as a page has each, for one page: a filter that matches few of them may come short


async def create_consumable_resource(context: Context, call: Call, request: Document) -> Document:
    name = request["consumableResourceName"]
    check_name(name, "ConsumableResource")
    tags = request.get("tags", {})
    check_tags(tags)
    total = request.get("totalQuantity", 0)
    require(total >= 0, "totalQuantity cannot be a negative number.")
    require(total <= MAX_QUANTITY, f"totalQuantity cannot be more than {MAX_QUANTITY}.")
    kind = request.get("resourceType", ConsumableType.REPLENISHABLE)
    require(kind in list(ConsumableType), f"resourceType must be one of [{_kinds()}], got {quoted(kind)!r}.")
    await context.ask(commands.CreateConsumableResource(name, ConsumableType(kind), total, tags))
    return _named(context, name)


def _kinds() -> str:
    return ", ".join(ConsumableType)


async def update_consumable_resource(context: Context, call: Call, request: Document) -> Document:
    """Sets the total, adds to it or takes from it; an update that comes again with its clientToken changes nothing."""
    name = _name(request)
    operation, quantity = request.get("operation", ""), int(request.get("quantity", 0))
    if operation or "quantity" in request:
        known = ", ".join(OPERATIONS)
        require(operation in OPERATIONS, f"operation must be one of [{known}], got {quoted(operation)!r}.")
        require("quantity" in request, f"An operation {operation} needs a quantity.")
        require(quantity >= 0, f"quantity cannot be a negative number, got {quantity}.")
    token = client_token_of(request)
    state = await context.ask(commands.UpdateConsumableResource(name, operation, quantity, token))
    return _named(context, name) | {"totalQuantity": state.resource.total}


async def delete_consumable_resource(context: Context, call: Call, request: Document) -> Document:
    """Jobs that hold some of it go on; jobs that wait for it wait until it is created again."""
    await context.ask(commands.DeleteConsumableResource(_name(request)))
    return {}


async def describe_consumable_resource(context: Context, call: Call, request: Document) -> Document:
    """What of a NON_REPLENISHABLE resource was consumed counts as in use."""
    state = await context.ask(commands.AskConsumableResource(_name(request)))
    resource = state.resource
    return _named(context, resource.name) | {
        "totalQuantity": resource.total,
        "inUseQuantity": state.in_use,
        "availableQuantity": state.available,
        "resourceType": resource.type.value,
        "createdAt": resource.created_at_ms,
        "tags": resource.tags,
    }


async def list_consumable_resources(context: Context, call: Call, request: Document) -> Document:
    """By name; a filter with a `*` at its end takes all that begin so, in upper or lower case."""
    filter_name, value = one_filter(request.get("filters", []), (NAME_FILTER,))
    limit = page_size(request)
    found = await context.ask(
        commands.AskConsumableResources(
            after=request.get("nextToken", ""),
            limit=limit + 1,
            prefix=value.removesuffix("*").lower(),
            is_prefix=not filter_name or value.endswith("*"),
        )
    )
    page = found[:limit]
    answer: Document = {
        "consumableResources": [
            _named(context, one.resource.name)
            | {
                "totalQuantity": one.resource.total,
                "inUseQuantity": one.in_use,
                "resourceType": one.resource.type.value,
            }
            for one in page
        ]
    }
    return answer | ({"nextToken": page[-1].resource.name} if len(found) > limit else {})


async def list_jobs_by_consumable_resource(context: Context, call: Call, request: Document) -> Document:
    """The unfinished jobs that take some of it, an array as one, oldest first. A page may come short of maxResults."""
    name, limit = _name(request), page_size(request)
    filter_name, value = one_filter(request.get("filters", []), JOB_FILTERS)
    if filter_name == "JOB_STATUS":
        require(value in list(Status), f"JOB_STATUS must be one of [{', '.join(Status)}], got {quoted(value)!r}.")
    after = request.get("nextToken") or "0"
    jobs = await context.ask(commands.AskConsumableJobs(name, int(after)))
    shown: list[Document] = []
    for read in range(MAX_READS):
        chunk = jobs[read * limit : (read + 1) * limit]
        views = await context.read(context.reader.jobs, [job.job_id for job in chunk]) if chunk else []
        by_id = {view.job_id: view for view in views}
        for job in chunk:
            view = by_id.get(job.job_id)  # None: it was removed between the question and this look
            if view is not None and _matches(view, filter_name, value):
                shown.append(render.consumable_job(view, name, context.account))
            if len(shown) == limit:
                return {"jobs": shown} | ({"nextToken": str(job.key)} if job is not jobs[-1] else {})
    left = jobs[MAX_READS * limit :]
    return {"jobs": shown} | ({"nextToken": str(jobs[MAX_READS * limit - 1].key)} if left else {})


def _matches(view: JobView, filter_name: str, value: str) -> bool:
    if filter_name == "JOB_STATUS":
        return view.job.status.value == value
    if filter_name == "JOB_NAME":
        name, wanted = view.spec.name.lower(), value.lower()
        return name.startswith(wanted[:-1]) if wanted.endswith("*") else name == wanted
    return True


def _name(request: Document) -> str:
    text = request["consumableResource"]
    require(text, "'consumableResource' is a required field (cannot be an empty string)")
    return resource_name(text, CONSUMABLE_RESOURCE)


def _named(context: Context, name: str) -> Document:
    return {
        "consumableResourceName": name,
        "consumableResourceArn": context.account.consumable_resource_arn(name),
    }
