"""The Docker engine's journal: intents to start attempts, stops, and the ends of attempts.

Everything else is asked of Docker. The intent is durable *before* the first container of an attempt is started: of an
attempt whose containers are gone, it shows whether it ran (Lost) or never did.
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections import OrderedDict
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

from msgspec import Struct

from batchyard.core.model.reports import Exited, Lost, NotStarted
from batchyard.engines.base import StaleEpochError
from batchyard.engines.boot import boot_id
from batchyard.engines.record_log import RecordFormat, RecordLog

Final: TypeAlias = Exited | NotStarted | Lost

# The store never launches an id again after its acknowledgement; this many are kept in case it does.
MAX_ACKNOWLEDGED = 10_000
COMPACT_ABOVE_BYTES = 4 * 1024 * 1024
_EPOCH = struct.Struct("<Q")


class Intent(Struct, frozen=True, array_like=True):
    """A container of the attempt is about to be started for the first time, under this boot of the host."""

    task_id: str
    boot_id: str


class StopAsked(Struct, frozen=True, array_like=True):
    """A stop: SIGTERM at this CLOCK_BOOTTIME, SIGKILL after the grace."""

    task_id: str
    boot_id: str
    at_seconds: float
    grace_seconds: float


class EndExited(Struct, frozen=True, array_like=True):
    report: Exited


class EndNotStarted(Struct, frozen=True, array_like=True):
    report: NotStarted


class EndLost(Struct, frozen=True, array_like=True):
    report: Lost


class Acknowledged(Struct, frozen=True, array_like=True):
    task_id: str


class Damaged(Struct, frozen=True, array_like=True):
    """An earlier record could not be read: unknown attempts may have run, until a server accounted for all of its
    own."""


class Accounted(Struct, frozen=True, array_like=True):
    """A server asked about all its live attempts since the damage."""


Record: TypeAlias = Intent | StopAsked | EndExited | EndNotStarted | EndLost | Acknowledged | Damaged | Accounted
# The kind's number is part of the format: append only.
_KINDS: tuple[type[Record], ...] = (
    Intent, StopAsked, EndExited, EndNotStarted, EndLost, Acknowledged, Damaged, Accounted,
)  # fmt: skip
_ENDS: dict[type[Struct], type[EndExited] | type[EndNotStarted] | type[EndLost]] = {
    Exited: EndExited,
    NotStarted: EndNotStarted,
    Lost: EndLost,
}
# Of these, cut at the file's end, Docker still shows everything.
_FORMAT = RecordFormat[Record](_KINDS, harmless_when_cut=(StopAsked, EndExited, EndNotStarted, EndLost, Acknowledged))


class DockerJournal:
    """The open journal and its content."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.boot_id = boot_id()
        self.store = ""  # our id, in the labels of our containers
        self.intact = True
        self.intents: dict[str, Intent] = {}  # no outcome yet
        self.stops: dict[str, StopAsked] = {}
        self.finals: dict[str, Final] = {}  # ended, not acknowledged
        self.acknowledged: OrderedDict[str, Final] = OrderedDict()
        self._file = RecordLog(directory / "notes", _FORMAT)
        self._epoch_fd = -1
        self._epoch = 0
        self._written = 0  # how many records were ever added, and how many of them are durable
        self._synced = 0
        self._syncing: asyncio.Task[None] | None = None

    # -- One server at a time --

    def open(self, epoch: int) -> None:
        """Opens the journal. StaleEpochError: a later server has opened it before."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._epoch_fd = os.open(self.directory / "epoch", os.O_RDWR | os.O_CREAT, 0o600)
        latest = self._latest_epoch()
        if latest > epoch:
            self.close()
            raise StaleEpochError(
                f"the containers serve a server of epoch {latest}, this one has {epoch}: it is out of date and must end"
            )
        self._epoch = epoch
        os.pwrite(self._epoch_fd, _EPOCH.pack(epoch), 0)
        os.fsync(self._epoch_fd)
        self.store = self._identity()
        self._load()

    def check_epoch(self) -> None:
        """Checks that no later server has taken over (StaleEpochError). Called before every change."""
        if self._epoch_fd < 0:
            raise StaleEpochError("this engine was closed")
        latest = self._latest_epoch()
        if latest > self._epoch:
            raise StaleEpochError(f"a server of epoch {latest} has taken over from this one of epoch {self._epoch}")

    def _latest_epoch(self) -> int:
        data = os.pread(self._epoch_fd, _EPOCH.size, 0)
        return int(_EPOCH.unpack(data)[0]) if len(data) == _EPOCH.size else 0

    def _identity(self) -> str:
        """Returns the random id of this state directory: two services on one daemon never touch each other's
        containers."""
        path = self.directory / "store-id"
        try:
            return path.read_text().strip()
        except FileNotFoundError:
            drawn = uuid4().hex
            temporary = path.with_suffix(".new")
            temporary.write_text(drawn)
            temporary.rename(path)
            return drawn

    # -- The file --

    def _load(self) -> None:
        for decoded in _FORMAT.decode(self._file.read()):
            if decoded.record is not None:
                self._apply(decoded.record)
            self.intact = self.intact and decoded.is_harmless
        self._compact()

    def _compact(self) -> None:
        records: list[Record] = [] if self.intact else [Damaged()]
        records += self.intents.values()
        records += self.stops.values()
        for final in self.finals.values():
            records.append(_end_of(final))
        for task_id, final in self.acknowledged.items():
            records += (_end_of(final), Acknowledged(task_id))
        self._file.rewrite(records)

    def _apply(self, record: Record) -> None:
        if isinstance(record, Intent):
            self.intents[record.task_id] = record
        elif isinstance(record, StopAsked):
            self.stops[record.task_id] = record
        elif isinstance(record, Acknowledged):
            final = self.finals.pop(record.task_id, None)
            if final is not None:
                self.acknowledged[record.task_id] = final
                if len(self.acknowledged) > MAX_ACKNOWLEDGED:
                    self.acknowledged.popitem(last=False)
        elif isinstance(record, Damaged | Accounted):
            self.intact = isinstance(record, Accounted)
        else:
            task_id = record.report.task_id
            self.finals[task_id] = record.report
            self.intents.pop(task_id, None)
            self.stops.pop(task_id, None)

    def _add(self, record: Record) -> None:
        self._apply(record)
        self._written += 1
        if self._file.size_bytes > COMPACT_ABOVE_BYTES and self._syncing is None:
            self._compact()
            self._synced = self._written
        else:
            self._file.append(record)
            self._file.write()

    # -- Records --

    async def intend(self, task_id: str) -> None:
        """Records the intent; durable when it returns."""
        if task_id not in self.intents:
            self._add(Intent(task_id, self.boot_id))
            await self._durable()

    def stop_asked(self, task_id: str, at_seconds: float, grace_seconds: float) -> None:
        self._add(StopAsked(task_id, self.boot_id, at_seconds, grace_seconds))

    def ended(self, report: Final) -> None:
        """Records an end. It survives this process; after the host's own end Docker shows it again."""
        self._add(_end_of(report))

    def acknowledge(self, task_id: str) -> bool:
        """Records an acknowledgement. Returns False if no end of the attempt was reported."""
        if task_id not in self.finals:
            return False
        self._add(Acknowledged(task_id))
        return True

    def accounted(self) -> None:
        if not self.intact:
            self._add(Accounted())

    async def _durable(self) -> None:
        """Waits until every record so far is on the disk. One sync serves all callers that came before it began."""
        wanted = self._written
        while self._synced < wanted:
            if self._syncing is None:
                self._syncing = asyncio.create_task(self._sync())
            await asyncio.shield(self._syncing)

    async def _sync(self) -> None:
        try:
            written = self._written
            await asyncio.to_thread(self._file.sync)
            self._synced = written
        finally:
            self._syncing = None

    def close(self) -> None:
        self._file.close()
        if self._epoch_fd >= 0:
            os.close(self._epoch_fd)
            self._epoch_fd = -1


def _end_of(report: Final) -> Record:
    return _ENDS[type(report)](report)  # type: ignore[arg-type]
