"""The end of attempts: stops, memory limits, ended main processes, leftover processes, and the outcome to report.

An outcome is reported only when no process of the attempt lives: what the main process left behind is killed first, as
in a container. The usual case, nothing left, must not cost a scan of /proc: a descendant's pid is assigned after its
ancestor's, so that probing the few pids assigned since the start is proof.
"""

from __future__ import annotations

import os
import select
import signal
from resource import struct_rusage

from batchyard.core.model.reports import OUT_OF_MEMORY
from batchyard.engines.supervisor import journal as records
from batchyard.engines.supervisor import processes
from batchyard.engines.supervisor.attempts import Attempt, AttemptTable
from batchyard.engines.supervisor.census import Census, memory_kib
from batchyard.engines.supervisor.cgroups import Cgroup, Cgroups
from batchyard.engines.supervisor.outputs import Outputs
from batchyard.engines.supervisor.protocol import ExitedItem, LostItem
from batchyard.engines.supervisor.scratch import Scratch

LEASE_OVER = "The host had no word from the server for longer than its lease, and ended what it ran."
LOST = "The supervisor of this host ended while the attempt ran, and its exit code is unknown."
MAX_PROBED_PIDS = 512  # with more pids since the start, one scan of /proc is cheaper
MAX_DEAD_PIDS = 4096
FIRST_PAUSE_SECONDS = 0.002  # between checks whether killed processes are gone
MAX_PAUSE_SECONDS = 0.1  # a process in an uninterruptible wait may take long
SAMPLE_SECONDS = 1.0
UNREAPED_SECONDS = 10.0  # an init process that never reaps its orphans must not be waited for without end
_KIB_PER_MIB = 1024


