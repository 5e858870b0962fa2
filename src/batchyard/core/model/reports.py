"""The reports of engines and capacity providers to the machine, one Struct each: observations, never decisions.
Times are the engine's."""

from __future__ import annotations

from msgspec import Struct

from batchyard.core.model.attempt_node import task_id_of
from batchyard.core.model.records import DEFAULT_CONTAINER

# -- of engines, about attempts --


OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"  # the reason of a container killed for it


class ContainerExit(Struct, frozen=True):
    """How one container of a task ended. `exit_code` is 128+n after signal n; None when it is unknown, or when the
    container never ran: then `reason` has the cause."""

    name: str = DEFAULT_CONTAINER
    exit_code: int | None = None
    signal: int = 0
    out_of_memory: bool = False
    peak_memory_mib: int = 0
    cpu_ms: int = 0
    reason: str = ""
    stopped_at_ms: int = 0  # in tasks of several containers: which ended first; 0: it never ran, or unknown


class _NodeReport(Struct, frozen=True, kw_only=True):
    node: int = 0  # of a plain job's attempt the only one


class Report(_NodeReport, frozen=True):
    """`attempt_id` is the id of the attempt whose `node` this is about (names.task_id)."""

    attempt_id: str

    @property
    def task_id(self) -> str:
        """As AttemptNode's."""
        return task_id_of(self.attempt_id, self.node) if self.node else self.attempt_id


class Started(Report, frozen=True):
    at_ms: int


class NotStarted(Report, frozen=True):
    """The node never ran. `reason`: `CannotStartContainerError: ...`; exit code 127 where a program could not be
    started."""

    at_ms: int
    reason: str
    exit_code: int | None = None
    container: str = ""  # of several: the one that was the cause; empty where it was none of them alone


class Exited(Report, frozen=True):
    """The node ran and ended. `started_at_ms` is given too: after a crash of the server this may be the first
    report. `containers`: every one, in the order of its definition."""

    started_at_ms: int
    stopped_at_ms: int
    containers: tuple[ContainerExit, ...]


class Lost(Report, frozen=True):
    """The node may have run, its outcome is unknown, and nothing of it lives any more."""

    at_ms: int
    reason: str
    started_at_ms: int = 0


# -- of the capacity seam, about instances --


class InstanceReport(Struct, frozen=True):
    """`instance_id` is that of a managed instance, or of one that is not known any more."""

    instance_id: str


class InstanceReady(InstanceReport, frozen=True):
    """The instance has booted."""


class InstanceRefused(InstanceReport, frozen=True):
    """The capacity provider can't launch the instance now."""

    reason: str


class InstanceInterrupted(InstanceReport, frozen=True):
    """The instance will be interrupted after the notice."""

    notice_seconds: float


class InstanceAway(InstanceReport, frozen=True):
    """A joined host has no connection any more. What runs on it may run on: its engine reports what becomes of it."""


class InstanceGone(InstanceReport, frozen=True):
    """The instance has ended: terminated as requested, or lost."""


AnyReport = Report | InstanceReport
TYPES: tuple[type[AnyReport], ...] = (
    Started,
    NotStarted,
    Exited,
    Lost,
    InstanceReady,
    InstanceRefused,
    InstanceInterrupted,
    InstanceAway,
    InstanceGone,
)
