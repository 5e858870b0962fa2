"""The ASGI application: one dispatcher for every protocol on the port.

A request is read completely, matched by path and X-Amz-Target, its caller admitted; then it is parsed, and answered
by the function of its operation. A mistake of the caller is a 4xx with AWS's code; anything unexpected is our fault:
logged with its traceback, and a 500 ServerException with the request id to find it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from batchyard.api.context import Call
from batchyard.core.model.refusal import CLIENT_EXCEPTION, Refused
from batchyard.core.model.trace_context import valid_trace_parent
from batchyard.server.access.access import Access, Admitted, Client, denied
from batchyard.server.access.peers import PeerUser
from batchyard.server.access.read_only import is_reading
from batchyard.server.asyncio_tasks import cancel_tasks
from batchyard.server.http.routes import FAILED, Asgi, Receive, Scope, Send, fault, headers_of, send_response
from batchyard.server.http.streamed_answer import StreamedAnswer, disconnected, send_stream
from batchyard.wire.compression import inflated
from batchyard.wire.event_stream import StreamedResult
from batchyard.wire.messages import Document, Request, Response, WireError
from batchyard.wire.operation import Operation
from batchyard.wire.router import Router

INVOCATION_HEADER = "amz-sdk-invocation-id"
TRACE_PARENT_HEADER = "traceparent"  # W3C Trace Context
# Bodies of the largest size that may be incomplete at once: the memory that callers which never finish can take.
MAX_UNFINISHED_BODIES = 64
MAX_UNFINISHED_BODIES_OF_ONE = 48  # of one caller: a quarter is left to the others
UNFINISHED = "Too many request bodies are unfinished; try again."
MAX_LENGTH_DIGITS = 18  # of a Content-Length: more than any memory
PEER = "batchyard.peer"  # the key of the connection's user in the scope's state, set by the protocol
ATTEMPT = "batchyard.attempt"  # the key of the attempt, and the path that names it, set by SessionPaths
MAX_INVOCATION_ID = 128  # SDKs send a UUID; longer ones are a mistake and would be kept for an hour
DIGEST_BYTES = 16  # of a body, to recognise it
# Codes whose status is not 400, beside those for which a service's model has a status.
STATUS_OF_CODE = {
    "TooManyRequestsException": 429,
    "ServerException": 500,
    "AccessDeniedException": 403,
    "DryRunOperation": 412,  # EC2's answer to a request that would have succeeded
}
STOPPING = "The service is stopping; what this request asked may not have been done. Try again."
UNKNOWN_PEER = PeerUser(None, "the connection was not looked at")

logger = logging.getLogger("batchyard.server")
Handler = Callable[[Call, Document], Awaitable[Document]]
AttemptAt = Callable[[bytes], tuple[str, bytes] | None]


class Disconnected(Exception):
    """The caller disconnected before the request was complete."""


class Dispatch(Struct, frozen=True):
    """How the dispatcher answers: `body_limit_bytes` of a request; the exceptions that mean 429 (`busy`) and 503
    (`stopped`); `aws_error_texts`: refusals of Batch are wrapped in AWS's wording; `waiting`: the operations, by
    service and name, that end when their caller disconnects."""

    body_limit_bytes: int
    busy: tuple[type[Exception], ...] = ()
    stopped: tuple[type[Exception], ...] = ()
    aws_error_texts: bool = False
    waiting: frozenset[tuple[str, str]] = frozenset()


class App:
    """ASGI 3. `handlers`: by service and operation."""

    def __init__(
        self, router: Router, handlers: Mapping[tuple[str, str], Handler], access: Access, dispatch: Dispatch
    ) -> None:
        self._router = router
        self._handlers = handlers
        self._access = access
        self._aws_error_texts = dispatch.aws_error_texts
        self._body_limit_bytes = dispatch.body_limit_bytes
        self._unfinished_bytes: Counter[str] = Counter()  # by caller, of bodies that are still coming, held now
        self._busy = dispatch.busy
        self._waiting = dispatch.waiting
        # A failed commit cancels the answers of its batch.
        self._stopped: tuple[type[BaseException], ...] = (*dispatch.stopped, asyncio.CancelledError)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            assert scope["type"] != "lifespan", "the server is to run with lifespan off"
            return
        request_id = str(uuid.uuid4())
        try:
            response = await self._answer(scope, receive, request_id)
            if isinstance(response, StreamedAnswer):
                await send_stream(response, receive, send)
                return
        except Disconnected:
            return
        except Exception:
            logger.exception(FAILED, request_id, scope["method"], scope["path"])
            response = self._router.refuse(fault(request_id), headers_of(scope), request_id)
        await send_response(scope, send, response)

    async def _answer(self, scope: Scope, receive: Receive, request_id: str) -> Response | StreamedAnswer:
        raw_path: bytes = scope["raw_path"]
        method: str = scope["method"]
        headers = headers_of(scope)
        body: bytes | None = None
        admitted: Admitted | None = None
        try:
            if self._router.needs_body(method, raw_path, headers):
                admitted = self._access.admit(headers, client_of(scope))
                body = await self._body(headers, receive, admitted.caller)
            form = b"" if body is None else inflated(body, headers, self._body_limit_bytes)
            operation = self._router.match(method, raw_path, headers, form)
        except WireError as error:
            return self._router.refuse(error, headers, request_id)
        try:
            if admitted is None or body is None:
                admitted = self._access.admit(headers, client_of(scope))
                body = await self._body(headers, receive, admitted.caller)
            request = Request(method, raw_path, scope["query_string"], headers, body)
            self._access.verify(request, admitted)
            if admitted.is_read_only and not is_reading(operation.name):
                raise denied(f"This access key may only read: {operation.name} needs another one.")
            if "content-encoding" in headers:  # what was signed is the body as it came
                request = replace(request, body=inflated(body, headers, self._body_limit_bytes))
            performing = self._perform(operation, request, call_of(operation.name, admitted, request))
            if (operation.service, operation.name) in self._waiting:
                performing = until_disconnected(performing, receive)
            result = await performing
            if isinstance(result, StreamedResult):
                return StreamedAnswer(result, request_id)
            return operation.respond(result, request_id)
        except WireError as error:
            message = self._text(operation.service, error, request_id)
            return operation.refuse(WireError(error.code, message, error.status), request_id)
        except Refused as error:
            status = operation.status_of(error.code) or STATUS_OF_CODE.get(error.code, 400)
            message = self._text(operation.service, error, request_id)
            return operation.refuse(WireError(error.code, message, status, members=dict(error.members)), request_id)
        except self._busy:
            return operation.refuse(WireError("TooManyRequestsException", "Too Many Requests", 429), request_id)
        except self._stopped:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # it is this request's own task that must end
            return operation.refuse(WireError("ServiceUnavailableException", STOPPING, 503), request_id)

    def _text(self, service: str, refusal: Refused | WireError, request_id: str) -> str:
        """Returns the text of a refusal, in AWS's wording where the setting asks for it; only AWS Batch has such
        wording."""
        is_wrapped = self._aws_error_texts and service == "batch" and not refusal.is_bare
        if not is_wrapped or refusal.code != CLIENT_EXCEPTION:
            return refusal.message
        return f"Error executing request, Exception : {refusal.message}, RequestId: {request_id}"

    async def _perform(self, operation: Operation, request: Request, call: Call) -> Document:
        document = operation.parse(request)
        handler = self._handlers.get((operation.service, operation.name))
        if handler is None:
            raise WireError("ClientException", f"{operation.name} is not built yet in this version of Batchyard.")
        return await handler(call, document)

    async def _body(self, headers: Mapping[str, str], receive: Receive, caller: str) -> bytes:
        """Reads the whole body. One that is too large is neither read to its end nor kept."""
        length = headers.get("content-length", "")
        # A number with many digits is compared by its length first, before it is converted.
        digits = length.lstrip("0") if length.isascii() and length.isdigit() else ""
        if len(digits) > MAX_LENGTH_DIGITS or (digits and int(digits) > self._body_limit_bytes):
            raise self._too_large(length)
        chunks: list[bytes] = []
        size = 0
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Disconnected
                chunk = message.get("body", b"")
                size += len(chunk)
                self._unfinished_bytes[caller] += len(chunk)
                if size > self._body_limit_bytes:
                    raise self._too_large(f"more than {self._body_limit_bytes}")
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
                if self._holds_too_much(caller):
                    raise WireError("TooManyRequestsException", UNFINISHED, 429)
        finally:
            self._unfinished_bytes[caller] -= size
            if not self._unfinished_bytes[caller]:
                del self._unfinished_bytes[caller]

    def _holds_too_much(self, caller: str) -> bool:
        """Whether the unfinished bodies of the caller, or of all callers together, are too large."""
        most, most_of_one = (
            number * self._body_limit_bytes for number in (MAX_UNFINISHED_BODIES, MAX_UNFINISHED_BODIES_OF_ONE)
        )
        return self._unfinished_bytes[caller] > most_of_one or self._unfinished_bytes.total() > most

    def _too_large(self, got: str) -> WireError:
        return WireError(
            "RequestEntityTooLargeException",
            f"The request body must be at most {self._body_limit_bytes} bytes, got {got[:20]}.",
            413,
        )


async def until_disconnected(performing: Coroutine[Any, Any, Document], receive: Receive) -> Document:
    """Returns the answer of an operation, which is cancelled when its caller disconnects: no other caller could be
    given what it waits for. Raises Disconnected."""
    answering = asyncio.create_task(performing)
    leaving = asyncio.create_task(disconnected(receive))
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            raise Disconnected
        return answering.result()
    finally:
        await cancel_tasks(answering, leaving)


def call_of(operation: str, admitted: Admitted, request: Request) -> Call:
    """Returns the caller's side of a request. WireError: the invocation id is invalid."""
    invocation_id = request.headers.get(INVOCATION_HEADER, "")
    trace_parent = valid_trace_parent(request.headers.get(TRACE_PARENT_HEADER, ""))
    call = Call(
        operation,
        admitted.principal,
        size_bytes=len(request.body),
        caller=admitted.caller,
        trace_parent=trace_parent,
    )
    if not invocation_id:
        return call
    if len(invocation_id) > MAX_INVOCATION_ID:
        raise WireError(
            "ClientException",
            f"{INVOCATION_HEADER} must have at most {MAX_INVOCATION_ID} characters, got {len(invocation_id)}.",
        )
    digest = hashlib.blake2b(request.body, digest_size=DIGEST_BYTES).hexdigest()
    return replace(call, invocation_id=invocation_id, body_digest=digest)


def client_of(scope: Scope) -> Client:
    peer = scope.get("client")
    state = scope.get("state", {})
    attempt_id, signed_path = state.get(ATTEMPT, ("", b""))
    return Client(peer[0] if peer else "", state.get(PEER, UNKNOWN_PEER), attempt_id, signed_path)


class SessionPaths:
    """ASGI 3. Removes the attempt from the path of requests whose jobs sign with the keys of the owner's S3, and puts
    it into the scope's state for `app`. `attempt_at`: returns the attempt that a path begins with, proved, and the path
    after it.

    SDKs have one pair of keys for all services, and an address for each. Where a job's pair is that of S3, the
    addresses of this service that it is given name its attempt, which its signature can't."""

    def __init__(self, app: Asgi, attempt_at: AttemptAt) -> None:
        self._app = app
        self._attempt_at = attempt_at

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._attempt_at(scope["raw_path"]) if scope["type"] == "http" else None
        if found is not None:
            attempt_id, raw_path = found
            state = {**scope.get("state", {}), ATTEMPT: (attempt_id, scope["raw_path"])}
            scope = {**scope, "raw_path": raw_path, "path": raw_path.decode("ascii", "replace"), "state": state}
        await self._app(scope, receive, send)
