"""Keeps logs within their retention and their room: packs what has ended, deletes what is too old, and where a limit is
set the oldest.

Walks along the log files of jobs as they lie in their directory, and has the file of written events swept in bites."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

from batchyard.core.model.records import log_file_container, logs_of
from batchyard.observe.packed_log import pack, packed_path, remove_log
from batchyard.store.logs import log_sweep
from batchyard.store.logs.log_changes import DROPPED, MS_PER_DAY
from batchyard.store.logs.log_reader import LogReader
from batchyard.store.logs.log_records import WrittenGroup
from batchyard.store.logs.log_writer import LogWriter, NotWritten
from batchyard.store.queries import Reader

SWEEP_SECONDS = 60.0  # between walks, or more where a walk takes long
MAX_WALK_SHARE = 100  # the pause is at least so many times the walk
PAUSE_SECONDS = 0.02  # between bites of written events: others write in between
REST_MS = 10 * 60 * 1000  # a log file is packed when it was not written for so long, and its attempt has ended
MIN_PACKED_BYTES = 16 * 1024  # smaller files take the same blocks of the disk packed
MARK_BYTES = 512  # a file up to this size may be no more than a mark: not worth an eviction
MAX_REMEMBERED = 200_000  # attempts whose groups are kept in memory: some 30 MiB at most
PACKED_SUFFIX = ".log.z"
LOG_SUFFIXES = (".log", PACKED_SUFFIX)
MIB = 1024 * 1024
Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)


class _File(NamedTuple):
    """A log file. `path`: without the suffix of packed ones."""

    path: Path
    is_packed: bool
    size_bytes: int
    written_ms: int

    @property
    def task_id(self) -> str:
        return self.path.name.partition(".")[0]

    @property
    def container(self) -> str:
        return self.path.name.removesuffix(".log").partition(".")[2]


class _Attempt(NamedTuple):
    """What is known of the attempt of a log file. `group`: None where it is unknown, and the file is left alone."""

    group: str | None
    started_ms: int
    is_ended: bool


class LogSweep:
    """`limit_mib`: the room of all logs together; 0: no limit. `now_ms`: the wall clock."""

    def __init__(
        self,
        stores: tuple[Reader, LogReader, LogWriter],
        logs_dir: Path,
        limit_mib: int,
        now_ms: Callable[[], int],
        threads: Executor,
    ) -> None:
        self._jobs, self._written, self._writer = stores
        self._logs_dir = logs_dir
        self._limit_mib = limit_mib
        self._now_ms = now_ms
        self._threads = threads
        self._ended: dict[str, _Attempt] = {}  # by the name of the file
        self._swept: dict[str, int] = {}  # by deleted group: the time of the deletion whose files are gone

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            began = time.monotonic()
            await self.sweep()
            await asyncio.sleep(max(SWEEP_SECONDS, MAX_WALK_SHARE * (time.monotonic() - began)))

    async def sweep(self) -> None:
        """Does once all that is to be done."""
        events = asyncio.get_running_loop()
        try:
            await self._sweep_written()
            await events.run_in_executor(self._threads, self._sweep_files)
            if self._limit_mib:
                await self._evict()
            counted = await events.run_in_executor(self._threads, self._stored_bytes)
            await self._of_writer(lambda connection: log_sweep.put_stored_bytes(connection, counted))
        except NotWritten as error:  # a full disk: the next sweep tries again
            logger.warning("The sweep of logs was cut short: %s", error)

    # -- written events --

    async def _sweep_written(self) -> None:
        cutoffs = {name: cutoff for name, (cutoff, _) in self._limits().items() if cutoff}
        await self._repeat(log_sweep.drop_bite)
        await self._repeat(lambda connection: log_sweep.expire_bite(connection, cutoffs))
        await self._repeat(lambda connection: log_sweep.pack_bite(connection, self._now_ms()))
        await asyncio.wrap_future(self._writer.run(lambda connection, _: log_sweep.give_back_room(connection)))

    async def _repeat(self, bite: Callable[..., bool]) -> None:
        while True:
            if not await self._of_writer(bite):
                return
            await asyncio.sleep(PAUSE_SECONDS)

    def _limits(self) -> dict[str, tuple[int, int]]:
        """Returns by group: the time before which its events are too old, and the time of its deletion."""
        now_ms = self._now_ms()
        return {group.name: (_cutoff_ms(group, now_ms), group.hidden_before_ms) for group in self._written.groups()}

    # -- log files --

    def _sweep_files(self) -> None:
        """Packs and deletes log files, in a thread."""
        now_ms = self._now_ms()
        limits = self._limits()
        oldest_kept_ms = max((cutoff for cutoff, _ in limits.values()), default=0)
        hidden = {name: at_ms for name, (_, at_ms) in limits.items() if at_ms > self._swept.get(name, 0)}
        for file in self._files():
            may_be_hidden = bool(hidden) and file.written_ms < now_ms
            if file.written_ms < oldest_kept_ms or may_be_hidden:
                attempt = self._attempt(file)
                cutoff_ms, hidden_ms = limits.get(attempt.group or "", (0, 0))
                if attempt.is_ended and (file.written_ms < cutoff_ms or attempt.started_ms < hidden_ms):
                    remove_log(file.path)
                    continue
            is_at_rest = file.written_ms < now_ms - REST_MS and file.size_bytes >= MIN_PACKED_BYTES
            if not file.is_packed and is_at_rest and self._attempt(file).is_ended:
                pack(file.path)
        if all(at_ms < now_ms - REST_MS for at_ms in hidden.values()):  # jobs that ran on meanwhile come later
            self._swept |= hidden

    def _stored_bytes(self) -> dict[str, int]:
        """Returns what the logs of each group take, in a thread: files as they lie there, and written events."""
        found = self._written.written_bytes()
        found.pop(DROPPED, None)
        groups = [group.name for group in self._jobs.log_groups_after("", "", 2)]
        for file in self._files():
            # Where all jobs name one group, the usual case, no attempt has to be looked up.
            group = groups[0] if len(groups) == 1 else self._attempt(file).group
            if group is not None:
                found[group] = found.get(group, 0) + file.size_bytes
        return found

    def _files(self) -> Iterator[_File]:
        for directory in os.scandir(self._logs_dir):
            if not directory.is_dir(follow_symlinks=False):
                continue
            for entry in os.scandir(directory.path):
                if entry.name.endswith(LOG_SUFFIXES) and entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    is_packed = entry.name.endswith(PACKED_SUFFIX)
                    path = Path(entry.path.removesuffix(".z") if is_packed else entry.path)
                    yield _File(path, is_packed, status.st_size, int(status.st_mtime * 1000))

    def _attempt(self, file: _File) -> _Attempt:
        known = self._ended.get(file.path.name)
        if known is not None:
            return known
        view = self._jobs.attempt(file.task_id)
        if view is None or view.attempt is None:
            return _Attempt(None, 0, False)
        spec = view.view.spec
        container = file.container
        groups = [
            log.group for log in logs_of(spec) if not container or log_file_container(spec, log.container) == container
        ]
        attempt = view.attempt
        found = _Attempt(groups[0] if groups else None, attempt.started_at_ms, bool(attempt.stopped_at_ms))
        if found.is_ended:
            if len(self._ended) >= MAX_REMEMBERED:
                self._ended.clear()
            self._ended[file.path.name] = found
        return found

    # -- the limit --

    async def _evict(self) -> None:
        """Deletes the oldest logs until all take less than the limit."""
        events = asyncio.get_running_loop()
        files = await events.run_in_executor(self._threads, lambda: sorted(self._files(), key=lambda file: file[3]))
        used = sum(file.size_bytes for file in files) + await self._written_bytes()
        limit = self._limit_mib * MIB
        if used <= limit:
            return
        await self._repeat(lambda connection: log_sweep.pack_bite(connection, self._now_ms(), all_quiet=True))
        used = sum(file.size_bytes for file in files) + await self._written_bytes()
        removed = 0
        candidates = iter([file for file in files if file.size_bytes > MARK_BYTES])
        file = next(candidates, None)
        while used > limit:
            chunk_ms = await self._of_writer(log_sweep.oldest_chunk_ms)
            if chunk_ms is not None and (file is None or chunk_ms < file.written_ms):
                before = await self._written_bytes()
                await self._evict_chunk()
                used -= max(1, before - await self._written_bytes())
                removed += 1
            elif file is not None:
                if await events.run_in_executor(self._threads, self._evict_file, file):
                    used -= file.size_bytes
                    removed += 1
                file = next(candidates, None)
            else:
                break
        if removed:
            logger.warning(
                "Logs took more than %d MiB (log_disk_mib): the oldest were removed, %d files and runs of events.",
                self._limit_mib,
                removed,
            )

    async def _written_bytes(self) -> int:
        return await self._of_writer(log_sweep.used_bytes)

    async def _of_writer(self, question: Callable[..., Answer]) -> Answer:
        return await asyncio.wrap_future(self._writer.run(lambda connection, _: question(connection)))

    async def _evict_chunk(self) -> None:
        reason, writer = self._reason(), self._writer
        await asyncio.wrap_future(
            writer.run(lambda connection, _: log_sweep.evict_oldest(connection, reason, writer.next_sequence()))
        )

    def _evict_file(self, file: _File) -> bool:
        """Puts a mark with the reason in the place of the log of an attempt that has ended, in a thread."""
        if not self._attempt(file).is_ended:
            return False
        unfinished = file.path.with_name(file.path.name + ".new")
        with unfinished.open("w") as mark:
            mark.write(f"{file.written_ms}\t{self._reason()}\n")
            mark.flush()
            os.fchmod(mark.fileno(), 0o640)
            os.utime(mark.fileno(), ns=(file.written_ms * 1_000_000, file.written_ms * 1_000_000))
        os.rename(unfinished, file.path)
        packed_path(file.path).unlink(missing_ok=True)
        return True

    def _reason(self) -> str:
        at = datetime.fromtimestamp(self._now_ms() / 1000, UTC)
        return (
            f"[batchyard: removed at {at:%Y-%m-%d %H:%M} UTC: all logs may take {self._limit_mib} MiB (log_disk_mib), "
            "and these were the oldest]"
        )


def _cutoff_ms(group: WrittenGroup, now_ms: int) -> int:
    return now_ms - group.retention_days * MS_PER_DAY if group.retention_days else 0
