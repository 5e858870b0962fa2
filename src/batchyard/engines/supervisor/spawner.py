"""Starts programs at low cost: by vfork, each in a session of its own.

Uses the C function behind `subprocess`, without a pipe for each start: after a vfork the parent sleeps until the
program runs or has failed, so that one non-blocking pipe serves all starts. Only a start as another user, with limits
of its own or into a cgroup is a plain fork.

Root's rights open no path for a task of another user: its working directory is entered as that user before the fork,
its program is looked up and executed as that user after it."""

from __future__ import annotations

import _posixsubprocess
import errno
import grp
import os
import pwd
import resource
import select
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, NoReturn, cast

from batchyard.engines.start_failures import CannotStart
from batchyard.engines.supervisor.process_credentials import acting_as, new_session_keyring

UMASK = 0o022
_AT_CGROUP = b"cgroup"
_AT_USER = b"user"
_AT_STOP = b"stop"
_AT_DIRECTORY = b"noexec"  # what CPython's child writes for a failure before its preexec_fn
STOP_LOOK_MS = 100  # between checks whether a child was stopped before it ran its program
EXEC_SECONDS = 60.0  # for a program from the slowest file system on the busiest host; a user's own may never answer
ROOT = 0
MAX_ID = 2**32 - 2  # the one above it means "none" to the system
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


