"""Sends messages to API destinations: HTTP requests that their connections authorise (observability spec 5.5)."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from msgspec import Struct, convert, json

from batchyard.api.context import CipherError, SecretCipher
from batchyard.core.model.commands import Command
from batchyard.core.model.deliveries import Message
from batchyard.events.api_destinations import ApiDestination, AskHttpRoute, Connection
from batchyard.events.target_kinds import HttpTarget
from batchyard.loop import Busy, Stopped
from batchyard.server.deliveries.http_client import MAX_ANSWER_BYTES, Answer, Forbidden, HttpClient, Unreachable
from batchyard.server.deliveries.sender import ARRIVED, Outcome

TIMEOUT_SECONDS = 5.0  # AWS's, of an API destination
USER_AGENT = "Amazon/EventBridge/ApiDestinations"
CONTENT_TYPE = "application/json; charset=utf-8"
BODILESS = ("GET", "HEAD", "OPTIONS")
REFUSED_TOKEN = (401, 407)  # a token of OAuth is renewed then
TOO_MANY_REQUESTS = 429
SERVER_ERRORS = 500
SUCCESS, REDIRECTS = range(200, 300), range(300, 400)
TOKEN_MARGIN_SECONDS = 30.0  # before its end a token is renewed
DEFAULT_TOKEN_SECONDS = 300.0  # of a token whose answer does not say
MAX_RATES = 1000  # destinations whose last request is remembered


class RequestFailed(Exception):
    """The request cannot be made or sent. `outcome`: what follows."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.error)
        self.outcome = outcome


class NoToken(RequestFailed):
    """The authorization endpoint of the connection gave no token."""


class HttpRequest(Struct, frozen=True):
    method: str
    url: str
    headers: dict[str, str]
    body: bytes


