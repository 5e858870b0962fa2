"""Starting a program the cheap way: vfork-like, in a session of its own, exactly one system call sequence a start.

Uses what `subprocess` itself uses, without its per-start pipe: after a vfork the parent sleeps until the program runs
or has failed, so that one non-blocking pipe for all starts says which. Only a start as another user is a plain fork
(Python's fork_exec uses no vfork then)."""

from __future__ import annotations

import _posixsubprocess
import grp
import os
import pwd
import resource
from typing import NamedTuple

UMASK = 0o022
# Names of ulimits (Batch API model, Ulimit) -> this system's numbers.
RLIMITS = {
    "core": resource.RLIMIT_CORE,
    "cpu": resource.RLIMIT_CPU,
    "data": resource.RLIMIT_DATA,
    "fsize": resource.RLIMIT_FSIZE,
    "memlock": resource.RLIMIT_MEMLOCK,
    "msgqueue": resource.RLIMIT_MSGQUEUE,
    "nice": resource.RLIMIT_NICE,
    "nofile": resource.RLIMIT_NOFILE,
    "nproc": resource.RLIMIT_NPROC,
    "rss": resource.RLIMIT_RSS,
    "rtprio": resource.RLIMIT_RTPRIO,
    "rttime": resource.RLIMIT_RTTIME,
    "sigpending": resource.RLIMIT_SIGPENDING,
    "stack": resource.RLIMIT_STACK,
    "locks": 10,  # Linux keeps the number (bits/resource.h), it has had no effect since 2.4
}


class CannotStart(Exception):  # noqa: N818 - it is an outcome of the task, not an error of ours
    """`str()` says what, why, and what would be right."""


class Identity(NamedTuple):
    """Whom a task runs as."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


class ExecFailed(Exception):  # noqa: N818
    """The system's answer: `errno`, and whether the working directory was the trouble."""

    def __init__(self, errno: int, at_directory: bool) -> None:
        super().__init__(os.strerror(errno))
        self.errno = errno
        self.at_directory = at_directory


class Spawner:
    def __init__(self) -> None:
        self._null = os.open(os.devnull, os.O_RDWR)
        self._error_read, self._error_write = os.pipe()
        os.set_blocking(self._error_read, False)

    def start(
        self,
        arguments: list[bytes],
        programs: list[bytes],
        directory: str,
        environment: list[bytes],
        output: int,
        identity: Identity | None,
    ) -> int:
        """The pid of the running program, the first of `programs` that there is. ExecFailed: none runs."""
        if identity is not None:
            return self._start_as(arguments, programs, directory, environment, output, identity)
        pid = self._fork_exec(
            arguments, programs, directory, environment, output, (self._error_read, self._error_write), identity
        )
        try:
            story = os.read(self._error_read, 4096)
        except BlockingIOError:
            return pid
        raise _failure(pid, story)

    def _start_as(
        self,
        arguments: list[bytes],
        programs: list[bytes],
        directory: str,
        environment: list[bytes],
        output: int,
        identity: Identity,
    ) -> int:
        # A plain fork lets us run on before the program does: wait for the pipe's end, which comes with exec.
        error_read, error_write = os.pipe()
        try:
            try:
                pid = self._fork_exec(
                    arguments, programs, directory, environment, output, (error_read, error_write), identity
                )
            finally:
                os.close(error_write)
            story = os.read(error_read, 4096)
        finally:
            os.close(error_read)
        if story:
            raise _failure(pid, story)
        return pid

    def _fork_exec(
        self,
        arguments: list[bytes],
        programs: list[bytes],
        directory: str,
        environment: list[bytes],
        output: int,
        errors: tuple[int, int],
        identity: Identity | None,
    ) -> int:
        # Our own files are all close-on-exec, so that nothing need be closed by number.
        return _posixsubprocess.fork_exec(
            arguments, programs, False, (), directory, environment,
            self._null, -1, -1, output, -1, output, *errors,
            True, True, -1,  # default signals, a new session, no process group
            identity.gid if identity else None, list(identity.groups) if identity else None,
            identity.uid if identity else None,
            UMASK, None, True,  # type: ignore[arg-type]  # typeshed forgets that None is "no preexec_fn"
        )  # fmt: skip


def _failure(pid: int, story: bytes) -> ExecFailed:
    """`story` is what CPython's child wrote: `OSError:<errno in hex>:` and `noexec` when it was the directory."""
    os.waitpid(pid, 0)
    _, number, stage = story.split(b":", 2)
    return ExecFailed(int(number, 16), stage == b"noexec")


def programs_of(command: str, search_path: str) -> list[bytes]:
    """Where the program may be: as given when it has a slash, else in each directory of the task's PATH."""
    if "/" in command:
        return [os.fsencode(command)]
    return [os.path.join(os.fsencode(directory or "."), os.fsencode(command)) for directory in search_path.split(":")]


def identity_of(user: str) -> Identity | None:
    """`name`, `uid`, `name:group` or `uid:gid`, as in a container; None when we are that already.

    CannotStart: it does not exist, or we have no right to be it."""
    name, _, group = user.partition(":")
    try:
        account = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
        uid, gid, home = account.pw_uid, account.pw_gid, account.pw_dir
        groups = tuple(os.getgrouplist(account.pw_name, gid))
    except KeyError:
        if not name.isdigit():
            raise CannotStart(f"user '{name}' does not exist on this host; create it or name another user") from None
        uid, gid, home, groups = int(name), 0, "/", (0,)  # as a container does with a number that has no name
    if group:
        try:
            gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
        except KeyError:
            raise CannotStart(f"group '{group}' does not exist on this host; create it or name another") from None
        groups = (gid,)
    if uid == os.geteuid() and (not group or gid == os.getegid()):
        return None
    if os.geteuid() != 0:
        raise CannotStart(
            f"user '{user}' can't be used: the service runs as uid {os.geteuid()}, and only root may start programs "
            "as others; leave user out or start the service as root"
        )
    return Identity(uid, gid, groups, home)


def apply_limits(pid: int, ulimits: tuple[tuple[str, int, int], ...], default_nofile: tuple[int, int]) -> list[str]:
    """Sets a fresh program's limits, before it has got further than loading. Returns what could not be had, in words.

    `default_nofile`: the limit of open files that tasks get unless told, since the supervisor raised its own."""
    notes: list[str] = []
    for name, soft, hard in (("nofile", *default_nofile), *ulimits):
        number = RLIMITS[name]
        soft, hard = (resource.RLIM_INFINITY if value < 0 else value for value in (soft, hard))
        try:
            resource.prlimit(pid, number, (soft, hard))
        except (PermissionError, ValueError):
            notes.append(_apply_lowered(pid, name, soft, hard))
    return notes


def _apply_lowered(pid: int, name: str, soft: int, hard: int) -> str:
    number = RLIMITS[name]
    ceiling = resource.getrlimit(number)[1]  # which the program inherited
    allowed = _lower(hard, ceiling)
    asked = f"[batchyard: ulimit {name} {soft}:{hard}"
    try:
        resource.prlimit(pid, number, (_lower(soft, allowed), allowed))
    except PermissionError:  # another user's program, and this host denies CAP_SYS_RESOURCE
        return f"{asked} can't be set for another user's program on this host]"
    return f"{asked} is above this host's hard limit; {_lower(soft, allowed)}:{allowed} is used]"


def _lower(left: int, right: int) -> int:
    if resource.RLIM_INFINITY in (left, right):
        return right if left == resource.RLIM_INFINITY else left
    return min(left, right)
