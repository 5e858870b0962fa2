"""What is still to be sent to the collector: jobs that have ended, and minutes of metrics. It has an end, and drops
rather than wait, so that no collector ever holds up a job."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.facts import JobStateChanged
from batchyard.core.model.names import child_id
from batchyard.core.model.records import Status
from batchyard.store.metrics.series import Datum

MAX_JOBS = 20_000  # that wait, as ids of some 50 bytes: a minute of 300 a second while the collector is away
MAX_MINUTES = 10  # likewise: the collector's own view of an older one is a gap anyway
FINAL = (Status.SUCCEEDED, Status.FAILED)


class Batch(NamedTuple):
    """`jobs`: ids of those whose spans are to be sent; `minutes`: data to be sent."""

    jobs: list[str]
    minutes: list[Sequence[Datum]]


class Outbox:
    """The event loop adds, one other thread takes. `dropped`: how many jobs found no place."""

    def __init__(self) -> None:
        self._jobs: deque[str] = deque()
        self._minutes: deque[Sequence[Datum]] = deque(maxlen=MAX_MINUTES)
        self._changed = threading.Condition()
        self._is_closed = False
        self.dropped = 0

    def add_job(self, fact: Fact) -> None:
        """Takes a change of a job's state; those of jobs that have not ended are ignored."""
        assert isinstance(fact, JobStateChanged), f"{fact!r} is of no job"
        if fact.status not in FINAL:
            return
        with self._changed:
            places = MAX_JOBS - len(self._jobs)
            number = fact.stop - fact.start if fact.stop else 1
            kept = min(number, places)
            if fact.stop:
                self._jobs.extend(child_id(fact.job_id, fact.start + index) for index in range(kept))
            elif kept:
                self._jobs.append(fact.job_id)
            self.dropped += number - kept
            self._changed.notify()

    def add_minute(self, data: Sequence[Datum]) -> None:
        with self._changed:
            self._minutes.append(data)
            self._changed.notify()

    def take(self, most_jobs: int) -> Batch | None:
        """Waits until there is something, and returns it; None: the outbox is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._minutes or self._is_closed)
            if not self._jobs and not self._minutes:
                return None
            jobs = [self._jobs.popleft() for _ in range(min(most_jobs, len(self._jobs)))]
            minutes = list(self._minutes)
            self._minutes.clear()
            return Batch(jobs, minutes)

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