class ConnectionRequests:
    """Sends requests that connections authorise. `now`: a clock in seconds that never goes back; `timeout_seconds` and
    `answer_bytes`: of each request."""

    def __init__(
        self,
        http: HttpClient,
        cipher: SecretCipher,
        now: Callable[[], float],
        timeout_seconds: float = TIMEOUT_SECONDS,
        answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self._http, self._cipher, self._now = http, cipher, now
        self._timeout_seconds, self._answer_bytes = timeout_seconds, answer_bytes
        self._tokens: dict[tuple[str, int], tuple[str, float]] = {}  # by connection and its time: token and end

    async def send(self, target: HttpTarget, body: str, destination: ApiDestination, connection: Connection) -> Answer:
        """Sends one request; a token that is refused is renewed once. Raises RequestFailed."""
        parameters = await self._parameters(connection)
        answer = await self._request(target, body, destination, connection, parameters)
        if answer.status in REFUSED_TOKEN and "OAuthParameters" in parameters:
            self._tokens.pop(_token_key(connection), None)
            answer = await self._request(target, body, destination, connection, parameters)
        return answer

    async def _parameters(self, connection: Connection) -> dict[str, Any]:
        """Returns AuthParameters with their secrets."""
        try:
            opened = await asyncio.to_thread(self._cipher.open, connection.sealed, connection.binding)
        except CipherError as error:
            raise RequestFailed(Outcome("NO_PERMISSIONS", f"The connection {connection.name}: {error}")) from error
        parameters: dict[str, Any] = json.decode(opened)
        return parameters

    async def _request(
        self,
        target: HttpTarget,
        body: str,
        destination: ApiDestination,
        connection: Connection,
        parameters: Mapping[str, Any],
    ) -> Answer:
        token = await self._token(connection, parameters) if "OAuthParameters" in parameters else ""
        return await self._http_send(request_of(target, body, destination, parameters, token))

    async def _http_send(self, request: HttpRequest) -> Answer:
        try:
            return await self._http.send(
                request.method, request.url, request.headers, request.body, self._timeout_seconds, self._answer_bytes
            )
        except Unreachable as error:
            outcome = Outcome("TIMEOUT" if error.is_timeout else "CONNECTION_FAILURE", str(error))
            raise RequestFailed(outcome) from error
        except Forbidden as error:
            raise RequestFailed(Outcome("NO_PERMISSIONS", str(error), is_final=True)) from error
        except ValueError as error:
            raise RequestFailed(Outcome("INVALID_PARAMETER", str(error), is_final=True)) from error

    async def _token(self, connection: Connection, parameters: Mapping[str, Any]) -> str:
        """Returns the token of OAuth client credentials, kept until shortly before its end."""
        known = self._tokens.get(_token_key(connection))
        if known is not None and known[1] > self._now():
            return known[0]
        answer = await self._http_send(token_request(parameters["OAuthParameters"]))
        try:
            document = json.decode(answer.body) if answer.status in SUCCESS else {}
            token = f"{document.get('token_type') or 'Bearer'} {document['access_token']}"
            seconds = float(document.get("expires_in") or DEFAULT_TOKEN_SECONDS)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"The authorization endpoint of {connection.name} gave no token: HTTP {answer.status}."
            raise NoToken(Outcome("NO_PERMISSIONS", reason)) from error
        self._tokens = {key: kept for key, kept in self._tokens.items() if kept[1] > self._now()}
        self._tokens[_token_key(connection)] = token, self._now() + max(seconds - TOKEN_MARGIN_SECONDS, 1.0)
        return token


class ApiDestinationChannel:
    """A channel (server.deliveries.sender). `ask`: gives commands to the machines; `now`: a clock in seconds that never
    goes back."""

    def __init__(
        self,
        http: HttpClient,
        ask: Callable[[Command[Any]], Awaitable[Any]],
        cipher: SecretCipher,
        now: Callable[[], float],
    ) -> None:
        self._requests, self._ask, self._now = ConnectionRequests(http, cipher, now), ask, now
        self._next: dict[str, float] = {}  # by destination: when its rate allows the next request

    async def send(self, message: Message) -> Outcome:
        try:
            return await self._send(convert(message.target, HttpTarget), message.body)
        except RequestFailed as failure:
            return failure.outcome

    async def _send(self, target: HttpTarget, body: str) -> Outcome:
        try:
            route = await self._ask(AskHttpRoute(target.destination))
        except (Busy, Stopped) as error:
            raise RequestFailed(Outcome("THROTTLING", "The service has too much to do.")) from error
        if route is None or route.connection is None:
            missing = f"the API destination {target.destination}" if route is None else "its connection"
            raise RequestFailed(Outcome("NO_RESOURCE", f"There is no more {missing}.", is_final=True))
        connection: Connection = route.connection
        await self._wait_for_turn(route.destination)
        return outcome_of(await self._requests.send(target, body, route.destination, connection), datetime.now(UTC))

    async def _wait_for_turn(self, destination: ApiDestination) -> None:
        now = self._now()
        if len(self._next) >= MAX_RATES:
            self._next = {name: at for name, at in self._next.items() if at > now}
        turn = max(now, self._next.get(destination.uuid, now))
        self._next[destination.uuid] = turn + 1 / destination.rate_per_second
        if turn > now:
            await asyncio.sleep(turn - now)


def _token_key(connection: Connection) -> tuple[str, int]:
    return connection.uuid, connection.authorized_at_ms


def request_of(
    target: HttpTarget, body: str, destination: ApiDestination, parameters: Mapping[str, Any], token: str = ""
) -> HttpRequest:
    """Returns the request for one message. What the connection adds comes before what the target adds."""
    common = parameters.get("InvocationHttpParameters") or {}
    headers = {"Content-Type": CONTENT_TYPE, "User-Agent": USER_AGENT, **target.headers}
    headers = _merged(headers, dict(_pairs(common.get("HeaderParameters"))))
    headers = _merged(headers, _authorization(parameters, token))
    endpoint = destination.endpoint
    for value in target.path_values:
        endpoint = endpoint.replace("*", quote(value, safe=""), 1)
    url = with_query(endpoint, [*target.query.items(), *_pairs(common.get("QueryStringParameters"))])
    if destination.method in BODILESS:
        return HttpRequest(destination.method, url, headers, b"")
    return HttpRequest(destination.method, url, headers, _with_members(body, _pairs(common.get("BodyParameters"))))


def token_request(oauth: Mapping[str, Any]) -> HttpRequest:
    """Returns the request for a token of client credentials (RFC 6749, 4.4)."""
    client, more = oauth["ClientParameters"], oauth.get("OAuthHttpParameters") or {}
    form = [
        ("grant_type", "client_credentials"),
        ("client_id", client["ClientID"]),
        ("client_secret", client["ClientSecret"]),
        *_pairs(more.get("BodyParameters")),
    ]
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8", "User-Agent": USER_AGENT}
    headers = _merged(headers, dict(_pairs(more.get("HeaderParameters"))))
    query = _pairs(more.get("QueryStringParameters"))
    if oauth["HttpMethod"] == "GET":
        return HttpRequest("GET", with_query(oauth["AuthorizationEndpoint"], [*query, *form]), headers, b"")
    url = with_query(oauth["AuthorizationEndpoint"], query)
    return HttpRequest(oauth["HttpMethod"], url, headers, urlencode(form).encode())


def outcome_of(answer: Answer, now: datetime) -> Outcome:
    """Returns what an answer means: only 429 and 5xx are tried again."""
    if answer.status in SUCCESS:
        return ARRIVED
    text = f"The endpoint answered with HTTP {answer.status}."
    if answer.status == TOO_MANY_REQUESTS or answer.status >= SERVER_ERRORS:
        seconds = _retry_after(answer.headers.get("retry-after", ""), now)
        code = "THROTTLING" if answer.status == TOO_MANY_REQUESTS else "SDK_SERVER_ERROR"
        return Outcome(code, text, is_final=seconds < 0, retry_after_ms=int(max(seconds, 0) * 1000))
    if answer.status in REDIRECTS:
        text = f"{text[:-1]}, and redirects are not followed."
    return Outcome("SDK_CLIENT_ERROR", text, is_final=True)


def _retry_after(value: str, now: datetime) -> float:
    """Returns the seconds that Retry-After asks; negative: never again; 0: it asks nothing."""
    try:
        return float(int(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def _authorization(parameters: Mapping[str, Any], token: str) -> dict[str, str]:
    if token:
        return {"Authorization": token}
    if basic := parameters.get("BasicAuthParameters"):
        pair = f"{basic['Username']}:{basic['Password']}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    key = parameters["ApiKeyAuthParameters"]
    return {key["ApiKeyName"].strip(): key["ApiKeyValue"].strip()}


def _pairs(entries: list[dict[str, Any]] | None) -> list[tuple[str, str]]:
    return [(entry.get("Key", ""), entry.get("Value", "")) for entry in entries or ()]


def _merged(headers: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Returns headers with those of `more` instead of their own of the same name."""
    names = {name.lower() for name in more}
    return {name: value for name, value in headers.items() if name.lower() not in names} | dict(more)


def with_query(url: str, pairs: list[tuple[str, str]]) -> str:
    """Returns a URL with more in its query."""
    if not pairs:
        return url
    parts = urlsplit(url)
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), *pairs])
    return urlunsplit(parts._replace(query=query))


def _with_members(body: str, pairs: list[tuple[str, str]]) -> bytes:
    """Returns the body with members added, where it is a JSON object."""
    if pairs and body.lstrip().startswith("{"):
        try:
            return json.encode({**json.decode(body), **dict(pairs)})
        except ValueError:
            pass
    return body.encode(errors="replace")
