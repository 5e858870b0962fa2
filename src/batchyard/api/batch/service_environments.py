"""CreateServiceEnvironment, UpdateServiceEnvironment, DeleteServiceEnvironment, DescribeServiceEnvironments (AWS Batch
behaviour 2.7)."""

from __future__ import annotations

from functools import partial

from batchyard.api.batch.rules.capacity_rules import check_capacity_limits
from batchyard.api.checks import check_describe_count, check_name, check_names_alone, check_tags, require
from batchyard.api.context import Call, Context
from batchyard.api.pages import page_size, read_page
from batchyard.core.model import service_commands
from batchyard.core.model.names import Account, resource_name
from batchyard.core.model.records import Health
from batchyard.core.model.service_records import ServiceEnvironment
from batchyard.core.service_jobs.document_kinds import SERVICE_ENVIRONMENT
from batchyard.wire.messages import Document


async def create_service_environment(context: Context, call: Call, request: Document) -> Document:
    name = request["serviceEnvironmentName"]
    check_name(name, "Service environment")
    tags = request.get("tags", {})
    check_tags(tags)
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
    asked = request.get("serviceEnvironments")
    check_describe_count(asked or [], "serviceEnvironments")
    check_names_alone(request, "serviceEnvironments")
    names = [resource_name(text, SERVICE_ENVIRONMENT) for text in asked] if asked else None
    query = partial(context.reader.documents, SERVICE_ENVIRONMENT, names, page_size(request), request.get("nextToken"))
    found, token = await read_page(context, query)
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
