"""The console over HTTP: everything below /console/, and `/` for browsers. Reads requests, admits visitors, sends the
stream of changes, and gives every answer its security headers."""

from __future__ import annotations

import asyncio
import gzip
import logging
import time
import uuid
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, unquote

import msgspec
from msgspec import Struct

from batchyard.console.live import KINDS, Change
from batchyard.console.pages.preferences import THEME_COOKIE, THEMES
from batchyard.console.rendering import STATIC_FILES, STATIC_HASH, render
from batchyard.console.routes import answer, refusal
from batchyard.console.site import HTML, ROOT, Answer, PageRequest, Site, Visitor, redirect
from batchyard.loop import Busy, Stopped
from batchyard.server.access.console_access import Admission, ConsoleAccess, ConsoleHead
from batchyard.server.asyncio_tasks import cancel_tasks
from batchyard.server.http.app import client_of
from batchyard.server.http.routes import FAILED, Asgi, Receive, Route, Scope, Send, headers_of
from batchyard.wire.messages import WireError

PATH = ROOT.encode()
MAX_FORM_BYTES = 256 * 1024  # a definition's form with its environment: SubmitJob takes 30 KiB
MAX_QUERY_BYTES = 8 * 1024
STREAM_SECONDS = 300.0  # then the browser asks again, and must still be signed in
MAX_STREAMS = 200  # open at once: each takes a connection, and little else
COMPRESSED_BYTES = 1024  # smaller answers are sent as they are
COMPRESSION = 5  # of 9: of a page of 100 KB a millisecond
STREAM_TYPE = "text/event-stream"
FRAGMENT_HEADER = "x-console-fragment"
READING = ("GET", "HEAD")
FOR_EVER = "public, max-age=31536000, immutable"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = (
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("x-frame-options", "DENY"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
)

logger = logging.getLogger("batchyard.server")


class Disconnected(Exception):
    """The caller disconnected before the request was complete."""


class _Stream(Struct, frozen=True):
    """A stream of changes after the fact `number`."""

    number: int
    kinds: tuple[str, ...]
    job_id: str


class ConsoleEndpoint:
    """ASGI 3. `trusted_proxy`: the address of a proxy whose X-Forwarded-Proto is believed; empty: none."""

    def __init__(self, site: Site, access: ConsoleAccess, trusted_proxy: str = "") -> None:
        self._site = site
        self._access = access
        self._trusted_proxy = trusted_proxy
        self._streams = 0

    def routes(self) -> list[Route]:
        return [Route(PATH, self), Route(PATH.rstrip(b"/"), self)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = str(uuid.uuid4())
        head = self._head(scope)
        try:
            found = await self._respond(scope, head, receive)
            if isinstance(found, _Stream):
                await self._send_stream(found, receive, send)
                return
        except Disconnected:
            return
        except WireError as error:
            found = self._refusal(head, error.status, "Not allowed", error.message)
        except (Busy, Stopped):
            found = self._refusal(head, 503, "Try again", "The service is busy, or ends. Load the page again.")
        except Exception:
            logger.exception(FAILED, request_id, scope["method"], scope["path"])
            text = f"An internal error occurred; it is logged as {request_id}."
            found = self._refusal(head, 500, "This went wrong", text)
        await _send(scope, send, head, found)

    # -- one request --

    async def _respond(self, scope: Scope, head: ConsoleHead, receive: Receive) -> Answer | _Stream:
        raw = scope["raw_path"]
        if not raw.startswith(PATH):
            return redirect("")
        path = unquote(raw[len(PATH) :].decode("ascii", "replace"))
        if len(scope["query_string"]) > MAX_QUERY_BYTES:
            raise WireError("InvalidParameter", f"An address has at most {MAX_QUERY_BYTES} bytes after its ?.", 414)
        query = _joined(scope["query_string"].decode("ascii", "replace"), ",")
        method = scope["method"]
        if path.startswith("static/"):
            return _static(path.removeprefix("static/"))
        if path == "sign-in":
            return await self._sign_in(head, method, query, await _form(head, method, receive))
        is_fragment = FRAGMENT_HEADER in head.headers
        is_page = method in READING and not is_fragment and path != "live"
        if method in READING:
            self._access.check_fetch(head.headers, is_page=is_page)
        admission = self._access.admit(head)
        if admission is None:
            if not is_page:
                raise WireError("AccessDeniedException", "Sign in first: the session is over.", 401)
            back = PageRequest(path, Visitor(), query=query).url
            return redirect("sign-in", {"back": back} if path else None)
        if method in READING and path == "live":
            return self._stream(query, head.headers)
        form = await _form(head, method, receive)
        if method not in READING:
            self._access.check_write(head, admission, form.pop("csrf", ""))
        if path == "sign-out" and method == "POST":
            gone = self._access.cookie("", is_secure=head.is_secure, path=ROOT)
            return _with_header(redirect("sign-in"), "set-cookie", gone)
        visitor = _visitor(admission, head)
        return await answer(self._site, PageRequest(path, visitor, method, {}, query, form, is_fragment))

    async def _sign_in(
        self, head: ConsoleHead, method: str, query: Mapping[str, str], form: Mapping[str, str]
    ) -> Answer:
        visitor = Visitor(theme=_theme(head))
        request = PageRequest("sign-in", visitor)
        if not self._access.needs_sign_in():
            return redirect("")
        self._access.check_transport(head)
        back = (form if method == "POST" else query).get("back", "")
        back = back if back.startswith(ROOT) and back.isascii() and back.isprintable() else ROOT
        if method != "POST":
            return render(self._site, request, "sign_in.html", back=back, problem="")
        self._access.check_origin(head)
        cookie = self._access.sign_in(head, form.get("key", ""), form.get("secret", ""))
        if cookie is None:
            problem = "There is no such key, or its secret is another one."
            return render(self._site, request, "sign_in.html", status=403, back=back, problem=problem)
        answer = Answer(b"", 303, HTML, (("location", back),))
        made = self._access.cookie(cookie, is_secure=head.is_secure, path=ROOT)
        return _with_header(answer, "set-cookie", made)

    def _refusal(self, head: ConsoleHead, status: int, heading: str, text: str) -> Answer:
        request = PageRequest("", Visitor(theme=_theme(head)))
        return refusal(self._site, request, status, heading, text)

    def _head(self, scope: Scope) -> ConsoleHead:
        headers = headers_of(scope)
        client = client_of(scope)
        is_secure = scope.get("scheme") == "https"
        if self._trusted_proxy and client.host == self._trusted_proxy:
            is_secure = is_secure or headers.get("x-forwarded-proto", "").strip().lower() == "https"
        return ConsoleHead(headers, client, is_secure, _cookies(headers.get("cookie", "")))

    # -- the stream --

    def _stream(self, query: Mapping[str, str], headers: Mapping[str, str]) -> _Stream:
        if self._streams >= MAX_STREAMS:
            raise WireError("TooManyRequestsException", "Too many pages are live; this one is not.", 429)
        number = headers.get("last-event-id") or query.get("after", "")  # a browser that reconnects sends the first
        kinds = tuple(kind for kind in KINDS if kind in query.get("kinds", "").split(","))
        place = int(number) if number.isascii() and number.isdigit() and len(number) < 16 else 0
        return _Stream(place, kinds or KINDS, query.get("job", ""))

    async def _send_stream(self, stream: _Stream, receive: Receive, send: Send) -> None:
        headers = [("content-type", STREAM_TYPE), ("cache-control", "no-store"), *SECURITY_HEADERS]
        raw = [(name.encode(), value.encode()) for name, value in headers]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        self._streams += 1
        sending = asyncio.create_task(self._send_changes(stream, send))
        leaving = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            self._streams -= 1
            await cancel_tasks(sending, leaving)

    async def _send_changes(self, stream: _Stream, send: Send) -> None:
        await send({"type": "http.response.body", "body": b"retry: 1000\n\n", "more_body": True})
        ends_at = time.monotonic() + STREAM_SECONDS
        async for change in self._site.ring.changes(stream.number, stream.kinds, stream.job_id):
            body = b": still here\n\n" if change is None else _event(change)
            await send({"type": "http.response.body", "body": body, "more_body": True})
            if time.monotonic() > ends_at:
                break
        await send({"type": "http.response.body", "body": b""})


class BrowserHome:
    """ASGI 3: sends a browser that visits `/` to the console, and everything else to `app`."""

    def __init__(self, app: Asgi) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["raw_path"] == b"/" and scope["method"] in READING:
            headers = headers_of(scope)
            if "text/html" in headers.get("accept", "") and not scope["query_string"]:
                head = ConsoleHead(headers, client_of(scope), False, {})
                await _send(scope, send, head, redirect(""))
                return
        await self._app(scope, receive, send)


def _event(change: Change) -> bytes:
    data = msgspec.json.encode(
        {"jobs": change.jobs, "queues": change.queues, "submitted": change.submitted, "all": change.is_all}
    )
    return b"id: %d\nevent: change\ndata: %s\n\n" % (change.number, data)


def _visitor(admission: Admission, head: ConsoleHead) -> Visitor:
    key = admission.key
    return Visitor(
        admission.principal,
        admission.caller,
        name="" if key is None else key.name or key.access_key_id,
        is_read_only=key is not None and key.read_only,
        csrf_token=admission.csrf_token,
        theme=_theme(head),
    )


def _theme(head: ConsoleHead) -> str:
    theme = head.cookies.get(THEME_COOKIE, "")
    return theme if theme in THEMES else ""


def _cookies(header: str) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(header).items()}
    except CookieError:
        return {}


def _with_header(found: Answer, name: str, value: str) -> Answer:
    return msgspec.structs.replace(found, headers=(*found.headers, (name, value)))


def _static(path: str) -> Answer:
    asked, _, name = path.partition("/")
    if name not in STATIC_FILES:
        raise WireError("NotFound", "There is no such file.", 404)
    content_type, body = STATIC_FILES[name]
    caching = FOR_EVER if asked == STATIC_HASH else "no-store"
    return Answer(body, 200, content_type, (("cache-control", caching),))


# -- HTTP --


async def _form(head: ConsoleHead, method: str, receive: Receive) -> dict[str, str]:
    """Reads the whole body, a urlencoded form. Raises WireError or Disconnected."""
    if method in READING:
        return {}
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        body += message.get("body", b"")
        if len(body) > MAX_FORM_BYTES:
            raise WireError("RequestEntityTooLargeException", f"A form has at most {MAX_FORM_BYTES} bytes.", 413)
        if not message.get("more_body", False):
            break
    if not head.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise WireError("InvalidParameter", "The console takes forms (application/x-www-form-urlencoded).", 415)
    return _joined(body.decode("utf-8", "replace"), "\n", keep_blank=True)


def _joined(encoded: str, separator: str, *, keep_blank: bool = False) -> dict[str, str]:
    """Returns the parameters of a form or an address by name; several values of one name are joined."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(encoded, keep_blank_values=keep_blank):
        found[name] = f"{found[name]}{separator}{value}" if name in found else value
    return found


async def _send(scope: Scope, send: Send, head: ConsoleHead, found: Answer) -> None:
    body, headers = found.body, dict(found.headers)
    headers.setdefault("cache-control", "no-store")
    headers["vary"] = "accept-encoding, cookie"
    if len(body) >= COMPRESSED_BYTES and "gzip" in head.headers.get("accept-encoding", ""):
        body = gzip.compress(body, COMPRESSION, mtime=0)
        headers["content-encoding"] = "gzip"
    sent = [("content-type", found.content_type), *headers.items(), *SECURITY_HEADERS]
    raw = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in sent]
    raw.append((b"content-length", b"%d" % len(body)))
    if found.status >= 400 and scope["method"] not in READING:
        raw.append((b"connection", b"close"))  # its body may not have been read
    await send({"type": "http.response.start", "status": found.status, "headers": raw})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass  # it has no body
