"""Turns a queued launch into a running program: checks, environment, scratch directory, FIFO, start."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from typing import NamedTuple

from batchyard.core.model.gpus import AMD, selected
from batchyard.engines.base import ATTEMPT_VARIABLE, log_path
from batchyard.engines.log_file import LogFile
from batchyard.engines.start_failures import CANNOT_START, NOT_FOUND_EXIT_CODE, CannotStart
from batchyard.engines.supervisor.attempts import Attempt, Queued, Settings
from batchyard.engines.supervisor.cgroups import Cgroups
from batchyard.engines.supervisor.fifos import Fifos, Output
from batchyard.engines.supervisor.journal import IntentItem
from batchyard.engines.supervisor.process_credentials import acting_as
from batchyard.engines.supervisor.processes import boot_ticks, start_ticks
from batchyard.engines.supervisor.protocol import NotStartedItem, Task
from batchyard.engines.supervisor.scratch import Scratch
from batchyard.engines.supervisor.spawner import (
    EXEC_SECONDS,
    RLIMITS,
    ExecFailed,
    Identity,
    Program,
    Spawner,
    identity_of,
    programs_of,
)

# A search path for a server that was started without one; as the C library's own default.
DEFAULT_PATH = "/bin:/usr/bin"
_EXPLANATIONS = {
    errno.EACCES: "it is not an executable file that this user may run; check its mode (chmod +x) and its directories",
    errno.ENOEXEC: "it is no program of this machine; a script must begin with a line such as #!/bin/sh",
    errno.E2BIG: "its arguments and environment are too long for the system; pass less, or pass it in a file",
    errno.EAGAIN: "its user has as many processes as the ulimit nproc allows; raise that, or run fewer jobs at once",
    errno.ENOTDIR: "a part of its path is not a directory; correct the path",
}


class Prepared(NamedTuple):
    """A launch that passed every check that is possible before it is in the journal."""

    queued: Queued
    intent: IntentItem
    output: Output
    program: Program


def _make_mounts(mounts: tuple[tuple[str, str], ...], whose: str) -> None:
    for source, target in mounts:
        if source != target:
            raise CannotStart(
                f"a process sees the host's own files: it can't have {source or 'a new volume'} at {target}; "
                "mount a path at itself or use an environment with containers"
            )
        try:
            if not os.path.lexists(source):  # a container engine makes a missing source, too
                os.makedirs(source)
        except OSError as error:
            raise CannotStart(
                f"volume {source} can't be made{whose}: {error.strerror}; create it on this host"
            ) from None


def environment_of(queued: Queued, base: dict[str, str], identity: Identity | None) -> dict[str, str]:
    """Returns the variables: the base, over it the task's, the attempt's, and those that no job may change."""
    item, task = queued
    variables = dict(base)
    if identity is not None:
        variables["HOME"] = identity.home
    variables.update(task.environment)
    variables.update(item.environment)
    names = item.gpu_names or tuple(map(str, item.device_ids))
    variables.update(gpu_variables(names, item.gpu_vendor, variables))
    variables[ATTEMPT_VARIABLE] = item.attempt_id
    return variables


def gpu_variables(names: tuple[str, ...], vendor: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables by which a process sees its own GPUs, and none without any. What it says itself with
    CUDA_VISIBLE_DEVICES (AMD: HIP_VISIBLE_DEVICES) selects among them. `names`: of its GPUs; `variables`: the job's."""
    if vendor == AMD:
        chosen = selected(names, variables.get("HIP_VISIBLE_DEVICES", variables.get("CUDA_VISIBLE_DEVICES")))
        # HIP counts within what ROCR leaves, and takes numbers only; it reads CUDA's variable too.
        within = ",".join(map(str, range(len(chosen))))
        own = ",".join(names[at] for at in chosen)
        return {"ROCR_VISIBLE_DEVICES": own, "HIP_VISIBLE_DEVICES": within, "CUDA_VISIBLE_DEVICES": within}
    own = ",".join(names[at] for at in selected(names, variables.get("CUDA_VISIBLE_DEVICES")))
    found = {"CUDA_VISIBLE_DEVICES": own, "NVIDIA_VISIBLE_DEVICES": own}
    if own and own[0].isdigit():
        found["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # by default CUDA counts the fastest first, and not as the driver
    return found


class Launcher:
    """Prepares launches, and starts them once they are in the journal."""

    def __init__(
        self, settings: Settings, fifos: Fifos, scratch: Scratch, cgroups: Cgroups, default_nofile: tuple[int, int]
    ) -> None:
        self.enforces_cgroups = False
        self.allows_root = False  # jobs may name root as their user
        self._settings = settings
        self._fifos = fifos
        self._scratch = scratch
        self._cgroups = cgroups
        self._spawner = Spawner(default_nofile)

    def prepare(self, queued: Queued, base: dict[str, str]) -> Prepared:
        """Checks a launch and makes its FIFO. CannotStart: the reason to report."""
        item, task = queued
        identity = _check(task, allow_root=self.allows_root)
        directory = task.working_directory or item.directory or self._scratch.path(item.attempt_id)
        program = _program(queued, base, identity, directory)
        try:
            output = self._fifos.take(_owner(identity), lambda: self._open_log(item.attempt_id))
        except OSError as error:
            raise CannotStart(f"the host can't take its output: {error}; see to its disks and limits") from error
        intent = IntentItem(item.attempt_id, output.fifo, has_own_scratch(queued), task.memory_mib)
        return Prepared(queued, intent, output, program)

    def release(self, prepared: Prepared) -> None:
        """Gives the FIFO back: the launch is not started, or not now."""
        self._fifos.give_back(prepared.output)

    def start(self, prepared: Prepared, now_ms: int) -> Attempt:
        """Starts the program. CannotStart: the reason to report; nothing is left behind."""
        attempt = Attempt(prepared.intent, prepared.output)
        before = boot_ticks()
        try:
            self._start(attempt, prepared)
        except CannotStart:
            self.release(prepared)
            if attempt.intent.scratch:
                self._scratch.discard(attempt.attempt_id)
            if attempt.cgroup is not None:
                self._cgroups.remove(attempt.cgroup)
            raise
        # The start lies between two readings of the clock that dates processes: /proc is read only if they differ.
        attempt.start_ticks = before if boot_ticks() == before else start_ticks(attempt.pid)
        attempt.started_at_ms = now_ms
        return attempt

    def _start(self, attempt: Attempt, prepared: Prepared) -> None:
        try:
            if attempt.intent.scratch:
                self._scratch.make(attempt.attempt_id, _owner(prepared.program.identity))
            task_end = attempt.output.open_task_end()
        except OSError as error:
            raise CannotStart(f"the host can't prepare it: {error}; see to its disks and limits") from error
        entrances: list[int] = []
        try:
            if self.enforces_cgroups:
                task = prepared.queued.task
                attempt.cgroup = self._cgroups.make(attempt.attempt_id, task.memory_mib, task.milli_vcpus)
                entrances = attempt.cgroup.open_entrances()
            attempt.pid = self._spawner.start(prepared.program, task_end, entrances)
        except (ExecFailed, OSError, ValueError) as error:
            raise CannotStart(_explain(prepared, error)) from error
        finally:
            for fd in (task_end, *entrances):
                os.close(fd)

    def _open_log(self, attempt_id: str) -> LogFile:
        return LogFile(log_path(self._settings.logs_dir, attempt_id), self._settings.log_limit_bytes)


def has_own_scratch(queued: Queued) -> bool:
    """Whether an attempt has a scratch directory that is made and removed with it."""
    return not (queued.task.working_directory or queued.item.directory)


def _owner(identity: Identity | None) -> tuple[int, int] | None:
    return (identity.uid, identity.gid) if identity else None


def _check(task: Task, *, allow_root: bool) -> Identity | None:
    """Returns the identity to run as; None: our own. CannotStart: the task needs what this host does not have."""
    if not task.command:
        raise CannotStart("it has no command, and a process has no image to take one from; give a command")
    for name, _, _ in task.ulimits:
        if name not in RLIMITS:
            raise CannotStart(f"ulimit '{name}' is unknown; use one of {', '.join(sorted(RLIMITS))}")
    if not task.user:
        _check_paths(task, "")
        return None
    identity = identity_of(task.user, allow_root=allow_root)
    if identity is None or not (task.working_directory or task.mounts):
        _check_paths(task, "")
        return identity
    try:
        with acting_as(identity.uid, identity.gid, identity.groups):
            _check_paths(task, f" as uid {identity.uid}")
    except PermissionError as error:
        raise CannotStart(_no_right(error)) from error
    return identity


def _check_paths(task: Task, whose: str) -> None:
    """Checks the paths of the task on this host. `whose`: a text that names the user for whom they are checked;
    empty: ourselves."""
    if task.working_directory and not os.path.isdir(task.working_directory):
        raise CannotStart(
            f"working directory {task.working_directory} does not exist on this host, or can't be reached{whose}; "
            "create it, open the way to it or name another"
            if whose
            else f"working directory {task.working_directory} does not exist on this host; create it or name another"
        )
    _make_mounts(task.mounts, whose)


def _program(queued: Queued, base: dict[str, str], identity: Identity | None, directory: str) -> Program:
    task = queued.task
    variables = environment_of(queued, base, identity)
    paths, command = programs_of(task.command[0], variables.get("PATH", DEFAULT_PATH)), task.command
    if queued.item.prefix:
        _check_program(task.command[0], paths, directory)
        command = (*queued.item.prefix, *command)
        paths = [os.fsencode(command[0])]
    try:
        return Program(
            arguments=[argument.encode(errors="surrogateescape") for argument in command],
            paths=paths,
            directory=directory,
            environment=[f"{name}={value}".encode(errors="surrogateescape") for name, value in variables.items()],
            identity=identity,
            ulimits=task.ulimits,
            is_scratch=not task.working_directory,
        )
    except UnicodeEncodeError as error:
        raise CannotStart(f"its command or environment holds text that is no valid Unicode ({error})") from None


def _check_program(program: str, paths: list[bytes], directory: str) -> None:
    """Checks a program that the prefix starts, and not the kernel, whose refusal would be exact. CannotStart."""
    found = [path for path in (os.path.join(os.fsencode(directory), one) for one in paths) if os.path.isfile(path)]
    if not found:
        raise CannotStart(_not_found(program, paths))
    if not any(os.access(path, os.X_OK) for path in found):
        raise CannotStart(f"program {program}: {os.strerror(errno.EACCES)}; {_EXPLANATIONS[errno.EACCES]}")


def _no_right(error: OSError | ExecFailed) -> str:
    why = os.strerror(error.errno or 0)
    return f"the service can't become its user: {why}; root needs CAP_SETUID and CAP_SETGID for that"


def _explain(prepared: Prepared, error: ExecFailed | OSError | ValueError) -> str:
    program = prepared.queued.task.command[0]
    if isinstance(error, ExecFailed) and error.at_cgroup:
        return f"its cgroup can't be joined: {error}; start the service without --enforce cgroup"
    if isinstance(error, ExecFailed) and error.at_user:
        return _no_right(error)
    if isinstance(error, ExecFailed) and error.at_stop:
        if error.errno == errno.ETIMEDOUT:
            return f"program {program} did not begin within {EXEC_SECONDS:.0f} s; see to the file system that it is on"
        return f"program {program}: another process of its user stopped it before it began; end that process"
    if isinstance(error, ExecFailed) and error.at_directory:
        return f"working directory {prepared.program.directory} can't be entered: {error}; check its mode"
    if isinstance(error, ValueError):
        return f"its command or environment can't be passed to a program: {error}; remove that character"
    if isinstance(error, ExecFailed) and error.errno == errno.ENOENT:
        return _not_found(program, prepared.program.paths)
    why = _EXPLANATIONS.get(error.errno or 0)
    return f"program {program}: {error}" + (f"; {why}" if why else "")


def _not_found(program: str, paths: list[bytes]) -> str:
    if "/" in program:
        return f"program {program} does not exist on this host, or the interpreter it names; install it"
    search_path = os.pathsep.join(os.path.dirname(os.fsdecode(path)) for path in paths)
    # The PATH comes last: AWS's reason has 255 characters, and the remedy must be among them.
    return f"program '{program}' is not in PATH; install it or give its full path (PATH is {search_path})"


def not_started(attempt_id: str, reason: CannotStart, now_ms: int) -> NotStartedItem:
    return NotStartedItem(attempt_id, now_ms, f"{CANNOT_START}: {reason}", NOT_FOUND_EXIT_CODE)
