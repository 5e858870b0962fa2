"""The machine that counts what jobs do, by queue and minute (observability spec 14).

It follows facts within the batch that makes them, so that counts and what they count are one transaction: none is
lost or counted twice when the service is killed. A minute stays a document here until the server has put it into the
store of metrics, where it can be put again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Protocol

from msgspec import Struct

from batchyard.core.model.commands import Command
from batchyard.core.model.effects import Effect
from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.facts import GONE, InstanceChanged, JobStateChanged
from batchyard.core.model.names import child_key
from batchyard.core.model.records import Attempt, Instance, Job, Status
from batchyard.job_metrics.records import MONTH_USE, QUEUE_MINUTE, MonthUse, QueueMinute
from batchyard.job_metrics.runnable_since import RunnableSince
from batchyard.job_metrics.tally import Tally
from batchyard.job_metrics.totals import TotalCounter, Totals
from batchyard.machines.document_machine import CommandHandlers, DocumentMachine

MINUTE_MS = 60_000
MOVED_TO = {
    Status.PENDING: "JobsMovedToPending",
    Status.RUNNABLE: "JobsMovedToRunnable",
    Status.STARTING: "JobsMovedToStarting",
    Status.RUNNING: "JobsMovedToRunning",
    Status.SUCCEEDED: "JobsMovedToSucceeded",
    Status.FAILED: "JobsMovedToFailed",
}
SUBMITTED, RETRIED, CANCELLED, TERMINATED = "JobsSubmitted", "JobsRetried", "JobsCancelled", "JobsTerminated"
TO_RUNNABLE, TO_STARTING = "JobSubmittedToRunnableDuration", "JobSubmittedToFirstStartingDuration"
WAITED, STARTED = "JobAttemptRunnableToStartingDuration", "JobAttemptStartingToRunningDuration"
EXECUTED, ATTEMPTED = "JobAttemptExecutionDuration", "JobAttemptDuration"
LONGER_THAN_A_MONTH = timedelta(days=32)
MEASURED = frozenset({WAITED, ATTEMPTED})  # those of which there are histograms


class Jobs(Protocol):
    """What the machine of jobs knows, in the batch that made the facts."""

    def job(self, key: int) -> Job | None:
        """Returns a row as it is now, also one that has just ended; None: a child without a row."""

    def array_size(self, key: int) -> int:
        """Returns how many children a submission has; 0: it is no array."""

    def has_dependencies(self, key: int) -> bool:
        """Whether an unfinished submission depends on other jobs."""

    def milli_vcpus(self, key: int) -> int:
        """Returns what an unfinished row asks for."""

    def instance(self, instance_id: str) -> Instance | None: ...

    def price_of(self, instance: Instance) -> int:
        """Returns the owner's price of an hour, in micro-dollars; 0: there is none."""

    def placed(self) -> Collection[tuple[int, str]]:
        """Returns key and queue of all rows with a placed attempt."""

    def instances(self) -> Collection[Instance]:
        """Returns the instances of MANAGED environments."""


class AskMinutes(Command[tuple[QueueMinute, ...]], frozen=True):
    """Asks for the minutes that are over and not yet in the store of metrics."""


class ForgetMinutes(Command[None], frozen=True):
    """The minutes of these names are in the store of metrics."""

    names: tuple[str, ...]


class Use(Struct, frozen=True):
    """What the current month has used until now, running attempts and instances included."""

    month: str
    milli_vcpu_ms: dict[str, int]  # by queue
    micro_dollar_ms: int


class AskUse(Command[Use], frozen=True):
    """Asks for what the current month has used."""


class AskTotals(Command[Totals], frozen=True):
    """Asks for what has happened since the service was started."""


