"""Every output of the machine that acts on the world. Carried out only after the commit of the batch that caused it."""

from __future__ import annotations

from msgspec import Struct

from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.records import Instance, TaskSpec


class Effect(Struct, frozen=True):
    """Something to do."""


class TaskEffect(Effect, frozen=True):
    """`engine` names the engine; `attempt_node` says what it acts on, and on which instance."""

    engine: str
    attempt_node: AttemptNode

    @property
    def attempt_id(self) -> str:
        return self.attempt_node.attempt_id


class LaunchTask(TaskEffect, frozen=True):
    """Run `task`. `environment`: what is this attempt's alone (AWS_BATCH_*), put over the task's own."""

    spec_key: int  # equal keys: the same `task` object
    task: TaskSpec
    environment: tuple[tuple[str, str], ...]
    device_ids: tuple[int, ...]
    job_id: str  # with the child's index
    log_group: str
    log_stream: str


class StopTask(TaskEffect, frozen=True):
    """SIGTERM, and SIGKILL `grace_seconds` later."""

    grace_seconds: float


class AcknowledgeTask(TaskEffect, frozen=True):
    """The node's outcome is committed: the engine may forget it, and never launches it again."""


class RecoverTask(TaskEffect, frozen=True):
    """After a restart of the server: account for an attempt that was placed (engines.base.Recovery has the meaning)."""

    launch: LaunchTask
    may_launch: bool
    known_started: bool


class LaunchInstance(Effect, frozen=True):
    """Boot an instance of a MANAGED environment. Idempotent by its id: after a restart it is asked again."""

    instance: Instance


class TerminateInstance(Effect, frozen=True):
    """Nothing runs on it any more. Of one that is not there: it is reported gone."""

    instance_id: str
    provider: str
