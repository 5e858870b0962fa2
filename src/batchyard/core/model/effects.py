"""Every output of the machine that acts on the world. Carried out only after the commit of the batch that caused it."""

from __future__ import annotations

from msgspec import Struct

from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.gang import Gang
from batchyard.core.model.records import Instance, TaskSpec


class Effect(Struct, frozen=True):
    """Something to do."""


class TaskEffect(Effect, frozen=True):
    """An effect about an attempt. `engine` names the engine; `attempt_node` is what it acts on, with its instance."""

    engine: str
    attempt_node: AttemptNode

    @property
    def attempt_id(self) -> str:
        return self.attempt_node.attempt_id


class LaunchTask(TaskEffect, frozen=True):
    """Runs `task`. `environment`: the variables of this attempt alone (AWS_BATCH_*), which override the task's own."""

    spec_key: int  # equal keys: the same `task` object
    task: TaskSpec
    environment: tuple[tuple[str, str], ...]
    device_ids: tuple[int, ...]
    job_id: str  # with the child's index, or the node's
    log_group: str
    log_stream: str
    gang: Gang | None = None  # of a node of a multi-node job
    trace_parent: str = ""  # of the attempt's span, for its environment


class StopTask(TaskEffect, frozen=True):
    """Sends SIGTERM, and SIGKILL `grace_seconds` later."""

    grace_seconds: float


class AcknowledgeTask(TaskEffect, frozen=True):
    """Acknowledges the node's outcome, which is committed: the engine may forget it, and never launches it again."""


class RecoverTask(TaskEffect, frozen=True):
    """Asks, after a restart of the server, about an attempt that was placed (see engines.base.Recovery)."""

    launch: LaunchTask
    may_launch: bool
    known_started: bool


class LaunchInstance(Effect, frozen=True):
    """Boots an instance of a MANAGED environment. Idempotent by its id: it is repeated after a restart."""

    instance: Instance


class TerminateInstance(Effect, frozen=True):
    """Terminates an instance on which nothing runs any more. One that does not exist is reported gone."""

    instance_id: str
    provider: str
