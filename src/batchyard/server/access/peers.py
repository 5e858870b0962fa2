"""Finds the user of this machine at the other end of a loopback connection.

The kernel is asked for the one socket that mirrors ours (`sock_diag`, an exact look-up over netlink); where that is
not allowed, `/proc/net/tcp` is read. Only an ESTABLISHED socket with an inode counts: the uid shown for others
(listening, closing, orphaned) does not prove the caller's identity.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import Struct

Address = tuple[str, int]

# linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h
NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 1
NLMSG_ERROR = 2
TCP_ESTABLISHED = 1
NO_COOKIE = 0xFFFFFFFF
HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, pid
REQUEST = struct.Struct("=BBBxI")  # family, protocol, extensions, states
SOCKET_ID = struct.Struct("!HH16s16s")  # ports and addresses are in network order; then interface and cookie, native
SOCKET_ID_END = struct.Struct("=III")
ANSWER = struct.Struct("=BBBB48sIIIII")  # family, state, timer, retransmits, id, expires, queues, uid, inode
MAPPED = b"\0" * 10 + b"\xff\xff"  # before the four bytes of an IPv4 address
MAX_ANSWER_BYTES = 4096
PROC_LINE_FIELDS = 10  # up to and including the inode


class PeerUser(Struct, frozen=True):
    """The user at the other end: `uid`, or None with the reason why it is not known."""

    uid: int | None
    reason: str = ""


def is_loopback(host: str) -> bool:
    """Whether an address (no name) is one of this machine's loopback addresses, also as IPv4 mapped into IPv6."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


class PeerLookup:
    """Looks up users of loopback peers; keeps one netlink socket."""

    def __init__(self) -> None:
        self._sequence = 0
        self._netlink: socket.socket | None = None
        try:
            self._netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG)
            self._netlink.settimeout(1.0)  # the kernel answers within the call; a silent one must not hang the server
        except OSError as error:
            if error.errno not in (errno.EPROTONOSUPPORT, errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT):
                raise

    def close(self) -> None:
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None

    def user(self, peer: Address, local: Address) -> PeerUser:
        """Returns the user at the other end of our connection `local` <- `peer`."""
        if not is_loopback(peer[0]):
            return PeerUser(None, f"{peer[0]} is not on this machine")
        if self._netlink is not None:
            try:
                return self._ask_kernel(self._netlink, peer, local)
            except OSError:  # netlink is there but refuses (a sandbox): /proc may still show it
                self.close()
        return user_from_proc(peer, local)

    def _ask_kernel(self, netlink: socket.socket, peer: Address, local: Address) -> PeerUser:
        family, peer_bytes, local_bytes = _packed(peer[0], local[0])
        self._sequence += 1
        socket_id = SOCKET_ID.pack(peer[1], local[1], peer_bytes, local_bytes)
        body = (
            REQUEST.pack(family, socket.IPPROTO_TCP, 0, 1 << TCP_ESTABLISHED)
            + socket_id
            + SOCKET_ID_END.pack(0, NO_COOKIE, NO_COOKIE)
        )
        length = HEADER.size + len(body)
        netlink.send(HEADER.pack(length, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, self._sequence, 0) + body)
        while True:
            answer = netlink.recv(MAX_ANSWER_BYTES)
            _, kind, _, sequence, _ = HEADER.unpack_from(answer)
            if sequence == self._sequence:  # an answer that came after its time-out is not ours
                break
        if kind == NLMSG_ERROR:
            code = -struct.unpack_from("=i", answer, HEADER.size)[0]
            if code == errno.ENOENT:
                return PeerUser(None, "the connection is closed already")
            raise OSError(code, os.strerror(code))
        _, state, _, _, found_id, _, _, _, uid, inode = ANSWER.unpack_from(answer, HEADER.size)
        # The kernel falls back to a listening socket on that port: it must be the very connection. A client that speaks
        # IPv4 through an IPv6 socket (Java does) is shown with mapped addresses.
        mapped = SOCKET_ID.pack(peer[1], local[1], *(MAPPED + half[:4] for half in (peer_bytes, local_bytes)))
        if found_id[: SOCKET_ID.size] not in (socket_id, mapped):
            return PeerUser(None, "the connection is closed already")
        return _judge(state, uid, inode)


def _judge(state: int, uid: int, inode: int) -> PeerUser:
    if state != TCP_ESTABLISHED:
        return PeerUser(None, "the connection is closing")
    if not inode:
        return PeerUser(None, "no process holds the connection")
    return PeerUser(uid)


def _packed(peer: str, local: str) -> tuple[int, bytes, bytes]:
    """Returns the family and both addresses in 16 bytes each."""
    addresses = [ipaddress.ip_address(host.partition("%")[0]) for host in (peer, local)]
    family = socket.AF_INET if addresses[0].version == 4 else socket.AF_INET6
    return family, addresses[0].packed.ljust(16, b"\0"), addresses[1].packed.ljust(16, b"\0")


def user_from_proc(peer: Address, local: Address, read: Callable[[str], Iterable[str]] | None = None) -> PeerUser:
    """Finds the user in /proc/net/tcp and tcp6: slower, since every socket of the machine is listed there."""
    wanted = {(_proc_address(*peer, v6=v6), _proc_address(*local, v6=v6)) for v6 in (False, True)}
    for name in ("tcp", "tcp6"):
        for line in (read or _proc_lines)(name):
            fields = line.split()
            if len(fields) >= PROC_LINE_FIELDS and (fields[1], fields[2]) in wanted:
                return _judge(int(fields[3], 16), int(fields[7]), int(fields[9]))
    return PeerUser(None, "the connection is closed already")


def _proc_lines(name: str) -> Iterable[str]:
    try:
        return Path("/proc/net", name).read_text().splitlines()[1:]
    except FileNotFoundError:  # no IPv6 in this kernel
        return []


def _proc_address(host: str, port: int, *, v6: bool) -> str:
    """Formats an address like /proc/net/tcp: each 32-bit word in the machine's own order, in hex. In tcp6 IPv4 is
    mapped."""
    address = ipaddress.ip_address(host.partition("%")[0])
    packed = address.packed
    if address.version == 4 and v6:
        packed = MAPPED + packed
    words = struct.iter_unpack("<I" if sys.byteorder == "little" else ">I", packed)
    return "".join(f"{word:08X}" for (word,) in words) + f":{port:04X}"
