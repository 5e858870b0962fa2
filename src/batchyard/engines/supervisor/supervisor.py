"""The supervisor's one loop. Each round, in this order:

 1. read the server's commands and the tasks' output
 2. write the intents of the next launches, durable with one fsync
 3. start them
 4. reap ended processes; kill what they left
 5. write pids and outcomes to the journal
 6. report

An outcome is thus in the journal before it is reported, and a launch before it can have any effect.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import uuid
from collections.abc import Iterable
from pathlib import Path

import msgspec

from batchyard import failpoints
from batchyard.clock import SteadyClock
from batchyard.core.model import names
from batchyard.engines.base import RECOVERED_SILENT
from batchyard.engines.boot import boot_id, boot_seconds
from batchyard.engines.start_failures import CannotStart
from batchyard.engines.supervisor import journal as records
from batchyard.engines.supervisor.adoption import Adoption
from batchyard.engines.supervisor.attempts import JOURNAL, LOCK, Attempt, AttemptTable, Queued, Settings, spawned_item
from batchyard.engines.supervisor.census import Census
from batchyard.engines.supervisor.cgroups import Cgroups
from batchyard.engines.supervisor.fifos import Fifos
from batchyard.engines.supervisor.journal import COMPACT_ABOVE_BYTES, IntentItem, Journal
from batchyard.engines.supervisor.launcher import Launcher, Prepared, has_own_scratch, not_started
from batchyard.engines.supervisor.link import ServerLink
from batchyard.engines.supervisor.outputs import Outputs
from batchyard.engines.supervisor.predecessors import Predecessors
from batchyard.engines.supervisor.protocol import (
    PROTOCOL_VERSION,
    Commands,
    LaunchItem,
    Leaving,
    LostItem,
    NotStartedItem,
    RecoverItem,
    Reports,
    ServerHello,
    StartedItem,
    SupervisorHello,
    Task,
)
from batchyard.engines.supervisor.reaper import LEASE_OVER, Reaper
from batchyard.engines.supervisor.scratch import Scratch

MAX_STARTS_PER_ROUND = 32  # about 10 ms of starting: exits, outputs and stops wait no longer than that
DISK_FULL_PAUSE_SECONDS = 1.0  # between tries to put launches on record
SWEEP_SECONDS = 3600.0
LEASE_KILL_SECONDS = 10.0  # SIGTERM to SIGKILL at the end of a lease; the server waits for longer (remote/leases.py)
NO_LEASE = float("inf")
NO_TRACE = "The attempt had started, and the supervisor's journal does not know it."
DAMAGED = "The supervisor's journal is damaged, so that nobody can tell whether the attempt ran."
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class Supervisor:
    def __init__(self, settings: Settings, default_nofile: tuple[int, int]) -> None:
        self._settings = settings
        self._clock = SteadyClock()  # for lines and attempts: follows the service's clock once a server is connected
        self._instance = uuid.uuid4().hex
        self._epoll = select.epoll()
        self._table = AttemptTable(Journal(settings.state_dir / JOURNAL))
        self._table.boot_id = boot_id()
        self._fifos = Fifos(settings.runtime_dir, self._instance)
        self._outputs = Outputs(self._epoll, self._fifos)
        self._scratch = Scratch(settings.work_dir, settings.keep_failed_seconds)
        self._cgroups = Cgroups(settings.state_dir)
        self._reaper = Reaper(self._table, self._outputs, self._scratch, self._cgroups, self._epoll)
        self._adoption = Adoption(settings, self._table, self._reaper, self._outputs, self._cgroups)
        self._launcher = Launcher(settings, self._fifos, self._scratch, self._cgroups, default_nofile)
        self._predecessors = Predecessors(settings.state_dir, self._table, self._adoption)
        self._lock = _identity(settings.state_dir / LOCK)
        self._is_displaced = False  # the data directory was removed or replaced
        self._is_retired = False  # it has handed over to a newer version
        self._link = ServerLink(
            settings.state_dir,
            self._epoll,
            lambda: self._table.epoch,
            self._accept,
            self._owns_data_directory,
            self._hand_over,
        )
        self._base: dict[str, str] = {}
        self._wakeup = _wake_on_signals(self._epoll)
        self._is_terminated = False  # by a signal: it ends at once, and the attempts live on
        self._is_leaving = False  # by the server: it ends when nothing lives
        self._alone_since = boot_seconds()
        self._launch_not_before = 0.0
        self._lease_until = _lease_end(settings.lease_until_ms)  # CLOCK_BOOTTIME
        self._next_sweep = 0.0
        signal.signal(signal.SIGTERM, self._on_terminate)

    def run(self) -> None:
        replay = self._table.journal.load()
        self._adoption.take_over(replay, boot_seconds(), self._clock.now_ms())
        self._table.compact()
        self._predecessors.find(boot_seconds(), self._clock.now_ms())
        if self._table.intact:
            self._cgroups.sweep(self._alive())
        self._fifos.sweep({attempt.output.fifo for attempt in self._table.all_live()} | self._predecessors.fifos())
        while not self._is_done():
            self._round(self._epoll.poll(self._timeout()))
        self._table.journal_ended()
        self._table.journal.close()
        self._link.close()
        self._fifos.close()
        self._cgroups.close()
        self._scratch.tick(everything=True)

    def _round(self, events: list[tuple[int, int]]) -> None:
        now, now_ms = boot_seconds(), self._clock.now_ms()
        self._hold_to_lease(now, now_ms)  # before anything else: a host that was frozen wakes up here
        self._link.seek(now)
        if now >= self._predecessors.next_look:
            self._predecessors.look(now, now_ms)
        self._outputs.tick(now)
        has_exits = self._read_events(events, now, now_ms)
        self._launch_round(now)
        if has_exits:
            self._reaper.reap(boot_seconds(), self._clock.now_ms())
        self._reaper.kill_due(now)
        self._reaper.look(now, now_ms)
        self._reaper.sample(now)
        self._reaper.give_up_unreaped(now, now_ms)
        if failpoints.armed:
            failpoints.reach("after-exit-before-report", self._table.ends_seen())
        self._journal_round()
        if failpoints.armed:
            failpoints.reach("after-exit-before-report", self._table.ends_on_record())
        self._report_round()
        self._scratch.tick()
        self._cgroups.tick(now)
        if now >= self._next_sweep and self._takes_attempts:
            self._next_sweep = now + SWEEP_SECONDS
            self._scratch.sweep(self._alive())

    def _alive(self) -> set[str]:
        return {*self._table.running, *self._table.ending, *self._table.elsewhere}

    # -- Commands --

    def _read_events(self, events: list[tuple[int, int]], now: float, now_ms: int) -> bool:
        """Handles the events of one poll. Returns whether children may have ended."""
        has_exits = False
        for fd, _ in events:
            if fd == self._wakeup:
                os.read(fd, 4096)
                has_exits = True
            elif self._link.owns(fd):
                for commands in self._link.handle(fd):
                    self._carry_out(commands, now, now_ms)
            elif fd in self._reaper.by_pidfd:
                self._reaper.reap_adopted(fd, now, now_ms)
            else:
                self._outputs.read(fd, now, now_ms)
        if self._link.is_connected:
            self._alone_since = now
        return has_exits

    def _owns_data_directory(self) -> bool:
        """Whether the data directory is still ours. If it was removed or replaced, this supervisor retires."""
        if self._takes_attempts and _identity(self._settings.state_dir / LOCK) != self._lock:
            print("the lock of this supervisor was removed: it leaves when its tasks have ended", flush=True)
            self._is_displaced = True
            self._table.queued.clear()
        return self._takes_attempts

    @property
    def _takes_attempts(self) -> bool:
        """Whether new attempts are taken. False: this one retires, and ends with its last."""
        return not (self._is_displaced or self._is_retired)

    def _hand_over(self) -> None:
        """Makes way for the supervisor of a newer version: renames journal and lock, and retires. Launches that are not
        in the journal yet were never made: the server asks for them again."""
        self._table.queued.clear()
        self._table.journal_ended()
        self._table.journal.write()
        if failpoints.armed:
            failpoints.reach("during-upgrade", ["nothing moved"])
        state_dir = self._settings.state_dir
        self._table.journal.move(state_dir / f"{JOURNAL}.{self._instance}")
        if failpoints.armed:
            failpoints.reach("during-upgrade", ["journal moved"])
        (state_dir / LOCK).rename(state_dir / f"{LOCK}.{self._instance}")
        if failpoints.armed:
            failpoints.reach("during-upgrade", ["lock moved"])
        print("handed over to a newer version: this supervisor leaves when its tasks have ended", flush=True)
        self._is_retired = True

    def _accept(self, hello: ServerHello) -> None:
        self._is_leaving = False
        self._base = dict(hello.environment)
        self._launcher.enforces_cgroups = hello.enforce_cgroups
        self._launcher.allows_root = hello.allow_root_jobs
        self._extend_lease(hello.lease_until_ms)
        self._clock.catch_up(hello.now_ms)
        self._table.raise_epoch(hello.epoch)
        self._link.send(SupervisorHello(PROTOCOL_VERSION, self._instance, os.getpid(), self._table.boot_id))
        self._table.repeat_all()

    def _carry_out(self, commands: Commands, now: float, now_ms: int) -> None:
        specs = commands.specs
        self._extend_lease(commands.lease_until_ms)
        if commands.recover is not None:
            self._recover(commands.recover, specs, now, now_ms)
        for item in commands.launch:
            self._enqueue(item, specs)
        self._stop(commands, now, now_ms)
        if commands.acknowledge:
            self._table.acknowledge(commands.acknowledge)
        if commands.leave:
            self._is_leaving = True
            table = self._table
            self._link.send(Leaving(len(table.queued) + len(table.all_live()) + len(table.elsewhere)))

    def _enqueue(self, item: LaunchItem, specs: dict[int, Task]) -> None:
        if not self._table.repeat(item.attempt_id):
            self._table.queued[item.attempt_id] = Queued(item, specs[item.spec_key])

    def _recover(self, items: Iterable[RecoverItem], specs: dict[int, Task], now: float, now_ms: int) -> None:
        table = self._table
        silent = [item for item in items if not table.repeat(item.launch.attempt_id)]
        census = Census(self._reaper.by_pid, everywhere=True) if silent else None
        for item in silent:
            attempt_id = item.launch.attempt_id
            task = specs[item.launch.spec_key]
            intent = IntentItem(attempt_id, "", has_own_scratch(Queued(item.launch, task)), task.memory_mib)
            if census is not None and self._adoption.adopt_orphan(intent, census, now, now_ms):
                attempt = table.live(attempt_id)
                assert attempt is not None, f"adopted attempt {attempt_id} is not in the table"
                self._record_orphan(attempt)
            elif not table.intact:
                table.end(LostItem(attempt_id, now_ms, DAMAGED, 0))
            elif item.may_launch and not item.known_started:
                self._enqueue(item.launch, specs)
            elif item.known_started:
                table.end(LostItem(attempt_id, now_ms, NO_TRACE, 0))
            else:
                table.end(NotStartedItem(attempt_id, now_ms, RECOVERED_SILENT))
        table.is_accounted = True
        if not table.intact:
            table.intact = True
            self._cgroups.sweep(self._alive())  # no attempt is in doubt any more
            table.journal_ended()
            table.journal.append(records.Accounted(now_ms))

    def _record_orphan(self, attempt: Attempt) -> None:
        attempt.intent = msgspec.structs.replace(attempt.intent, fifo=attempt.output.fifo)
        self._table.journal.append(records.Intents((attempt.intent,)))
        self._table.journal.append(records.Spawned((spawned_item(attempt),)))

    def _stop(self, commands: Commands, now: float, now_ms: int) -> None:
        stops: list[tuple[Attempt, float]] = []
        for stop in commands.stop:
            if self._table.queued.pop(stop.attempt_id, None) is not None:
                self._table.end(NotStartedItem(stop.attempt_id, now_ms, RECOVERED_SILENT))
            elif attempt := self._table.running.get(stop.attempt_id) or self._table.elsewhere.get(stop.attempt_id):
                stops.append((attempt, stop.grace_seconds))
        if stops:
            self._reaper.stop(stops, now)

    # -- The lease of a joined host --

    def _extend_lease(self, until_ms: int) -> None:
        if until_ms:
            self._lease_until = _lease_end(until_ms)

    def _hold_to_lease(self, now: float, now_ms: int) -> None:
        """Ends everything once the lease is over: from then on the server may run these attempts elsewhere."""
        if now < self._lease_until:
            return
        table = self._table
        for attempt_id in list(table.queued):
            del table.queued[attempt_id]
            table.end(LostItem(attempt_id, now_ms, LEASE_OVER, 0))
        alive = [*table.all_live(), *table.elsewhere.values()]
        fenced = [attempt for attempt in alive if not attempt.is_fenced]
        for attempt in fenced:
            attempt.is_fenced = True
        if fenced:
            print(f"the lease is over: {len(fenced)} tasks are being ended", flush=True)
            grace_seconds = max(0.0, self._lease_until + LEASE_KILL_SECONDS - now)  # a frozen host wakes up late
            self._reaper.stop([(attempt, grace_seconds) for attempt in fenced], now)

    # -- Launching --

    def _launch_round(self, now: float) -> None:
        table = self._table
        self._hold_to_lease(boot_seconds(), self._clock.now_ms())  # commands of this round may have come too late
        if not table.queued or now < self._launch_not_before:
            return
        prepared: list[Prepared] = []
        for queued in [*table.queued.values()][:MAX_STARTS_PER_ROUND]:
            try:
                prepared.append(self._launcher.prepare(queued, self._base))
            except CannotStart as reason:
                del table.queued[queued.item.attempt_id]
                table.end(not_started(queued.item.attempt_id, reason, self._clock.now_ms()))
        if not prepared or not self._write_intents(prepared, now):
            return
        started: list[Attempt] = []
        for launch in prepared:
            del table.queued[launch.intent.attempt_id]
            now_ms = self._clock.now_ms()
            if boot_seconds() >= self._lease_until:
                self._launcher.release(launch)
                table.end(LostItem(launch.intent.attempt_id, now_ms, LEASE_OVER, 0))
                continue
            try:
                attempt = self._launcher.start(launch, now_ms)
            except CannotStart as reason:
                table.end(not_started(launch.intent.attempt_id, reason, now_ms))
                continue
            table.running[attempt.attempt_id] = attempt
            self._reaper.add(attempt)
            self._outputs.add(attempt, now)
            table.reports.append(StartedItem(attempt.attempt_id, now_ms))
            started.append(attempt)
        if started:
            if failpoints.armed:
                failpoints.reach("after-spawn-before-journal", [_start_of(attempt) for attempt in started])
            table.journal.append(records.Spawned(tuple(map(spawned_item, started))))

    def _write_intents(self, prepared: list[Prepared], now: float) -> bool:
        """Writes the intents durably. Returns False when the disk is full: the launches wait for room."""
        journal = self._table.journal
        journal.append(records.Intents(tuple(launch.intent for launch in prepared)))
        try:
            journal.write()
        except OSError as error:
            if error.errno not in _DISK_FULL:
                raise
            journal.forget_last()
            for launch in prepared:
                self._launcher.release(launch)
            self._launch_not_before = now + DISK_FULL_PAUSE_SECONDS
            return False
        journal.sync()
        return True

    # -- Reports --

    def _journal_round(self) -> None:
        journal = self._table.journal
        self._table.journal_ended()
        try:
            if journal.size_bytes > COMPACT_ABOVE_BYTES and not self._is_displaced:
                self._table.compact()
            journal.write()
        except OSError as error:
            if error.errno not in _DISK_FULL:
                raise  # (else the buffer is written in the next round)

    def _report_round(self) -> None:
        if self._table.reports:
            self._link.send(Reports(tuple(self._table.reports)))
            self._table.reports.clear()

    # -- Time --

    def _timeout(self) -> float:
        """Returns the seconds until something is due."""
        now = boot_seconds()
        due = min(self._link.next_try, self._outputs.next_due(), self._reaper.next_look, self._reaper.next_kill())
        due = min(due, self._cgroups.next_try)
        if self._table.queued:
            due = min(due, self._launch_not_before)
        if self._table.has_work:
            due = min(due, self._reaper.next_sample, self._lease_until if now < self._lease_until else NO_LEASE)
        if self._takes_attempts:
            due = min(due, self._next_sweep, self._predecessors.next_look)
        return max(0.0, min(due - now, self._scratch.next_due_seconds()))

    def _is_done(self) -> bool:
        if self._is_terminated:
            return True
        if self._table.has_work:
            return False
        if self._is_leaving or not self._takes_attempts:
            return True
        is_alone = not self._link.is_connected and boot_seconds() - self._alone_since >= self._settings.idle_seconds
        return is_alone and not self._table.outcomes

    def _on_terminate(self, _number: int, _frame: object) -> None:
        self._is_terminated = True


def _lease_end(until_ms: int) -> float:
    return until_ms / 1000 if until_ms else NO_LEASE


def _identity(path: Path) -> tuple[int, int]:
    """Returns device and inode of a file; zeros: there is none."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return 0, 0
    return status.st_dev, status.st_ino


def _start_of(attempt: Attempt) -> str:
    parsed = names.parse_task_id(attempt.attempt_id)
    return "STARTING again" if parsed is not None and parsed[1] > 1 else "STARTING"


def _wake_on_signals(epoll: select.epoll) -> int:
    """Makes the pipe through which SIGCHLD and requests to end wake the loop. The handlers do nothing themselves:
    signals that are handled, not ignored, have their defaults in the programs that are started."""
    receiving, sending = os.pipe()
    os.set_blocking(receiving, False)
    os.set_blocking(sending, False)
    signal.set_wakeup_fd(sending, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    epoll.register(receiving, select.EPOLLIN)
    return receiving
