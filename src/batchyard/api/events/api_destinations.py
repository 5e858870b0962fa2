"""Connections and API destinations (observability spec 5.5)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from msgspec import json

from batchyard.api.context import Call, Context
from batchyard.api.events.requests import check_name, invalid, page
from batchyard.api.secret_values import seal
from batchyard.core.model.refusal import Refused
from batchyard.events import api_destinations as d
from batchyard.wire.messages import Document

AUTHORIZATION_TYPES = ("BASIC", "OAUTH_CLIENT_CREDENTIALS", "API_KEY")
METHODS = ("POST", "GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE")
OAUTH_METHODS = ("GET", "POST", "PUT")
# The member of AuthParameters that each type needs.
NEEDED = {
    "BASIC": "BasicAuthParameters",
    "OAUTH_CLIENT_CREDENTIALS": "OAuthParameters",
    "API_KEY": "ApiKeyAuthParameters",
}
SECRET_MEMBERS = ("Password", "ApiKeyValue", "ClientSecret")
NOT_HONOURED = ("InvocationConnectivityParameters", "KmsKeyIdentifier")
DEFAULT_RATE = 300  # requests a second, EventBridge's
CONNECTION_ARN = re.compile(
    r"arn:aws[a-z-]*:events:[a-z0-9-]*:(?:[0-9]{12})?:connection/([.\-_A-Za-z0-9]+/[-A-Za-z0-9]+)"
)
ENDPOINT = re.compile(r"https?://[^/?#\s]+\S*", re.ASCII | re.IGNORECASE)
AUTHORIZED = "AUTHORIZED"


async def create_connection(context: Context, call: Call, request: Document) -> Document:
    """Name, AuthorizationType, AuthParameters, Description -> ConnectionArn, ConnectionState."""
    check_name(request["Name"], "name")
    name, uuid, kind = request["Name"], context.new_uuid(), request["AuthorizationType"]
    parameters = _checked(request, kind)
    sealed = await _sealed(context, name, uuid, parameters)
    made = d.Connection(name, uuid, kind, public(parameters), sealed, 0, 0, 0, request.get("Description", ""))
    connection = await context.ask(d.CreateConnection(made))
    state = "AUTHORIZING" if kind == "OAUTH_CLIENT_CREDENTIALS" else AUTHORIZED
    return _changed(context, connection) | {"ConnectionState": state}


async def update_connection(context: Context, call: Call, request: Document) -> Document:
    known = await _find_connection(context, request["Name"])
    kind, parameters, sealed = request.get("AuthorizationType", ""), None, b""
    if kind or request.get("AuthParameters"):
        given = _checked(request, kind or known.authorization_type)
        parameters, sealed = public(given), await _sealed(context, known.name, known.uuid, given)
    command = d.UpdateConnection(known.name, kind, parameters, sealed, request.get("Description"))
    return _changed(context, await context.ask(command))


async def describe_connection(context: Context, call: Call, request: Document) -> Document:
    """What is secret of it is not shown."""
    connection = await _find_connection(context, request["Name"])
    secret = f"events!connection/{connection.name}/{connection.uuid}"
    answer = _connection(context, connection) | {
        "SecretArn": context.account.arn("secretsmanager", f"secret:{secret}-{connection.uuid[:6]}"),
        "AuthParameters": connection.parameters,
    }
    return answer | ({"Description": connection.description} if connection.description else {})


async def list_connections(context: Context, call: Call, request: Document) -> Document:
    """By name; NamePrefix, ConnectionState."""
    prefix, state = request.get("NamePrefix", ""), request.get("ConnectionState", AUTHORIZED)
    found = [
        one for one in await context.ask(d.AskConnections()) if one.name.startswith(prefix) and state == AUTHORIZED
    ]
    return page(request, "Connections", [(one.name, _connection(context, one)) for one in found])


async def delete_connection(context: Context, call: Call, request: Document) -> Document:
    connection = await context.ask(d.DeleteConnection(request["Name"]))
    return _changed(context, connection) | {"ConnectionState": "DELETING"}


# -- API destinations --


async def create_api_destination(context: Context, call: Call, request: Document) -> Document:
    """Name, ConnectionArn, InvocationEndpoint, HttpMethod, InvocationRateLimitPerSecond -> ApiDestinationArn."""
    check_name(request["Name"], "name")
    made = d.ApiDestination(
        request["Name"],
        context.new_uuid(),
        _connection_of(request["ConnectionArn"]),
        _endpoint(request["InvocationEndpoint"]),
        _one_of(request["HttpMethod"], METHODS, "httpMethod"),
        0,
        0,
        _rate(request) or DEFAULT_RATE,
        request.get("Description", ""),
    )
    return await _written(context, await context.ask(d.CreateApiDestination(made)))


async def update_api_destination(context: Context, call: Call, request: Document) -> Document:
    arn, endpoint, method = (request.get(name) for name in ("ConnectionArn", "InvocationEndpoint", "HttpMethod"))
    command = d.UpdateApiDestination(
        request["Name"],
        None if arn is None else _connection_of(arn),
        None if endpoint is None else _endpoint(endpoint),
        None if method is None else _one_of(method, METHODS, "httpMethod"),
        _rate(request),
        request.get("Description"),
    )
    return await _written(context, await context.ask(command))


async def describe_api_destination(context: Context, call: Call, request: Document) -> Document:
    name = request["Name"]
    for one in await context.ask(d.AskApiDestinations()):
        if one.name == name:
            shown = await _destination(context, one)
            return shown | ({"Description": one.description} if one.description else {})
    raise Refused(
        f"Failed to describe the api-destination(s). An api-destination '{name}' does not exist.", d.NOT_FOUND
    )


async def list_api_destinations(context: Context, call: Call, request: Document) -> Document:
    """By name; NamePrefix, ConnectionArn."""
    prefix, arn = request.get("NamePrefix", ""), request.get("ConnectionArn")
    wanted = None if arn is None else _connection_of(arn)
    found = [
        one
        for one in await context.ask(d.AskApiDestinations())
        if one.name.startswith(prefix) and wanted in (None, one.connection)
    ]
    return page(request, "ApiDestinations", [(one.name, await _destination(context, one)) for one in found])


async def delete_api_destination(context: Context, call: Call, request: Document) -> Document:
    await context.ask(d.DeleteApiDestination(request["Name"]))
    return {}


# -- requests --


def _checked(request: Document, kind: str) -> Document:
    """Returns AuthParameters. Raises Refused where they are not those of the type."""
    for member in NOT_HONOURED:
        if request.get(member):
            raise invalid(f"{member} is not built here: leave it out.")
    _one_of(kind, AUTHORIZATION_TYPES, "authorizationType")
    parameters: Document = request.get("AuthParameters") or {}
    if parameters.get("ConnectivityParameters"):
        raise invalid("ConnectivityParameters is not built here: leave it out.")
    if not parameters.get(NEEDED[kind]):
        raise invalid(f"AuthParameters of the type {kind} need {NEEDED[kind]}.")
    others = [member for member in NEEDED.values() if member != NEEDED[kind] and parameters.get(member)]
    if others:
        raise invalid(f"AuthParameters of the type {kind} have no {', '.join(others)}.")
    if kind == "OAUTH_CLIENT_CREDENTIALS":
        _endpoint(parameters[NEEDED[kind]]["AuthorizationEndpoint"])
        _one_of(parameters[NEEDED[kind]]["HttpMethod"], OAUTH_METHODS, "httpMethod")
    return parameters


async def _sealed(context: Context, name: str, uuid: str, parameters: Document) -> bytes:
    binding = d.binding_of(name, uuid)
    return (await seal(context, json.encode(parameters), binding, uuid, "InternalException")).sealed


def public(value: Any) -> Any:
    """Returns AuthParameters without what is secret in them."""
    if isinstance(value, list):
        return [public(one) for one in value]
    if not isinstance(value, dict):
        return value
    hidden = {"Value"} if value.get("IsValueSecret") else set()
    return {name: public(one) for name, one in value.items() if name not in SECRET_MEMBERS and name not in hidden}


def _connection_of(arn: str) -> str:
    """Returns name and uuid of a connection's ARN."""
    found = CONNECTION_ARN.fullmatch(arn)
    if found is None:
        raise invalid(
            f"1 validation error detected: Value '{arn}' at 'connectionArn' failed to satisfy constraint: Member must "
            "satisfy regular expression pattern: "
            r"^arn:aws([a-z]|\-)*:events:([a-z]|\d|\-)*:([0-9]{12})?:connection\/[\.\-_A-Za-z0-9]+\/[\-A-Za-z0-9]+$"
        )
    return found[1]


