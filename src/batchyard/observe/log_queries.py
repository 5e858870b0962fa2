"""Runs queries of Logs Insights over groups, each in a thread beside requests, and keeps their results for a time."""

from __future__ import annotations

import base64
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from msgspec import Struct

from batchyard.core.model.refusal import Refused
from batchyard.evaluators.insights.aggregates import TooLarge
from batchyard.evaluators.insights.batches import Batch, MakeRecord
from batchyard.evaluators.insights.nodes import Dedup, Limit, PatternOf, Query, Sort, Stats
from batchyard.evaluators.insights.plan import Execution, Plan, Statistics
from batchyard.evaluators.insights.values import LogRecord
from batchyard.observe.log_catalogue import AnyStream, JobStream, LogCatalogue
from batchyard.observe.log_scan import Span, scan, scan_blocks, scan_in_order

SCHEDULED, RUNNING, COMPLETE = "Scheduled", "Running", "Complete"
FAILED, CANCELLED, TIMED_OUT = "Failed", "Cancelled", "Timeout"
MAX_ACTIVE = 100  # that run or wait (CloudWatch Logs quotas)
MAX_KEPT = 1000  # queries whose results are kept, in memory: the oldest go, and all at the end of the service
MAX_KEPT_ROWS = 200_000  # of their results together
THREADS = 2  # more would only wait for each other
TIMEOUT_SECONDS = 3600.0  # as on AWS
STREAMS_AT_ONCE = 1000  # asked of the store in one page
JOB_FIELDS = ("@job", "@attempt")  # what the names of the fields begin with that jobs add to their lines


logger = logging.getLogger(__name__)


class QueryScope(Struct, frozen=True):
    """What a query goes over. `end_ms`: the last millisecond that belongs to it."""

    groups: tuple[str, ...]
    start_ms: int
    end_ms: int
    text: str
    limit: int


class LogQuery:
    """One query, from its start on. Its members change in the thread that runs it."""

    def __init__(self, query_id: str, scope: QueryScope, plan: Plan, created_ms: int) -> None:
        self.id, self.scope, self.plan, self.created_ms = query_id, scope, plan, created_ms
        self.status = SCHEDULED
        self.rows: list[dict[str, str]] = []
        self.failure = ""
        self.seconds = 0.0
        self._stopping = threading.Event()
        self._execution: Execution | None = None
        self._span: Span | None = None

    @property
    def is_active(self) -> bool:
        return self.status in (SCHEDULED, RUNNING)

    @property
    def statistics(self) -> Statistics:
        """What it has looked at so far, lines that were skipped by their blocks included."""
        if self._execution is None or self._span is None:
            return Statistics(0, 0, 0)
        matched, scanned, size = self._execution.statistics
        skipped = self._span.skipped
        return Statistics(matched, scanned + skipped.lines, size + skipped.bytes)

    def stop(self) -> None:
        self._stopping.set()
        if self.status == SCHEDULED:
            self.status = CANCELLED

    def run(self, catalogue: LogCatalogue, account_id: str) -> None:
        """Runs to its end, in a thread of its own."""
        if self._stopping.is_set():
            return
        self.status = RUNNING
        began = time.monotonic()
        scope = self.scope
        self._execution = execution = self.plan.execution()
        self._span = Span(
            scope.start_ms,
            scope.end_ms + 1,
            self.plan.texts,
            lambda: not self._stopping.is_set() and time.monotonic() - began < TIMEOUT_SECONDS,
        )
        self.failure = "the query failed for a reason that the service's own log has"
        try:
            if execution.takes_batches:
                for batch in _batches(catalogue, account_id, scope, self.plan.query, self._span):
                    execution.add_batch(batch)
            else:
                for record in _records(catalogue, account_id, scope, self.plan.query, self._span):
                    if not execution.add(record):
                        break
            self.rows = execution.rows()
            self.failure = ""
        except TooLarge as error:
            self.failure = str(error)
        finally:
            self.seconds = time.monotonic() - began
            self.status = self._end_status()

    def _end_status(self) -> str:
        assert self._span is not None
        if self.failure:
            return FAILED
        if self._stopping.is_set():
            return CANCELLED
        return COMPLETE if self._span.keep_going() else TIMED_OUT


class LogQueries:
    """All queries of a service, by their ids, in the order in which they were started."""

    def __init__(self) -> None:
        self._queries: dict[str, LogQuery] = {}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="log-query")

    def close(self) -> None:
        for query in self._queries.values():
            query.stop()
        self._threads.shutdown()

    def start(self, query: LogQuery, catalogue: LogCatalogue, account_id: str) -> None:
        """Has the query run. Refused: too many are active."""
        if sum(other.is_active for other in self._queries.values()) >= MAX_ACTIVE:
            raise Refused(
                f"There are {MAX_ACTIVE} queries that run or wait already: try again when some have ended.",
                "LimitExceededException",
            )
        self._forget()
        self._queries[query.id] = query
        self._threads.submit(query.run, catalogue, account_id).add_done_callback(_report)

    def find(self, query_id: str) -> LogQuery | None:
        return self._queries.get(query_id)

    def newest_first(self) -> Iterator[LogQuery]:
        return reversed(list(self._queries.values()))

    def _forget(self) -> None:
        ended = [query for query in self._queries.values() if not query.is_active]
        rows = sum(len(query.rows) for query in ended)
        for query in ended:
            if len(self._queries) < MAX_KEPT and rows <= MAX_KEPT_ROWS:
                return
            del self._queries[query.id]
            rows -= len(query.rows)


