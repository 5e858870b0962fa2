"""The seam between loop and engines: the interface, and the promises that every engine keeps.

**Promises**, held by one conformance suite for every engine:
- What is launched, stopped, acknowledged and recovered is a node of an attempt (AttemptNode). The nodes of one attempt
  are independent of each other. A plain job has node 0 alone.
- `launch` is idempotent by attempt and node: a node that was launched, runs, has ended or was acknowledged is not run
  again; its last report is repeated instead.
- Every launched node gets exactly one final report (NotStarted, Exited or Lost), repeated after each reconnection
  until it is acknowledged; Started comes before Exited. Reports are observed facts, never decisions.
- No method blocks, and none raises because a task can't run: that comes back as a report.
- A command carrying an epoch below the highest one seen is refused.

**Several containers in one task** (`Abilities.multiple_containers`; AWS Batch behaviour 6.10; the rules as values are
in `engines.container_group`). A container is started once the conditions of its dependencies are met. Started is
reported when no container waits any more: each was started, or can never start. When an essential container ends, or
can never start, the others are stopped, with STOP_GRACE_SECONDS. In every stop a container's own `stop_timeout_seconds`
replaces the grace, unless the grace is 0. Exited comes when all have ended, NotStarted when none was ever started.

**Log layout.** Every container has one append-only log file, `log_path(logs_directory, task_id, container)`, where
`task_id` is AttemptNode's and a plain job's container is `records.DEFAULT_CONTAINER`; the file does not exist until
something is written. A line of it is `<epoch milliseconds, decimal> TAB <text> LF`; text is UTF-8, invalid bytes
replaced; a line of output longer than MAX_LOG_LINE_BYTES is cut into several; a last line without LF is written with
one when the container ends. `CUT_MARK` stands alone in the text of a line where output was dropped.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.gang import Gang
from batchyard.core.model.gpus import Gpu, gpus_named
from batchyard.core.model.records import DEFAULT_CONTAINER, Abilities, Instance, TaskSpec
from batchyard.core.model.reports import InstanceReport, Report

MAX_LOG_LINE_BYTES = 256 * 1024  # CloudWatch Logs' own limit of one event
ATTEMPT_VARIABLE = "BATCHYARD_ATTEMPT"  # in the environment of everything that runs: the id of its attempt
STOP_GRACE_SECONDS = 30.0  # SIGTERM to SIGKILL, of a task's other containers once an essential one has ended (ECS)
CUT_MARK = "[batchyard: output beyond the size limit was dropped here]"

ReportSink = Callable[[Sequence[Report]], None]


class Launch(Struct, frozen=True):
    """One task to run. The engine's own base (PATH, HOME, LANG, TZ) lies below `task.environment`."""

    attempt_node: AttemptNode
    spec_key: int  # equal keys mean the same `task`: sent once per message
    task: TaskSpec
    environment: tuple[tuple[str, str], ...]  # of this attempt: overrides task.environment, in every container
    device_ids: tuple[int, ...] = ()
    gpus: tuple[Gpu, ...] = ()  # those of `device_ids`, as far as more than their numbers is known
    gpu_vendor: str = ""  # the vendor of this machine's GPUs, also for a task that has none of them
    job_id: str = ""
    # (container, variable, value): resolved secrets, for the container's environment alone; never written to disk.
    secrets: tuple[tuple[str, str, str], ...] = ()
    problem: str = ""  # why it must not be started although it was placed, such as an unreadable secret
    problem_container: str = ""  # the container with the problem, where the task has several
    # (container, user, password): for its image's registry, from repositoryCredentials; never written to disk.
    registry_credentials: tuple[tuple[str, str, str], ...] = ()
    # (container, the definition's image, why another stands for it): for the reason when that one cannot be had.
    replaced_images: tuple[tuple[str, str, str], ...] = ()
    # (container, option, value): for its log driver, from secretOptions; never written to disk.
    log_options: tuple[tuple[str, str, str], ...] = ()
    # (container, directory, name, value): secrets as files of the container; never written to disk by the service.
    files: tuple[tuple[str, str, str, str], ...] = ()
    # (container, variable, value): differs among the containers; overrides `environment`.
    container_environment: tuple[tuple[str, str, str], ...] = ()
    gang: Gang | None = None  # of a node of a multi-node job: what it knows of the others

    @property
    def attempt_id(self) -> str:
        return self.attempt_node.attempt_id

    @property
    def task_id(self) -> str:
        return self.attempt_node.task_id

    @property
    def assigned_gpus(self) -> tuple[Gpu, ...]:
        return gpus_named(self.gpus, self.device_ids)

    def __repr__(self) -> str:
        """Leaves out environment and secrets: this may end up in a log."""
        return f"Launch({self.task_id!r}, job_id={self.job_id!r}, problem={self.problem!r})"