def _endpoint(url: str) -> str:
    if not ENDPOINT.fullmatch(url) or not url.isascii():
        raise invalid(f"Parameter InvocationEndpoint is not valid. Reason: {url} is no http or https URL.")
    return url


def _one_of(value: str, allowed: Sequence[str], member: str) -> str:
    if value not in allowed:
        raise invalid(
            f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must "
            f"satisfy enum value set: [{', '.join(allowed)}]"
        )
    return value


def _rate(request: Document) -> int | None:
    rate = request.get("InvocationRateLimitPerSecond")
    if rate is not None and rate < 1:
        raise invalid(f"InvocationRateLimitPerSecond must be at least 1, got {rate}.")
    return rate


# -- answers --


async def _find_connection(context: Context, name: str) -> d.Connection:
    for one in await context.ask(d.AskConnections()):
        if one.name == name:
            return one
    raise Refused(f"Failed to describe the connection(s). Connection '{name}' does not exist.", d.NOT_FOUND)


def _times(record: d.Connection | d.ApiDestination) -> Document:
    return {"CreationTime": record.created_at_ms / 1000, "LastModifiedTime": record.modified_at_ms / 1000}


def _changed(context: Context, connection: d.Connection) -> Document:
    return {
        "ConnectionArn": d.connection_arn(context.account, connection),
        "ConnectionState": AUTHORIZED,
        **_times(connection),
    }


def _connection(context: Context, connection: d.Connection) -> Document:
    return _changed(context, connection) | {
        "Name": connection.name,
        "AuthorizationType": connection.authorization_type,
        "LastAuthorizedTime": connection.authorized_at_ms / 1000,
    }


async def _state(context: Context, destination: d.ApiDestination) -> str:
    route = await context.ask(d.AskHttpRoute(destination.name))
    return "ACTIVE" if route is not None and route.connection is not None else "INACTIVE"


async def _written(context: Context, destination: d.ApiDestination) -> Document:
    return {
        "ApiDestinationArn": d.destination_arn(context.account, destination),
        "ApiDestinationState": await _state(context, destination),
        **_times(destination),
    }


async def _destination(context: Context, destination: d.ApiDestination) -> Document:
    return await _written(context, destination) | {
        "Name": destination.name,
        "ConnectionArn": context.account.arn("events", f"connection/{destination.connection}"),
        "InvocationEndpoint": destination.endpoint,
        "HttpMethod": destination.method,
        "InvocationRateLimitPerSecond": destination.rate_per_second,
    }