class Reaper:
    def __init__(
        self, table: AttemptTable, outputs: Outputs, scratch: Scratch, cgroups: Cgroups, epoll: select.epoll
    ) -> None:
        self._table = table
        self._outputs = outputs
        self._scratch = scratch
        self._cgroups = cgroups
        self._epoll = epoll
        self._last_pid = processes.LastPid()
        self._dead_pids: set[int] = set()  # of ended main processes: they are no attempt's remains
        self._pause = FIRST_PAUSE_SECONDS
        self._own_peak_kib = processes.own_peak_kib()
        self.by_pid: dict[int, Attempt] = {}  # running main processes
        self.by_pidfd: dict[int, Attempt] = {}  # the adopted among them
        self.stopping: dict[str, Attempt] = {}
        self._unreaped: dict[int, float] = {}  # pidfds of zombies with a parent elsewhere -> when to give up
        self._has_unattributed = False
        self.next_look = float("inf")
        self.next_sample = 0.0

    # -- Running --

    def add(self, attempt: Attempt) -> None:
        self.by_pid[attempt.pid] = attempt

    def adopt(self, attempt: Attempt) -> None:
        """Watches a process that is not our child."""
        self.by_pid[attempt.pid] = attempt
        self.by_pidfd[attempt.pidfd] = attempt
        self._epoll.register(attempt.pidfd, select.EPOLLIN)

    def census(self) -> Census:
        # The orphans of an earlier supervisor's tasks have another parent: the markers of all processes are read.
        inherited = bool(self._table.elsewhere) or any(
            attempt.pidfd >= 0 or not attempt.pid for attempt in self._table.all_live()
        )
        return Census(self.by_pid, everywhere=inherited or any(a.status is None for a in self._table.ending.values()))

    # -- Stopping --

    def stop(self, attempts: list[tuple[Attempt, float]], now: float) -> None:
        """Sends SIGTERM to the session of each attempt; SIGKILL to all its processes after its grace. A second stop can
        only shorten the grace."""
        census: Census | None = None
        for attempt, grace_seconds in attempts:
            kill_at = now + grace_seconds
            first = attempt.kill_at_seconds is None
            if first or kill_at < (attempt.kill_at_seconds or 0.0):
                attempt.kill_at_seconds = kill_at
                self.stopping[attempt.attempt_id] = attempt
                self._table.journal.append(records.Stopping(attempt.attempt_id, kill_at))
            if first and grace_seconds > 0:
                census = census or self.census()
                _signal(census, census.session(attempt), signal.SIGTERM)

    def kill_due(self, now: float) -> None:
        due = [a for a in self.stopping.values() if a.kill_at_seconds is not None and a.kill_at_seconds <= now]
        if due:
            census = self.census()
            for attempt in due:
                del self.stopping[attempt.attempt_id]
                _kill(census, census.members(attempt), attempt)

    def next_kill(self) -> float:
        return min((a.kill_at_seconds or 0.0 for a in self.stopping.values()), default=float("inf"))

    # -- Memory --

    def sample(self, now: float) -> None:
        """Measures the tasks' memory, once a second, and kills those above their limit."""
        if now < self.next_sample:
            return
        self.next_sample = now + SAMPLE_SECONDS
        if not self.by_pid and not self._has_unattributed:
            return
        self._own_peak_kib = processes.own_peak_kib()
        census = self.census()
        for attempt in self._table.running.values():
            if attempt.cgroup is not None:
                continue  # the kernel keeps the accounts, and the limit
            members = census.members(attempt)
            limit_kib = attempt.intent.memory_mib * _KIB_PER_MIB
            used_kib = memory_kib(census, members, min(attempt.peak_kib, limit_kib or attempt.peak_kib))
            attempt.peak_kib = max(attempt.peak_kib, used_kib)
            main = census.row(attempt.pid)
            if main is not None:
                attempt.cpu_ms = main.cpu_ticks * 1000 // processes.TICKS_PER_SECOND
            if limit_kib and used_kib > limit_kib:
                attempt.out_of_memory = True
                _signal(census, members, signal.SIGKILL)
        self._kill_unattributed(census)

    def _kill_unattributed(self, census: Census) -> bool:
        """Kills processes of unknown owner once no attempt is left that may own them. Returns whether it killed any."""
        unattributed = census.unattributed()
        self._has_unattributed = bool(unattributed)
        if unattributed and not self.by_pid:
            _signal(census, unattributed, signal.SIGKILL)
            return True
        return False

    # -- Ending --

    def reap(self, now: float, now_ms: int) -> None:
        """Reaps our dead children: main processes, and their orphans."""
        ended: list[Attempt] = []
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            attempt = self.by_pid.get(pid)
            if attempt is not None:
                self._note_exit(attempt, status, usage)
                ended.append(attempt)
        self._end(ended, now, now_ms)

    def reap_adopted(self, fd: int, now: float, now_ms: int) -> None:
        """Ends an adopted attempt, whose main process is not our child. Its wait status can be read once its parent has
        reaped it, or from /proc."""
        attempt = self.by_pidfd[fd]
        attempt.status = processes.foreign_exit_status(fd, attempt.pid, attempt.start_ticks)
        give_up_at = self._unreaped.setdefault(fd, now + UNREAPED_SECONDS)
        if attempt.status is None and processes.start_ticks(attempt.pid) == attempt.start_ticks and now < give_up_at:
            self._epoll.modify(fd, 0)  # the hang-up that comes with the reaping still wakes us
            return
        del self.by_pidfd[fd]
        del self._unreaped[fd]
        self._epoll.unregister(fd)
        os.close(fd)
        self._end([attempt], now, now_ms)

    def give_up_unreaped(self, now: float, now_ms: int) -> None:
        for fd, give_up_at in list(self._unreaped.items()):
            if give_up_at <= now:
                self.reap_adopted(fd, now, now_ms)

    def end_lost(self, attempt: Attempt, now: float, now_ms: int) -> None:
        """Ends an attempt whose wait status is unknown; its remains are killed before it is reported."""
        attempt.stopped_at_ms = now_ms
        self._table.running.pop(attempt.attempt_id, None)
        self._table.ending[attempt.attempt_id] = attempt
        self.next_look = now

    def _note_exit(self, attempt: Attempt, status: int, usage: struct_rusage) -> None:
        attempt.status = status
        attempt.cpu_ms = int((usage.ru_utime + usage.ru_stime) * 1000)
        # A vforked child inherits our own peak before it becomes the program: only a higher peak is its own.
        if usage.ru_maxrss > self._own_peak_kib:
            attempt.peak_kib = max(attempt.peak_kib, usage.ru_maxrss)

    def _end(self, ended: list[Attempt], now: float, now_ms: int) -> None:
        if not ended:
            return
        for attempt in ended:
            del self.by_pid[attempt.pid]
            self._dead_pids.add(attempt.pid)
            attempt.stopped_at_ms = max(now_ms, attempt.started_at_ms)
        last = self._last_pid.read()
        for attempt in ended:
            self._table.running.pop(attempt.attempt_id)
            if attempt.pidfd < 0 and not _has_members(attempt) and not self._may_have_left(attempt, last):
                self._finish(attempt, now_ms)
            else:
                attempt.output.is_shared = True  # perhaps with what it left behind
                self._table.ending[attempt.attempt_id] = attempt
                self.next_look = now
                self._pause = FIRST_PAUSE_SECONDS
        if len(self._dead_pids) > MAX_DEAD_PIDS:
            self._dead_pids.clear()

    def _may_have_left(self, attempt: Attempt, last: int) -> bool:
        if not 0 <= last - attempt.pid <= MAX_PROBED_PIDS:
            return True  # too many, or the pids have wrapped around
        for pid in range(attempt.pid + 1, last + 1):
            if pid in self.by_pid or pid in self._dead_pids or not processes.exists(pid):
                continue
            if self._is_ours(pid, attempt):
                return True
        return False

    def _is_ours(self, pid: int, attempt: Attempt) -> bool:
        """Whether a process may be left behind by `attempt`: it is in its session, or below us by subreaping."""
        own = os.getpid()
        while pid > 1:
            row = processes.read_row(pid)
            if row is None:
                return False
            if row.sid == attempt.pid:
                return True
            if pid in self.by_pid:
                return False  # another attempt's
            if row.ppid == own:
                return not row.is_dead
            pid = row.ppid
        return False

    def look(self, now: float, now_ms: int) -> None:
        """Kills what ended attempts left behind; finishes the attempts without living processes."""
        if now < self.next_look:
            return
        census = self.census()
        wait = self._kill_unattributed(census)
        for attempt in list(self._table.ending.values()):
            members = census.members(attempt)
            if members or _has_members(attempt):
                _kill(census, members, attempt)
            elif not wait:
                del self._table.ending[attempt.attempt_id]
                self._finish(attempt, now_ms)
        if self._table.ending:
            self.next_look = now + self._pause
            self._pause = min(self._pause * 2, MAX_PAUSE_SECONDS)
        else:
            self.next_look = float("inf")
            self._pause = FIRST_PAUSE_SECONDS

    def _finish(self, attempt: Attempt, now_ms: int) -> None:
        self._outputs.close(attempt, now_ms)
        if attempt.cgroup is not None:
            _take_accounts(attempt, attempt.cgroup)
            self._cgroups.remove(attempt.cgroup)
        self.stopping.pop(attempt.attempt_id, None)
        if attempt.intent.scratch:
            if attempt.status == 0:
                self._scratch.discard(attempt.attempt_id)
            else:
                self._scratch.keep(attempt.attempt_id)
        self._table.end(outcome(attempt, LOST))


