"""The supervisor's memory on disk: append-only, each record framed by checksums.

A record that may hide a launch is made durable before the launch (`sync`); everything else survives the supervisor's
death in the page cache, and the host's death makes it moot: the boot id then says that nothing of it lives.

**Damage.** A frame's header carries its own checksum and the record's kind, so that a cut end is told from a corrupted
middle. A cut last record is dropped when its kind can't name an attempt for the first time. Anything else is damage:
silence of such a journal about an attempt is no proof that it never ran (`Replay.intact`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import msgspec
from msgspec import Struct

from batchyard.engines.frames import FrameFile, encode_frame, frames
from batchyard.engines.supervisor.protocol import ExitedItem, FinalItem, LostItem, NotStartedItem

FORMAT = 1
COMPACT_ABOVE_BYTES = 8 * 1024 * 1024  # about 20,000 short attempts: read in well under a second at the next start


class Opened(Struct, frozen=True, array_like=True):
    """A supervisor took over: what follows happened under this boot of the host."""

    boot_id: str
    format: int


class IntentItem(Struct, frozen=True, array_like=True):
    """All that a later supervisor must know of an attempt to take it over."""

    attempt_id: str
    fifo: str
    scratch: bool
    memory_mib: int


class Intents(Struct, frozen=True, array_like=True):
    items: tuple[IntentItem, ...]


class SpawnedItem(Struct, frozen=True, array_like=True):
    """`start_ticks`: field 22 of /proc/<pid>/stat; with the pid it names a process for ever within one boot."""

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
    """Something before this could not be read: silence proves nothing until a server accounted for all its attempts."""

    at_ms: int


class Accounted(Struct, frozen=True, array_like=True):
    """A server asked about all its live attempts since the damage: those in doubt have an outcome now."""

    at_ms: int


Record: TypeAlias = Opened | Intents | Spawned | Stopping | Ended | Acknowledged | Epoch | Damaged | Accounted
# The kind's number is part of the format: append only.
_KINDS: tuple[type[Record], ...] = (
    Opened, Intents, Spawned, Stopping, Ended, Acknowledged, Epoch, Damaged, Accounted,
)  # fmt: skip
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}
_DECODERS = [msgspec.msgpack.Decoder(kind) for kind in _KINDS]
# Kinds that, lost, hide nothing that matters: the attempt is named by an earlier Intents record.
_HARMLESS_WHEN_CUT = {Spawned, Stopping, Ended, Acknowledged, Epoch, Opened}
_encoder = msgspec.msgpack.Encoder()


class Entry:
    """One attempt as the journal tells it."""

    __slots__ = ("boot_id", "intent", "kill_at_seconds", "spawned")

    def __init__(self, intent: IntentItem, boot_id: str) -> None:
        self.intent = intent
        self.boot_id = boot_id
        self.spawned: SpawnedItem | None = None
        self.kill_at_seconds: float | None = None


class Replay:
    """What a journal says, in the order in which it was written."""

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
    return encode_frame(_NUMBERS[type(record)], _encoder.encode(record))


def replay(data: bytes) -> tuple[Replay, int]:
    """What the journal's bytes say, and how many of them are good records."""
    state = Replay()
    at = 0
    for frame in frames(data):
        known = frame.number is not None and frame.number < len(_KINDS)
        if frame.payload is not None and known:
            assert frame.number is not None, "a known kind without a number"
            state.apply(_DECODERS[frame.number].decode(frame.payload))
        elif frame.is_cut:
            kind = _KINDS[frame.number] if frame.number is not None and known else None
            state.intact = state.intact and kind in _HARMLESS_WHEN_CUT
            break
        else:
            state.intact = False  # the frame is whole, its content is not: go on behind it, trusting no silence
        at = frame.stop
    return state, at


class Journal(FrameFile):
    """The open file. `append` buffers; `write` hands the buffer to the kernel; `sync` makes it durable."""

    def load(self) -> Replay:
        """What the file says. ValueError: another format."""
        return replay(self.read())[0]

    def rewrite(self, records: Iterable[Record]) -> None:
        """Puts these records in the place of everything there was, atomically and durably."""
        self.replace(encode(record) for record in records)

    def append(self, record: Record) -> None:
        self.add(encode(record))
