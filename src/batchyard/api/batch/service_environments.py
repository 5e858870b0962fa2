"""CreateServiceEnvironment, UpdateServiceEnvironment, DeleteServiceEnvironment, DescribeServiceEnvironments (AWS Batch
behaviour 2.7)."""

from __future__ import annotations

from functools import partial

from batchyard.api.batch.rules.capacity_rules import check_capacity_limits
from batchyard.api.checks import new_resource, require
from batchyard.api.context import Call, Context
from batchyard.api.pages import read_named
from batchyard.core.model import service_commands
from batchyard.core.model.names import Account, resource_name
from batchyard.core.model.records import Health
from batchyard.core.model.service_records import ServiceEnvironment
from batchyard.core.service_jobs.document_kinds import SERVICE_ENVIRONMENT
from batchyard.wire.messages import Document


async def create_service_environment(context: Context, call: Call, request: Document) -> Document:
    name, tags = new_resource(request, "serviceEnvironmentName", "Service environment")
    limits = request["capacityLimits"]
    check_capacity_limits(limits)
    await context.ask(
        service_commands.CreateServiceEnvironment(
            name=name,
            type=request["serviceEnvironmentType"],
            state=request.get("state", "ENABLED"),
            capacity_limits=tuple(limits),
            tags=tags,
        )
    )
    return _named(context, name)


async def update_service_environment(context: Context, call: Call, request: Document) -> Document:
    name = _name(request["serviceEnvironment"])
    limits = request.get("capacityLimits")
    if limits is not None:
        check_capacity_limits(limits)
    await context.ask(service_commands.UpdateServiceEnvironment(name, request.get("state", ""), tuple(limits or ())))
    return _named(context, name)


async def delete_service_environment(context: Context, call: Call, request: Document) -> Document:
    await context.ask(service_commands.DeleteServiceEnvironment(_name(request["serviceEnvironment"])))
    return {}


async def describe_service_environments(context: Context, call: Call, request: Document) -> Document:
    """Unknown names are left out."""
    query = partial(context.reader.documents, SERVICE_ENVIRONMENT)
    found, token = await read_named(context, request, "serviceEnvironments", SERVICE_ENVIRONMENT, query)
    return {"serviceEnvironments": [_detail(environment, context.account) for environment in found]} | token


def _name(text: str) -> str:
    require(text, "'serviceEnvironment' is a required field (cannot be an empty string)")
    return resource_name(text, SERVICE_ENVIRONMENT)


def _named(context: Context, name: str) -> Document:
    return {
        "serviceEnvironmentName": name,
        "serviceEnvironmentArn": context.account.service_environment_arn(name),
    }


def _detail(environment: ServiceEnvironment, account: Account) -> Document:
    """Returns ServiceEnvironmentDetail. Changes are complete when they are answered: every environment is VALID."""
    return {
        "serviceEnvironmentName": environment.name,
        "serviceEnvironmentArn": account.service_environment_arn(environment.name),
        "serviceEnvironmentType": environment.type,
        "state": environment.state.value,
        "status": Health.VALID.value,
        "capacityLimits": list(environment.capacity_limits),
        "tags": environment.tags,
    }