class Identity(NamedTuple):
    """The user, group and supplementary groups of a task, exactly."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


class ExecFailed(Exception):
    """A program did not start: `errno`, and the step that failed: entering the working directory, becoming the user,
    joining the cgroup, or because the child was stopped or took too long."""

    def __init__(self, errno: int, stage: bytes) -> None:
        super().__init__(os.strerror(errno))
        self.errno = errno
        self.at_directory = stage == _AT_DIRECTORY
        self.at_cgroup = stage == _AT_CGROUP
        self.at_user = stage == _AT_USER
        self.at_stop = stage == _AT_STOP


class Program(NamedTuple):
    """A program to start: the first of `paths` that exists. `is_scratch`: we made `directory` for it, so that its user
    need not have the right to look it up."""

    arguments: list[bytes]
    paths: list[bytes]
    directory: str
    environment: list[bytes]
    identity: Identity | None
    ulimits: tuple[tuple[str, int, int], ...]
    is_scratch: bool = False


class Spawner:
    """Starts programs. `default_nofile`: the tasks' limit of open files unless they set one; the supervisor has
    raised its own."""

    def __init__(self, default_nofile: tuple[int, int]) -> None:
        self._default_nofile = default_nofile
        self._own_nofile = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._null = os.open(os.devnull, os.O_RDWR)
        self._error_read, self._error_write = os.pipe()
        os.set_blocking(self._error_read, False)
        self._here = os.open(".", os.O_PATH | os.O_DIRECTORY)
        self._has_tasks_keyring = False  # our session keyring is that of a task of another user

    def start(self, program: Program, output: int, entrances: Sequence[int] = ()) -> int:
        """Starts a program and returns its pid. `entrances`: see Cgroup.open_entrances. ExecFailed: it does not run."""
        if program.identity is not None:
            return self._start_as(program.identity, program, output, entrances)
        if self._has_tasks_keyring:
            new_session_keyring()
            self._has_tasks_keyring = False
        if program.ulimits or entrances:
            return self._start_by_fork(program, program.directory, output, self._preparation(program, entrances))
        self._lower_file_limit()
        try:
            pid = self._fork_exec(program, program.directory, output, (self._error_read, self._error_write), None)
        finally:
            self._raise_file_limit()
        try:
            message = os.read(self._error_read, 4096)
        except BlockingIOError:
            return pid
        raise _failure(pid, message)

    def _start_as(self, identity: Identity, program: Program, output: int, entrances: Sequence[int]) -> int:
        new_session_keyring()
        self._has_tasks_keyring = True
        try:
            self._enter(program.directory, None if program.is_scratch else identity)
            if program.ulimits or entrances:
                return self._start_by_fork(program, None, output, self._preparation(program, entrances))
            self._lower_file_limit()
            try:
                return self._start_by_fork(program, None, output, None)
            finally:
                self._raise_file_limit()
        finally:
            os.fchdir(self._here)

    def _enter(self, directory: str, identity: Identity | None) -> None:
        """Changes our own working directory, which the child inherits: it looks up no path as root."""
        try:
            if identity is not None:
                with acting_as(identity.uid, identity.gid, identity.groups):
                    os.chdir(directory)
                return
            fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                os.fchdir(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise ExecFailed(error.errno or 0, _AT_DIRECTORY) from error

    def _lower_file_limit(self) -> None:
        """Lowers our own limit of open files around a start. Limits are inherited at the fork: setting them
        afterwards would race with the program."""
        if self._own_nofile != self._default_nofile:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self._default_nofile[0], self._own_nofile[1]))

    def _raise_file_limit(self) -> None:
        if self._own_nofile != self._default_nofile:
            resource.setrlimit(resource.RLIMIT_NOFILE, self._own_nofile)

    def _preparation(self, program: Program, entrances: Sequence[int]) -> Callable[[int], None]:
        """Returns the steps that only the child can take between fork and exec. Becoming the user comes last: it may
        not have the right to the others."""

        def prepare(errors: int) -> None:
            join(entrances, errors)
            for name, soft, hard in (("nofile", *self._default_nofile), *program.ulimits):
                note = set_limit(name, soft, hard)
                if note:
                    os.write(2, f"{note}\n".encode())  # the task's own output by now
            if program.identity is not None:
                become(program.identity, errors)

        return prepare

    def _start_by_fork(
        self, program: Program, directory: str | None, output: int, prepare: Callable[[int], None] | None
    ) -> int:
        """Starts by a plain fork, for another user, limits or a cgroup. We run on before the program does; a pipe of
        its own, which closes at exec, has the error of a failed start."""
        error_read, error_write = os.pipe()
        try:
            try:
                before_exec = partial(prepare, error_write) if prepare is not None else None
                pid = self._fork_exec(program, directory, output, (error_read, error_write), before_exec)
            finally:
                os.close(error_write)
            message = _exec_error(pid, error_read)
        finally:
            os.close(error_read)
        if message:
            # Where we entered its directory, the only step of CPython's child before its exec is the change of user.
            raise _failure(pid, message.replace(_AT_DIRECTORY, _AT_USER) if directory is None else message)
        return pid

    def _fork_exec(
        self,
        program: Program,
        directory: str | None,  # None: ours
        output: int,
        errors: tuple[int, int],
        before_exec: Callable[[], None] | None,
    ) -> int:
        # `before_exec` takes on the user itself: it comes after CPython's own change of user.
        identity = program.identity if before_exec is None else None
        # Our own files are all close-on-exec, so that nothing need be closed by number.
        return _posixsubprocess.fork_exec(
            program.arguments, program.paths, False, (), cast(str, directory), program.environment,
            self._null, -1, -1, output, -1, output, *errors,
            True, True, -1,  # default signals, a new session, no process group
            identity.gid if identity else None, list(identity.groups) if identity else None,
            identity.uid if identity else None,
            UMASK, before_exec, True,  # type: ignore[arg-type]  # typeshed forgets that None is "no preexec_fn"
        )  # fmt: skip


def _exec_error(pid: int, errors: int) -> bytes:
    """Returns the error of a plain fork's child; empty: its program runs. Once it is another user, that user's programs
    may stop it, and that user's file systems may hold up its exec: it is killed then, since all other tasks would
    wait."""
    ready = select.poll()
    ready.register(errors, select.POLLIN)
    latest = time.monotonic() + EXEC_SECONDS
    while not ready.poll(STOP_LOOK_MS):
        is_stopped = os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
        if is_stopped or time.monotonic() > latest:
            os.kill(pid, signal.SIGKILL)
            return b"OSError:%x:%s" % (errno.EINTR if is_stopped else errno.ETIMEDOUT, _AT_STOP)
    return os.read(errors, 4096)


def _failure(pid: int, message: bytes) -> ExecFailed:
    """Decodes `message`, which CPython's child wrote: `OSError:<errno in hex>:` and `noexec` when it was the
    directory; or what `join` wrote."""
    os.waitpid(pid, 0)
    _, number, stage = message.split(b":", 2)
    return ExecFailed(int(number, 16), stage)


def join(entrances: Sequence[int], errors: int) -> None:
    """In the child: enters cgroups, before it can start or allocate anything outside of them. When that fails, the
    child ends, with the error written to `errors`."""
    for entrance in entrances:
        try:
            os.write(entrance, b"0")  # the writer itself
        except OSError as error:
            _exit_with(errors, error, _AT_CGROUP)


def _exit_with(errors: int, error: OSError, stage: bytes) -> NoReturn:
    os.write(errors, b"OSError:%x:%s" % (error.errno or 0, stage))
    os._exit(255)  # as CPython's own child


def become(identity: Identity, errors: int) -> None:
    """In the child: becomes the user. When that fails, the child ends as in `join`."""
    try:
        os.setgroups(identity.groups)
        os.setresgid(identity.gid, identity.gid, identity.gid)
        os.setresuid(identity.uid, identity.uid, identity.uid)
    except OSError as error:
        _exit_with(errors, error, _AT_USER)


def programs_of(command: str, search_path: str) -> list[bytes]:
    """Returns the candidate paths of a command: itself when it has a slash, else one in each directory of the PATH."""
    if "/" in command:
        return [os.fsencode(command)]
    return [os.path.join(os.fsencode(directory or "."), os.fsencode(command)) for directory in search_path.split(":")]


def identity_of(user: str, *, allow_root: bool = False) -> Identity | None:
    """Parses `name`, `uid`, `name:group` or `uid:gid`, as in a container. An account has its own groups, or the one
    that is named and no other. None: we are no root, and are that already.

    CannotStart: the user does not exist, is root or in root's group without `allow_root`, or we have no right to run
    as it."""
    name, _, group = user.partition(":")
    account = _account(name)
    gid = _group(group) if group else -1
    own_uid = os.geteuid()
    uid = account.pw_uid if account else int(name)
    if own_uid != ROOT:
        if uid == own_uid and gid in (-1, os.getegid()):
            return None
        raise CannotStart(
            f"user '{user}' can't be used: the service runs as uid {own_uid}, and only root may start programs as "
            "others; leave user out or start the service as root"
        )
    if account is None and not group:
        raise CannotStart(
            f"uid {uid} has no account on this host, which would say its groups; give it one, name another user, or "
            f"name its group too ('{name}:GROUP', which AWS takes in ecsProperties)"
        )
    if not allow_root and ROOT in (uid, gid):
        raise CannotStart(
            f"user '{user}' is {'root' if uid == ROOT else 'of the group of root'} on this host, which jobs may name "
            "only where the service was started with --allow-root-jobs; name another user, or leave user out: the job "
            "then runs as the service itself"
        )
    home = account.pw_dir if account else "/"
    if gid >= 0:
        return Identity(uid, gid, (gid,), home)
    assert account is not None, f"user '{user}' has neither an account nor a group"
    return Identity(uid, account.pw_gid, tuple(os.getgrouplist(account.pw_name, account.pw_gid)), home)


def _account(name: str) -> pwd.struct_passwd | None:
    """Returns the account of a name or number; None: a number without an account."""
    try:
        return pwd.getpwuid(_id(name)) if _is_id(name) else pwd.getpwnam(name)
    except KeyError:
        if _is_id(name):
            return None
        raise CannotStart(f"user '{name}' does not exist on this host; create it or name another user") from None


def _group(name: str) -> int:
    try:
        return _id(name) if _is_id(name) else grp.getgrnam(name).gr_gid
    except KeyError:
        raise CannotStart(f"group '{name}' does not exist on this host; create it or name another") from None


def _is_id(name: str) -> bool:
    return name.isascii() and name.isdigit()


def _id(number: str) -> int:
    if len(number) > len(str(MAX_ID)) or int(number) > MAX_ID:
        raise CannotStart(f"{number} is no user or group: the highest number of one is {MAX_ID}")
    return int(number)


def set_limit(name: str, soft: int, hard: int) -> str:
    """Sets a limit of this process. A limit that the host does not allow is lowered. Returns a note about that, or
    ""."""
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
