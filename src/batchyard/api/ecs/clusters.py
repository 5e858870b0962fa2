"""DescribeClusters and ListClusters: the clusters that represent compute environments."""

from __future__ import annotations

from batchyard.api.context import Call, Context
from batchyard.api.ecs import documents
from batchyard.api.ecs.capacity import ask_inventory
from batchyard.api.ecs.cluster_names import cluster_name, environment_of_cluster
from batchyard.api.ecs.container_instances import instances_of
from batchyard.api.ecs.requests import (
    DEFAULT_CLUSTER,
    INVALID,
    arn_of,
    asks_for_tags,
    described,
    has_cluster,
    missing,
    page_limit,
    with_clusters,
)
from batchyard.core.model.refusal import Refused
from batchyard.wire.messages import Document


async def describe_clusters(context: Context, call: Call, request: Document) -> Document:
    """By name or ARN: the clusters of environments. The others are `failures` with the reason MISSING."""
    asked = request.get("clusters") or [DEFAULT_CLUSTER]
    described(asked, "Clusters")
    named = {text: environment_of_cluster(context.account, text) for text in asked}
    environments = await with_clusters(context, sorted({name for name in named.values() if name}))
    inventory = await ask_inventory(context)
    found, failures = [], []
    for text, name in named.items():
        environment = environments.get(name or "")
        if environment is None:
            failures.append(missing(arn_of(text, context.account.cluster_arn)))
            continue
        instances = len(instances_of(inventory, environment))
        with_tags = asks_for_tags(request)
        found.append(
            documents.cluster_document(context.account, environment, instances, inventory, with_tags=with_tags)
        )
    return {"clusters": found, "failures": failures}


async def list_clusters(context: Context, call: Call, request: Document) -> Document:
    """ARNs of the clusters that environments stand for; those of EKS have none."""
    arns, token = [], request.get("nextToken")
    try:
        found, token = await context.read(context.reader.environments, None, page_limit(request), token)
    except ValueError as error:
        raise Refused(str(error), INVALID) from None
    for environment in found:
        if has_cluster(environment):
            arns.append(context.account.cluster_arn(cluster_name(context.account, environment.name)))
    return {"clusterArns": arns} | ({"nextToken": token} if token else {})