class _Minute:
    """A queue's minute that is under way."""

    def __init__(self, record: QueueMinute, totals: TotalCounter) -> None:
        self.queue, self.start_s, self._totals = record.queue, record.start_s, totals
        self.counts = dict(record.counts)
        self.durations = {name: Tally(found) for name, found in record.durations.items()}

    def count(self, name: str, number: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + number
        self._totals.count(self.queue, name, number)

    def took(self, name: str, value_ms: int, times: int = 1) -> None:
        if value_ms < 0:  # the clocks of hosts differ
            value_ms = 0
        tally = self.durations.get(name)
        if tally is None:
            tally = self.durations[name] = Tally()
        tally.add(value_ms, times)
        if name in MEASURED:
            self._totals.took(self.queue, name, value_ms, times)

    def freeze(self) -> QueueMinute:
        durations = {name: tally.freeze() for name, tally in self.durations.items()}
        return QueueMinute(self.queue, self.start_s, dict(self.counts), durations)


class JobMetricsMachine(DocumentMachine):
    """A FactObserver (loop.hosted_machine)."""

    observed_facts: Collection[type[Fact]] = (JobStateChanged, InstanceChanged)

    def __init__(self, jobs: Jobs) -> None:
        super().__init__()
        self._jobs = jobs
        self._totals = TotalCounter()
        self._minutes: dict[str, _Minute] = {}  # by name of their documents
        self._touched: dict[str, _Minute] = {}
        self._current: dict[str, _Minute] = {}  # by queue, in the running batch
        self._runnable = RunnableSince()
        self._placed: dict[int, tuple[str, int]] = {}  # queue and milli-vCPUs of placed attempts, by key
        self._instances: dict[str, tuple[int, int]] = {}  # price and launch of instances that have one
        self._month, self._month_start_ms, self._month_end_ms = "", 0, 0
        self._milli_vcpu_ms: dict[str, int] = {}  # of the month, by queue
        self._micro_dollar_ms = 0
        self._is_use_touched = False

    def restore(self, records: Mapping[tuple[str, str], Struct]) -> None:
        """Takes the documents of the store and what is placed, before the first batch."""
        for record in records.values():
            if isinstance(record, QueueMinute):
                self._minutes[record.name] = _Minute(record, self._totals)
            elif isinstance(record, MonthUse):
                self._month, self._milli_vcpu_ms = record.month, dict(record.milli_vcpu_ms)
                self._micro_dollar_ms = record.micro_dollar_ms
        for key, queue in self._jobs.placed():
            self._placed[key] = queue, self._jobs.milli_vcpus(key)
        for instance in self._jobs.instances():
            self._note_instance(instance)

    def _end_batch(self) -> list[Effect]:
        for name, minute in self._touched.items():
            self._changes.documents[QUEUE_MINUTE, name] = minute.freeze()
        self._touched.clear()
        self._current.clear()
        if self._is_use_touched:
            self._is_use_touched = False
            self._changes.documents[MONTH_USE, self._month] = MonthUse(
                self._month, dict(self._milli_vcpu_ms), self._micro_dollar_ms
            )
        return []

    # -- facts --

    def observe(self, facts: Sequence[Fact], now_ms: int) -> None:
        """Counts what has happened, in the minute in which it is committed."""
        self._begin(now_ms)
        for fact in facts:
            if isinstance(fact, InstanceChanged):
                self._instance_changed(fact)
            elif isinstance(fact, JobStateChanged):
                minute = self._minute(fact.queue)
                if fact.stop:
                    self._children(minute, fact)
                elif fact.status is Status.SUBMITTED:
                    minute.count(SUBMITTED, self._jobs.array_size(fact.key) or 1)
                elif self._jobs.array_size(fact.key):
                    if fact.status.is_final:
                        self._runnable.forget_array(fact.key)
                else:
                    self._single(minute, fact, fact.key)

    def _minute(self, queue: str) -> _Minute:
        minute = self._current.get(queue)
        if minute is None:
            start_s = self._now_ms // MINUTE_MS * 60
            name = f"{queue}/{start_s}"
            minute = self._minutes.get(name)
            if minute is None:
                minute = self._minutes[name] = _Minute(QueueMinute(queue, start_s, {}), self._totals)
            self._current[queue] = self._touched[name] = minute
        return minute

    def _children(self, minute: _Minute, fact: JobStateChanged) -> None:
        """Counts children of an array: those that have no row together."""
        virtual = 0
        for index in range(fact.start, fact.stop):
            key = child_key(fact.key, index)
            job = self._jobs.job(key)
            if job is None:
                virtual += 1
            else:
                self._single(minute, fact, key, index)
        if not virtual:
            return
        minute.count(MOVED_TO[fact.status], virtual)
        parent = self._jobs.job(fact.key)
        if fact.status is Status.RUNNABLE:
            self._runnable.add_children(fact.key, fact.start, fact.stop, fact.at_ms)
            if parent is not None:
                minute.took(TO_RUNNABLE, fact.at_ms - parent.created_at_ms, virtual)
        elif fact.status is Status.FAILED and parent is not None and fact.reason == parent.end_reason:
            self._count_withdrawn(minute, parent, virtual)

    def _count_withdrawn(self, minute: _Minute, job: Job, times: int = 1) -> None:
        if job.is_terminated:
            minute.count(TERMINATED, times)
        elif job.is_cancelled:
            minute.count(CANCELLED, times)

    def _single(self, minute: _Minute, fact: JobStateChanged, key: int, index: int | None = None) -> None:
        job = self._jobs.job(key)
        assert job is not None, f"the fact {fact!r} is about no job"
        minute.count(MOVED_TO[fact.status])
        if fact.status is Status.RUNNABLE:
            self._became_runnable(minute, fact, key, index, job)
        elif fact.status is Status.STARTING:
            self._starts(minute, fact, key, index, job)
        elif fact.status is Status.RUNNING:
            attempt = _attempt_after(job, fact.attempts)
            minute.took(STARTED, attempt.started_at_ms - attempt.placed_at_ms)
        elif fact.status.is_final:
            was_placed = self._end_attempt(minute, fact, key, job)
            if not was_placed:
                self._runnable.take(key)
            if fact.status is Status.FAILED and (job.is_terminated or not was_placed):
                self._count_withdrawn(minute, job)

    def _became_runnable(self, minute: _Minute, fact: JobStateChanged, key: int, index: int | None, job: Job) -> None:
        if fact.attempts:
            minute.count(RETRIED)
            self._end_attempt(minute, fact, key, job)
        else:
            minute.took(TO_RUNNABLE, fact.at_ms - job.created_at_ms)
        if index is None:
            self._runnable.add(key, fact.at_ms)
        else:
            self._runnable.add_children(fact.key, index, index + 1, fact.at_ms)

    def _starts(self, minute: _Minute, fact: JobStateChanged, key: int, index: int | None, job: Job) -> None:
        if key not in self._placed:
            self._placed[key] = fact.queue, self._jobs.milli_vcpus(key)
        if not fact.attempts:
            minute.took(TO_STARTING, fact.at_ms - job.created_at_ms)
        since_ms = self._runnable.take(key) if index is None else self._runnable.take_child(fact.key, index)
        if since_ms is None:  # since before the service was started
            if fact.attempts:
                since_ms = job.past[fact.attempts - 1].stopped_at_ms
            elif self._jobs.has_dependencies(fact.key):
                return
            else:
                since_ms = job.created_at_ms
        minute.took(WAITED, fact.at_ms - since_ms)

    def _end_attempt(self, minute: _Minute, fact: JobStateChanged, key: int, job: Job) -> bool:
        """Counts the end of an attempt. Returns whether there was one."""
        placed = self._placed.pop(key, None)
        if placed is None:
            return False
        attempt = job.past[fact.attempts - 1]
        minute.took(ATTEMPTED, attempt.stopped_at_ms - attempt.placed_at_ms)
        if attempt.started_at_ms:
            minute.took(EXECUTED, attempt.stopped_at_ms - attempt.started_at_ms)
            self._add_use(placed[0], placed[1] * self._in_month(attempt.started_at_ms, attempt.stopped_at_ms))
        return True

    # -- the month --

    def _begin(self, now_ms: int) -> None:
        """Sets the time. A new month begins with nothing."""
        if now_ms // MINUTE_MS != self._now_ms // MINUTE_MS:
            self._current.clear()
        super()._begin(now_ms)
        if now_ms < self._month_end_ms:
            return
        first = datetime.fromtimestamp(now_ms / 1000, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        self._month_start_ms = int(first.timestamp() * 1000)
        self._month_end_ms = int((first + LONGER_THAN_A_MONTH).replace(day=1).timestamp() * 1000)
        month = f"{first:%Y-%m}"
        if self._month and self._month != month:
            self._changes.documents[MONTH_USE, self._month] = None
            self._milli_vcpu_ms, self._micro_dollar_ms = {}, 0
        self._month = month

    def _in_month(self, start_ms: int, stop_ms: int) -> int:
        """Returns how much of a time lies in the current month."""
        return max(0, stop_ms - max(start_ms, self._month_start_ms))

    def _add_use(self, queue: str, milli_vcpu_ms: int) -> None:
        self._milli_vcpu_ms[queue] = self._milli_vcpu_ms.get(queue, 0) + milli_vcpu_ms
        self._is_use_touched = True

    def _note_instance(self, instance: Instance) -> None:
        price = self._jobs.price_of(instance)
        if price:
            self._instances[instance.instance_id] = price, instance.launched_at_ms

    def _instance_changed(self, fact: InstanceChanged) -> None:
        if fact.state != GONE:
            instance = self._jobs.instance(fact.instance_id)
            if instance is not None and fact.instance_id not in self._instances:
                self._note_instance(instance)
            return
        known = self._instances.pop(fact.instance_id, None)
        if known is not None:
            price, launched_at_ms = known
            self._micro_dollar_ms += price * self._in_month(launched_at_ms, self._now_ms)
            self._is_use_touched = True

    # -- questions --

    def _ask_minutes(self, command: AskMinutes) -> tuple[QueueMinute, ...]:
        current_s = self._now_ms // MINUTE_MS * 60
        return tuple(minute.freeze() for _, minute in sorted(self._minutes.items()) if minute.start_s < current_s)

    def _forget(self, command: ForgetMinutes) -> None:
        for name in command.names:
            if self._minutes.pop(name, None) is not None:
                self._touched.pop(name, None)
                self._changes.documents[QUEUE_MINUTE, name] = None

    def _ask_totals(self, command: AskTotals) -> Totals:
        return self._totals.freeze()

    def _ask_use(self, command: AskUse) -> Use:
        by_queue = dict(self._milli_vcpu_ms)
        for key, (queue, milli_vcpus) in self._placed.items():
            job = self._jobs.job(key)
            started_at_ms = job.attempt.started_at_ms if job is not None and job.attempt is not None else 0
            if started_at_ms:
                spent = milli_vcpus * self._in_month(started_at_ms, self._now_ms)
                by_queue[queue] = by_queue.get(queue, 0) + spent
        cost = sum(price * self._in_month(launched, self._now_ms) for price, launched in self._instances.values())
        return Use(self._month, by_queue, self._micro_dollar_ms + cost)

    command_handlers: ClassVar[CommandHandlers] = {
        AskMinutes: _ask_minutes,
        ForgetMinutes: _forget,
        AskUse: _ask_use,
        AskTotals: _ask_totals,
    }


def _attempt_after(job: Job, ended: int) -> Attempt:
    """Returns the attempt that follows so many that have ended."""
    if len(job.past) > ended:
        return job.past[ended]
    assert job.attempt is not None, f"job {job.key} has no attempt {ended + 1}"
    return job.attempt