def _report(ended: Future[None]) -> None:
    """Logs a fault of ours."""
    fault = None if ended.cancelled() else ended.exception()
    if fault is not None:
        logger.error("A query failed", exc_info=fault)


# -- records --


def record_pointer(group: str, stream: str, place: int) -> str:
    """Returns `@ptr` of a log event: for GetLogRecord."""
    return f"{_pointer_head(group, stream)}.{place}"


def read_pointer(pointer: str) -> tuple[str, str, int]:
    """Returns group, stream and place. Raises ValueError."""
    head, _, place = pointer.rpartition(".")
    group, found, stream = base64.b64decode(head, altchars=b"-_", validate=True).decode().partition("\n")
    if not found or not place.isascii() or not place.isdigit() or len(place) > 26:
        raise ValueError("no pointer")
    return group, stream, int(place)


def _pointer_head(group: str, stream: str) -> str:
    return base64.urlsafe_b64encode(f"{group}\n{stream}".encode()).decode()


def _sources(
    catalogue: LogCatalogue, account_id: str, scope: QueryScope, query: Query
) -> Iterator[tuple[AnyStream, MakeRecord]]:
    """Yields the streams of the groups, each with what makes records of its lines."""
    has_fields = any(prefix in scope.text for prefix in JOB_FIELDS)
    has_pointer = "@ptr" in scope.text or not any(isinstance(command, Stats) for command in query.commands)
    for group in scope.groups:
        for stream in _streams(catalogue, group, scope):
            yield stream, _maker(catalogue, account_id, group, stream, has_fields=has_fields, has_pointer=has_pointer)


def _records(
    catalogue: LogCatalogue, account_id: str, scope: QueryScope, query: Query, span: Span
) -> Iterator[LogRecord]:
    """Yields the records of the groups: newest first, where their order matters."""
    sources = list(_sources(catalogue, account_id, scope, query))
    if order_matters(query):
        makers = {id(stream): maker for stream, maker in sources}
        for stream, line in scan_in_order([stream for stream, _ in sources], span):
            yield makers[id(stream)](*line)
        return
    for stream, maker in sources:
        for line in scan(stream, span):
            yield maker(*line)


def _batches(catalogue: LogCatalogue, account_id: str, scope: QueryScope, query: Query, span: Span) -> Iterator[Batch]:
    """Yields the records of the groups by blocks of streams."""
    for stream, maker in list(_sources(catalogue, account_id, scope, query)):
        for lines in scan_blocks(stream, span):
            yield Batch(lines, maker)


def order_matters(query: Query) -> bool:
    """Whether the result depends on the order of records: it does not where all of them are collected first."""
    for command in query.commands:
        if isinstance(command, Stats | Sort | PatternOf):
            return False
        if isinstance(command, Limit | Dedup):
            return True
    return True


def _streams(catalogue: LogCatalogue, group: str, scope: QueryScope) -> Iterator[AnyStream]:
    cursor: str | None = None
    while True:
        page = catalogue.streams(group, "", STREAMS_AT_ONCE, cursor, descending=True, by_time=True)
        for stream in page.streams:
            if not isinstance(stream, JobStream) or stream.created_at_ms <= scope.end_ms:
                yield stream
        cursor = page.cursor
        if cursor is None:
            return


def _maker(
    catalogue: LogCatalogue,
    account_id: str,
    group: str,
    stream: AnyStream,
    *,
    has_fields: bool,
    has_pointer: bool = True,
) -> MakeRecord:
    head, name, log = _pointer_head(group, stream.name), stream.name, f"{account_id}:{group}"
    fields = job_fields(catalogue, stream) if has_fields else {}

    if not has_pointer:

        def make_plain(at_ms: int, place: int, ingested_ms: int, text: str) -> LogRecord:
            return LogRecord(at_ms, text, name, log, ingested_ms, "", fields)

        return make_plain

    def make(at_ms: int, place: int, ingested_ms: int, text: str) -> LogRecord:
        return LogRecord(at_ms, text, name, log, ingested_ms, f"{head}.{place}", fields)

    return make


def job_fields(catalogue: LogCatalogue, stream: AnyStream) -> dict[str, str]:
    """Returns the fields that a job adds to its lines."""
    if not isinstance(stream, JobStream):
        return {}
    view = catalogue.jobs.attempt(stream.task_id)
    if view is None:
        return {}
    spec = view.view.spec
    return {
        "@jobId": stream.job_id,
        "@jobName": spec.name,
        "@jobQueue": spec.queue,
        "@jobDefinition": spec.definition,
        "@attempt": str(view.number),
    }


def find_record(
    catalogue: LogCatalogue, account_id: str, group: str, streams: Sequence[AnyStream], place: int
) -> LogRecord | None:
    """Returns the event at a place of a stream, the first of `streams`."""
    for stream in streams:
        with stream.open() as log:
            lines = log.forward(place, limit=1).lines
        if lines and lines[0].start == place:
            line = lines[0]
            make = _maker(catalogue, account_id, group, stream, has_fields=True)
            return make(line.at_ms, line.start, line.ingested_ms, line.text)
    return None
