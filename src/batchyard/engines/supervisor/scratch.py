"""Scratch directories: gone at success, kept a while after failure."""

from __future__ import annotations

import os
import queue
import stat
import threading
import time
from collections import deque
from collections.abc import Container
from pathlib import Path

FREE_SECONDS = 0.1  # a server that has more to run has sent it by then
FREE_KEPT = 64
_MODE = 0o700
_DISCARDED = ".discarded-"


class Scratch:
    """Directories that are empty again are renamed for the next task: a file system makes and removes a directory at
    ten times the cost of a rename."""

    def __init__(self, work_dir: Path, keep_failed_seconds: float) -> None:
        self._work_dir = work_dir
        self._prefix = f"{work_dir}/"
        self._keep_failed_seconds = keep_failed_seconds
        # A directory's own time of change tells that nothing was ever put into it: cheaper than looking inside.
        self._as_made = (stat.S_IFDIR | _MODE, os.geteuid(), os.getegid(), 0)
        self._free: deque[tuple[float, str]] = deque()  # when it became free, path
        self._discarded: queue.SimpleQueue[Path] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def path(self, attempt_id: str) -> str:
        return self._prefix + attempt_id

    def make(self, attempt_id: str, owner: tuple[int, int] | None) -> None:
        """OSError: why there can be none."""
        path = self.path(attempt_id)
        if owner is None and self._free:
            _, free = self._free.pop()
            try:
                os.rename(free, path)
                return
            except FileNotFoundError:
                self._free.clear()  # somebody tidied up here: make a new one
        try:
            os.mkdir(path, _MODE)
        except FileNotFoundError:
            os.makedirs(path, _MODE)  # somebody removed the whole work directory
        except FileExistsError:
            if not os.path.isdir(path):
                raise
        if owner is not None:
            os.chown(path, *owner)
        else:
            os.utime(path, (0, 0))

    def discard(self, attempt_id: str) -> None:
        """Most are empty; the content of others is removed beside the loop."""
        path = self.path(attempt_id)
        try:
            status = os.lstat(path)
            found = (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns)
            if found == self._as_made and len(self._free) < FREE_KEPT:
                self._free.append((time.monotonic(), path))
            else:
                os.rmdir(path)
        except FileNotFoundError:
            return  # the task removed it itself
        except OSError:  # not empty; or no directory any more, or another file system is mounted on it
            self._discard_later(Path(path))

    def next_due_seconds(self) -> float:
        """From now, until `tick` has something to do."""
        return max(0.0, self._free[0][0] + FREE_SECONDS - time.monotonic()) if self._free else float("inf")

    def tick(self, *, everything: bool = False) -> None:
        """Removes the directories that no next task came for."""
        latest = time.monotonic() - FREE_SECONDS
        while self._free and (everything or self._free[0][0] <= latest):
            _, path = self._free.popleft()
            try:
                os.rmdir(path)
            except OSError as error:
                print(f"scratch directory {path} stays: {error}", flush=True)

    def keep(self, attempt_id: str) -> None:
        """Its time of rest begins now."""
        try:
            os.utime(self._work_dir / attempt_id)
        except FileNotFoundError:
            return  # the task removed it itself

    def sweep(self, alive: Container[str]) -> None:
        """Discards what failed long ago, and what an earlier supervisor did not finish removing."""
        oldest = time.time() - self._keep_failed_seconds
        for entry in os.scandir(self._work_dir):
            if entry.name.startswith(_DISCARDED):
                self._remove_later(Path(entry.path))
            elif entry.name not in alive and entry.stat(follow_symlinks=False).st_mtime < oldest:
                self._discard_later(Path(entry.path))

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
            except OSError as error:  # tried again by the next sweep
                print(f"scratch directory {path} can't be removed yet: {error}", flush=True)


def remove_tree(top: Path) -> None:
    """Removes a directory of any depth: moves each directory found up to the top's side, so that no path grows long and
    nothing recurses."""
    if not stat.S_ISDIR(os.lstat(top).st_mode):
        os.unlink(top)
        return
    pending = [str(top)]
    moved = 0
    while pending:
        directory = pending.pop()
        os.chmod(directory, 0o700)  # a task may have closed it, even to its owner
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    moved += 1
                    aside = f"{top}.{moved}"
                    os.chmod(entry.path, 0o700)
                    os.rename(entry.path, aside)
                    pending.append(aside)
                else:
                    os.unlink(entry.path)
        os.rmdir(directory)
