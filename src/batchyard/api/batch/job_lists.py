"""ListJobs (AWS Batch behaviour 7.14): a queue's jobs by status or one filter, or an array's children by status."""

from __future__ import annotations

from functools import partial

from batchyard.api.batch import render
from batchyard.api.checks import one_filter, quoted, require
from batchyard.api.context import Call, Context
from batchyard.api.pages import MAX_PAGE, page_size, read_page
from batchyard.core.model.names import JOB_QUEUE, resource_name
from batchyard.core.model.records import Status
from batchyard.core.model.refusal import Refused
from batchyard.wire.messages import Document

MAX_UNFILTERED_PAGE = 1000  # API: ListJobsRequest
SUBJECTS = ("jobQueue", "arrayJobId", "multiNodeJobId")
FILTERS = ("JOB_NAME", "JOB_DEFINITION", "BEFORE_CREATED_AT", "AFTER_CREATED_AT", "SHARE_IDENTIFIER")
SHARE_FILTER = "SHARE_IDENTIFIER"
TIME_FILTERS = ("BEFORE_CREATED_AT", "AFTER_CREATED_AT")


async def list_jobs(context: Context, call: Call, request: Document) -> Document:
    subjects = [subject for subject in SUBJECTS if request.get(subject)]
    require(len(subjects) == 1, f"Exactly one of {', '.join(SUBJECTS)} must be given, got {len(subjects)}.")
    name, value = one_filter(request.get("filters", []), FILTERS)
    if subjects[0] == "jobQueue":
        return await _list_queue(context, request, name, value)
    if subjects[0] == "arrayJobId":
        return await _list_children(context, request)
    return await _list_nodes(context, request)


async def _list_queue(context: Context, request: Document, name: str, value: str) -> Document:
    queue = resource_name(request["jobQueue"], JOB_QUEUE)
    check_time(name, value)
    maximum = MAX_PAGE if name else MAX_UNFILTERED_PAGE
    found, _ = await context.read(context.reader.queues, [queue])
    require(found, f"Job queue {quoted(queue)} does not exist")
    query = partial(
        context.reader.list_jobs,
        queue=queue,
        status=_status_beside(name, request),
        filter_name=name or None,
        filter_values=[value] if name else [],
        limit=page_size(request, maximum),
        after=request.get("nextToken"),
    )
    views, token = await read_page(context, query)
    return {"jobSummaryList": [render.job_summary(view, context.account) for view in views], **token}


async def _list_children(context: Context, request: Document) -> Document:
    """Lists an array's children. Filters do not apply to them; an unknown array has none."""
    parents = await context.read(context.reader.jobs, [request["arrayJobId"]])
    if not parents or parents[0].job.array is None:
        return {"jobSummaryList": []}
    query = partial(
        context.reader.list_children,
        parents[0],
        status=_status(request),
        limit=page_size(request, MAX_UNFILTERED_PAGE),
        after=request.get("nextToken"),
    )
    views, token = await read_page(context, query)
    return {"jobSummaryList": [render.job_summary(view, context.account) for view in views], **token}


async def _list_nodes(context: Context, request: Document) -> Document:
    """Lists the nodes of a multi-node job by index. Filters do not apply to them; an unknown job has none."""
    query = partial(
        context.reader.list_nodes,
        request["multiNodeJobId"],
        status=_status(request),
        limit=page_size(request, MAX_UNFILTERED_PAGE),
        after=request.get("nextToken"),
    )
    views, token = await read_page(context, query)
    return {"jobSummaryList": [render.job_summary(view, context.account) for view in views], **token}


def _status(request: Document) -> Status:
    return Status(request.get("jobStatus", Status.RUNNING))


def _status_beside(filter_name: str, request: Document) -> Status | None:
    """Returns the status to list beside a filter: filters show jobs of every status, SHARE_IDENTIFIER those of the
    requested one, if any."""
    if not filter_name:
        return _status(request)
    return Status(request["jobStatus"]) if filter_name == SHARE_FILTER and "jobStatus" in request else None


def check_time(name: str, value: str) -> None:
    if name in TIME_FILTERS and not (value.isascii() and value.isdigit()):
        raise Refused(
            f"Filter {name} takes a time in milliseconds since 1970, in digits such as 1700000000000, "
            f"got {quoted(value)!r}."
        )