def outcome(attempt: Attempt, lost_reason: str) -> ExitedItem | LostItem:
    if attempt.status is None or (attempt.is_fenced and attempt.status != 0):
        reason = LEASE_OVER if attempt.is_fenced else lost_reason
        return LostItem(attempt.attempt_id, attempt.stopped_at_ms, reason, attempt.started_at_ms)
    code = os.waitstatus_to_exitcode(attempt.status)
    out_of_memory = attempt.out_of_memory and code != 0  # it may have ended well before the kill arrived
    return ExitedItem(
        attempt_id=attempt.attempt_id,
        started_at_ms=attempt.started_at_ms,
        stopped_at_ms=attempt.stopped_at_ms,
        exit_code=code if code >= 0 else 128 - code,
        signal=max(0, -code),
        out_of_memory=out_of_memory,
        peak_memory_mib=-(-attempt.peak_kib // _KIB_PER_MIB),
        cpu_ms=attempt.cpu_ms,
        reason=OUT_OF_MEMORY if out_of_memory else "",
    )


def _take_accounts(attempt: Attempt, cgroup: Cgroup) -> None:
    usage = cgroup.usage()
    if usage.peak_kib is not None:
        attempt.peak_kib = usage.peak_kib
    if usage.cpu_ms is not None:
        attempt.cpu_ms = usage.cpu_ms
    attempt.out_of_memory = attempt.status != 0 and cgroup.had_oom_kill()


def _has_members(attempt: Attempt) -> bool:
    return attempt.cgroup is not None and bool(attempt.cgroup.members())


def _kill(census: Census, pids: list[int], attempt: Attempt) -> None:
    """Sends SIGKILL to these processes of the attempt, and to all in its cgroup."""
    if attempt.cgroup is not None:
        attempt.cgroup.kill()
    _signal(census, pids, signal.SIGKILL)


def _signal(census: Census, pids: list[int], number: signal.Signals) -> None:
    """Signals the processes that the census saw. One may have ended since, and on a machine that starts thousands of
    programs a second its pid may be reused: a process with another start time is skipped."""
    for pid in pids:
        row = census.row(pid)
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if row is not None and processes.start_ticks(pid) == row.start_ticks:
                signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            continue  # it ended just now
        finally:
            os.close(pidfd)