class Recovery(Struct, frozen=True):
    """A live attempt of the store, which the engine must account for after a restart of the server.

    `may_launch`: it was STARTING and no stop was asked: an engine whose journal is intact and does not mention it
    runs it. Otherwise the engine reports an attempt that it does not know as NotStarted with reason
    `RECOVERED_SILENT` when `known_started` is False and its journal is intact, else as Lost."""

    launch: Launch
    may_launch: bool
    known_started: bool


RECOVERED_SILENT = "The attempt was stopped before it was started."


class StaleEpochError(RuntimeError):
    """The engine serves a server that started later than this one, which must end."""


class Engine(Protocol):
    """One way to run attempts. Called from the event loop's thread; reports are delivered on it too."""

    name: str
    abilities: Abilities

    async def start(self, epoch: int, report: ReportSink) -> None:
        """Connects. Returns once commands are taken (they are queued while a connection is down).

        StaleEpochError: a later server has connected before. OSError, TimeoutError: why the engine can't be reached."""

    async def failed(self) -> None:
        """Raises when the engine can never serve this server again: StaleEpochError, RuntimeError with an
        explanation, or the error itself. Returns once the engine was closed."""

    def launch(self, tasks: Sequence[Launch]) -> None: ...

    def stop(self, attempt_node: AttemptNode, grace_seconds: float) -> None:
        """Sends SIGTERM to the node's whole task, and SIGKILL after the grace. Ignores unknown and ended ones."""

    def acknowledge(self, attempt_nodes: Sequence[AttemptNode]) -> None: ...

    def recover(self, attempts: Sequence[Recovery]) -> None:
        """Called once after `start`, with every live attempt that names this engine."""

    async def close(self, *, kill: bool) -> None:
        """Disconnects; attempts run on. With `kill` the engine's own processes end too, once nothing runs."""


InstanceReportSink = Callable[[Sequence[InstanceReport]], None]


class Capacity(Protocol):
    """A source of instances. Called from the event loop's thread; reports are delivered on it too.

    **Promises.** `launch` is idempotent by instance id; for an instance that is LAUNCHING, InstanceReady or
    InstanceRefused follows. `terminate` is followed by InstanceGone, also for an unknown instance. Interruptions and
    losses are reported as they occur."""

    def start(self, report: InstanceReportSink) -> None: ...

    def launch(self, instances: Sequence[Instance]) -> None:
        """Boots the instances. Called again after a restart, with every instance that is not being terminated."""

    def terminate(self, instance_ids: Sequence[str]) -> None:
        """Takes the instances down. The caller makes sure that nothing runs on them."""

    def close(self) -> None: ...


def log_path(logs_directory: Path, task_id: str, container: str = DEFAULT_CONTAINER) -> Path:
    """Returns the path of a container's log. `container`: in ECS's alphabet (letters, digits, hyphens, underscores)."""
    suffix = "" if container == DEFAULT_CONTAINER else f".{container}"
    return logs_directory / task_id[-2:] / f"{task_id}{suffix}.log"


def open_log(path: Path) -> int:
    """Opens a log for reading. Returns the descriptor; -1: there is no log. Follows no link and opens nothing but a
    file: a job that runs as the service's own user may have put something else there."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            return -1
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return -1
    return fd
