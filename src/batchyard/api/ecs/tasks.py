"""The read-only operations of ECS that clients of Batch call: the cluster of an environment, its tasks (attempts) and
its container instances. ECS keeps a stopped task for an hour; here it is there as long as its job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from batchyard.api.batch.render import cluster_name
from batchyard.api.checks import quoted
from batchyard.api.context import Call, Context
from batchyard.api.ecs import documents as documents
from batchyard.api.ecs.capacity import ask_inventory, environment_of, environments_of
from batchyard.core.model import names
from batchyard.core.model.records import Attempt, Environment, InstanceState
from batchyard.core.model.refusal import Refused
from batchyard.core.questions.inventory import Inventory, Stock
from batchyard.store.queries import AttemptView, TaskRow
from batchyard.wire.messages import Document

INVALID = "InvalidParameterException"
DEFAULT_CLUSTER = "default"  # what ECS means where no cluster is named
MAX_DESCRIBED = 100  # tasks, container instances or clusters (ECS API reference)
MAX_PAGE = 100
# Rows that one ListTasks looks at: of a large yard a page may be short, or empty, and have a successor.
SCANNED_ROWS = 1000
NOT_REGISTERED = (InstanceState.LAUNCHING,)  # they have no agent yet
INACTIVE_FILTERS = {"serviceName": "ServiceNotFoundException", "daemonName": INVALID}


# -- tasks --


async def describe_tasks(context: Context, call: Call, request: Document) -> Document:
    """By ARN or id, up to 100. Those that the cluster does not have are `failures` with the reason MISSING."""
    environment = _environment(context, request)
    asked = _described(request["tasks"], "Tasks")
    cluster = cluster_name(context.account, environment)
    found, failures = [], []
    for text in asked:
        task_id = text.removeprefix(context.account.task_arn(cluster, ""))
        view = await context.read(context.reader.attempt, task_id)
        attempt = None if view is None else _attempt(view)
        if view is None or attempt is None or attempt.environment != environment:
            arn = text if text.startswith("arn:") else context.account.task_arn(cluster, text)
            failures.append(_missing(arn))
            continue
        document = documents.task_document(
            context.account,
            view.view.spec,
            view.view.job_id,
            task_id,
            attempt,
            is_current=view.view.job.attempt is attempt,
            with_tags="TAGS" in request.get("include", []),
        )
        found.append(document)
    return {"tasks": found, "failures": failures}


def _attempt(view: AttemptView) -> Attempt | None:
    """Attempts that never started too: DescribeJobs shows their ARNs."""
    if view.attempt is not None:
        return view.attempt
    return next((past for past in view.view.job.past if past.number == view.number), None)


async def list_tasks(context: Context, call: Call, request: Document) -> Document:
    """ARNs of a cluster's tasks: of those that are to run by default, with `desiredStatus` STOPPED of the others, the
    latest first. Every stopped task whose job is known is listed; `startedBy` is a job's id."""
    environment = _environment(context, request)
    for member, code in INACTIVE_FILTERS.items():
        if request.get(member):
            raise Refused(f"{quoted(request[member])} is not found: nothing here runs as an ECS service.", code)
    desired = request.get("desiredStatus", "RUNNING")
    if desired == "PENDING":  # as on ECS, which never gives a task this desired status
        return {"taskArns": []}
    wanted = partial(_is_wanted, request, environment, desired)
    limit = _page_size(request)
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
    """All attempts of one job, as rows: at most 10."""
    rows = []
    for view in await context.read(context.reader.jobs, [job_id]):
        current = () if view.job.attempt is None else (view.job.attempt,)
        for attempt in view.job.past + current:
            task_id = names.task_id(view.job.key, attempt.number, view.job_id)
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
    """The wanted rows of the next SCANNED_ROWS, at most `limit` of them, and where the next page goes on."""
    try:
        rows, token = await context.read(query, SCANNED_ROWS, after)
    except ValueError as error:
        raise Refused(str(error), INVALID) from None
    found = [row for row in rows if wanted(row)]
    if len(found) > limit:
        return found[:limit], found[limit - 1].cursor
    return found, token


# -- container instances --


async def describe_container_instances(context: Context, call: Call, request: Document) -> Document:
    """By ARN or id, up to 100. Those that are gone are `failures` with the reason MISSING."""
    environment = _environment(context, request)
    asked = _described(request["containerInstances"], "Container instances")
    inventory = await ask_inventory(context)
    environments = await environments_of(context, inventory)
    cluster = cluster_name(context.account, environment)
    stocks = {
        context.account.container_instance_arn(cluster, stock.instance.instance_id): stock
        for stock in _registered(inventory)
        if stock.instance.environment in ("", environment)
    }
    found, failures = [], []
    for text in asked:
        arn = text if text.startswith("arn:") else context.account.arn("ecs", f"container-instance/{cluster}/{text}")
        if arn not in stocks:
            failures.append(_missing(arn))
            continue
        document = documents.container_instance_document(
            context.account,
            environment,
            stocks[arn],
            inventory,
            environments,
            with_tags="TAGS" in request.get("include", []),
        )
        found.append(document)
    return {"containerInstances": found, "failures": failures}


