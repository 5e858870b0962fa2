"""CreateComputeEnvironment, UpdateComputeEnvironment, DeleteComputeEnvironment, DescribeComputeEnvironments."""

from __future__ import annotations

from batchyard.api.batch import render
from batchyard.api.batch.rules.environment_rules import check_changed_environment, check_new_environment
from batchyard.api.checks import new_resource, require, without
from batchyard.api.context import REMOTE, Call, Context
from batchyard.api.pages import read_named
from batchyard.core.model import commands
from batchyard.core.model.names import COMPUTE_ENVIRONMENT, resource_name
from batchyard.core.model.records import HOST_PROVIDER, JOINED_PROVIDER
from batchyard.wire.messages import Document

# Names the engine of a new environment, where it should be another than this service's own choice. AWS has no such
# choice; a tag is something that every client can send.
ENGINE_TAG = "batchyard:engine"
UNMANAGED = "UNMANAGED"  # API: CEType


async def create_compute_environment(context: Context, call: Call, request: Document) -> Document:
    name, tags = new_resource(request, "computeEnvironmentName", "Compute Environment")
    check_new_environment(request, context.account)
    engine = _engine(context, tags)
    require(
        engine != REMOTE or request["type"] == UNMANAGED,
        f"Hosts join UNMANAGED compute environments: {ENGINE_TAG}={REMOTE} is not for MANAGED ones.",
    )
    await context.ask(
        commands.CreateComputeEnvironment(
            name=name,
            uuid=context.new_uuid(),
            type=request["type"],
            state=request.get("state", "ENABLED"),
            engine=engine,
            document=without(request, "computeEnvironmentName", "type", "state", "tags"),
            tags=tags,
            provider=JOINED_PROVIDER if engine == REMOTE else HOST_PROVIDER,
        )
    )
    return _named(context, name)


async def update_compute_environment(context: Context, call: Call, request: Document) -> Document:
    name = resource_name(request["computeEnvironment"], COMPUTE_ENVIRONMENT)
    check_changed_environment(request)
    await context.ask(
        commands.UpdateComputeEnvironment(
            name=name,
            state=request.get("state", ""),
            document=without(request, "computeEnvironment", "state"),
        )
    )
    return _named(context, name)


async def delete_compute_environment(context: Context, call: Call, request: Document) -> Document:
    await context.ask(
        commands.DeleteComputeEnvironment(resource_name(request["computeEnvironment"], COMPUTE_ENVIRONMENT))
    )
    return {}


async def describe_compute_environments(context: Context, call: Call, request: Document) -> Document:
    """Unknown names are left out."""
    found, token = await read_named(
        context, request, "computeEnvironments", COMPUTE_ENVIRONMENT, context.reader.environments
    )
    details = [render.environment_detail(environment, context.account, context.host_vcpus) for environment in found]
    return {"computeEnvironments": details} | token


def _engine(context: Context, tags: dict[str, str]) -> str:
    engine = tags.get(ENGINE_TAG, context.settings.engine)
    known = context.settings.engines
    require(engine in known, f"The tag {ENGINE_TAG} must be one of {', '.join(known)}, got {engine!r}.")
    return engine


def _named(context: Context, name: str) -> Document:
    return {"computeEnvironmentName": name, "computeEnvironmentArn": context.account.environment_arn(name)}
