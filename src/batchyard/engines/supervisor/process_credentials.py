"""File access as a task's user, and a session keyring of its own, for a supervisor that runs as root.

Both belong to the thread that changes them (credentials(7), session-keyring(7)), not to the process: a thread beside
this one removes scratch directories meanwhile, with its own rights."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ctypes import c_int

_libc = ctypes.CDLL(None, use_errno=True)
# The number of keyctl, for which the C library has no function (asm/unistd.h of 64-bit systems).
_KEYCTL_NUMBERS = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "loongarch64": 219, "ppc64le": 271, "s390x": 280}
_KEYCTL = _KEYCTL_NUMBERS.get(os.uname().machine, 0) if struct.calcsize("P") == 8 else 0
_KEYCTL_JOIN_SESSION_KEYRING = 1  # include/uapi/linux/keyctl.h
# A kernel without keys, or a container without the right to use them: there is nothing to inherit then.
_NO_KEYS = (errno.ENOSYS, errno.EPERM)
_ASK = -1  # no valid id: setfsuid and setfsgid change nothing, and return the id in force


@contextmanager
def acting_as(uid: int, gid: int, groups: Sequence[int]) -> Iterator[None]:
    """Looks up, enters and makes paths as this user, without root's right to ignore their modes. The process itself
    keeps its user, so that this one can't send it a signal meanwhile. OSError: we lack the right."""
    own_groups = os.getgroups()
    os.setgroups(groups)
    try:
        _set_file_access(uid, gid)
        yield
    finally:
        _set_file_access(os.geteuid(), os.getegid())
        os.setgroups(own_groups)


def _set_file_access(uid: int, gid: int) -> None:
    """Changes the ids for file access. The system calls report no refusal: the ids in force are read back."""
    _libc.setfsgid(gid)
    _libc.setfsuid(uid)
    # Compared as C's int, in which the ids come back.
    if (_libc.setfsuid(_ASK), _libc.setfsgid(_ASK)) != (c_int(uid).value, c_int(gid).value):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def new_session_keyring() -> None:
    """Replaces this thread's session keyring by a new and empty one, which programs that it starts inherit. OSError:
    the system has no room for another."""
    if not _KEYCTL:
        return
    if _libc.syscall(_KEYCTL, _KEYCTL_JOIN_SESSION_KEYRING, None) < 0 and ctypes.get_errno() not in _NO_KEYS:
        raise OSError(ctypes.get_errno(), "there is no room for its session keyring (kernel.keys.root_maxkeys)")


def knows_keyrings() -> bool:
    """Whether keyrings are supported on this kind of machine. False: tasks inherit the service's session keyring."""
    return bool(_KEYCTL)