async def list_container_instances(context: Context, call: Call, request: Document) -> Document:
    """ARNs of the instances that an environment has or uses: this machine, for UNMANAGED ones; by id."""
    name = _environment(context, request)
    if request.get("filter"):
        raise Refused("filter is not supported here; list by status, or describe and choose.", INVALID)
    environment = (await _environments(context, [name])).get(name)
    if environment is None:
        raise _no_cluster()
    inventory = await ask_inventory(context)
    status = request.get("status")
    stocks = [
        stock
        for stock in _instances_of(inventory, environment)
        if status in (None, documents.STATUS_OF_STATE[stock.instance.state])
    ]
    cluster = cluster_name(context.account, name)
    arns = sorted(context.account.container_instance_arn(cluster, stock.instance.instance_id) for stock in stocks)
    page, token = _page_of(arns, request)
    return {"containerInstanceArns": page} | token


def _registered(inventory: Inventory) -> list[Stock]:
    return [stock for stock in inventory.instances if stock.instance.state not in NOT_REGISTERED]


def _instances_of(inventory: Inventory, environment: Environment) -> list[Stock]:
    """Its own ones, and this machine where it places attempts on it."""
    return [
        stock
        for stock in _registered(inventory)
        if stock.instance.environment == environment.name
        or (not stock.instance.environment and _uses(inventory, environment, stock.instance.instance_id))
    ]


def _uses(inventory: Inventory, environment: Environment, instance_id: str) -> bool:
    placed = any((each.environment, each.instance_id) == (environment.name, instance_id) for each in inventory.tasks)
    return placed or not environment.kind.is_managed


# -- clusters --


async def describe_clusters(context: Context, call: Call, request: Document) -> Document:
    """By name or ARN: the clusters of environments. The others are `failures` with the reason MISSING."""
    asked = request.get("clusters") or [DEFAULT_CLUSTER]
    _described(asked, "Clusters")
    named = {text: environment_of(context.account, text) for text in asked}
    environments = await _environments(context, sorted({name for name in named.values() if name}))
    inventory = await ask_inventory(context)
    found, failures = [], []
    for text, name in named.items():
        environment = environments.get(name or "")
        if environment is None:
            arn = text if text.startswith("arn:") else context.account.cluster_arn(text)
            failures.append(_missing(arn))
            continue
        instances = len(_instances_of(inventory, environment))
        with_tags = "TAGS" in request.get("include", [])
        found.append(
            documents.cluster_document(context.account, environment, instances, inventory, with_tags=with_tags)
        )
    return {"clusters": found, "failures": failures}


async def list_clusters(context: Context, call: Call, request: Document) -> Document:
    """ARNs of the clusters that environments stand for; those of EKS have none."""
    arns, token = [], request.get("nextToken")
    try:
        found, token = await context.read(context.reader.environments, None, _page_size(request), token)
    except ValueError as error:
        raise Refused(str(error), INVALID) from None
    for environment in found:
        if _has_cluster(environment):
            arns.append(context.account.cluster_arn(cluster_name(context.account, environment.name)))
    return {"clusterArns": arns} | ({"nextToken": token} if token else {})


# -- what they share --


def _environment(context: Context, request: Document) -> str:
    """The environment whose cluster the request names. It may be gone: its tasks are still known."""
    environment = environment_of(context.account, request.get("cluster") or DEFAULT_CLUSTER)
    if environment is None:
        raise _no_cluster()
    return environment


def _no_cluster() -> Refused:
    return Refused("Cluster not found.", "ClusterNotFoundException")


async def _environments(context: Context, wanted: list[str]) -> dict[str, Environment]:
    """Those with a cluster, by name."""
    if not wanted:
        return {}
    found, _ = await context.read(context.reader.environments, wanted, len(wanted))
    return {environment.name: environment for environment in found if _has_cluster(environment)}


def _has_cluster(environment: Environment) -> bool:
    return "eksConfiguration" not in environment.document


def _described(asked: list[str], subject: str) -> list[str]:
    if not asked:
        raise Refused(f"{subject} cannot be empty.", INVALID)
    if len(asked) > MAX_DESCRIBED:
        raise Refused(f"{subject} cannot have more than {MAX_DESCRIBED} entries, got {len(asked)}.", INVALID)
    return list(dict.fromkeys(asked))


def _missing(arn: str) -> Document:
    return {"arn": arn, "reason": "MISSING"}


def _page_size(request: Document) -> int:
    asked = request.get("maxResults")
    if asked is not None and not 1 <= asked <= MAX_PAGE:
        raise Refused(f"maxResults must be between 1 and {MAX_PAGE}, got {asked}.", INVALID)
    return MAX_PAGE if asked is None else int(asked)


def _page_of(arns: Iterable[str], request: Document) -> tuple[list[str], Document]:
    """A page of sorted ARNs; its token is the last one's."""
    after = request.get("nextToken", "")
    rest = [arn for arn in arns if arn > after]
    limit = _page_size(request)
    page = rest[:limit]
    return page, {"nextToken": page[-1]} if len(rest) > limit else {}
