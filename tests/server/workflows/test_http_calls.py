"""HTTP tasks: what is sent, and what an answer is to an execution."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from batchyard.server.deliveries.http_client import Answer, Forbidden, HttpClient, Unreachable
from batchyard.server.workflows.http_calls import HttpCalls
from batchyard.workflows.commands import AbandonCall, CallAbandoned
from batchyard.workflows.resources import parse_resource
from tests.server.test_http_channel import Http
from tests.server.workflows.calling import EXECUTION_ARN, Yard

INVOKE = "arn:aws:states:::http:invoke"
AUTHORISED: dict[str, Any] = {"ApiKeyAuthParameters": {"ApiKeyName": "X-Key", "ApiKeyValue": "secret"}}


def connect(yard: Yard) -> str:
    made = yard.service.client("events").create_connection(
        Name="hook",
        AuthorizationType="API_KEY",
        AuthParameters=AUTHORISED
        | {"InvocationHttpParameters": {"BodyParameters": [{"Key": "from", "Value": "yard"}]}},
    )
    return str(made["ConnectionArn"])


def arguments(arn: str, **more: Any) -> dict[str, Any]:
    return {"ApiEndpoint": "http://api/v1?a=1", "Method": "POST", "Authentication": {"ConnectionArn": arn}} | more


def test_a_request_is_what_task_and_connection_say_and_its_answer_the_output(tmp_path: Path) -> None:
    async def scenario(yard: Yard) -> None:
        output = await yard.output(INVOKE, asked)
        assert output == {
            "Headers": {"content-type": ["application/json"]},
            "ResponseBody": {"id": 5},
            "StatusCode": 201,
            "StatusText": "Created",
        }
        (request,) = yard.http.requests
        assert request == (
            "POST",
            "http://api/v1?a=1&q=x",
            {
                "User-Agent": "Amazon|StepFunctions|HttpInvoke|us-east-1",
                "X-A": "1",
                "Content-Type": "application/json;charset=UTF-8",
                "X-Key": "secret",
            },
            b'{"name":"n","from":"yard"}',
        )

    with Yard(tmp_path) as yard:
        asked = arguments(connect(yard), RequestBody={"name": "n"}, Headers={"X-A": "1"}, QueryParameters={"q": "x"})
        yard.http = Http(Answer(201, {"content-type": "application/json"}, b'{"id": 5}'))
        yard.run(scenario)


@pytest.mark.parametrize(
    ("answer", "error", "cause"),
    [
        (Answer(404, {}, b"no such thing"), "States.Http.StatusCode.404", "no such thing"),
        (Answer(302, {}, b""), "States.Http.StatusCode.302", "Found"),
        (Answer(599, {}, b""), "States.Http.StatusCode.599", ""),
        (Unreachable("http://api did not answer", is_timeout=True), "States.Http.Socket", "http://api did not answer"),
        (Forbidden("not there"), "Events.ConnectionResource.AccessDenied", "not there"),
        (
            Answer(200, {}, b"\xff"),
            "States.Runtime",
            "The response is not a text, which HTTP tasks do not support.",
        ),
    ],
)
def test_what_goes_wrong_is_an_error_by_its_name(
    tmp_path: Path, answer: Answer | Exception, error: str, cause: str
) -> None:
    async def scenario(yard: Yard) -> None:
        report = await yard.answer(INVOKE, asked)
        assert (report.error, report.cause, report.stage) == (error, cause, "")

    with Yard(tmp_path) as yard:
        asked = arguments(connect(yard))
        yard.http = Http(answer)
        yard.run(scenario)


def test_a_connection_that_gets_no_token_is_in_no_state_to_be_used(tmp_path: Path) -> None:
    async def scenario(yard: Yard) -> None:
        report = await yard.answer(INVOKE, asked)
        assert report.error == "Events.ConnectionResource.InvalidConnectionState"
        assert report.cause == "The authorization endpoint of oauth gave no token: HTTP 401."

    with Yard(tmp_path) as yard:
        oauth = {
            "AuthorizationEndpoint": "http://auth/token",
            "HttpMethod": "POST",
            "ClientParameters": {"ClientID": "i", "ClientSecret": "s"},
        }
        made = yard.service.client("events").create_connection(
            Name="oauth", AuthorizationType="OAUTH_CLIENT_CREDENTIALS", AuthParameters={"OAuthParameters": oauth}
        )
        asked = arguments(made["ConnectionArn"])
        yard.http = Http(Answer(401, {}, b""))
        yard.run(scenario)


def test_an_exchange_is_shown_without_what_the_connection_adds(tmp_path: Path) -> None:
    async def scenario(yard: Yard) -> None:
        http = HttpCalls(yard.http, yard.service.context.cipher, yard.loop.ask, "us-east-1")  # type: ignore[arg-type]
        exchange = await http.exchange(asked)
        headers = (
            "[User-Agent: Amazon|StepFunctions|HttpInvoke|us-east-1, X-A: 1, "
            "Content-Type: application/json;charset=UTF-8]"
        )
        assert exchange.request == {
            "protocol": "http", "method": "POST", "url": "http://api/v1?a=1&q=x", "headers": headers,
            "body": '{"name":"n"}',
        }  # fmt: skip
        assert exchange.response == {
            "protocol": "http", "statusCode": "404", "statusMessage": "Not Found", "headers": "[x: y]", "body": "no"
        }  # fmt: skip
        assert (exchange.error, exchange.cause) == ("States.Http.StatusCode.404", "no")

    with Yard(tmp_path) as yard:
        asked = arguments(connect(yard), RequestBody={"name": "n"}, Headers={"X-A": "1"}, QueryParameters={"q": "x"})
        yard.http = Http(Answer(404, {"x": "y"}, b"no"))
        yard.run(scenario)


@pytest.mark.parametrize("endpoint", ["http://[a/", "nothing", "http://\ud800/"])
def test_an_endpoint_that_is_no_url_is_an_error_of_the_task(tmp_path: Path, endpoint: str) -> None:
    async def scenario(yard: Yard) -> None:
        report = await yard.answer(INVOKE, asked)
        assert report.error == "States.Http.Socket"

    with Yard(tmp_path) as yard:
        asked = arguments(connect(yard), ApiEndpoint=endpoint, QueryParameters={"q": "1"})
        yard.http = HttpClient((), lambda: False)  # type: ignore[assignment]
        yard.run(scenario)


def test_a_connection_that_is_gone_is_named(tmp_path: Path) -> None:
    arn = "arn:aws:events:us-east-1:123456789012:connection/hook/4e9d"

    async def scenario(yard: Yard) -> None:
        report = await yard.answer(INVOKE, arguments(arn))
        assert report.error == "Events.ConnectionResource.ResourceNotFound"
        assert report.cause == f"There is no connection {arn}."

    with Yard(tmp_path) as yard:
        yard.run(scenario)


def test_arguments_that_cannot_be_are_named_also_without_a_check_before(tmp_path: Path) -> None:
    async def scenario(yard: Yard) -> None:
        report = await yard.answer(INVOKE, {"Method": "GET"})
        assert report.error == "States.Runtime"
        assert "The field 'ApiEndpoint' is required but was missing" in str(report.cause)

    with Yard(tmp_path) as yard:
        yard.run(scenario)


def test_a_request_that_its_execution_gives_up_is_ended(tmp_path: Path) -> None:
    class Silent(Http):
        began, ended = asyncio.Event(), False

        async def send(self, *_: Any) -> Answer:
            self.began.set()
            try:
                await asyncio.Event().wait()
            finally:
                Silent.ended = True
            raise AssertionError

    async def scenario(yard: Yard) -> None:
        yard.call(INVOKE, asked)
        await silent.began.wait()
        yard.carrier.carry_out([AbandonCall(key=f"{EXECUTION_ARN}/3", resource=parse_resource(INVOKE), target="")])
        assert await yard.reported() == [CallAbandoned(f"{EXECUTION_ARN}/3")]
        await asyncio.sleep(0)
        assert Silent.ended

    with Yard(tmp_path) as yard:
        asked = arguments(connect(yard))
        yard.http = silent = Silent()
        yard.run(scenario)
