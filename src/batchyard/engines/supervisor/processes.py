"""Facts about processes from /proc and the kernel: parents, sessions, memory, start times, exit statuses."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from typing import NamedTuple

from batchyard.engines.base import ATTEMPT_VARIABLE

_MARKER_BYTES = ATTEMPT_VARIABLE.encode() + b"="
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_TICK_NS = 1_000_000_000 // TICKS_PER_SECOND
_STAT_BYTES = 1024  # one line of 52 numbers and a name of at most 64 bytes
_ENVIRON_BYTES = 4 * 1024 * 1024  # above Linux's usual limit of arguments and environment together
# PIDFD_GET_INFO (Linux 6.13) with PIDFD_INFO_EXIT (6.15): include/uapi/linux/pidfd.h
_PIDFD_INFO = struct.Struct("<QQ11Ii")
_PIDFD_GET_INFO = (3 << 30) | (_PIDFD_INFO.size << 16) | (0xFF << 8) | 11
_PIDFD_INFO_EXIT = 1 << 3
_EXIT_CODE_FIELD = 52 - 3  # in /proc/<pid>/stat, counted from the state behind the name


class Row(NamedTuple):
    """One process, from /proc/<pid>/stat. `state` is a letter; Z and X are dead."""

    ppid: int
    pgid: int
    sid: int
    state: str
    start_ticks: int
    rss_kib: int
    cpu_ticks: int

    @property
    def is_dead(self) -> bool:
        return self.state in "ZX"


def read_row(pid: int) -> Row | None:
    """Returns the row of a process; None: there is none."""
    fields = _stat_fields(pid)
    if fields is None:
        return None
    return Row(
        ppid=int(fields[1]),
        pgid=int(fields[2]),
        sid=int(fields[3]),
        state=fields[0].decode(),
        start_ticks=int(fields[19]),
        rss_kib=int(fields[21]) * PAGE_KIB,
        cpu_ticks=sum(map(int, fields[11:15])),
    )


def _stat_fields(pid: int) -> list[bytes] | None:
    data = _read(f"/proc/{pid}/stat", _STAT_BYTES)
    # The name may hold blanks and brackets: fields are counted behind its last bracket.
    return data[data.rindex(b")") + 2 :].split() if data else None


def start_ticks(pid: int) -> int:
    """Returns the start of a process in clock ticks since boot; 0: there is no such process."""
    fields = _stat_fields(pid)
    return int(fields[19]) if fields else 0


def boot_ticks() -> int:
    """Returns the time now, on the clock and in the unit of `start_ticks`."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // _TICK_NS


def table() -> dict[int, Row]:
    """Returns every process of this pid namespace."""
    rows: dict[int, Row] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            row = read_row(int(name))
            if row is not None:
                rows[int(name)] = row
    return rows


def marker(pid: int) -> str:
    """Returns the attempt in a process's environment; empty: there is none, or we may not read it."""
    data = _read(f"/proc/{pid}/environ", _ENVIRON_BYTES)
    at = 0 if data.startswith(_MARKER_BYTES) else data.find(b"\0" + _MARKER_BYTES) + 1
    if not data or (at == 0 and not data.startswith(_MARKER_BYTES)):
        return ""
    end = data.find(b"\0", at)
    return data[at + len(_MARKER_BYTES) : end if end >= 0 else None].decode(errors="replace")


def pss_kib(pid: int) -> int:
    """Returns the memory with shared pages divided among their users; 0: the process is gone or we may not read it."""
    for line in _read(f"/proc/{pid}/smaps_rollup", 4096).splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1])
    return 0


def storage_bytes(pid: int) -> tuple[int, int] | None:
    """Returns what a process has read from storage and written to it; None: it is gone or we may not read it."""
    found = {}
    for line in _read(f"/proc/{pid}/io", 1024).splitlines():
        name, _, number = line.partition(b": ")
        found[name] = number
    if not {b"read_bytes", b"write_bytes"} <= found.keys():
        return None
    return int(found[b"read_bytes"]), int(found[b"write_bytes"])


def own_peak_kib() -> int:
    for line in _read("/proc/self/status", 8192).splitlines():
        if line.startswith(b"VmHWM:"):
            return int(line.split()[1])
    return 0


class LastPid:
    """The pid assigned last on this host: the upper bound of a search for a task's descendants."""

    def __init__(self) -> None:
        self._fd = os.open("/proc/loadavg", os.O_RDONLY)

    def read(self) -> int:
        return int(os.pread(self._fd, 128, 0).split()[4])


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def foreign_exit_status(pidfd: int, pid: int, ticks: int) -> int | None:
    """Returns the wait status of an ended process that is not our child; None where this kernel does not give it.

    A reaped one is asked through its pidfd (Linux 6.15), an unreaped one in /proc."""
    buffer = bytearray(_PIDFD_INFO.size)
    struct.pack_into("<Q", buffer, 0, _PIDFD_INFO_EXIT)
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, buffer)
    except OSError:  # an older kernel, or gone before this pidfd was opened
        return _zombie_exit_status(pid, ticks)
    mask, *_, status = _PIDFD_INFO.unpack(buffer)
    return int(status) if mask & _PIDFD_INFO_EXIT else _zombie_exit_status(pid, ticks)


def _zombie_exit_status(pid: int, ticks: int) -> int | None:
    fields = _stat_fields(pid)
    if fields is None or fields[0] != b"Z" or int(fields[19]) != ticks or not os.access(f"/proc/{pid}/fd", os.R_OK):
        return None
    return int(fields[_EXIT_CODE_FIELD])


def _read(path: str, limit_bytes: int) -> bytes:
    """Returns the file's bytes; empty: the process is gone or we may not read it."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        data = os.read(fd, limit_bytes)
        if len(data) >= 4096:  # /proc hands out long files page by page
            parts = [data]
            while len(parts[-1]) and sum(map(len, parts)) < limit_bytes:
                parts.append(os.read(fd, limit_bytes))
            data = b"".join(parts)
    except OSError:
        data = b""
    finally:
        os.close(fd)
    return data
