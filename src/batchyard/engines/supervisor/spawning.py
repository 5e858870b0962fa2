"""Starting a program the cheap way: vfork-like, in a session of its own, exactly one system call sequence a start.

Uses what `subprocess` itself uses, without its per-start pipe: after a vfork the parent sleeps until the program runs
or has failed, so that one non-blocking pipe for all starts says which. Only a start as another user, with limits of
its own or into a cgroup is a plain fork."""

from __future__ import annotations

import _posixsubprocess
import grp
import os
import pwd
import resource
from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn

UMASK = 0o022
_AT_CGROUP = b"cgroup"
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
    """The system's answer: `errno`, and whether the working directory or the joining of its cgroup was the trouble."""

    def __init__(self, errno: int, stage: bytes) -> None:
        super().__init__(os.strerror(errno))
        self.errno = errno
        self.at_directory = stage == b"noexec"
        self.at_cgroup = stage == _AT_CGROUP


class Program(NamedTuple):
    """What to start: the first of `places` that is a program."""

    arguments: list[bytes]
    places: list[bytes]
    directory: str
    environment: list[bytes]
    identity: Identity | None
    ulimits: tuple[tuple[str, int, int], ...]


class Spawner:
    """`default_nofile`: the limit of open files that tasks get unless told, since the supervisor raised its own."""

    def __init__(self, default_nofile: tuple[int, int]) -> None:
        self._default_nofile = default_nofile
        self._own_nofile = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._null = os.open(os.devnull, os.O_RDWR)
        self._error_read, self._error_write = os.pipe()
        os.set_blocking(self._error_read, False)

    def start(self, program: Program, output: int, entrances: Sequence[int] = ()) -> int:
        """The pid of the running program. `entrances`: of cgroups to be in. ExecFailed: it does not run."""
        if program.identity is not None or program.ulimits or entrances:
            return self._start_by_fork(program, output, entrances)
        # Limits are inherited at the fork: setting them afterwards would race with the program.
        differs = self._own_nofile != self._default_nofile
        if differs:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self._default_nofile[0], self._own_nofile[1]))
        try:
            pid = self._fork_exec(program, output, (self._error_read, self._error_write), None)
        finally:
            if differs:
                resource.setrlimit(resource.RLIMIT_NOFILE, self._own_nofile)
        try:
            story = os.read(self._error_read, 4096)
        except BlockingIOError:
            return pid
        raise _failure(pid, story)

    def _start_by_fork(self, program: Program, output: int, entrances: Sequence[int]) -> int:
        """Another user, limits, a cgroup: worth a plain fork, because only the child itself can take them on between
        fork and exec. We run on before the program does; the end of a pipe of its own, at exec, says how it went."""

        def take_limits() -> None:
            join(entrances, error_write)
            for name, soft, hard in (("nofile", *self._default_nofile), *program.ulimits):
                note = set_limit(name, soft, hard)
                if note:
                    os.write(2, f"{note}\n".encode())  # the task's own output by now

        error_read, error_write = os.pipe()
        try:
            try:
                pid = self._fork_exec(program, output, (error_read, error_write), take_limits)
            finally:
                os.close(error_write)
            story = os.read(error_read, 4096)
        finally:
            os.close(error_read)
        if story:
            raise _failure(pid, story)
        return pid

    def _fork_exec(
        self, program: Program, output: int, errors: tuple[int, int], before_exec: Callable[[], None] | None
    ) -> int:
        identity = program.identity
        # Our own files are all close-on-exec, so that nothing need be closed by number.
        return _posixsubprocess.fork_exec(
            program.arguments, program.places, False, (), program.directory, program.environment,
            self._null, -1, -1, output, -1, output, *errors,
            True, True, -1,  # default signals, a new session, no process group
            identity.gid if identity else None, list(identity.groups) if identity else None,
            identity.uid if identity else None,
            UMASK, before_exec, True,  # type: ignore[arg-type]  # typeshed forgets that None is "no preexec_fn"
        )  # fmt: skip


def _failure(pid: int, story: bytes) -> ExecFailed:
    """`story` is what CPython's child wrote: `OSError:<errno in hex>:` and `noexec` when it was the directory; or what
    `join` wrote."""
    os.waitpid(pid, 0)
    _, number, stage = story.split(b":", 2)
    return ExecFailed(int(number, 16), stage)


def join(entrances: Sequence[int], errors: int) -> None:
    """In the child: enters cgroups, before anything can be started or allocated outside of them. Where that fails, the
    child ends with its story in `errors`."""
    for entrance in entrances:
        try:
            os.write(entrance, b"0")  # the writer itself
        except OSError as error:
            _give_up(errors, error)


def _give_up(errors: int, error: OSError) -> NoReturn:
    os.write(errors, b"OSError:%x:%s" % (error.errno or 0, _AT_CGROUP))
    os._exit(255)  # as CPython's own child


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


def set_limit(name: str, soft: int, hard: int) -> str:
    """Sets a limit of this process; what the host does not allow is lowered, and said in words."""
    number = RLIMITS[name]
    soft, hard = (resource.RLIM_INFINITY if value < 0 else value for value in (soft, hard))
    try:
        resource.setrlimit(number, (soft, hard))
        return ""
    except ValueError:  # above the hard limit, without the right to raise it
        allowed = _lower(hard, resource.getrlimit(number)[1])
        resource.setrlimit(number, (_lower(soft, allowed), allowed))
    return (
        f"[batchyard: ulimit {name} {soft}:{hard} is above this host's hard limit; "
        f"{_lower(soft, allowed)}:{allowed} is used]"
    )


def _lower(left: int, right: int) -> int:
    if resource.RLIM_INFINITY in (left, right):
        return right if left == resource.RLIM_INFINITY else left
    return min(left, right)
