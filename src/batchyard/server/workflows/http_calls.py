"""Makes the requests of HTTP tasks, authorised by connections of EventBridge (step functions spec 13).

A request is sent at least once: after a crash between the request and the commit of its answer it is sent again."""

from __future__ import annotations

import asyncio
import http
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from batchyard.api.context import SecretCipher
from batchyard.api.http_task_sender import HttpExchange
from batchyard.api.http_tasks import SUCCESS, HttpTask, UnsupportedAnswer, http_output, http_task
from batchyard.api.integrations import RUNTIME, CallError
from batchyard.core.model.commands import Command
from batchyard.events.api_destinations import ApiDestination, AskConnection, Connection
from batchyard.events.target_kinds import HttpTarget
from batchyard.loop import Busy
from batchyard.server.deliveries.http_channel import ConnectionRequests, NoToken, RequestFailed, with_query
from batchyard.server.deliveries.http_client import Answer, HttpClient
from batchyard.server.workflows.continued_operation import BUSY_SECONDS

TIMEOUT_SECONDS = 60.0  # AWS's, of an HTTP task (guide: call-https-apis)
MAX_REQUESTS = 256  # at once: each takes a connection and a file descriptor
# The most that a task's result may have, and one more, so that a longer answer is found to be too long.
ANSWER_BYTES = 262_144 + 1
SOCKET = "States.Http.Socket"
NO_CONNECTION = "Events.ConnectionResource.ResourceNotFound"
INVALID_STATE = "Events.ConnectionResource.InvalidConnectionState"
ACCESS_DENIED = "Events.ConnectionResource.AccessDenied"
ERRORS = {"TIMEOUT": SOCKET, "CONNECTION_FAILURE": SOCKET, "NO_PERMISSIONS": ACCESS_DENIED}
MAX_CAUSE = 32_768  # characters, of any cause


class HttpCalls:
    """Makes requests. `ask`: gives commands to the machines."""

    def __init__(
        self,
        client: HttpClient,
        cipher: SecretCipher,
        ask: Callable[[Command[Any]], Awaitable[Any]],
        region: str,
    ) -> None:
        self._requests = ConnectionRequests(client, cipher, time.monotonic, TIMEOUT_SECONDS, ANSWER_BYTES)
        self._ask, self._region = ask, region
        self._places = asyncio.Semaphore(MAX_REQUESTS)

    async def invoke(self, arguments: dict[str, Any]) -> Any | CallError:
        """Sends the request of arguments without faults. Returns the output of its task, or how it failed."""
        answer = await self._answer(http_task(arguments))
        return answer if isinstance(answer, CallError) else output_of(answer)

    async def exchange(self, arguments: dict[str, Any]) -> HttpExchange:
        """Sends the request of arguments without faults, for TestState."""
        task = http_task(arguments)
        answer = await self._answer(task)
        target, body, destination = self._request(task)
        request = {
            "protocol": urlsplit(task.url).scheme,
            "method": task.method,
            "url": destination.endpoint,
            "headers": _shown(target.headers),
        } | ({"body": body} if body else {})
        if isinstance(answer, CallError):
            return HttpExchange(request, None, error=answer.error, cause=answer.cause)
        response = {
            "protocol": request["protocol"],
            "statusCode": str(answer.status),
            "statusMessage": _reason(answer.status),
            "headers": _shown(answer.headers),
            "body": answer.body.decode("utf-8", "replace"),
        }
        output = output_of(answer)
        if isinstance(output, CallError):
            return HttpExchange(request, response, error=output.error, cause=output.cause)
        return HttpExchange(request, response, output)

    async def _answer(self, task: HttpTask) -> Answer | CallError:
        connection = await self._connection(task.connection_arn)
        if connection is None:
            return CallError(NO_CONNECTION, f"There is no connection {task.connection_arn}.")
        try:
            async with self._places:
                return await self._requests.send(*self._request(task), connection)
        except ValueError as error:
            return CallError(SOCKET, f"{task.url} is no URL: {error}.")
        except NoToken as failure:
            return CallError(INVALID_STATE, failure.outcome.error)
        except RequestFailed as failure:
            return CallError(ERRORS.get(failure.outcome.error_code, SOCKET), failure.outcome.error)

    async def _connection(self, arn: str) -> Connection | None:
        reference = arn.partition(":connection/")[2]
        while True:
            try:
                found: Connection | None = await self._ask(AskConnection(reference))
            except Busy:
                await asyncio.sleep(BUSY_SECONDS)
            else:
                return found

    def _request(self, task: HttpTask) -> tuple[HttpTarget, str, ApiDestination]:
        """Returns a request as the channel of API destinations takes it."""
        agent = {"User-Agent": f"Amazon|StepFunctions|HttpInvoke|{self._region}"}
        destination = ApiDestination(
            name="",
            uuid="",
            connection="",
            endpoint=with_query(task.url, task.query),
            method=task.method,
            created_at_ms=0,
            modified_at_ms=0,
            rate_per_second=0,
        )
        return HttpTarget("", headers=agent | task.headers), task.body, destination


def output_of(answer: Answer) -> Any | CallError:
    """Returns the output of a task, or for a status that is none of success, the error."""
    reason = _reason(answer.status)
    if answer.status in SUCCESS:
        try:
            return http_output(answer.status, reason, answer.headers, answer.body)
        except UnsupportedAnswer as error:
            return CallError(RUNTIME, str(error))
    cause = answer.body.decode("utf-8", "replace")[:MAX_CAUSE] or reason
    return CallError(f"States.Http.StatusCode.{answer.status}", cause)


def _shown(headers: Mapping[str, str]) -> str:
    """Returns headers as TestState shows them: one text."""
    return "[" + ", ".join(f"{name}: {value}" for name, value in headers.items()) + "]"


def _reason(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""
