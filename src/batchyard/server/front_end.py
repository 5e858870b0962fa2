"""The HTTP side of a server: answers callers and jobs, over one listener for all and one for jobs' networks."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

from batchyard.api.context import MetricAccess, ServiceControl
from batchyard.api.readers import Readers
from batchyard.clock import wall_clock_ms
from batchyard.deliveries.machine import LOG_CHANNEL
from batchyard.server.access.keys import OPERATOR
from batchyard.server.access.peers import PeerLookup
from batchyard.server.assembly import Assembly
from batchyard.server.deliveries.sender import TAKEN
from batchyard.server.forecasts.forecaster import Forecaster
from batchyard.server.hosts.admission import HostAdmission
from batchyard.server.hosts.host_service import host_access, serving_hosts
from batchyard.server.http.applications import Applications
from batchyard.server.http.loopback_listener import plain_rules
from batchyard.server.http.server import HttpServer
from batchyard.server.metrics.prometheus import OwnTotals
from batchyard.server.operations_context import EngineNames, Secrets, State, context_of, page_key
from batchyard.server.parts import Parts
from batchyard.server.settings.host import Detected
from batchyard.store.logs.log_reader import LogReader
from batchyard.version import VERSION
from batchyard.wire.messages import Document

# Queries of requests run beside the event loop; more threads than this only wait for each other (one interpreter).
READER_THREADS = 6
MAX_READERS_OF_CALLER = 3  # of them: a caller's slow queries leave the others something
# Of all connections one in so many is for containers on networks of their own, and of those again for one of them.
JOBS_PART = 8
ROLE = "active"  # this server writes the store; a standby is another role


class FrontEnd:
    """The HTTP side of a server whose machine knows its engines. `threads` and `reader` are for queries of the store
    beside the event loop, `context` for operations that the service performs itself."""

    def __init__(
        self, parts: Parts, assembly: Assembly, host: Detected, control: Callable[[FrontEnd], ServiceControl]
    ) -> None:
        self._parts = parts
        self._assembly = assembly
        self.reader = parts.store.reader()
        self.log_reader = LogReader(parts.paths.log_database)
        self.threads = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="reader")
        self._lookup = PeerLookup()
        self.context = context_of(
            parts.settings,
            parts.paths,
            host,
            state=State(
                assembly.loop.ask,
                self.reader,
                parts.log_writer,
                self.log_reader,
                Readers(self.threads, MAX_READERS_OF_CALLER),
                MetricAccess(parts.metric_store, parts.clock.now_ms),
                assembly.waiters,
            ),
            engines=EngineNames(assembly.engines.of_new_environments, assembly.engines.names),
            secrets=Secrets(assembly.cipher, page_key(parts.secret), self._key_name),
            control=control(self),
            forecaster=Forecaster(parts, assembly.loop.ask, parts.clock.now_ms),
            hosts=host_access(parts.hosts),
        )
        parts.log_writer.hook(self.context.log_filters.hook)
        self._applications = Applications(
            settings=parts.settings,
            identity=assembly.identity,
            context=self.context,
            free_bytes=parts.writer.free_bytes,
            now_ms=wall_clock_ms,
            health=self.health,
            executor_of=assembly.engines.executor,
            message_signer=parts.message_signer,
            own_totals=self._own_totals,
            secret=parts.secret,
            ring=assembly.ring,
        )

    def close(self) -> None:
        """Ends the threads that read, and their reader."""
        self.context.log_queries.close()
        self.threads.shutdown()
        self.reader.close()
        self.log_reader.close()
        self._lookup.close()

    def _own_totals(self) -> OwnTotals:
        tries = Counter(self._assembly.sender.tries)
        tries[LOG_CHANNEL, TAKEN] += sum(maker.written for maker in self._assembly.event_makers)
        return OwnTotals(dict(tries), self._parts.writer.commit_times)

    def server(self) -> HttpServer:
        """Returns the server for all callers, not serving yet."""
        most, most_of_one = self._parts.max_connections
        if self._assembly.job_listener is not None:
            most -= most // JOBS_PART
        if self._parts.plain_listener is not None:
            most -= most // 2
        everyone = self._applications.for_everyone(self._parts.rules)
        return HttpServer(everyone, self._lookup, (most, min(most, most_of_one)), self._parts.certificate)

    @contextlib.asynccontextmanager
    async def serving_jobs(self) -> AsyncIterator[None]:
        """Serves jobs while the block runs: those on networks of their own, where there is a listener for them, and
        beside TLS those on the host's network."""
        listener = self._assembly.job_listener
        async with contextlib.AsyncExitStack() as stack:
            if listener is not None:
                most = self._parts.max_connections[0] // JOBS_PART
                limits = most, max(1, most // JOBS_PART)
                await stack.enter_async_context(listener.serving(self._applications.for_jobs(), self._lookup, limits))
            if self._parts.plain_listener is not None:
                app = self._applications.for_everyone(plain_rules(self._parts.rules), has_console=False)
                most, most_of_one = self._parts.max_connections
                server = HttpServer(app, self._lookup, (most // 2, min(most // 2, most_of_one)))
                await stack.enter_async_context(server.serving_on(self._parts.plain_listener))
            yield

    def serving_hosts(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Takes hosts that join, while the block runs, where the settings have a port for them."""
        parts, loop = self._parts, self._assembly.loop
        admission = HostAdmission(loop.ask, self._assembly.machine.world, parts.secret, VERSION)
        most = parts.max_connections[0] // JOBS_PART
        return serving_hosts(parts.hosts, admission, self._applications.for_jobs(), self._lookup, (most, most))

    def health(self) -> Document:
        """Returns the body of /health."""
        return {
            "version": VERSION,
            "role": ROLE,
            "engines": self._assembly.engines.health(),
            "store": self._parts.store.driver.kind,
        }

    def _key_name(self, access_key_id: str) -> str:
        """Returns the name of a key, or the operator's; without configured keys any key may sign, and its id is its
        name."""
        if access_key_id == self._parts.operator.access_key_id:
            return OPERATOR
        key = self._parts.keys.current().get(access_key_id)
        return key.name if key is not None and key.name else access_key_id
