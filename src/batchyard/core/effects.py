"""Every output of the machine that acts on the world. Carried out only after the commit of the batch that caused it."""

from __future__ import annotations

from msgspec import Struct

from batchyard.core.records import TaskSpec


class Effect(Struct, frozen=True):
    """`engine` names the engine, `attempt_id` is the attempt's task id."""

    engine: str
    attempt_id: str


class LaunchTask(Effect, frozen=True):
    """Run `task`. `environment`: what is this attempt's alone (AWS_BATCH_*), put over the task's own."""

    spec_key: int  # equal keys: the same `task` object
    task: TaskSpec
    environment: tuple[tuple[str, str], ...]
    device_ids: tuple[int, ...]
    job_id: str  # with the child's index
    log_group: str
    log_stream: str


class StopTask(Effect, frozen=True):
    """SIGTERM, and SIGKILL `grace_seconds` later."""

    grace_seconds: float


class AcknowledgeTask(Effect, frozen=True):
    """The attempt's outcome is committed: the engine may forget it, and never launches the id again."""


class RecoverTask(Effect, frozen=True):
    """After a restart of the server: account for an attempt that was placed (engines.base.Recovery has the meaning)."""

    launch: LaunchTask
    may_launch: bool
    known_started: bool
