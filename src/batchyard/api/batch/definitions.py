"""RegisterJobDefinition, DeregisterJobDefinition, DescribeJobDefinitions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from batchyard.api.batch import render
from batchyard.api.batch.definition_bodies import each_body
from batchyard.api.batch.rules.definition_rules import check_definition
from batchyard.api.checks import (
    check_describe_count,
    check_name,
    check_names_alone,
    check_size,
    check_tags,
    quoted,
    require,
    without,
)
from batchyard.api.context import Call, Context
from batchyard.api.pages import page_size, read_page
from batchyard.core.model import commands
from batchyard.core.model.names import JOB_DEFINITION, resource_name, split_definition
from batchyard.core.model.records import Definition
from batchyard.core.model.refusal import Refused
from batchyard.wire.messages import Document


async def register_job_definition(context: Context, call: Call, request: Document) -> Document:
    name = request["jobDefinitionName"]
    check_name(name, "Job definition")
    check_size(call.size_bytes, context.settings.max_definition_kib, "Job definition")
    tags = request.get("tags", {})
    check_tags(tags)
    document = without(request, "jobDefinitionName", "tags")
    check_definition(document, context.settings.min_timeout_seconds)
    definition = await context.ask(commands.RegisterJobDefinition(name=name, document=kept(document), tags=tags))
    return {
        "jobDefinitionName": name,
        "jobDefinitionArn": context.account.definition_arn(name, definition.revision),
        "revision": definition.revision,
    }


def kept(document: Document) -> Document:
    """Returns the definition as it is kept: AWS drops environment variables whose value is empty (AWS Batch
    behaviour 6.4)."""

    def of_container(container: Document) -> Document:
        if "environment" not in container:
            return container
        return container | {"environment": [entry for entry in container["environment"] if entry.get("value")]}

    def of_task(task: Document) -> Document:
        return task | {"containers": [of_container(container) for container in task["containers"]]}

    return each_body(document, of_container, of_task)


async def active_definition(context: Context, text: str) -> Definition | None:
    """Returns the revision that SubmitJob's `jobDefinition` refers to now: the highest ACTIVE one unless it names
    one."""
    name, revision = split_definition(text)
    if revision is not None:
        found, _ = await context.read(context.reader.definitions, [(name, revision)])
        return next((one for one in found if one.status == "ACTIVE"), None)
    latest, token = None, None
    while True:
        page, token = await context.read(context.reader.definitions, name=name, status="ACTIVE", after=token)
        latest = page[-1] if page else latest
        if token is None:
            return latest


async def deregister_job_definition(context: Context, call: Call, request: Document) -> Document:
    name, revision = split_definition(request["jobDefinition"])
    if revision is None:
        raise Refused(
            f"jobDefinition must be name:revision or the ARN of a revision, got {quoted(request['jobDefinition'])}."
        )
    await context.ask(commands.DeregisterJobDefinition(name, revision))
    return {}


async def describe_job_definitions(context: Context, call: Call, request: Document) -> Document:
    """By a list of revisions, or by name; with a status those of that status alone, of a list too. Unknown ones, and
    names without a revision in the list, are left out."""
    asked, status = request.get("jobDefinitions"), request.get("status") or None
    if asked:
        check_describe_count(asked, "jobDefinitions")
        check_names_alone(request, "jobDefinitions")
        require(not request.get("jobDefinitionName"), "JobDefinitions and JobDefinitionName cannot both be set")
        revisions = [(name, number) for name, number in map(split_definition, asked) if number is not None]
        found, _ = await context.read(context.reader.definitions, revisions)
        return {"jobDefinitions": _details(context, [one for one in found if status in (None, one.status)])}
    named = resource_name(request.get("jobDefinitionName", ""), JOB_DEFINITION)
    query = partial(
        context.reader.definitions,
        name=named or None,
        status=status,
        limit=page_size(request),
        after=request.get("nextToken"),
    )
    page, token = await read_page(context, query)
    return {"jobDefinitions": _details(context, page), **token}


def _details(context: Context, definitions: Sequence[Definition]) -> list[Document]:
    return [render.definition_detail(definition, context.account) for definition in definitions]
