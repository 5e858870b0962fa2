"""What receivers of SNS's messages visit without a signature: links that confirm or end a subscription, whose tokens
are proof enough, and the certificate of the messages' signatures."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Mapping
from urllib.parse import parse_qsl

from batchyard.api.context import Call
from batchyard.api.operations import BoundHandler
from batchyard.api.services import SERVICES
from batchyard.core.model.refusal import Refused
from batchyard.loop import Busy, Stopped
from batchyard.server.deliveries.message_signer import MessageSigner
from batchyard.server.deliveries.sns_messages import LINKS_PATH
from batchyard.server.http.routes import FAILED, Receive, Route, Scope, Send, fault, send_response
from batchyard.wire.messages import Document, Response, WireError
from batchyard.wire.operation import Operation
from batchyard.wire.router import Router

SERVICE = "sns"
# What links may ask, with the members that they need.
ACTIONS = {"ConfirmSubscription": ("TopicArn", "Token"), "Unsubscribe": ("SubscriptionArn",)}
MAX_QUERY_BYTES = 4096  # longer than any link of ours
PATH = LINKS_PATH.encode()
PEM = (("content-type", "application/x-pem-file"),)


class SnsEndpoint:
    """ASGI 3, for everything below PATH."""

    def __init__(self, handlers: Mapping[tuple[str, str], BoundHandler], signer: MessageSigner) -> None:
        self._handlers = handlers
        self._signer = signer
        self._operations = Router([SERVICES[SERVICE].model]).operations

    def route(self) -> Route:
        return Route(PATH, self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = str(uuid.uuid4())
        operation = self._operations[SERVICE, "ConfirmSubscription"]
        try:
            response = await self._respond(scope, request_id)
        except WireError as error:
            response = operation.refuse(error, request_id)
        except Refused as error:
            status = operation.status_of(error.code) or 400
            response = operation.refuse(WireError(error.code, error.message, status), request_id)
        except (Busy, Stopped):
            response = operation.refuse(WireError("Throttled", "Too Many Requests", 429), request_id)
        except Exception:
            logging.getLogger("batchyard.server").exception(FAILED, request_id, scope["method"], scope["path"])
            response = operation.refuse(fault(request_id), request_id)
        await send_response(scope, send, response)

    async def _respond(self, scope: Scope, request_id: str) -> Response:
        if scope["method"] not in ("GET", "HEAD"):
            raise WireError("InvalidAction", "Links of messages are visited with GET.", 405)
        rest = scope["raw_path"][len(PATH) :].decode("ascii", "replace")
        if rest:
            return await asyncio.to_thread(self._certificate, rest)
        operation, document = self._asked(scope["query_string"])
        handler = self._handlers[SERVICE, operation.name]
        return operation.respond(await handler(Call(operation.name), document), request_id)

    def _certificate(self, name: str) -> Response:
        if name != self._signer.certificate_name():
            raise WireError("NotFound", "There is no such certificate.", 404)
        return Response(200, PEM, self._signer.certificate())

    def _asked(self, query: bytes) -> tuple[Operation, Document]:
        """Returns the operation of a link, and its request. Raises WireError."""
        if len(query) > MAX_QUERY_BYTES:
            raise WireError("InvalidParameter", f"A link has at most {MAX_QUERY_BYTES} bytes.")
        given = dict(parse_qsl(query.decode("ascii", "replace")))
        members = ACTIONS.get(given.get("Action", ""))
        if members is None:
            raise WireError("InvalidAction", f"Links of messages have an Action of {' or '.join(ACTIONS)}.")
        missing = [name for name in members if name not in given]
        if missing:
            raise WireError("InvalidParameter", f"Invalid parameter: {missing[0]}")
        return self._operations[SERVICE, given["Action"]], {name: given[name] for name in members}
