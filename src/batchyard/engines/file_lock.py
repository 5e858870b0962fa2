"""The lock of an open file (flock(2)), without waiting for it."""

from __future__ import annotations

import fcntl


def try_lock(fd: int) -> bool:
    """Takes the exclusive lock, which belongs to this opening of the file. False: another opening holds it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
