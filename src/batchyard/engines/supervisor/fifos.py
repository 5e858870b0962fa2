"""The FIFOs that tasks write to, and their outputs.

Task and supervisor both hold a FIFO open for reading and writing: the task never sees a closed pipe when the supervisor
dies, and its output waits for the next one. The limit: unread output of a task that ends while no supervisor lives is
lost (at most one pipe's capacity).
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys
import termios
from collections.abc import Callable, Container
from pathlib import Path

from batchyard.engines.log_file import LogFile

READ_BYTES = 64 * 1024  # the capacity of a pipe
MAX_BURST_BYTES = 256 * 1024  # read from one task in one turn
MAX_FREE = 64  # more than are in flight on most hosts; each holds one file open
_MODE = 0o600
_PREFIX = "output-"


class Output:
    """One task's FIFO and log. The log is opened at the first byte."""

    def __init__(self, fifo: str, open_log: Callable[[], LogFile]) -> None:
        self.fifo = fifo
        self.fd = -1
        self.is_shared = False  # owned by another user, or open in processes that may still run
        self._open_log = open_log
        self._log: LogFile | None = None

    def open_task_end(self) -> int:
        """Opens the task's end, which the caller closes after the start. It is an opening of its own because the
        non-blocking flag belongs to the opening: ours must not block, and the task's must when it floods."""
        return os.open(self.fifo, os.O_RDWR | os.O_NOFOLLOW)

    def reopen(self, pid: int, directory: Path) -> None:
        """Finds the FIFO again after an earlier supervisor's death: by its name, else through the task's own files,
        which may be anything: only a FIFO of `directory`, where no task can make one, is ever opened."""
        self.is_shared = True
        self._log = self._open_log()
        self._log.resume()
        prefix = f"{os.path.realpath(directory)}/{_PREFIX}"
        for path in (self.fifo, f"/proc/{pid}/fd/1", f"/proc/{pid}/fd/2"):
            try:
                found = os.open(path, os.O_PATH)
            except OSError:
                continue
            try:
                name = os.readlink(f"/proc/self/fd/{found}").removesuffix(" (deleted)")
                own_path = f"{directory}/{os.path.basename(name)}"
                is_it = name.startswith(prefix) and self.fifo in ("", own_path)
                if is_it and stat.S_ISFIFO(os.fstat(found).st_mode):
                    self.fd, self.fifo = os.open(f"/proc/self/fd/{found}", os.O_RDWR | os.O_NONBLOCK), own_path
                    return
            finally:
                os.close(found)

    def read(self, now_ms: int, limit_bytes: int) -> int:
        """Copies waiting output into the log, at most about `limit_bytes`. Returns the number of bytes."""
        total = 0
        while total < limit_bytes:
            try:
                data = os.read(self.fd, READ_BYTES)
            except BlockingIOError:
                break
            if self._log is None:
                self._log = self._open_log()
            self._log.write(data, now_ms)
            total += len(data)
            if len(data) < READ_BYTES:
                break
        return total

    def finish(self, now_ms: int) -> None:
        """Reads the rest and ends the log. A process that got away from its task may write on without end: the rest is
        what waits now."""
        if self.fd >= 0:
            self.read(now_ms, waiting_bytes(self.fd))
        if self._log is not None:
            self._log.finish(now_ms)


class Fifos:
    """Makes FIFOs and reuses them: making one costs a file system more than everything else of a short task."""

    def __init__(self, directory: Path, instance: str) -> None:
        self._directory = str(directory)
        self._prefix = f"{directory}/{_PREFIX}{instance[:8]}-"
        self._made = 0
        self._free: list[tuple[str, int]] = []

    def take(self, owner: tuple[int, int] | None, open_log: Callable[[], LogFile]) -> Output:
        """Returns an output with an open FIFO. OSError: the host has no room for another."""
        if owner is None and self._free:
            name, fd = self._free.pop()
            output = Output(name, open_log)
            output.fd = fd
            return output
        self._made += 1
        output = Output(f"{self._prefix}{self._made}", open_log)
        os.mkfifo(output.fifo, _MODE)
        output.fd = os.open(output.fifo, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)
        if owner is not None:
            output.is_shared = True
            os.fchown(output.fd, *owner)  # so that a script may open /dev/stderr
        return output

    def give_back(self, output: Output) -> None:
        """Takes a FIFO back for another task, unless a process may still hold it or has changed it."""
        if output.fd < 0:
            _remove(output.fifo)
        elif output.is_shared or len(self._free) >= MAX_FREE or not _is_as_made(output.fd):
            os.close(output.fd)
            _remove(output.fifo)
        else:
            self._free.append((output.fifo, output.fd))
        output.fd = -1

    def sweep(self, used: Container[str]) -> None:
        """Removes the FIFOs that an earlier supervisor left."""
        for entry in os.scandir(self._directory):
            if entry.name.startswith(_PREFIX) and entry.path not in used:
                _remove(entry.path)

    def close(self) -> None:
        while self._free:
            name, fd = self._free.pop()
            os.close(fd)
            _remove(name)


def waiting_bytes(fd: int) -> int:
    """Returns how many bytes of a pipe can be read now."""
    count = bytearray(4)  # a C int
    fcntl.ioctl(fd, termios.FIONREAD, count)
    return int.from_bytes(count, sys.byteorder)


def _is_as_made(fd: int) -> bool:
    status = os.fstat(fd)
    return status.st_mode == stat.S_IFIFO | _MODE and status.st_nlink == 1


def _remove(path: str) -> None:
    if path:
        try:
            os.unlink(path)
        except FileNotFoundError:
            return  # a cleaner of temporary files removed it
