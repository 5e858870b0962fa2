"""What an operation works with: the account, the loop to ask, the store to read, the limits, and the caller."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

from msgspec import Struct

from batchyard.analysis.forecasts import Forecasts
from batchyard.api.http_task_sender import HttpTaskSender
from batchyard.api.readers import Readers
from batchyard.api.states.waiters import Waiters
from batchyard.core.capacity.catalogue import X86_64, Catalogue
from batchyard.core.model.commands import Answer, Command
from batchyard.core.model.gpus import Gpu
from batchyard.core.model.names import Account
from batchyard.observe.live_tail import LiveTail
from batchyard.observe.log_catalogue import LogCatalogue
from batchyard.observe.log_filters import LogFilters
from batchyard.observe.log_queries import LogQueries
from batchyard.store.logs.log_reader import LogReader
from batchyard.store.logs.log_writer import LogWriter
from batchyard.store.metrics.metric_store import MetricStore
from batchyard.store.queries import Reader, time_budget
from batchyard.wire.messages import Document

PROCESS = "process"  # the engine that runs programs of this machine; every other one runs images
REMOTE = "remote"  # but this, which runs programs of machines that have joined
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Ask(Protocol):
    """Hands a command to the loop and returns its answer after the commit. Raises Refused, Busy or Stopped."""

    def __call__(self, command: Command[Answer], /) -> Awaitable[Answer]: ...


class CipherError(Exception):
    """The key of the secrets cannot be used, or a value cannot be read. The text is a sentence with the remedy."""


class SecretCipher(Protocol):
    """Encrypts and decrypts the values of secrets. Each method raises CipherError, and may be called in any thread."""

    def seal(self, value: bytes, bound_to: str, *, is_first: Callable[[], bool]) -> bytes: ...

    def open(self, sealed: bytes, bound_to: str) -> bytes: ...

    def digest(self, value: bytes, bound_to: str) -> bytes: ...


class ServiceControl(Protocol):
    """The running service, for its own operations."""

    async def describe(self) -> Document:
        """Returns where it runs, its version and role, its engines, and the findings of `batchyard doctor`."""

    def end(self, kill: bool) -> None:
        """Begins the end of the service; with `kill` it waits for the ends of the running jobs."""


class Forecaster(Protocol):
    """Forecasts when jobs start."""

    async def __call__(self, job_ids: Sequence[str]) -> Forecasts: ...


class OfferedToken(Struct, frozen=True):
    """A new token for a host: its text, and what is kept of it."""

    token_id: str
    digest: str
    text: str

    def __repr__(self) -> str:
        return f"OfferedToken({self.token_id!r})"


class HostAccess(Struct, frozen=True):
    """How machines can join. `port`: where they dial."""

    port: int
    new_token: Callable[[], OfferedToken]


class Settings(Struct, frozen=True):
    """Limits that a deployment may raise; the defaults are AWS's (user guide: service_limits)."""

    engine: str = PROCESS  # runs the attempts of environments that callers create, unless their tag names another
    engines: tuple[str, ...] = (PROCESS,)  # those there are
    max_array_size: int = 10_000
    min_timeout_seconds: int = 60
    max_job_kib: int = 30  # of one SubmitJob request
    max_definition_kib: int = 24  # of one RegisterJobDefinition request
    accepts_unknown_integrations: bool = False  # tasks of services that do not run here fail when they are reached
    has_s3: bool = False  # distributed Maps may read items from the owner's S3, and write results there


class Notifications(Struct, frozen=True):
    """How people can be notified, beside HTTP. `has_smtp`: mail can be sent; `has_apprise`: the extra is installed;
    `commands`, `urls`: the names of the tables [notify.NAME] of the configuration, by what they hold."""

    has_smtp: bool = False
    has_apprise: bool = False
    commands: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()


class MetricAccess(Struct, frozen=True):
    """The store of metrics, and the service's time."""

    store: MetricStore
    now_ms: Callable[[], int]


@dataclass(frozen=True)
class Context:
    """The service's side of every request."""

    account: Account
    ask: Ask
    reader: Reader
    new_uuid: Callable[[], str]
    logs_directory: Path
    cipher: SecretCipher
    log_writer: LogWriter
    log_reader: LogReader
    host_vcpus: int = 0  # what this machine offers
    host_address: str = "127.0.0.1"  # where others of its network reach it
    host_name: str = "localhost"
    architecture: str = X86_64  # of this machine, in EC2's words
    gpus: tuple[Gpu, ...] = ()  # of this machine, those that jobs can have
    catalogue: Catalogue = field(default_factory=lambda: Catalogue({}))
    key_name: Callable[[str], str] = str  # the owner's name for an access key id; unknown: the id
    settings: Settings = field(default_factory=Settings)
    readers: Readers | None = None  # the threads for queries; None: the event loop's own thread
    notifications: Notifications = field(default_factory=Notifications)
    control: ServiceControl | None = None  # None: no service runs, as in tests of single operations
    metrics: MetricAccess | None = None  # None: no service runs
    forecaster: Forecaster | None = None  # None: no service runs
    hosts: HostAccess | None = None  # None: no machines can join
    page_key: bytes = b""  # the key of the proofs in page tokens: the same after a restart
    log_queries: LogQueries = field(default_factory=LogQueries)
    http_tasks: HttpTaskSender = field(default_factory=HttpTaskSender)
    waiters: Waiters = field(default_factory=Waiters)  # callers who wait for executions of Step Functions
    activity_poll_seconds: float = 60.0  # GetActivityTask waits so long for a task, as AWS does
    live_tails: set[LiveTail] = field(default_factory=set)  # those that run
    log_filters: LogFilters = field(default_factory=lambda: LogFilters(""))
    registering: asyncio.Lock = field(default_factory=asyncio.Lock)  # one registration of the built-in definition

    @cached_property
    def log_catalogue(self) -> LogCatalogue:
        """Log groups and streams, of jobs and written ones."""
        return LogCatalogue(self.reader, self.log_reader, self.logs_directory)

    async def read(
        self, query: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """Returns the answer of one of the reader's queries. OutOfTime: it took too long."""

        def work() -> Result:
            with time_budget():
                return query(*args, **kwargs)

        return work() if self.readers is None else await self.readers.run(work)


class Call(Struct, frozen=True):
    """The caller's side of one request."""

    operation: str
    principal: str = ""
    invocation_id: str = ""  # amz-sdk-invocation-id: constant over an SDK's retries of one call
    size_bytes: int = 0  # of the request's body
    caller: str = ""  # the caller for limits: an access key, or the user of the connection
    body_digest: str = ""  # of the body, in hex, where there is an invocation id
    trace_parent: str = ""  # the header `traceparent`, where it is valid
