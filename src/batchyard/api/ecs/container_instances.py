"""DescribeContainerInstances and ListContainerInstances: the instances that an environment has or uses."""

from __future__ import annotations

from batchyard.api.context import Call, Context
from batchyard.api.ecs import documents
from batchyard.api.ecs.capacity import ask_inventory, environments_of
from batchyard.api.ecs.cluster_names import cluster_name
from batchyard.api.ecs.requests import (
    INVALID,
    arn_of,
    asks_for_tags,
    described,
    missing,
    named_environment,
    no_cluster,
    page_of,
    with_clusters,
)
from batchyard.core.model.records import Environment, InstanceState
from batchyard.core.model.refusal import Refused
from batchyard.core.questions.inventory import Inventory, Stock
from batchyard.wire.messages import Document

NOT_REGISTERED = (InstanceState.LAUNCHING,)  # they have no agent yet


async def describe_container_instances(context: Context, call: Call, request: Document) -> Document:
    """By ARN or id, up to 100. Those that are gone are `failures` with the reason MISSING."""
    environment = named_environment(context, request)
    asked = described(request["containerInstances"], "Container instances")
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
        arn = arn_of(text, lambda instance: context.account.arn("ecs", f"container-instance/{cluster}/{instance}"))
        if arn not in stocks:
            failures.append(missing(arn))
            continue
        document = documents.container_instance_document(
            context.account,
            environment,
            stocks[arn],
            inventory,
            environments,
            context.gpus,
            with_tags=asks_for_tags(request),
        )
        found.append(document)
    return {"containerInstances": found, "failures": failures}


async def list_container_instances(context: Context, call: Call, request: Document) -> Document:
    """ARNs of the instances that an environment has or uses: this machine, for UNMANAGED ones; by id."""
    name = named_environment(context, request)
    if request.get("filter"):
        raise Refused("filter is not supported here; list by status, or describe and choose.", INVALID)
    environment = (await with_clusters(context, [name])).get(name)
    if environment is None:
        raise no_cluster()
    inventory = await ask_inventory(context)
    status = request.get("status")
    stocks = [
        stock
        for stock in instances_of(inventory, environment)
        if status in (None, documents.STATUS_OF_STATE[stock.instance.state])
    ]
    cluster = cluster_name(context.account, name)
    arns = sorted(context.account.container_instance_arn(cluster, stock.instance.instance_id) for stock in stocks)
    page, token = page_of(arns, request)
    return {"containerInstanceArns": page} | token


def _registered(inventory: Inventory) -> list[Stock]:
    return [stock for stock in inventory.instances if stock.instance.state not in NOT_REGISTERED]


def instances_of(inventory: Inventory, environment: Environment) -> list[Stock]:
    """Returns an environment's own instances, and this machine where it places attempts on it."""
    return [
        stock
        for stock in _registered(inventory)
        if stock.instance.environment == environment.name
        or (not stock.instance.environment and _uses(inventory, environment, stock.instance.instance_id))
    ]


def _uses(inventory: Inventory, environment: Environment, instance_id: str) -> bool:
    placed = any((each.environment, each.instance_id) == (environment.name, instance_id) for each in inventory.tasks)
    return placed or not environment.kind.is_managed
