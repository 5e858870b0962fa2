"""Routes paths to applications. Everything except AWS's operations has a route: health, task metadata, the
credentials of jobs, `batchyard exec`."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from batchyard.server.access.sessions import CREDENTIALS_PATH
from batchyard.wire.messages import Document, Response, WireError
from batchyard.wire.protocols import RestJson

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

# Answers a path below /v4/ (without it); None: it does not exist.
Metadata = Callable[[str, str], Awaitable[Document | None]]
# Returns the credentials of an attempt for its authorization; raises WireError.
Credentials = Callable[[str, str], Document]

HEALTH_PATH = b"/health"
METADATA_PATH = b"/v4/"
REFUSED_BY_HEAD = frozenset({403, 404, 413})

FAILED = "Request %s (%s %s) failed"

logger = logging.getLogger("batchyard.server")


class Route(Struct, frozen=True):
    """`app` answers requests at `path`; where `path` ends with a slash, at every path below it."""

    path: bytes
    app: Asgi

    def fits(self, raw_path: bytes) -> bool:
        return raw_path.startswith(self.path) if self.path.endswith(b"/") else raw_path == self.path


class Routes:
    """ASGI 3: calls the application of the first route that matches; `otherwise` answers the other paths."""

    def __init__(self, routes: Sequence[Route], otherwise: Asgi) -> None:
        self._routes = tuple(routes)
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._otherwise
        if scope["type"] == "http":
            raw_path = scope["raw_path"]
            app = next((route.app for route in self._routes if route.fits(raw_path)), app)
        await app(scope, receive, send)


class JsonPage:
    """ASGI 3: a JSON document for GET and HEAD. `answer`: the status and the document, from the rest of the path (what
    comes after `path`) and the headers. `name`: what the refusal of other methods calls the page."""

    def __init__(
        self, path: bytes, name: str, answer: Callable[[str, Mapping[str, str]], Awaitable[tuple[int, Document]]]
    ) -> None:
        self._path = path
        self._name = name
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = str(uuid.uuid4())
        try:
            response = await self._respond(scope, request_id)
        except Exception:
            logger.exception(FAILED, request_id, scope["method"], scope["path"])
            error = fault(request_id)
            response = RestJson(error.code).error_response(error, request_id)
        await send_response(scope, send, response)

    async def _respond(self, scope: Scope, request_id: str) -> Response:
        if scope["method"] not in ("GET", "HEAD"):
            return _json(405, {"message": f"{self._name} takes GET."}, request_id)
        rest = scope["raw_path"][len(self._path) :].decode("ascii", "replace")
        status, document = await self._answer(rest, headers_of(scope))
        return _json(status, document, request_id)


def health_route(health: Callable[[], Document]) -> Route:
    """Returns the route of /health: the state of the service, for every caller."""

    async def answer(rest: str, headers: Mapping[str, str]) -> tuple[int, Document]:
        return 200, health()

    return Route(HEALTH_PATH, JsonPage(HEALTH_PATH, "/health", answer))


def metadata_route(metadata: Metadata) -> Route:
    """Returns the route of ECS task metadata version 4: the token in the path, which only the attempt has, is proof
    enough."""

    async def answer(rest: str, headers: Mapping[str, str]) -> tuple[int, Document]:
        token, _, below = rest.partition("/")
        document = await metadata(token, below)
        if document is None:
            return 404, {"message": "There is no such task metadata: the token or the path is wrong."}
        return 200, document

    return Route(METADATA_PATH, JsonPage(METADATA_PATH, "The task metadata endpoint", answer))


def credentials_route(credentials: Credentials) -> Route:
    """Returns the route of the container credentials endpoint; SDKs show an error's `code` and `message`."""
    path = CREDENTIALS_PATH.encode()

    async def answer(rest: str, headers: Mapping[str, str]) -> tuple[int, Document]:
        try:
            return 200, credentials(rest, headers.get("authorization", ""))
        except WireError as error:
            return error.status, {"code": error.code, "message": error.message}

    return Route(path, JsonPage(path, "The container credentials endpoint", answer))


# -- of all applications --


def fault(request_id: str) -> WireError:
    """Returns the answer to a request that failed by our fault, which is logged with the same id."""
    return WireError("ServerException", f"An internal error occurred; it is logged as {request_id}.", 500)


async def send_response(scope: Scope, send: Send, response: Response) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in response.headers]
    headers.append((b"content-length", b"%d" % len(response.body)))
    if response.status in REFUSED_BY_HEAD and any(name == b"expect" for name, _ in scope["headers"]):
        headers.append((b"connection", b"close"))  # its body, which was not requested, may come or not
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


def headers_of(scope: Scope) -> dict[str, str]:
    """Returns headers by lower-case name; repeated ones joined by commas, as HTTP allows."""
    raw: Iterable[tuple[bytes, bytes]] = scope["headers"]
    headers: dict[str, str] = {}
    for name, value in raw:
        text = value.decode("latin-1")
        key = name.decode("latin-1")
        headers[key] = f"{headers[key]},{text}" if key in headers else text
    return headers


def _json(status: int, document: Document, request_id: str) -> Response:
    headers = (("content-type", "application/json"), ("x-amzn-requestid", request_id))
    return Response(status, headers, msgspec.json.encode(document))
