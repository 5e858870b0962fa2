"""The register of open connections: limits their number, in all and by caller, and the time that each may take.

A connection that is idle (before a head, or before the next request) is closed to make room for a new one of its
caller: silent connections can't lock out active ones. Times are those of the last sweep, one for all connections,
about a second apart, so that a request costs no timer of its own. Has no sockets itself; pure except for `drop`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from enum import Enum
from typing import Protocol

# From the first byte of a request (of a new connection: from its beginning) to the end of its headers. Clients send
# both in one piece; 20 s are for the slowest network and the busiest machine.
HEAD_SECONDS = 20.0
# From the headers to the end of the body: this, and a second more for every so many bytes received.
BODY_SECONDS = 20.0
BODY_BYTES_PER_SECOND = 8 * 1024
# Longer than an idle connection lives: a client that has not read its answer by then never will.
UNREAD_SECONDS = 15.0
# A body whose request was refused by its head is read to this size, since clients read the answer
# only when they have sent everything, and ended beyond it.
MAX_DISCARDED_BYTES = 16 * 1024 * 1024
# Files beside connections: the store (its writer and readers, three each), logs being read, engines and their jobs'
# output, the keys. Connections never take these.
RESERVED_FILES = 256
MIN_CONNECTIONS = 16  # served however small the limit of open files is
IPV6_NETWORK_BITS = 64  # of an IPv6 network: one caller may choose among its addresses


class Phase(Enum):
    """What a connection is doing."""

    HEAD = "head"
    BODY = "body"
    ANSWER = "answer"  # the answer is being made: no deadline
    IDLE = "idle"


class Connection(Protocol):
    """The register's entry of a connection. `since`: when `phase` began. `body_bytes`: of the body, so far."""

    caller: str
    phase: Phase
    since: float
    body_bytes: int

    def unsent_bytes(self) -> int:
        """Returns how much of the answers the network has not taken yet."""

    def drop(self) -> None:
        """Closes the connection at once."""


def caller_of(host: str, uid: int | None) -> str:
    """Returns the caller to whom a connection is counted: a user of this machine, or an address (of IPv6: its
    network)."""
    if uid is not None:
        return f"uid {uid}"
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 6 and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, IPV6_NETWORK_BITS), strict=False))
    return str(address)


def allowed_connections(most: int, most_of_one: int, open_files: int) -> tuple[int, int]:
    """Returns how many connections may be open, in all and of one caller, within a limit of open files. One caller
    leaves a quarter to the others."""
    most = max(min(most, open_files - RESERVED_FILES), MIN_CONNECTIONS)
    return most, min(most_of_one, most - most // 4)


class Connections:
    """The register of connections. `most`, `most_of_one`: see allowed_connections. `idle_seconds`: how long one may
    be idle between requests."""

    def __init__(self, most: int, most_of_one: int, idle_seconds: float, clock: Callable[[], float]) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._idle_seconds = idle_seconds + UNREAD_SECONDS
        self._clock = clock
        self.now = clock()
        self._by_caller: dict[str, dict[Connection, None]] = {}
        self._number = 0

    def admit(self, connection: Connection) -> bool:
        """Adds a connection; returns whether it may stay. Where its caller, or all together, have reached their
        limit, the one that is idle for the longest is closed."""
        own = self._by_caller.get(connection.caller, {})
        if len(own) >= self._most_of_one and not self._make_room(own):
            return False
        if self._number >= self._most:
            largest = max(self._by_caller.values(), key=len)
            if not self._make_room(largest):
                return False
        self._by_caller.setdefault(connection.caller, {})[connection] = None
        self._number += 1
        return True

    def forget(self, connection: Connection) -> None:
        """Removes a connection that has ended, if it was admitted and not removed before."""
        own = self._by_caller.get(connection.caller)
        if own is None or connection not in own:
            return
        del own[connection]
        self._number -= 1
        if not own:
            del self._by_caller[connection.caller]

    def sweep(self) -> None:
        """Ends the connections that have taken too long."""
        self.now = self._clock()
        for own in list(self._by_caller.values()):
            for connection in [each for each in own if self._is_overdue(each)]:
                self._end(connection)

    def _is_overdue(self, connection: Connection) -> bool:
        taken = self.now - connection.since
        match connection.phase:
            case Phase.HEAD:
                return taken > HEAD_SECONDS
            case Phase.BODY:
                return taken > BODY_SECONDS + connection.body_bytes / BODY_BYTES_PER_SECOND
            case Phase.IDLE:
                return taken > self._idle_seconds
            case Phase.ANSWER:
                return False

    def _make_room(self, own: dict[Connection, None]) -> bool:
        waiting = [each for each in own if each.phase in (Phase.HEAD, Phase.IDLE) and not each.unsent_bytes()]
        if not waiting:
            return False
        self._end(min(waiting, key=lambda each: each.since))
        return True

    def _end(self, connection: Connection) -> None:
        self.forget(connection)
        connection.drop()
