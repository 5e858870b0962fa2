"""The messages between server and supervisor over the unix socket: length-prefixed msgpack, versioned by a hello.

The server listens, the supervisor connects. The server speaks first (ServerHello); the supervisor answers with its own
hello or refuses. After that the server sends Commands and the supervisor Reports, each batched as they come.
These structs are the format: positions never change within one PROTOCOL_VERSION; members with a default may be added.
`attempt_id` is a task id: of one node of an attempt (core.model.attempt_node), which is the attempt's own for node 0.
"""

from __future__ import annotations

import struct
from typing import TypeAlias

import msgspec
from msgspec import Struct

# 2: a job's user is exact. A supervisor of version 1 retires: it keeps its jobs until their end, and starts no more.
PROTOCOL_VERSION = 2
MAX_FRAME_BYTES = 256 * 1024 * 1024  # a recovery of 100,000 live attempts stays far below; more is a broken stream
_LENGTH = struct.Struct("<I")


class Task(Struct, frozen=True, array_like=True):
    """The part of a launch that is equal for all attempts of one submission."""

    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    memory_mib: int  # 0: no limit
    user: str
    ulimits: tuple[tuple[str, int, int], ...]  # name, soft, hard
    mounts: tuple[tuple[str, str], ...]  # source, target
    working_directory: str
    milli_vcpus: int = 0  # 0: no weight of its own


class LaunchItem(Struct, frozen=True, array_like=True):
    attempt_id: str
    spec_key: int
    environment: tuple[tuple[str, str], ...]  # of this attempt alone, its secrets' values included
    device_ids: tuple[int, ...]
    gpu_names: tuple[str, ...] = ()  # of these devices; from a server of an earlier version: none
    gpu_vendor: str = ""  # of this machine's GPUs
    directory: str = ""  # where it runs, made already; empty: a scratch directory of its own
    prefix: tuple[str, ...] = ()  # a command that becomes the task's, which is appended to it

    def __repr__(self) -> str:
        """Leaves out the environment: this may end up in a log."""
        return f"LaunchItem({self.attempt_id!r}, {self.spec_key!r})"


class RecoverItem(Struct, frozen=True, array_like=True):
    """See `batchyard.engines.base.Recovery`."""

    launch: LaunchItem
    may_launch: bool
    known_started: bool


class StopItem(Struct, frozen=True, array_like=True):
    attempt_id: str
    grace_seconds: float


class ServerHello(Struct, frozen=True, tag="server"):
    protocol: int
    epoch: int
    environment: tuple[tuple[str, str], ...]  # PATH, HOME, LANG, TZ: the base of every job
    enforce_cgroups: bool = False  # for what is launched from here on
    allow_root_jobs: bool = False  # likewise
    now_ms: int = 0  # the service's clock, which may be ahead of the machine's
    lease_until_ms: int = 0  # CLOCK_BOOTTIME at which the tasks have to end unless it was extended; 0: no lease


class Commands(Struct, frozen=True, tag="commands"):
    """Commands, carried out in the order of the members. `specs`: the tasks of launches and recoveries, each once.
    `recover`: every live attempt the server knows, perhaps none; None in a message that recovers nothing."""

    specs: dict[int, Task] = {}
    recover: tuple[RecoverItem, ...] | None = None
    launch: tuple[LaunchItem, ...] = ()
    stop: tuple[StopItem, ...] = ()
    acknowledge: tuple[str, ...] = ()
    leave: bool = False
    lease_until_ms: int = 0  # extends the lease until then; 0: it stays as it is


class SupervisorHello(Struct, frozen=True, tag="supervisor"):
    """The supervisor's hello. `instance`: its random id; a new value means that a new supervisor answers."""

    protocol: int
    instance: str
    pid: int
    boot_id: str


class ConnectionRefused(Struct, frozen=True, tag="refused"):
    """The supervisor refuses the server: it serves one of a higher epoch, or speaks another protocol."""

    protocol: int
    epoch: int


class Leaving(Struct, frozen=True, tag="leaving"):
    """The answer to `leave`: how many attempts must end before the supervisor does."""

    remaining: int


class StartedItem(Struct, frozen=True, array_like=True, tag="s"):
    attempt_id: str
    at_ms: int


class NotStartedItem(Struct, frozen=True, array_like=True, tag="n"):
    attempt_id: str
    at_ms: int
    reason: str
    exit_code: int | None = None


class ExitedItem(Struct, frozen=True, array_like=True, tag="e"):
    attempt_id: str
    started_at_ms: int
    stopped_at_ms: int
    exit_code: int
    signal: int
    out_of_memory: bool
    peak_memory_mib: int
    cpu_ms: int
    reason: str


class LostItem(Struct, frozen=True, array_like=True, tag="l"):
    attempt_id: str
    at_ms: int
    reason: str
    started_at_ms: int


FinalItem: TypeAlias = NotStartedItem | ExitedItem | LostItem
ReportItem: TypeAlias = StartedItem | NotStartedItem | ExitedItem | LostItem


class Reports(Struct, frozen=True, tag="reports"):
    items: tuple[ReportItem, ...]


ToSupervisor: TypeAlias = ServerHello | Commands
ToServer: TypeAlias = SupervisorHello | ConnectionRefused | Reports | Leaving

_encoder = msgspec.msgpack.Encoder()
to_supervisor_decoder: msgspec.msgpack.Decoder[ToSupervisor] = msgspec.msgpack.Decoder(ServerHello | Commands)
to_server_decoder: msgspec.msgpack.Decoder[ToServer] = msgspec.msgpack.Decoder(
    SupervisorHello | ConnectionRefused | Reports | Leaving
)


def frame(message: ToSupervisor | ToServer) -> bytes:
    payload = _encoder.encode(message)
    assert len(payload) <= MAX_FRAME_BYTES, f"a message of {len(payload)} bytes is over the protocol's limit"
    return _LENGTH.pack(len(payload)) + payload


class FrameBuffer:
    """Cuts a byte stream into the payloads of its frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that `data` completes. ValueError: the peer does not speak this protocol."""
        buffer = self._buffer
        buffer += data
        payloads: list[bytes] = []
        at = 0
        while len(buffer) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, at)
            if length > MAX_FRAME_BYTES:
                raise ValueError(f"a frame of {length} bytes is over the protocol's limit of {MAX_FRAME_BYTES}")
            end = at + _LENGTH.size + length
            if end > len(buffer):
                break
            payloads.append(bytes(buffer[at + _LENGTH.size : end]))
            at = end
        del buffer[:at]
        return payloads
