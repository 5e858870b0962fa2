"""Scratch directories: removed after success, kept for a while after failure.

A task, or a process that it left behind, may change anything below its own directory at any moment, also while we
remove it. So nothing here uses a path that leads through one: each directory is opened by one name in a directory that
is already open, never through a link, and changes go by the open descriptor. Whatever a task swaps in, only the content
of its scratch directory is touched."""

from __future__ import annotations

import os
import queue
import stat
import threading
import time
import uuid
from collections import deque
from collections.abc import Container, Iterator
from pathlib import Path

FREE_SECONDS = 0.1  # a server with more tasks to run has sent them by then
MAX_FREE = 64
_MODE = 0o700
_DISCARDED = ".discarded-"


class Scratch:
    """The scratch directories. Those that are empty again are renamed for the next task: making and removing a
    directory costs ten times as much as renaming it."""

    def __init__(self, work_dir: Path, keep_failed_seconds: float) -> None:
        self._work_dir = work_dir
        self._prefix = f"{work_dir}/"
        self._keep_failed_seconds = keep_failed_seconds
        # A directory's own modification time shows that nothing was ever put into it: cheaper than listing it.
        self._as_made = (stat.S_IFDIR | _MODE, os.geteuid(), os.getegid(), 0)
        self._free: deque[tuple[float, str]] = deque()  # when it became free, path
        self._discarded: queue.SimpleQueue[Path] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def path(self, attempt_id: str) -> str:
        return self._prefix + attempt_id

    def make(self, attempt_id: str, owner: tuple[int, int] | None) -> None:
        """Makes the directory of an attempt. OSError: why not."""
        path = self.path(attempt_id)
        if owner is None and self._free:
            _, free = self._free.pop()
            try:
                os.rename(free, path)
                return
            except FileNotFoundError:
                self._free.clear()  # someone else removed it: make a new one
        try:
            os.mkdir(path, _MODE)
        except FileNotFoundError:
            os.makedirs(path, _MODE)  # someone else removed the whole work directory
        except FileExistsError:
            os.close(open_directory(path))  # made earlier for this attempt, and not used
        if owner is None:
            os.utime(path, (0, 0), follow_symlinks=False)
            return
        fd = open_directory(path)
        try:
            os.fchown(fd, *owner)
        finally:
            os.close(fd)

    def discard(self, attempt_id: str) -> None:
        """Removes a directory. Most are empty; the content of others is removed by a thread."""
        path = self.path(attempt_id)
        try:
            status = os.lstat(path)
            found = (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns)
            if found == self._as_made and len(self._free) < MAX_FREE:
                self._free.append((time.monotonic(), path))
            else:
                os.rmdir(path)
        except FileNotFoundError:
            return  # the task removed it itself
        except OSError:  # it is not empty, is no directory any more, or has another file system mounted on it
            self._discard_later(Path(path))

    def next_due_seconds(self) -> float:
        """Returns the seconds until `tick` has something to do."""
        return max(0.0, self._free[0][0] + FREE_SECONDS - time.monotonic()) if self._free else float("inf")

    def tick(self, *, everything: bool = False) -> None:
        """Removes the free directories that no task has taken."""
        latest = time.monotonic() - FREE_SECONDS
        while self._free and (everything or self._free[0][0] <= latest):
            _, path = self._free.popleft()
            try:
                os.rmdir(path)
            except OSError as error:
                print(f"scratch directory {path} stays: {error}", flush=True)

    def keep(self, attempt_id: str) -> None:
        """Keeps a directory: the time for which it is kept begins now."""
        try:
            os.utime(self._work_dir / attempt_id, follow_symlinks=False)
        except FileNotFoundError:
            return  # the task removed it itself

    def sweep(self, alive: Container[str]) -> None:
        """Removes directories whose time is over, and those that an earlier supervisor did not finish removing."""
        oldest = time.time() - self._keep_failed_seconds
        work_dir = os.open(self._work_dir, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with os.scandir(work_dir) as entries:
                for entry in entries:
                    self._sweep(entry, alive, oldest)
        finally:
            os.close(work_dir)

    def _sweep(self, entry: os.DirEntry[str], alive: Container[str], oldest: float) -> None:
        try:
            if entry.name.startswith(_DISCARDED):
                self._remove_later(self._work_dir / entry.name)
            elif entry.name in alive or entry.name.startswith("."):
                return
            elif entry.stat(follow_symlinks=False).st_mtime < oldest:
                self._discard_later(self._work_dir / entry.name)
        except FileNotFoundError:
            return  # someone else removed it just now

    def _discard_later(self, path: Path) -> None:
        discarded = path.with_name(f"{_DISCARDED}{path.name}")
        try:
            os.rename(path, discarded)
        except OSError as error:
            print(f"scratch directory {path} stays: {error}", flush=True)
            return
        self._remove_later(discarded)

    def _remove_later(self, path: Path) -> None:
        self._discarded.put(path)
        if self._thread is None:
            self._thread = threading.Thread(target=self._remove_all, name="scratch", daemon=True)
            self._thread.start()

    def _remove_all(self) -> None:
        while True:
            path = self._discarded.get()
            try:
                remove_tree(path)
            except OSError as error:  # the next sweep tries again
                print(f"scratch directory {path} can't be removed yet: {error}", flush=True)


def remove_tree(top: Path) -> None:
    """Removes a directory of any depth: moves each directory found up beside the top, so that no path grows long and
    nothing recurses. The top's own parent must be ours. OSError: the rest is removed by another call."""
    beside = os.open(top.parent, os.O_RDONLY | os.O_DIRECTORY)  # the owner's choice, which may be a link
    try:
        pending = deque([top.name])
        while pending:
            name = pending.pop()
            try:
                fd = _open_closed(name, beside)
            except NotADirectoryError:
                os.unlink(name, dir_fd=beside)
                continue
            except FileNotFoundError:
                continue
            try:
                pending.extend(_empty(fd, beside, f"{top.name}.{uuid.uuid4().hex}"))
            finally:
                os.close(fd)
            os.rmdir(name, dir_fd=beside)
    finally:
        os.close(beside)


def _empty(directory: int, beside: int, prefix: str) -> Iterator[str]:
    """Removes the files in an open directory, and moves its directories to `beside`. Yields their names there."""
    with os.scandir(directory) as entries:
        for number, entry in enumerate(entries):
            try:
                if not entry.is_dir(follow_symlinks=False) and _is_unlinked(entry.name, directory):
                    continue
                aside = f"{prefix}.{number}"
                _move(entry.name, directory, aside, beside)
                yield aside
            except FileNotFoundError:
                continue  # someone else removed it just now


def _is_unlinked(name: str, directory: int) -> bool:
    """Removes a file. Returns False when it is a directory by now."""
    try:
        os.unlink(name, dir_fd=directory)
    except IsADirectoryError:
        return False
    return True


def _move(name: str, directory: int, aside: str, beside: int) -> None:
    try:
        os.rename(name, aside, src_dir_fd=directory, dst_dir_fd=beside)
    except PermissionError:  # a task may have closed it, even to its owner, and its ".." is written here
        os.close(_open_closed(name, directory))
        os.rename(name, aside, src_dir_fd=directory, dst_dir_fd=beside)


def _open_closed(name: str, directory: int) -> int:
    """Opens a directory, whose mode is changed first where it keeps us out."""
    found = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
    try:
        if os.fstat(found).st_mode & _MODE != _MODE:
            os.chmod(f"/proc/self/fd/{found}", _MODE)  # what was opened: fchmod does not take an O_PATH
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=found)
    finally:
        os.close(found)


def open_directory(path: str | Path) -> int:
    """Opens a directory. NotADirectoryError: it is something else, or a link."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
