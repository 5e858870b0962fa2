"""`/metrics`, for Prometheus. Where access keys are configured, a collector sends one: as HTTP Basic (its id is the
user, its secret the password), or as the bearer token `ID:SECRET`."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import logging
import time
import uuid
from collections.abc import Callable, Mapping

from batchyard.alarms.commands import AskAlarms
from batchyard.api.context import Ask
from batchyard.core.questions.gauges import AskGauges, Gauges
from batchyard.job_metrics.machine import AskTotals
from batchyard.loop import Busy, Stopped
from batchyard.server.access.keys import KeyFile
from batchyard.server.http.routes import FAILED, Receive, Route, Scope, Send, fault, headers_of, send_response
from batchyard.server.metrics.prometheus import OPEN_METRICS, TEXT, OwnTotals, Scrape, render
from batchyard.wire.messages import Response
from batchyard.wire.protocols import RestJson

PATH = b"/metrics"
GAUGES_KEPT_SECONDS = 10.0  # gauges look at all unfinished jobs: several collectors share one look
PLAIN = "text/plain; charset=utf-8"

logger = logging.getLogger("batchyard.server")


class MetricsEndpoint:
    """ASGI 3, for PATH. `own`: what the service did itself; `is_open`: it is answered without a key, too."""

    def __init__(self, ask: Ask, keys: KeyFile, own: Callable[[], OwnTotals], *, is_open: bool) -> None:
        self._ask = ask
        self._own = own
        self._keys = keys
        self._is_open = is_open
        self._gauges: Gauges | None = None
        self._looked_at = 0.0

    def route(self) -> Route:
        return Route(PATH, self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = str(uuid.uuid4())
        try:
            response = await self._respond(scope)
        except (Busy, Stopped):
            response = _text(503, "The service is busy or ends; try again.")
        except Exception:
            logger.exception(FAILED, request_id, scope["method"], scope["path"])
            error = fault(request_id)
            response = RestJson(error.code).error_response(error, request_id)
        await send_response(scope, send, response)

    async def _respond(self, scope: Scope) -> Response:
        headers = headers_of(scope)
        if scope["method"] not in ("GET", "HEAD"):
            return _text(405, "/metrics takes GET.")
        if not self._may_read(headers):
            challenge = ("www-authenticate", 'Basic realm="batchyard"')
            return _text(401, "Send an access key: HTTP Basic, or a bearer token of ID:SECRET.", challenge)
        asked_at = time.monotonic()
        totals = await self._ask(AskTotals())
        lag_seconds = time.monotonic() - asked_at
        scrape = Scrape(await self._look(), totals, await self._ask(AskAlarms()), self._own(), lag_seconds)
        is_open_metrics = "application/openmetrics-text" in headers.get("accept", "")
        body = await asyncio.to_thread(render, scrape, is_open=is_open_metrics)
        return Response(200, (("content-type", OPEN_METRICS if is_open_metrics else TEXT),), body)

    async def _look(self) -> Gauges:
        if self._gauges is None or time.monotonic() - self._looked_at > GAUGES_KEPT_SECONDS:
            self._gauges, self._looked_at = await self._ask(AskGauges()), time.monotonic()
        return self._gauges

    def _may_read(self, headers: Mapping[str, str]) -> bool:
        keys = self._keys.current()
        if self._is_open or not keys:
            return True
        key_id, _, secret = _credentials(headers.get("authorization", "")).partition(":")
        known = keys.get(key_id)
        return known is not None and hmac.compare_digest(known.secret_access_key.encode(), secret.encode())


def _credentials(authorization: str) -> str:
    """Returns `ID:SECRET` of an authorization; empty: it is none of these."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _text(status: int, text: str, *headers: tuple[str, str]) -> Response:
    return Response(status, (("content-type", PLAIN), *headers), f"{text}\n".encode())
