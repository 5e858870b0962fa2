"""The protocol between a server and the hosts that have joined it: length-prefixed msgpack over TLS, the host dials.

The host speaks first: Join, which the server answers with Welcome or Refused; or Tunnel, after which the connection
carries one of the host's connections to the service, as it is. After Welcome the server sends Commands and Pong, the
host Reports, LogChunk, Ping and Draining. Members with a default may be added; a server takes hosts of the same
PROTOCOL_VERSION, whatever their version of the program.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from typing import TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.host_records import HostFacts
from batchyard.core.model.records import TaskSpec
from batchyard.core.model.reports import Exited, Lost, NotStarted, Report, Started
from batchyard.core.model.resources import Resources
from batchyard.engines.base import Launch, Recovery

PROTOCOL_VERSION = 1
MAX_FIRST_FRAME_BYTES = 64 * 1024  # of a peer that has not proved yet who it is
MAX_FRAME_BYTES = 256 * 1024 * 1024  # as supervisor.protocol's
MAX_CHUNK_BYTES = 256 * 1024  # of a log: what else is to be sent waits no longer than for one of them
# In the environment of tasks, in place of the service's address: the host puts its own there, which leads to it. It is
# one at loopback, where SDKs take credentials from; that of no program, since no port has the number 0.
HOST_ADDRESS = "http://127.0.0.1:0"
_LENGTH = struct.Struct("<I")
_NO_TASK = TaskSpec((), (), Resources())


class Join(Struct, frozen=True, tag="join"):
    """`key`: what the host proves itself with, made by itself and kept by it before it is sent; for the first time it
    brings a `token`, too, and no instance id. `epoch`: of the last server that it obeyed."""

    protocol: int
    key: str
    host: HostFacts
    token: str = ""
    instance_id: str = ""
    epoch: int = 0

    def __repr__(self) -> str:
        return f"Join({self.instance_id!r}, {self.host.name!r})"


class Welcome(Struct, frozen=True, tag="welcome"):
    """Joining counts as a ping: the lease is `lease_ms` from when Join was sent."""

    instance_id: str
    epoch: int
    lease_ms: int
    heartbeat_ms: int
    now_ms: int
    version: str = ""


class Refused(Struct, frozen=True, tag="refused"):
    """`is_final`: another try would be refused, too."""

    reason: str
    is_final: bool = False


class Tunnel(Struct, frozen=True, tag="tunnel"):
    """Begins a connection to the service for something that runs on the host."""

    instance_id: str
    key: str

    def __repr__(self) -> str:
        return f"Tunnel({self.instance_id!r})"


class Stop(Struct, frozen=True, array_like=True):
    attempt_node: AttemptNode
    grace_seconds: float


class Recover(Struct, frozen=True, array_like=True):
    """As base.Recovery. `log_bytes`: how much of its log the server has."""

    launch: Launch
    may_launch: bool
    known_started: bool
    log_bytes: int = 0


class Commands(Struct, frozen=True, tag="commands"):
    """Carried out in the order of the members. `tasks`: those of launches and recoveries, each once, by its spec key.
    `recover`: every live attempt of the host, perhaps none; None in a message that recovers nothing. `leave`: the host
    leaves for good, once nothing runs on it."""

    tasks: dict[int, TaskSpec] = {}
    recover: tuple[Recover, ...] | None = None
    launch: tuple[Launch, ...] = ()
    stop: tuple[Stop, ...] = ()
    acknowledge: tuple[AttemptNode, ...] = ()
    leave: bool = False

    def recoveries(self) -> list[Recovery]:
        return [
            Recovery(replace(one.launch, task=self.tasks[one.launch.spec_key]), one.may_launch, one.known_started)
            for one in self.recover or ()
        ]

    def launches(self) -> list[Launch]:
        return [replace(launch, task=self.tasks[launch.spec_key]) for launch in self.launch]


class Ping(Struct, frozen=True, tag="ping"):
    number: int


class Pong(Struct, frozen=True, tag="pong"):
    number: int
    lease_ms: int
    now_ms: int


class Reports(Struct, frozen=True, tag="reports"):
    """Reports, starts first. Each attempt has at most one kind of end among them."""

    started: tuple[Started, ...] = ()
    not_started: tuple[NotStarted, ...] = ()
    exited: tuple[Exited, ...] = ()
    lost: tuple[Lost, ...] = ()

    def all(self) -> list[Report]:
        return [*self.started, *self.not_started, *self.exited, *self.lost]


class LogChunk(Struct, frozen=True, tag="log"):
    """A part of a container's log, from an offset of the file. What the server has already comes again unchanged."""

    task_id: str
    container: str
    offset: int
    data: bytes


class Draining(Struct, frozen=True, tag="draining"):
    """The host will end after the notice."""

    notice_seconds: float


ToServer: TypeAlias = Join | Tunnel | Ping | Reports | LogChunk | Draining
ToHost: TypeAlias = Welcome | Refused | Commands | Pong

_encoder = msgspec.msgpack.Encoder()
to_server_decoder: msgspec.msgpack.Decoder[ToServer] = msgspec.msgpack.Decoder(
    Join | Tunnel | Ping | Reports | LogChunk | Draining
)
to_host_decoder: msgspec.msgpack.Decoder[ToHost] = msgspec.msgpack.Decoder(Welcome | Refused | Commands | Pong)


def frame(message: ToServer | ToHost) -> bytes:
    payload = _encoder.encode(message)
    assert len(payload) <= MAX_FRAME_BYTES, f"a message of {len(payload)} bytes is over the protocol's limit"
    return _LENGTH.pack(len(payload)) + payload


async def read_frame(reader: asyncio.StreamReader, most_bytes: int = MAX_FRAME_BYTES) -> bytes:
    """Returns the next frame's payload. ConnectionError: the peer has closed. ValueError: it speaks otherwise."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > most_bytes:
            raise ValueError(f"a frame of {length} bytes is over the protocol's limit of {most_bytes}")
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError:
        raise ConnectionResetError("the peer closed the connection") from None


def without_task(launch: Launch) -> Launch:
    """Returns a launch as it is sent: its task is beside it in the message."""
    return replace(launch, task=_NO_TASK)


def reports_of(reports: Sequence[Report]) -> Reports:
    return Reports(
        tuple(one for one in reports if isinstance(one, Started)),
        tuple(one for one in reports if isinstance(one, NotStarted)),
        tuple(one for one in reports if isinstance(one, Exited)),
        tuple(one for one in reports if isinstance(one, Lost)),
    )
