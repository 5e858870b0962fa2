"""Versions and aliases of state machines (step functions spec 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from batchyard.api.context import Call, Context
from batchyard.api.states.requests import BAD_TOKEN_TEXT, INVALID_TOKEN, page_size, seconds
from batchyard.core.model.refusal import Refused
from batchyard.wire.messages import Document
from batchyard.workflows import registry_commands as c
from batchyard.workflows.arns import state_machine_arn
from batchyard.workflows.records import StateMachineAlias, StateMachineVersion

Row = TypeVar("Row")


async def publish_state_machine_version(context: Context, call: Call, request: Document) -> Document:
    """stateMachineArn -> stateMachineVersionArn, creationDate. What is published already keeps its version."""
    command = c.PublishVersion(
        request["stateMachineArn"], request.get("revisionId", ""), request.get("description", "")
    )
    return _version(context, await context.ask(command))


async def list_state_machine_versions(context: Context, call: Call, request: Document) -> Document:
    """The newest first."""
    found = await context.ask(c.AskVersions(request["stateMachineArn"]))
    shown, more = _page(request, found)
    return {"stateMachineVersions": [_version(context, one) for one in shown]} | more


async def delete_state_machine_version(context: Context, call: Call, request: Document) -> Document:
    await context.ask(c.DeleteVersion(request["stateMachineVersionArn"]))
    return {}


def _version(context: Context, version: StateMachineVersion) -> Document:
    return {
        "stateMachineVersionArn": state_machine_arn(context.account, version.machine, version.number),
        "creationDate": seconds(version.created_at_ms),
    }


# -- aliases --


async def create_state_machine_alias(context: Context, call: Call, request: Document) -> Document:
    """name, routingConfiguration -> stateMachineAliasArn, creationDate."""
    command = c.CreateAlias(request["name"], _routes(request), request.get("description", ""))
    return _summary(context, await context.ask(command))


async def update_state_machine_alias(context: Context, call: Call, request: Document) -> Document:
    command = c.UpdateAlias(request["stateMachineAliasArn"], _routes(request), request.get("description"))
    return {"updateDate": seconds((await context.ask(command)).updated_at_ms)}


async def delete_state_machine_alias(context: Context, call: Call, request: Document) -> Document:
    await context.ask(c.DeleteAlias(request["stateMachineAliasArn"]))
    return {}


async def describe_state_machine_alias(context: Context, call: Call, request: Document) -> Document:
    alias = await context.ask(c.AskAlias(request["stateMachineAliasArn"]))
    document = _summary(context, alias) | {
        "name": alias.name,
        "routingConfiguration": [
            {
                "stateMachineVersionArn": state_machine_arn(context.account, alias.machine, route.version),
                "weight": route.weight,
            }
            for route in alias.routes
        ],
        "updateDate": seconds(alias.updated_at_ms),
    }
    return document | ({"description": alias.description} if alias.description else {})


async def list_state_machine_aliases(context: Context, call: Call, request: Document) -> Document:
    """In the order in which they were made; by the ARN of a version those that use it."""
    found = await context.ask(c.AskAliases(request["stateMachineArn"]))
    shown, more = _page(request, found)
    return {"stateMachineAliases": [_summary(context, one) for one in shown]} | more


def _routes(request: Document) -> tuple[c.AliasRoute, ...]:
    given = request.get("routingConfiguration", [])
    return tuple(c.AliasRoute(route["stateMachineVersionArn"], route["weight"]) for route in given)


def _summary(context: Context, alias: StateMachineAlias) -> Document:
    return {
        "stateMachineAliasArn": state_machine_arn(context.account, alias.machine, alias.name),
        "creationDate": seconds(alias.created_at_ms),
    }


def _page(request: Document, rows: Sequence[Row]) -> tuple[Sequence[Row], Document]:
    """Returns one page of rows, and the member for the next one. A token is the number of rows shown before: there are
    at most a thousand, and a version or alias deleted meanwhile moves the page by one."""
    token, limit = request.get("nextToken") or "0", page_size(request)
    if not token.isdigit():
        raise Refused(BAD_TOKEN_TEXT, INVALID_TOKEN)
    end = int(token) + limit
    return rows[int(token) : end], {"nextToken": str(end)} if len(rows) > end else {}
