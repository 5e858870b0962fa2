"""What is common to all batch systems: a pilot's job, what is asked for it, and the commands and parsers of a system.

A pilot is a job of a batch system that runs our supervisor and takes attempts for as long as it lasts: an instance. It
is known by its name alone, which has the instance's id: after a crash a system may have forgotten ids of jobs, or give
them again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from enum import StrEnum

from msgspec import Struct

from batchyard.batch_systems.command_template import CommandTemplate

NAME = re.compile(r"batchyard-(?P<service>[0-9a-f]{8})-(?P<instance>i-[0-9a-f]{17})")


class JobState(StrEnum):
    """What a batch system has made of a job, as far as a pilot is concerned. RUNNING is no proof: a system may say so
    long after the job has ended, or of a node that it can't reach. UNKNOWN: a word that is not known here, which may
    mean that it lives."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    ENDED = "ENDED"
    UNKNOWN = "UNKNOWN"


class PilotJob(Struct, frozen=True):
    """A pilot as its batch system lists it. `detail`: the system's own word for the state, and its reason."""

    job_id: str
    service_id: str
    instance_id: str
    state: JobState
    detail: str = ""

    @property
    def may_live(self) -> bool:
        return self.state is not JobState.ENDED


class PilotRequest(Struct, frozen=True):
    """What a pilot asks for. Empty texts and 0 leave the choice to the batch system.

    `partition`: or queue. `constraints`: features of nodes, in the system's syntax. `is_whole_node`: nothing else runs
    on its node. `notice_seconds`: so long before its walltime ends it is signalled."""

    service_id: str
    instance_id: str
    partition: str = ""
    account: str = ""
    qos: str = ""
    constraints: str = ""
    is_whole_node: bool = False
    vcpus: int = 1
    memory_mib: int = 0
    gpus: int = 0
    gpu_type: str = ""
    walltime_seconds: int = 0
    notice_seconds: int = 0

    @property
    def name(self) -> str:
        return f"batchyard-{self.service_id}-{self.instance_id}"


class NodeKind(Struct, frozen=True, order=True):
    """A kind of node of a partition, and how many of it there are. `max_walltime_seconds`: 0 for no limit."""

    vcpus: int
    memory_mib: int
    gpus: int = 0
    gpu_type: str = ""
    count: int = 1
    max_walltime_seconds: int = 0


class UnreadableAnswer(ValueError):
    """A command of a batch system has printed something that has no meaning here."""


class BatchSystem(Struct, frozen=True):
    """One batch system. `submit` reads the script from its standard input; `values` makes the values of its places.

    `list_jobs` prints all jobs of the user, `cancel` takes `{job_id}`. The parsers raise UnreadableAnswer. `nodes`
    prints the nodes of `{partition}`; None: the system has no such command."""

    name: str
    submit: CommandTemplate
    list_jobs: CommandTemplate
    cancel: CommandTemplate
    values: Callable[[PilotRequest], Mapping[str, str | int]]
    read_job_id: Callable[[str], str]
    read_jobs: Callable[[str], list[PilotJob]]
    nodes: CommandTemplate | None = None
    read_nodes: Callable[[str], tuple[NodeKind, ...]] | None = None


def pilot_job(job_id: str, name: str, state: JobState, detail: str) -> PilotJob | None:
    """Returns the pilot of a listed job; None: the job is no pilot."""
    found = NAME.fullmatch(name)
    return None if found is None else PilotJob(job_id, found["service"], found["instance"], state, detail)


def job_script(
    variables: Mapping[str, str], command: tuple[str, ...], walltime_seconds: int, prologue: str = ""
) -> str:
    """Returns the script of a pilot's job, for /bin/sh.

    Secrets are among the `variables`: other users see a job's arguments, name and comment, and its environment may be
    written to an accounting database, but the script of a job is shown to its owner and to operators alone. The job has
    no variables of the service's environment. `prologue`: lines of the site, such as `module load python`."""
    lines = [
        "#!/bin/sh",
        'PATH="${PATH:-/usr/local/bin:/usr/bin:/bin}"',
        'HOME="${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}"',
        "export PATH HOME",
        *([prologue] if prologue else []),
        *(f"{name}={shlex.quote(value)}; export {name}" for name, value in variables.items()),
    ]
    if walltime_seconds:
        lines.append(
            f"BATCHYARD_JOIN_EXPIRES_AT=$(($(date +%s) + {walltime_seconds})); export BATCHYARD_JOIN_EXPIRES_AT"
        )
    lines.append(f"exec {shlex.join(command)}")
    return "\n".join(lines) + "\n"


def walltime_text(seconds: int) -> str:
    """Returns a time as hours:minutes:seconds, as many hours as it takes; empty for 0."""
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}" if seconds else ""
