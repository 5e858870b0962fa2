"""Connections and API destinations (observability spec 5.5)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from batchyard.api.events.api_destinations import public
from batchyard.events.api_destinations import ApiDestinationsMachine, AskConnections
from tests.api.service import Service

BASIC = {"BasicAuthParameters": {"Username": "me", "Password": "hidden"}}
KEY = {"ApiKeyAuthParameters": {"ApiKeyName": "X-Key", "ApiKeyValue": "hidden"}}
OAUTH = {
    "OAuthParameters": {
        "ClientParameters": {"ClientID": "id", "ClientSecret": "hidden"},
        "AuthorizationEndpoint": "https://example.org/token",
        "HttpMethod": "POST",
    }
}
URL = "https://example.org/hook/*"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    made.close()


@pytest.fixture
def events(service: Service) -> Any:
    return service.client("events")


def connect(events: Any, name: str = "hook", kind: str = "API_KEY", **parameters: Any) -> str:
    made = events.create_connection(Name=name, AuthorizationType=kind, AuthParameters=parameters or KEY)
    return str(made["ConnectionArn"])


def refused(call: Any, **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**request)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.mark.parametrize(
    ("kind", "parameters"), [("BASIC", BASIC), ("API_KEY", KEY), ("OAUTH_CLIENT_CREDENTIALS", OAUTH)]
)
def test_a_connection_is_described_without_its_secrets(
    service: Service, events: Any, kind: str, parameters: dict[str, Any]
) -> None:
    arn = connect(events, kind=kind, **parameters)
    assert arn.startswith("arn:aws:events:us-east-1:123456789012:connection/hook/")
    shown = events.describe_connection(Name="hook")
    assert (shown["ConnectionState"], shown["AuthorizationType"], shown["ConnectionArn"]) == ("AUTHORIZED", kind, arn)
    assert shown["AuthParameters"] == public(parameters)
    assert ":secret:events!connection/hook/" in shown["SecretArn"]
    assert "hidden" not in str(shown)
    (stored,) = service.do(AskConnections())
    assert b"hidden" not in stored.sealed
    assert b'"hidden"' in service.context.cipher.open(stored.sealed, stored.binding)


def test_secret_values_of_parameters_are_not_shown() -> None:
    entries = [{"Key": "a", "Value": "v", "IsValueSecret": True}, {"Key": "b", "Value": "w", "IsValueSecret": False}]
    shown = public({"InvocationHttpParameters": {"HeaderParameters": entries}})
    assert shown["InvocationHttpParameters"]["HeaderParameters"] == [{"Key": "a", "IsValueSecret": True}, entries[1]]


def test_connections_are_changed_listed_and_deleted(service: Service, events: Any) -> None:
    arn = connect(events)
    connect(events, "other")
    assert refused(events.create_connection, Name="hook", AuthorizationType="API_KEY", AuthParameters=KEY) == (
        "ResourceAlreadyExistsException",
        "Connection hook already exists.",
    )
    service.tick(1000)
    events.update_connection(Name="hook", Description="mine")
    before = service.do(AskConnections())[0]
    events.update_connection(Name="hook", AuthorizationType="BASIC", AuthParameters=BASIC)
    shown = events.describe_connection(Name="hook")
    assert (shown["Description"], shown["AuthorizationType"], shown["ConnectionArn"]) == ("mine", "BASIC", arn)
    assert service.do(AskConnections())[0].sealed != before.sealed
    assert [one["Name"] for one in events.list_connections(NamePrefix="ho")["Connections"]] == ["hook"]
    assert events.list_connections(ConnectionState="CREATING")["Connections"] == []
    assert events.delete_connection(Name="hook")["ConnectionState"] == "DELETING"
    assert refused(events.describe_connection, Name="hook") == (
        "ResourceNotFoundException",
        "Failed to describe the connection(s). Connection 'hook' does not exist.",
    )


@pytest.mark.parametrize(
    ("kind", "parameters", "text"),
    [
        ("MAGIC", KEY, "[BASIC, OAUTH_CLIENT_CREDENTIALS, API_KEY]"),
        ("BASIC", KEY, "need BasicAuthParameters"),
        ("API_KEY", KEY | BASIC, "have no BasicAuthParameters"),
        (
            "OAUTH_CLIENT_CREDENTIALS",
            {"OAuthParameters": OAUTH["OAuthParameters"] | {"AuthorizationEndpoint": "ftp://a"}},
            "http",
        ),
    ],
)
def test_parameters_are_those_of_the_type(events: Any, kind: str, parameters: dict[str, Any], text: str) -> None:
    code, message = refused(events.create_connection, Name="a", AuthorizationType=kind, AuthParameters=parameters)
    assert code == "ValidationException"
    assert text in message


def test_a_destination_needs_a_connection_and_is_inactive_without(events: Any) -> None:
    arn = connect(events)
    request = {"ConnectionArn": arn, "InvocationEndpoint": URL, "HttpMethod": "POST"}
    made = events.create_api_destination(Name="target", **request)
    assert (made["ApiDestinationState"], ":api-destination/target/" in made["ApiDestinationArn"]) == ("ACTIVE", True)
    shown = events.describe_api_destination(Name="target")
    assert {name: shown[name] for name in request} == request
    assert shown["InvocationRateLimitPerSecond"] == 300
    events.update_api_destination(Name="target", HttpMethod="PUT", InvocationRateLimitPerSecond=5, Description="d")
    shown = events.describe_api_destination(Name="target")
    assert (shown["HttpMethod"], shown["InvocationRateLimitPerSecond"], shown["Description"]) == ("PUT", 5, "d")
    assert events.list_api_destinations(ConnectionArn=arn)["ApiDestinations"][0]["Name"] == "target"
    events.delete_connection(Name="hook")
    assert events.describe_api_destination(Name="target")["ApiDestinationState"] == "INACTIVE"
    code, message = refused(events.create_api_destination, Name="second", **request)
    assert (code, message) == ("ResourceNotFoundException", "Connection 'hook' does not exist.")
    events.delete_api_destination(Name="target")
    assert refused(events.describe_api_destination, Name="target") == (
        "ResourceNotFoundException",
        "Failed to describe the api-destination(s). An api-destination 'target' does not exist.",
    )


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"ConnectionArn": "arn:aws:events:us-east-1:123456789012:connection/a"}, "connectionArn"),
        ({"InvocationEndpoint": "ftp://a"}, "http or https"),
        ({"HttpMethod": "BREW"}, "POST, GET"),
    ],
)
def test_what_a_destination_cannot_be_is_refused(events: Any, changed: dict[str, Any], text: str) -> None:
    request = {"ConnectionArn": connect(events), "InvocationEndpoint": URL, "HttpMethod": "POST"} | changed
    code, message = refused(events.create_api_destination, Name="a", **request)
    assert code == "ValidationException"
    assert text in message


def test_they_are_there_after_a_restart(service: Service, events: Any) -> None:
    arn = connect(events)
    events.create_api_destination(Name="t", ConnectionArn=arn, InvocationEndpoint=URL, HttpMethod="POST")
    before = events.describe_connection(Name="hook"), events.describe_api_destination(Name="t")
    service.api_destinations = ApiDestinationsMachine()
    service.api_destinations.restore(service.writer.load(service.now_ms).documents)
    after = events.describe_connection(Name="hook"), events.describe_api_destination(Name="t")
    for shown in (*before, *after):
        shown.pop("ResponseMetadata")
    assert after == before
