"""State machines: created, changed, described, listed, tagged (step functions spec 3)."""

from __future__ import annotations

from msgspec import json

from batchyard.api.context import Call, Context
from batchyard.api.states.definitions import checked
from batchyard.api.states.logging import ENCRYPTION, check_encryption, logging_document, logging_of, tracing_of
from batchyard.api.states.requests import (
    check_name,
    check_role,
    invalid,
    page_size,
    seconds,
    tag_list,
    tags_of,
)
from batchyard.core.model.executions import STANDARD, Logging
from batchyard.core.model.refusal import Refused
from batchyard.wire.messages import Document
from batchyard.workflows import registry_commands as c
from batchyard.workflows.arns import STATE_MACHINE, parse_arn, state_machine_arn
from batchyard.workflows.records import StateMachine, StateMachineRevision

METADATA_ONLY = "METADATA_ONLY"


async def create_state_machine(context: Context, call: Call, request: Document) -> Document:
    """name, definition, roleArn -> stateMachineArn, creationDate. An equal request makes one machine."""
    check_name(request["name"])
    check_role(request["roleArn"])
    check_encryption(request)
    _check_version_description(request)
    kind = request.get("type", STANDARD)
    command = c.CreateStateMachine(
        name=request["name"],
        kind=kind,
        definition=request["definition"],
        role_arn=request["roleArn"],
        revision_id=context.new_uuid(),
        logging=await logging_of(context, request) or Logging(),
        has_tracing=tracing_of(request) or False,
        publish=request.get("publish", False),
        version_description=request.get("versionDescription", ""),
        tags=tags_of(request.get("tags", [])),
        variable_references=await checked(context, request["definition"], kind),
    )
    made = await context.ask(command)
    answer: Document = {
        "stateMachineArn": state_machine_arn(context.account, made.machine.name),
        "creationDate": seconds(made.machine.created_at_ms),
    }
    return answer | _version_member(context, made)


async def update_state_machine(context: Context, call: Call, request: Document) -> Document:
    """stateMachineArn, and what changes -> updateDate. Executions that run keep what they began with."""
    if not request.keys() & {"definition", "roleArn", "loggingConfiguration", "tracingConfiguration"}:
        raise Refused(
            "Either the definition, the role ARN, the LoggingConfiguration, or the TracingConfiguration must be "
            "specified",
            "MissingRequiredParameter",
        )
    check_encryption(request)
    _check_version_description(request)
    if "roleArn" in request:
        check_role(request["roleArn"])
    arn, references = request["stateMachineArn"], {}
    if "definition" in request:
        known = await context.ask(c.AskStateMachine(arn))
        references = await checked(context, request["definition"], known.machine.kind)
    command = c.UpdateStateMachine(
        arn=arn,
        revision_id=context.new_uuid(),
        definition=request.get("definition"),
        role_arn=request.get("roleArn"),
        logging=await logging_of(context, request),
        has_tracing=tracing_of(request),
        publish=request.get("publish", False),
        version_description=request.get("versionDescription", ""),
        variable_references=references,
    )
    made = await context.ask(command)
    answer: Document = {"updateDate": seconds(made.at_ms)}
    return answer | _revision_member(made.revision) | _version_member(context, made)


def _check_version_description(request: Document) -> None:
    if request.get("versionDescription") and not request.get("publish"):
        raise invalid("Version description can only be set when publish is true")


def _version_member(context: Context, made: c.Published) -> Document:
    if made.version is None:
        return {}
    return {"stateMachineVersionArn": state_machine_arn(context.account, made.machine.name, made.version.number)}


def _revision_member(revision: StateMachineRevision) -> Document:
    return {} if revision.is_initial else {"revisionId": revision.revision_id}


async def delete_state_machine(context: Context, call: Call, request: Document) -> Document:
    await context.ask(c.DeleteStateMachine(request["stateMachineArn"]))
    return {}


async def describe_state_machine(context: Context, call: Call, request: Document) -> Document:
    """The ARN of a machine or a version -> what new executions begin with."""
    arn = request["stateMachineArn"]
    found = await context.ask(c.AskStateMachine(arn))
    created_at_ms = found.machine.created_at_ms if found.version is None else found.version.created_at_ms
    document = {
        "stateMachineArn": arn,
        "name": found.machine.name,
        "status": found.machine.status,
        "type": found.machine.kind,
        "creationDate": seconds(created_at_ms),
    }
    if found.version is not None and found.version.description:
        document["description"] = found.version.description
    return document | revision_members(found.revision, request)


def revision_members(revision: StateMachineRevision, request: Document) -> Document:
    """Returns what descriptions of a state machine have of its revision."""
    members: Document = {
        "roleArn": revision.role_arn,
        "loggingConfiguration": logging_document(revision.logging),
        "tracingConfiguration": {"enabled": revision.has_tracing},
        "encryptionConfiguration": ENCRYPTION,
    }
    if request.get("includedData") != METADATA_ONLY:
        members["definition"] = revision.definition
    if revision.variable_references:
        members["variableReferences"] = revision.variable_references
    return members | _revision_member(revision)


async def list_state_machines(context: Context, call: Call, request: Document) -> Document:
    """In the order in which they were made."""
    limit = page_size(request)
    found = await context.ask(c.AskStateMachines(limit + 1, page_place(request)))
    rows = [_summary(context, machine) for machine in found[:limit]]
    last = found[limit - 1] if len(found) > limit else None
    return {"stateMachines": rows} | ({} if last is None else next_place(last.created_at_ms, last.name))


def _summary(context: Context, machine: StateMachine) -> Document:
    return {
        "stateMachineArn": state_machine_arn(context.account, machine.name),
        "name": machine.name,
        "type": machine.kind,
        "creationDate": seconds(machine.created_at_ms),
    }


def page_place(request: Document) -> tuple[int, str]:
    """Returns the place of the last row of the page before, from a token that next_place made."""
    if not request.get("nextToken"):
        return -1, ""
    return json.decode(request["nextToken"], type=tuple[int, str])


def next_place(created_at_ms: int, name: str) -> Document:
    return {"nextToken": json.encode((created_at_ms, name)).decode()}


# -- tags, of state machines and activities --


async def tag_resource(context: Context, call: Call, request: Document) -> Document:
    await context.ask(c.TagResource(request["resourceArn"], tags_of(request["tags"])))
    return {}


async def untag_resource(context: Context, call: Call, request: Document) -> Document:
    await context.ask(c.TagResource(request["resourceArn"], removed=tuple(request["tagKeys"])))
    return {}


async def list_tags_for_resource(context: Context, call: Call, request: Document) -> Document:
    return {"tags": tag_list(await context.ask(c.AskTags(request["resourceArn"])))}


def machine_of(arn: str) -> str:
    """Returns the name of the state machine of an ARN of one. Raises Refused."""
    return parse_arn(arn, STATE_MACHINE).name
