"""`batchyard exec`: another command in the container of a running job, streamed both ways over one request."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Protocol
from urllib.parse import parse_qs

import msgspec
from msgspec import Struct

from batchyard.api.context import Ask
from batchyard.core.model.refusal import Refused
from batchyard.core.questions.running_task import AskRunningTask
from batchyard.engines.docker.api import DaemonUnreachable
from batchyard.engines.docker.execs import STDERR, CannotExec, ExecStream
from batchyard.loop import Busy, Stopped
from batchyard.server.access.access import Access
from batchyard.server.http.app import STOPPING, client_of
from batchyard.server.http.routes import Receive, Route, Scope, Send, headers_of
from batchyard.wire.execframes import CONTENT_TYPE, EXEC_PATH, BadFrame, Frames, Kind, pack, size_of
from batchyard.wire.messages import Request, WireError

RAW_PATH = EXEC_PATH.encode()
BAD_REQUEST = 400
TOO_MANY_REQUESTS = 429
UNAVAILABLE = 503
METHOD_NOT_ALLOWED = 405
LINGER_SECONDS = 10.0  # after the exit code: a caller that still sends takes a moment to read it


class ExecRequest(Struct, frozen=True, rename="camel"):
    job_id: str
    command: tuple[str, ...]
    container: str = ""
    tty: bool = False


class Executor(Protocol):
    """The part of the docker engine that runs second commands."""

    async def exec(
        self, task_id: str, command: Sequence[str], *, tty: bool = False, container: str = ""
    ) -> ExecStream: ...


class ExecEndpoint:
    """ASGI 3, for EXEC_PATH. `executor_of`: the executor of an engine, None where it is not there."""

    def __init__(
        self,
        access: Access,
        ask: Ask,
        executor_of: Callable[[str], Executor | None],
    ) -> None:
        self._access = access
        self._ask = ask
        self._executor_of = executor_of

    def route(self) -> Route:
        return Route(RAW_PATH, self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            asked = self._read(scope)
            stream = await self._begin(asked)
        except WireError as error:
            await _refuse(send, error.status, error.code, error.message)
            return
        except Refused as refusal:
            await _refuse(send, BAD_REQUEST, refusal.code, refusal.message)
            return
        except Busy:
            await _refuse(send, TOO_MANY_REQUESTS, "TooManyRequestsException", "Too Many Requests")
            return
        except Stopped:
            await _refuse(send, UNAVAILABLE, "ServiceUnavailableException", STOPPING)
            return
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _head(CONTENT_TYPE)})
            await self._stream(stream, receive, send)
        finally:
            stream.close()

    def _read(self, scope: Scope) -> ExecRequest:
        if scope["method"] != "POST":
            raise WireError("ClientException", f"{EXEC_PATH} takes POST.", METHOD_NOT_ALLOWED)
        request = Request(scope["method"], scope["raw_path"], scope["query_string"], headers_of(scope), b"")
        self._access.check(request, client_of(scope))
        texts = parse_qs(scope["query_string"].decode("ascii", "replace")).get("request", [""])
        try:
            asked = msgspec.json.decode(texts[0], type=ExecRequest)
        except (msgspec.DecodeError, UnicodeEncodeError) as error:
            raise Refused(f"The query's `request` must be JSON with jobId and command: {error}.") from error
        if not asked.command or not asked.command[0] or any("\0" in word for word in asked.command):
            raise Refused("command must name a program, and hold no NUL character.")
        return asked

    async def _begin(self, asked: ExecRequest) -> ExecStream:
        task = await self._ask(AskRunningTask(asked.job_id))
        engine = task.engine
        executor = self._executor_of(engine)
        if executor is None:
            raise Refused(f"The {engine} engine cannot be used now: {task.away or 'it is not there'}.")
        try:
            return await executor.exec(task.task_id, asked.command, tty=asked.tty, container=asked.container)
        except CannotExec as error:
            raise Refused(str(error)) from error
        except DaemonUnreachable as error:
            raise Refused(f"The {engine} engine does not answer now: {error}.") from error

    async def _stream(self, stream: ExecStream, receive: Receive, send: Send) -> None:
        """Streams both ways until the command has ended, or its caller has disconnected."""
        output = asyncio.create_task(_give(stream, send))
        taking = asyncio.create_task(_take(stream, receive))
        try:
            await asyncio.wait({output, taking}, return_when=asyncio.FIRST_COMPLETED)
            if taking.done() and not taking.result():
                return  # the caller has disconnected
            await output
            # A connection that is closed with unread input is reset, and the exit code would be lost.
            await asyncio.wait({taking}, timeout=LINGER_SECONDS)
            await send({"type": "http.response.body", "body": b""})
        except (DaemonUnreachable, BadFrame) as error:
            await send({"type": "http.response.body", "body": pack(Kind.ERROR, f"It was cut off: {error}.".encode())})
        finally:
            for task in (output, taking):
                task.cancel()
            await asyncio.gather(output, taking, return_exceptions=True)


async def _give(stream: ExecStream, send: Send) -> None:
    """Sends the command's output, then its exit code."""
    while (piece := await stream.read()) is not None:
        output, data = piece
        frame = pack(Kind.STDERR if output == STDERR else Kind.STDOUT, data)
        await send({"type": "http.response.body", "body": frame, "more_body": True})
    code = await stream.exit_code()
    last = pack(Kind.EXIT, b"" if code is None else str(code).encode())
    await send({"type": "http.response.body", "body": last, "more_body": True})


async def _take(stream: ExecStream, receive: Receive) -> bool:
    """Passes on the caller's input. Returns True when it has ended, and the caller is still connected; False when
    the caller has disconnected."""
    frames, is_read = Frames(), True
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return False
        for kind, content in frames.feed(message.get("body", b"")):
            if kind is Kind.INPUT:
                try:
                    if is_read:
                        await stream.write(content)
                except DaemonUnreachable:
                    is_read = False  # the command reads no more: its output shows the rest
            elif kind is Kind.SIZE:
                await stream.resize(*size_of(content))
            elif kind is Kind.INPUT_END:
                stream.end_input()
            else:
                raise BadFrame(f"a frame of kind {kind.name} from the caller")
        if not message.get("more_body", False):
            return True


def _head(content_type: str) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", content_type.encode()), (b"x-amzn-requestid", str(uuid.uuid4()).encode())]


async def _refuse(send: Send, status: int, code: str, message: str) -> None:
    body: dict[str, Any] = {"message": message}
    content = msgspec.json.encode(body)
    headers = [
        *_head("application/json"),
        (b"x-amzn-errortype", code.encode()),
        (b"content-length", b"%d" % len(content)),
        (b"connection", b"close"),  # its body, which was not read, must not be taken for a next request
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
