"""A live attempt, and the table of all attempts: queued, alive, ended, acknowledged."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from batchyard.engines.supervisor import journal as records
from batchyard.engines.supervisor.cgroups import Cgroup
from batchyard.engines.supervisor.fifos import Output
from batchyard.engines.supervisor.journal import IntentItem, Journal
from batchyard.engines.supervisor.protocol import (
    ExitedItem,
    FinalItem,
    LaunchItem,
    LostItem,
    ReportItem,
    StartedItem,
    Task,
)

# Outcomes kept after their acknowledgement, to answer a repeated launch. The store never launches a finished attempt;
# only messages that crossed an acknowledgement can name one, and those are few and recent.
MAX_ACKNOWLEDGED = 4096


JOURNAL = "journal"  # in the state directory
LOCK = "lock"  # in the state directory: held by the supervisor that serves it; has its pid


class Settings(NamedTuple):
    """Directories and limits of one supervisor."""

    runtime_dir: Path  # FIFOs
    state_dir: Path  # lock, journal, link to the server
    logs_dir: Path
    work_dir: Path  # scratch directories
    log_limit_bytes: int
    idle_seconds: float  # end after this time without attempts and without a server
    keep_failed_seconds: float  # how long scratch directories of failed attempts are kept
    lease_until_ms: int = 0  # the lease until a server extends it, as in ServerHello; 0: none is needed


class Queued(NamedTuple):
    item: LaunchItem
    task: Task


class Attempt:
    """A task that runs, or whose remains are being killed."""

    __slots__ = (
        "cgroup", "cpu_ms", "intent", "is_fenced", "is_registered", "kill_at_seconds", "out_of_memory", "output",
        "peak_kib", "pid", "pidfd", "start_ticks", "started_at_ms", "status", "stopped_at_ms",
    )  # fmt: skip

    def __init__(self, intent: IntentItem, output: Output) -> None:
        self.intent = intent
        self.output = output
        self.cgroup: Cgroup | None = None  # where limits are enforced
        self.pid = 0  # also its session and its first process group
        self.start_ticks = 0
        self.started_at_ms = 0
        self.pidfd = -1  # only for an adopted process, which is not our child
        self.is_fenced = False  # the lease ended while it ran
        self.is_registered = False  # its output wakes us
        self.kill_at_seconds: float | None = None  # CLOCK_BOOTTIME
        self.out_of_memory = False
        self.peak_kib = 0
        self.cpu_ms = 0
        self.status: int | None = None  # its wait status, once known
        self.stopped_at_ms = 0

    @property
    def attempt_id(self) -> str:
        return self.intent.attempt_id


class AttemptTable:
    """Every attempt that this supervisor must account for, and its journal on disk."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.epoch = 0
        self.intact = True  # an attempt that is not in the journal never ran
        self.boot_id = ""
        self.queued: dict[str, Queued] = {}
        self.running: dict[str, Attempt] = {}
        self.ending: dict[str, Attempt] = {}
        self.outcomes: dict[str, FinalItem] = {}
        self.acknowledged: dict[str, FinalItem] = {}
        self.elsewhere: dict[str, Attempt] = {}  # run by a predecessor
        self.is_accounted = False  # a server has asked about all its attempts
        self.reports: list[ReportItem] = []  # to send in this round
        self._ended: list[FinalItem] = []  # to journal in this round

    @property
    def has_work(self) -> bool:
        return bool(self.queued or self.running or self.ending or self.elsewhere)

    def all_live(self) -> list[Attempt]:
        return [*self.running.values(), *self.ending.values()]

    def live(self, attempt_id: str) -> Attempt | None:
        return self.running.get(attempt_id) or self.ending.get(attempt_id)

    def has_ended(self, attempt_id: str) -> bool:
        return attempt_id in self.outcomes or attempt_id in self.acknowledged

    def repeat(self, attempt_id: str) -> bool:
        """Repeats the last report about an attempt. Returns False for an unknown attempt."""
        final = self.outcomes.get(attempt_id) or self.acknowledged.get(attempt_id)
        attempt = self.live(attempt_id) or self.elsewhere.get(attempt_id)
        if final is not None:
            self.reports.append(final)
        elif attempt is not None:
            self.reports.append(StartedItem(attempt_id, attempt.started_at_ms))
        return final is not None or attempt is not None or attempt_id in self.queued

    def repeat_all(self) -> None:
        """Reports, for a new connection, everything that runs and every outcome that is not acknowledged."""
        self.reports = [StartedItem(a.attempt_id, a.started_at_ms) for a in self.running.values()]
        self.reports += [StartedItem(a.attempt_id, a.started_at_ms) for a in self.ending.values()]
        self.reports += [StartedItem(a.attempt_id, a.started_at_ms) for a in self.elsewhere.values()]
        self.reports += self.outcomes.values()

    def end(self, final: FinalItem) -> None:
        self.outcomes[final.attempt_id] = final
        self._ended.append(final)
        self.reports.append(final)

    def ends_seen(self) -> list[str]:
        """Returns the ends that are not in the journal yet, as texts for a fail point."""
        return [f"{_end_of(final)}, not on record" for final in self._ended]

    def ends_on_record(self) -> list[str]:
        """Returns the ends that are about to be reported, as texts for a fail point."""
        return [_end_of(item) for item in self.reports if not isinstance(item, StartedItem)]

    def acknowledge(self, attempt_ids: tuple[str, ...]) -> None:
        # An id may come twice: its end was reported twice, and each report is acknowledged.
        known = tuple(attempt_id for attempt_id in dict.fromkeys(attempt_ids) if attempt_id in self.outcomes)
        for attempt_id in known:
            self.acknowledged[attempt_id] = self.outcomes.pop(attempt_id)
        while len(self.acknowledged) > MAX_ACKNOWLEDGED:
            del self.acknowledged[next(iter(self.acknowledged))]
        if known:
            self.journal_ended()  # an outcome is journalled before its acknowledgement
            self.journal.append(records.Acknowledged(known))

    def journal_ended(self) -> None:
        if self._ended:
            self.journal.append(records.Ended(tuple(self._ended)))
            self._ended.clear()

    def raise_epoch(self, epoch: int) -> None:
        if epoch > self.epoch:
            self.epoch = epoch
            self.journal.append(records.Epoch(epoch))

    def compact(self) -> None:
        """Rewrites the journal: live attempts, outcomes, and the recently acknowledged."""
        self._ended.clear()  # written below, with the outcomes
        entries: list[records.Record] = [records.Opened(self.boot_id, records.FORMAT), records.Epoch(self.epoch)]
        if not self.intact:
            entries.append(records.Damaged(0))
        if self.acknowledged:
            entries.append(records.Ended(tuple(self.acknowledged.values())))
            entries.append(records.Acknowledged(tuple(self.acknowledged)))
        if self.outcomes:
            entries.append(records.Ended(tuple(self.outcomes.values())))
        live = self.all_live()
        if live:
            entries.append(records.Intents(tuple(attempt.intent for attempt in live)))
            entries.append(records.Spawned(tuple(map(spawned_item, live))))
        entries += [
            records.Stopping(attempt.attempt_id, attempt.kill_at_seconds)
            for attempt in live
            if attempt.kill_at_seconds is not None
        ]
        self.journal.rewrite(entries)


def _end_of(final: FinalItem) -> str:
    if isinstance(final, ExitedItem):
        return "exit 0" if final.exit_code == 0 else "exit not 0"
    return "lost" if isinstance(final, LostItem) else "not started"


def spawned_item(attempt: Attempt) -> records.SpawnedItem:
    return records.SpawnedItem(attempt.attempt_id, attempt.pid, attempt.start_ticks, attempt.started_at_ms)
