"""Traces and metrics on their way to a collector: beside the event loop, in a thread of their own, and lost where the
collector does not keep up."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Protocol

from batchyard.server.settings.config import SettingError, Settings
from batchyard.server.telemetry.job_spans import JobSpan, spans_of
from batchyard.server.telemetry.outbox import Batch, Outbox
from batchyard.store.metrics.series import Datum
from batchyard.store.queries import Reader
from batchyard.store.store import Store

JOBS_AT_ONCE = 200  # some hundred KiB of spans; an array's 10,000 children are fifty requests
CLOSE_SECONDS = 1.0  # what is left then is lost: the end of the service has a deadline
REPORT_SECONDS = 60.0  # between two lines of the log about what was lost

logger = logging.getLogger("batchyard.telemetry")


class Sink(Protocol):
    """Where all of it goes: telemetry.otlp.Collector. Its methods may block, and return whether it was taken."""

    def send_spans(self, spans: Iterable[JobSpan]) -> bool: ...

    def send_metrics(self, data: Sequence[Datum]) -> bool: ...

    def close(self) -> None: ...


class Telemetry:
    """`outbox`: where the service puts what is to be sent. `endpoint`: for the log."""

    def __init__(self, store: Store, sink: Sink, endpoint: str) -> None:
        self.outbox = Outbox()
        self._store = store
        self._sink = sink
        self._endpoint = endpoint
        self._lost = 0  # jobs and minutes since the last report
        self._dropped = 0  # of the outbox, reported
        self._reported_at = -REPORT_SECONDS
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Sends what is left, for a moment."""
        self.outbox.close()
        if self._thread.is_alive():
            self._thread.join(CLOSE_SECONDS)
            self._sink.close()

    def _run(self) -> None:
        reader = self._store.reader()
        try:
            while (batch := self.outbox.take(JOBS_AT_ONCE)) is not None:
                self._send(reader, batch)
                self._report()
        finally:
            reader.close()

    def _send(self, reader: Reader, batch: Batch) -> None:
        if batch.jobs:
            spans = [span for view in reader.jobs(batch.jobs) for span in spans_of(view)]
            if not self._sink.send_spans(spans):
                self._lost += len(batch.jobs)
        for data in batch.minutes:
            if not self._sink.send_metrics(data):
                self._lost += 1

    def _report(self) -> None:
        """Logs what was lost, at most once in a while."""
        dropped = self.outbox.dropped - self._dropped
        now = time.monotonic()
        if (self._lost or dropped) and now - self._reported_at >= REPORT_SECONDS:
            logger.warning(
                "%s took no traces and metrics: those of %d jobs or minutes are lost. No job waits for it.",
                self._endpoint,
                self._lost + dropped,
            )
            self._lost, self._dropped, self._reported_at = 0, self._dropped + dropped, now


def open_telemetry(settings: Settings, store: Store) -> Telemetry | None:
    """Returns what sends to the collector of the settings; None: they name none. Raises SettingError."""
    endpoint = settings.otel_endpoint
    if endpoint is None:
        return None
    try:
        from batchyard.server.telemetry.otlp import Collector
    except ImportError as error:
        raise SettingError(
            "otel_endpoint needs OpenTelemetry's library, which is not installed: pip install 'batchyard[otel]' "
            f"({error})."
        ) from error
    account = {"cloud.account.id": settings.account_id, "cloud.region": settings.region}
    return Telemetry(store, Collector(endpoint, account), endpoint)
