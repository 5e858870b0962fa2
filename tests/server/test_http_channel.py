"""API destinations as targets: what is sent, and what an answer means (observability spec 5.5)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from batchyard.api.context import CipherError
from batchyard.core.model.deliveries import Message
from batchyard.events.api_destinations import ApiDestination, AskHttpRoute, Connection, HttpRoute
from batchyard.events.target_kinds import HttpTarget
from batchyard.server.deliveries import http_channel
from batchyard.server.deliveries.http_channel import ApiDestinationChannel, outcome_of, request_of
from batchyard.server.deliveries.http_client import Answer, Forbidden, Unreachable
from batchyard.server.deliveries.sender import ARRIVED, Outcome

NOW = datetime(2026, 11, 28, 8, 0, tzinfo=UTC)
ANSWERED, MINUTE_LATER = "The endpoint answered with HTTP", "Sat, 28 Nov 2026 08:01:00 GMT"
KEY = {"ApiKeyAuthParameters": {"ApiKeyName": "X-Key", "ApiKeyValue": "secret"}}
OAUTH = {
    "OAuthParameters": {
        "ClientParameters": {"ClientID": "id", "ClientSecret": "cs"},
        "AuthorizationEndpoint": "http://auth/token?a=1",
        "HttpMethod": "POST",
        "OAuthHttpParameters": {"BodyParameters": [{"Key": "scope", "Value": "all"}]},
    }
}


class Http:
    """A client that keeps requests and answers with what the test gives it."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float, answer_bytes: int
    ) -> Answer:
        self.requests.append((method, url, dict(headers), body))
        answer = self.answers.pop(0) if self.answers else Answer(200, {}, b"")
        if isinstance(answer, Exception):
            raise answer
        return answer


class Cipher:
    fails = False

    def open(self, sealed: bytes, bound_to: str) -> bytes:
        if self.fails:
            raise CipherError("no key")
        assert bound_to == "connection/hook/u1"
        return sealed


class Channel:
    def __init__(self, http: Http, parameters: dict[str, Any], **destination: Any) -> None:
        made = {"endpoint": "http://host/hook", "method": "POST", "rate_per_second": 300} | destination
        self.destination: ApiDestination | None = ApiDestination(
            "d", "u2", "hook/u1", created_at_ms=0, modified_at_ms=0, **made
        )
        self.connection: Connection | None = Connection("hook", "u1", "X", {}, json.dumps(parameters).encode(), 0, 0, 1)
        self.cipher, self.now = Cipher(), 0.0
        self.channel = ApiDestinationChannel(http, self._ask, self.cipher, lambda: self.now)  # type: ignore[arg-type]

    async def _ask(self, command: Any) -> Any:
        assert command == AskHttpRoute("d")
        return None if self.destination is None else HttpRoute(self.destination, self.connection)

    def send(self, body: str = '{"a":1}') -> Outcome:
        return asyncio.run(self.channel.send(Message("lane", "http", {"destination": "d"}, body, "token")))


def request(
    body: str = '{"a":1}', parameters: dict[str, Any] | None = None, method: str = "POST", **target: Any
) -> Any:
    destination = ApiDestination("d", "u", "c/u", "http://host/*/x/*?q=1", method, 0, 0, 300)
    return request_of(HttpTarget("d", **target), body, destination, parameters or KEY)


def test_a_request_has_what_target_and_connection_add() -> None:
    common = {
        "HeaderParameters": [{"Key": "X-Both", "Value": "connection"}],
        "QueryStringParameters": [{"Key": "c", "Value": "2 3"}],
        "BodyParameters": [{"Key": "b", "Value": "2"}],
    }
    made = request(
        parameters=KEY | {"InvocationHttpParameters": common},
        path_values=("a/b", "c"),
        headers={"x-both": "target", "X-Own": "1"},
        query={"t": "1"},
    )
    assert made.url == "http://host/a%2Fb/x/c?q=1&t=1&c=2+3"
    assert made.headers == {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "Amazon/EventBridge/ApiDestinations",
        "X-Own": "1",
        "X-Both": "connection",
        "X-Key": "secret",
    }
    assert json.loads(made.body) == {"a": 1, "b": "2"}


