"""What ECS and EC2 say alike about the machines that jobs run on: which cluster, which type, where, whose.

This machine itself is an instance, of a type that EC2 does not have; those of MANAGED environments are shares of it.
"""

from __future__ import annotations

import re

from batchyard.api.batch.render import cluster_name
from batchyard.api.context import Context
from batchyard.core.model.names import Account
from batchyard.core.model.records import Environment, Instance
from batchyard.core.questions.inventory import AskInstances, Inventory

HOST_TYPE = "local"  # instanceType of this machine: none of EC2's, and no client may take it for one
ENVIRONMENT_TAG = "batchyard:compute-environment"
SERVICE_TAG = ("AWSBatchServiceTag", "batch")  # what Batch puts on what it launches (user guide: AWSBatchServiceRole)
UUID_CHARACTERS = 36

_CLUSTER = re.compile(rf"AWSBatch-(?P<environment>[a-zA-Z0-9_-]{{1,128}})-[0-9a-f-]{{{UUID_CHARACTERS}}}")


async def ask_inventory(context: Context) -> Inventory:
    return await context.ask(AskInstances())


def environment_of(account: Account, cluster: str) -> str | None:
    """The environment that a cluster (its name or ARN) stands for, whether it is still there or not; None: it is none
    of ours."""
    name = cluster.removeprefix(account.cluster_arn(""))
    match = _CLUSTER.fullmatch(name)
    if match is None or cluster_name(account, match["environment"]) != name:
        return None
    return match["environment"]


def zone(account: Account) -> str:
    """The one availability zone."""
    return f"{account.region}a"


def instance_type(instance: Instance) -> str:
    return instance.instance_type or HOST_TYPE


def instance_tags(instance: Instance, environments: dict[str, Environment]) -> dict[str, str]:
    """Those of computeResources, Batch's own, and one of ours, which holds the environment's name."""
    environment = environments.get(instance.environment)
    if environment is None:
        return {}
    given: dict[str, str] = environment.document.get("computeResources", {}).get("tags", {})
    return {**given, **dict([SERVICE_TAG]), ENVIRONMENT_TAG: environment.name}


async def environments_of(context: Context, inventory: Inventory) -> dict[str, Environment]:
    """By name: the environments that instances belong to."""
    known = [*(stock.instance for stock in inventory.instances), *(one.instance for one in inventory.ended)]
    names = sorted({instance.environment for instance in known} - {""})
    if not names:
        return {}
    found, _ = await context.read(context.reader.environments, names, len(names))
    return {environment.name: environment for environment in found}
