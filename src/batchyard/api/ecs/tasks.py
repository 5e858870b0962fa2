"""DescribeTasks, ListTasks: a task is an attempt. ECS keeps stopped ones for an hour; here they stay with their job."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from batchyard.api.checks import quoted
from batchyard.api.context import Call, Context
from batchyard.api.ecs import documents
from batchyard.api.ecs.cluster_names import cluster_name
from batchyard.api.ecs.requests import (
    INVALID,
    arn_of,
    asks_for_tags,
    described,
    missing,
    named_environment,
    page_limit,
)
from batchyard.core.model import names
from batchyard.core.model.records import Attempt
from batchyard.core.model.refusal import Refused
from batchyard.store.queries import AttemptView, TaskRow
from batchyard.wire.messages import Document

# Rows that one ListTasks reads: where there are many tasks a page may be short, or empty, and have a successor.
SCANNED_ROWS = 1000
INACTIVE_FILTERS = {"serviceName": "ServiceNotFoundException", "daemonName": INVALID}


async def describe_tasks(context: Context, call: Call, request: Document) -> Document:
    """By ARN or id, up to 100. Those that the cluster does not have are `failures` with the reason MISSING."""
    environment = named_environment(context, request)
    asked = described(request["tasks"], "Tasks")
    cluster = cluster_name(context.account, environment)
    found, failures = [], []
    for text in asked:
        task_id = text.removeprefix(context.account.task_arn(cluster, ""))
        view = await context.read(context.reader.attempt, task_id)
        attempt = None if view is None else _attempt(view)
        if view is None or attempt is None or attempt.environment != environment:
            failures.append(missing(arn_of(text, partial(context.account.task_arn, cluster))))
            continue
        document = documents.task_document(
            context.account,
            view.view.spec,
            view.view.job_id,
            task_id,
            attempt,
            context.gpus,
            is_current=view.view.job.attempt is attempt,
            with_tags=asks_for_tags(request),
        )
        found.append(document)
    return {"tasks": found, "failures": failures}


def _attempt(view: AttemptView) -> Attempt | None:
    """Finds an attempt, also one that never started: DescribeJobs shows the ARN."""
    if view.attempt is not None:
        return view.attempt
    return next((past for past in view.view.job.past if past.number == view.number), None)


async def list_tasks(context: Context, call: Call, request: Document) -> Document:
    """ARNs of a cluster's tasks: of those that are to run by default, with `desiredStatus` STOPPED of the others, the
    latest first. Every stopped task whose job is known is listed; `startedBy` is a job's id."""
    environment = named_environment(context, request)
    for member, code in INACTIVE_FILTERS.items():
        if request.get(member):
            raise Refused(f"{quoted(request[member])} is not found: nothing here runs as an ECS service.", code)
    desired = request.get("desiredStatus", "RUNNING")
    if desired == "PENDING":  # as on ECS, which never gives a task this desired status
        return {"taskArns": []}
    wanted = partial(_is_wanted, request, environment, desired)
    limit = page_limit(request)
    if request.get("startedBy"):
        rows, token = await _tasks_of_job(context, request["startedBy"]), None
        page = [row for row in rows if wanted(row)]
    else:
        query = partial(context.reader.tasks, placed=desired == "RUNNING")
        page, token = await _scan(context, query, wanted, limit, request.get("nextToken"))
    cluster = cluster_name(context.account, environment)
    arns = [context.account.task_arn(cluster, row.task_id) for row in page]
    return {"taskArns": arns} | ({"nextToken": token} if token else {})


def _is_wanted(request: Document, environment: str, desired: str, row: TaskRow) -> bool:
    attempt, spec = row.attempt, row.spec
    if attempt.environment != environment:
        return False
    if documents.desired_status(attempt, is_current=row.is_current) != desired:
        return False
    instance = request.get("containerInstance")
    if instance and instance.rpartition("/")[2] != names.container_instance_id(attempt.main.instance_id):
        return False
    family = request.get("family")
    if family and documents.group(spec) != f"family:{family}":
        return False
    return request.get("launchType") in (None, documents.launch_type(spec))


async def _tasks_of_job(context: Context, job_id: str) -> list[TaskRow]:
    """Returns all attempts of one job, as rows: at most 10."""
    rows = []
    for view in await context.read(context.reader.jobs, [job_id]):
        current = () if view.job.attempt is None else (view.job.attempt,)
        for attempt in view.job.past + current:
            task_id = view.task_id(attempt.number)
            is_current = attempt is view.job.attempt
            rows.append(TaskRow(view.spec, view.job.key, view.job_id, task_id, attempt, is_current, ""))
    return rows


Page = tuple[list[TaskRow], str | None]


async def _scan(
    context: Context,
    query: Callable[[int, str | None], Page],
    wanted: Callable[[TaskRow], bool],
    limit: int,
    after: str | None,
) -> Page:
    """Returns the wanted rows among the next SCANNED_ROWS, at most `limit` of them, and the cursor of the next page."""
    try:
        rows, token = await context.read(query, SCANNED_ROWS, after)
    except ValueError as error:
        raise Refused(str(error), INVALID) from None
    found = [row for row in rows if wanted(row)]
    if len(found) > limit:
        return found[:limit], found[limit - 1].cursor
    return found, token