def test_bodies_that_are_no_objects_and_methods_without_one() -> None:
    more = {"InvocationHttpParameters": {"BodyParameters": [{"Key": "b", "Value": "2"}]}}
    assert request('"text"', KEY | more).body == b'"text"'
    assert request("{broken", KEY | more).body == b"{broken"
    assert request(method="GET").body == b""
    basic = {"BasicAuthParameters": {"Username": "me", "Password": "pw"}}
    assert request(parameters=basic).headers["Authorization"] == "Basic bWU6cHc="


@pytest.mark.parametrize(
    ("status", "headers", "outcome"),
    [
        (204, {}, ARRIVED),
        (429, {"retry-after": "7"}, Outcome("THROTTLING", "The endpoint answered with HTTP 429.", retry_after_ms=7000)),
        (503, {"retry-after": MINUTE_LATER}, Outcome("SDK_SERVER_ERROR", f"{ANSWERED} 503.", retry_after_ms=60_000)),
        (500, {"retry-after": "-1"}, Outcome("SDK_SERVER_ERROR", f"{ANSWERED} 500.", is_final=True)),
        (500, {"retry-after": "soon"}, Outcome("SDK_SERVER_ERROR", "The endpoint answered with HTTP 500.")),
        (404, {}, Outcome("SDK_CLIENT_ERROR", "The endpoint answered with HTTP 404.", is_final=True)),
        (301, {}, Outcome("SDK_CLIENT_ERROR", f"{ANSWERED} 301, and redirects are not followed.", is_final=True)),
    ],
)  # fmt: skip
def test_only_429_and_server_errors_are_tried_again(status: int, headers: dict[str, str], outcome: Outcome) -> None:
    assert outcome_of(Answer(status, headers, b""), NOW) == outcome


@pytest.mark.parametrize(
    ("failure", "code", "is_final"),
    [
        (Unreachable("no answer", is_timeout=True), "TIMEOUT", False),
        (Unreachable("refused"), "CONNECTION_FAILURE", False),
        (Forbidden("private"), "NO_PERMISSIONS", True),
        (ValueError("a header"), "INVALID_PARAMETER", True),
    ],
)
def test_what_keeps_a_request_from_its_target_is_an_outcome(failure: Exception, code: str, is_final: bool) -> None:
    outcome = Channel(Http(failure), KEY).send()
    assert (outcome.error_code, outcome.error, outcome.is_final) == (code, str(failure), is_final)


def test_a_target_that_is_gone_is_given_up_and_an_unreadable_secret_is_not() -> None:
    channel = Channel(Http(), KEY)
    channel.cipher.fails = True
    assert channel.send() == Outcome("NO_PERMISSIONS", "The connection hook: no key")
    channel.connection = None
    assert channel.send() == Outcome("NO_RESOURCE", "There is no more its connection.", is_final=True)
    channel.destination = None
    assert channel.send().is_final


def test_a_token_of_oauth_is_kept_until_its_end_and_renewed_when_it_is_refused() -> None:
    token = Answer(200, {}, b'{"access_token": "t1", "expires_in": 100}')
    fresh = Answer(200, {}, b'{"access_token": "t2", "token_type": "MAC", "expires_in": 100}')
    http = Http(token, Answer(200, {}, b""), Answer(200, {}, b""), Answer(401, {}, b""), fresh)
    channel = Channel(http, OAUTH)
    assert [channel.send() for _ in range(3)] == [ARRIVED] * 3
    method, url, headers, body = http.requests[0]
    assert (method, url, body) == (
        "POST",
        "http://auth/token?a=1",
        b"grant_type=client_credentials&client_id=id&client_secret=cs&scope=all",
    )
    assert headers["Content-Type"].startswith("application/x-www-form-urlencoded")
    used = [headers.get("Authorization") for _, _, headers, _ in http.requests]
    assert used == [None, "Bearer t1", "Bearer t1", "Bearer t1", None, "MAC t2"]
    channel.now = 1000.0
    http.answers = [Answer(500, {}, b"")]
    assert channel.send() == Outcome("NO_PERMISSIONS", "The authorization endpoint of hook gave no token: HTTP 500.")


def test_requests_beyond_the_rate_of_a_destination_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(http_channel.asyncio, "sleep", sleep)
    channel = Channel(Http(), KEY, rate_per_second=4)
    for _ in range(3):
        channel.send()
    assert waited == [0.25, 0.5]
