"""The supervisor's journal on disk: append-only, each record framed by checksums.

The record of an intent is durable before its launch (`sync`). Everything else survives the supervisor's death in the
page cache, and does not matter after the host's: the boot id then shows that no attempt lives.

**Damage.** A cut last record is dropped when its kind can't name an attempt for the first time. Anything else that
can't be read is damage: an attempt that such a journal does not mention may have run (`Replay.intact`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

from batchyard.engines.record_log import RecordFormat, RecordLog
from batchyard.engines.supervisor.protocol import ExitedItem, FinalItem, LostItem, NotStartedItem

FORMAT = 1
COMPACT_ABOVE_BYTES = 8 * 1024 * 1024  # about 20,000 short attempts: read in well under a second at the next start


class Opened(Struct, frozen=True, array_like=True):
    """A supervisor took over: the records behind this one are of this boot of the host."""

    boot_id: str
    format: int


class IntentItem(Struct, frozen=True, array_like=True):
    """What a later supervisor needs in order to take over an attempt."""

    attempt_id: str
    fifo: str
    scratch: bool
    memory_mib: int


class Intents(Struct, frozen=True, array_like=True):
    items: tuple[IntentItem, ...]


class SpawnedItem(Struct, frozen=True, array_like=True):
    """`start_ticks`: field 22 of /proc/<pid>/stat; with the pid it identifies a process within one boot."""

    attempt_id: str
    pid: int
    start_ticks: int
    at_ms: int


class Spawned(Struct, frozen=True, array_like=True):
    items: tuple[SpawnedItem, ...]


class Stopping(Struct, frozen=True, array_like=True):
    """SIGKILL is due at this CLOCK_BOOTTIME."""

    attempt_id: str
    kill_at_seconds: float


class Ended(Struct, frozen=True, array_like=True):
    items: tuple[NotStartedItem | ExitedItem | LostItem, ...]


class Acknowledged(Struct, frozen=True, array_like=True):
    attempt_ids: tuple[str, ...]


class Epoch(Struct, frozen=True, array_like=True):
    epoch: int


class Damaged(Struct, frozen=True, array_like=True):
    """An earlier record could not be read: unknown attempts may have run, until a server accounted for all of its
    own."""

    at_ms: int


class Accounted(Struct, frozen=True, array_like=True):
    """A server has asked about all its live attempts since the damage: none is in doubt any more."""

    at_ms: int


Record: TypeAlias = Opened | Intents | Spawned | Stopping | Ended | Acknowledged | Epoch | Damaged | Accounted
# The kind's number is part of the format: append only.
_KINDS: tuple[type[Record], ...] = (
    Opened, Intents, Spawned, Stopping, Ended, Acknowledged, Epoch, Damaged, Accounted,
)  # fmt: skip
# Kinds that, lost, hide nothing that matters: the attempt is named by an earlier Intents record.
_FORMAT = RecordFormat[Record](_KINDS, harmless_when_cut=(Spawned, Stopping, Ended, Acknowledged, Epoch, Opened))


class Entry:
    """One live attempt of a journal."""

    __slots__ = ("boot_id", "intent", "kill_at_seconds", "spawned")

    def __init__(self, intent: IntentItem, boot_id: str) -> None:
        self.intent = intent
        self.boot_id = boot_id
        self.spawned: SpawnedItem | None = None
        self.kill_at_seconds: float | None = None


class Replay:
    """The state after the records of a journal, applied in their order."""

    def __init__(self) -> None:
        self.boot_id = ""
        self.epoch = 0
        self.intact = True
        self.live: dict[str, Entry] = {}  # intended, no outcome
        self.outcomes: dict[str, FinalItem] = {}  # ended, not acknowledged
        self.acknowledged: dict[str, FinalItem] = {}

    def apply(self, record: Record) -> None:
        if isinstance(record, Intents):
            for intent in record.items:
                self.live[intent.attempt_id] = Entry(intent, self.boot_id)
        elif isinstance(record, Spawned):
            for spawned in record.items:
                if spawned.attempt_id in self.live:
                    self.live[spawned.attempt_id].spawned = spawned
        elif isinstance(record, Ended):
            for final in record.items:
                self.live.pop(final.attempt_id, None)
                self.outcomes[final.attempt_id] = final
        elif isinstance(record, Acknowledged):
            for attempt_id in record.attempt_ids:
                outcome = self.outcomes.pop(attempt_id, None)
                if outcome is not None:
                    self.acknowledged[attempt_id] = outcome
        elif isinstance(record, Stopping):
            if record.attempt_id in self.live:
                self.live[record.attempt_id].kill_at_seconds = record.kill_at_seconds
        else:
            self._apply_state(record)

    def _apply_state(self, record: Opened | Epoch | Damaged | Accounted) -> None:
        if isinstance(record, Opened):
            self.boot_id = record.boot_id
        elif isinstance(record, Epoch):
            self.epoch = max(self.epoch, record.epoch)
        else:
            self.intact = isinstance(record, Accounted)


def encode(record: Record) -> bytes:
    return _FORMAT.encode(record)


def replay(data: bytes) -> tuple[Replay, int]:
    """Returns the state after the journal's records, and how many bytes of it could be read."""
    state = Replay()
    at = 0
    for decoded in _FORMAT.decode(data):
        if decoded.record is not None:
            state.apply(decoded.record)
        state.intact = state.intact and decoded.is_harmless
        at = decoded.stop
    return state, at


class Journal(RecordLog[Record]):
    def __init__(self, path: Path) -> None:
        super().__init__(path, _FORMAT)

    def load(self) -> Replay:
        """Returns the state after every record of the file."""
        return replay(self.read())[0]
