"""The ASGI applications of a running server: one for every caller, one for jobs on networks of their own."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from batchyard.api.context import Context
from batchyard.api.ecs.metadata import metadata
from batchyard.api.operations import bind
from batchyard.api.services import SERVICES
from batchyard.console.live import FactRing
from batchyard.console.site import Site
from batchyard.engines.docker.network import ADDRESS
from batchyard.loop import Busy, Stopped
from batchyard.server.access.access import Access, Rules
from batchyard.server.access.console_access import ConsoleAccess
from batchyard.server.access.identity import Identity
from batchyard.server.deliveries.message_signer import MessageSigner
from batchyard.server.http.app import App, Dispatch, SessionPaths
from batchyard.server.http.console_endpoint import BrowserHome, ConsoleEndpoint
from batchyard.server.http.disk_guard import FreeSpace, guarded
from batchyard.server.http.exec_endpoint import ExecEndpoint, Executor
from batchyard.server.http.metrics_endpoint import MetricsEndpoint
from batchyard.server.http.routes import Asgi, Route, Routes, credentials_route, health_route, metadata_route
from batchyard.server.http.sns_endpoint import SnsEndpoint
from batchyard.server.metrics.prometheus import OwnTotals
from batchyard.server.settings.config import Settings
from batchyard.wire.messages import Document
from batchyard.wire.router import Router

# The operations that end when their caller disconnects.
WAITING = frozenset((service.name, name) for service in SERVICES.values() for name in service.waiting)
JOBS_ONLY = Rules(ADDRESS, bound_to_loopback=False, jobs_only=True)


class Applications(Struct, frozen=True):
    """Makes the applications. `context`: of operations; `free_bytes`: of the store's disk; `health`: the body of
    /health; `executor_of`: returns what runs second commands on an engine, where that is present; `message_signer`: has
    the certificate that receivers of SNS's messages fetch; `own_totals`: for /metrics; `secret`: of the data directory;
    `ring`: what pages of the console hear of."""

    settings: Settings
    identity: Identity
    context: Context
    free_bytes: Callable[[], int]
    now_ms: Callable[[], int]
    health: Callable[[], Document]
    executor_of: Callable[[str], Executor | None]
    message_signer: MessageSigner
    own_totals: Callable[[], OwnTotals]
    secret: bytes
    ring: FactRing

    def for_everyone(self, rules: Rules, *, has_console: bool = True) -> Asgi:
        """Returns the application of everything that this server answers, for callers that pass the rules."""
        access = self._access(rules)
        is_open = self.settings.metrics_open
        metrics = MetricsEndpoint(self.context.ask, self.identity.keys, self.own_totals, is_open=is_open)
        exec_endpoint = ExecEndpoint(access, self.context.ask, self.executor_of)
        sns_endpoint = SnsEndpoint(bind(self.context), self.message_signer)
        own = [health_route(self.health), metrics.route(), exec_endpoint.route(), sns_endpoint.route()]
        if has_console:
            own += self._console(rules, access).routes()
        app = Routes([*own, *self._routes_of_jobs()], self._app(access))
        return self._with_sessions(BrowserHome(app) if has_console else app)

    def for_jobs(self) -> Asgi:
        """Returns the application of what jobs may request at the address of their own network."""
        return self._with_sessions(Routes(self._routes_of_jobs(), self._app(self._access(JOBS_ONLY))))

    def _console(self, rules: Rules, access: Access) -> ConsoleEndpoint:
        identity = self.identity
        handlers = guarded(bind(self.context), self._space())
        site = Site(self.context, handlers, self.now_ms, self.ring)
        visitors = ConsoleAccess(rules, access, identity.keys, identity.operator, self.secret, self.now_ms)
        return ConsoleEndpoint(site, visitors, self.settings.trusted_proxy or "")

    def _space(self) -> FreeSpace:
        return FreeSpace(self.free_bytes, self.settings.min_free_mib, self.now_ms)

    def _app(self, access: Access) -> App:
        limit_bytes = self.settings.max_request_kib * 1024
        router = Router((service.model for service in SERVICES.values()), body_limit_bytes=limit_bytes)
        dispatch = Dispatch(limit_bytes, (Busy,), (Stopped,), self.settings.aws_error_texts, WAITING)
        return App(router, guarded(bind(self.context), self._space()), access, dispatch)

    def _access(self, rules: Rules) -> Access:
        identity = self.identity
        return Access(
            rules,
            identity.keys,
            identity.operator,
            self.now_ms,
            session_of=identity.sessions.find,
            session_by_s3_keys=identity.sessions.by_s3_keys,
        )

    def _routes_of_jobs(self) -> list[Route]:
        return [metadata_route(self._metadata), credentials_route(self.identity.sessions.answer)]

    async def _metadata(self, token: str, rest: str) -> Document | None:
        """Returns ECS task metadata of the attempt that the token was made for; `rest` is the path after it."""
        tokens = self.identity.tokens
        attempt_id = tokens.attempt_id(token)
        if attempt_id is None:
            return None
        return await metadata(self.context, attempt_id, f"/{rest}", tokens.container(token))

    def _with_sessions(self, app: Asgi) -> Asgi:
        """Wraps the application where jobs sign with the keys of the owner's S3: their paths name the attempt."""
        sessions = self.identity.sessions
        return SessionPaths(app, sessions.attempt_at) if sessions.has_s3_keys else app
