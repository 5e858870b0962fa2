"""What ECS and EC2 describe alike of the machines that jobs run on: cluster, type, zone, tags.

This machine itself is an instance, of a type that EC2 does not have; those of MANAGED environments are shares of it.
"""

from __future__ import annotations

from batchyard.api.context import Context
from batchyard.core.model.names import Account
from batchyard.core.model.records import Environment, Instance
from batchyard.core.questions.inventory import AskInstances, Inventory

HOST_TYPE = "local"  # instanceType of this machine: not one of EC2's, and must not be mistaken for one
ENVIRONMENT_TAG = "batchyard:compute-environment"
SERVICE_TAG = ("AWSBatchServiceTag", "batch")  # the tag of what Batch launches (user guide: AWSBatchServiceRole)


async def ask_inventory(context: Context) -> Inventory:
    return await context.ask(AskInstances())


def zone(account: Account) -> str:
    """Returns the one availability zone."""
    return f"{account.region}a"


def instance_type(instance: Instance) -> str:
    return instance.instance_type or HOST_TYPE


def instance_tags(instance: Instance, environments: dict[str, Environment]) -> dict[str, str]:
    """Returns the tags of computeResources, Batch's own, and one of this service, which has the environment's name."""
    environment = environments.get(instance.environment)
    if environment is None:
        return {}
    given: dict[str, str] = environment.document.get("computeResources", {}).get("tags", {})
    return {**given, **dict([SERVICE_TAG]), ENVIRONMENT_TAG: environment.name}


async def environments_of(context: Context, inventory: Inventory) -> dict[str, Environment]:
    """Returns, by name, the environments that instances belong to."""
    known = [*(stock.instance for stock in inventory.instances), *(one.instance for one in inventory.ended)]
    names = sorted({instance.environment for instance in known} - {""})
    if not names:
        return {}
    found, _ = await context.read(context.reader.environments, names, len(names))
    return {environment.name: environment for environment in found}
