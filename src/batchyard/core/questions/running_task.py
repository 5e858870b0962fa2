"""Finds the attempt that takes a second command in a running job's container (`batchyard exec`). Reads the world,
changes nothing."""

from __future__ import annotations

from msgspec import Struct

from batchyard.core.model import names
from batchyard.core.model.commands import Command
from batchyard.core.model.names import child_key
from batchyard.core.model.records import Status
from batchyard.core.model.refusal import Refused
from batchyard.core.state.world import World


class RunningTask(Struct, frozen=True):
    """The attempt of a RUNNING job: its engine, and its task id there. `away`: why the engine can't be used now."""

    engine: str
    task_id: str
    away: str


class AskRunningTask(Command[RunningTask], frozen=True):
    """Asks for the attempt of a job that takes another command. Refused, with the remedy."""

    job_id: str


def running_task(world: World, command: AskRunningTask) -> RunningTask:
    job_id = command.job_id
    wanted = names.parse_job_id(job_id)
    top = world.jobs.by_id.get(wanted.uuid)
    if top is None:
        raise Refused(f"Job {job_id} does not run: it has ended, or there never was one.")
    if wanted.index is None and top in world.jobs.arrays:
        raise Refused(f"Job {job_id} is an array: name one of its children, like {job_id}:0.")
    key = top if wanted.index is None else child_key(top, wanted.index)
    job = world.jobs.get(key)
    if job is None or job.attempt is None or job.status is not Status.RUNNING:
        state = f"is {job.status.value}" if job is not None else "has no container now"
        raise Refused(f"Job {job_id} {state}: only the container of a RUNNING job takes a command.")
    engine, spec = job.attempt.engine, world.jobs.spec_of(key)
    if engine in world.abilities and not world.abilities[engine].execute_command:
        raise Refused(
            f"Job {job_id} runs on the {engine} engine, which has no containers: it is a program of the machine that "
            "the service runs on."
        )
    # A pod has no such member: every one takes commands, as with Kubernetes.
    if not spec.pod and not spec.task.container.get("enableExecuteCommand"):
        raise Refused(
            f"The job definition {spec.definition} does not set enableExecuteCommand: set it, and submit the job again."
        )
    task_id = names.task_id(key, job.attempt.number, world.jobs.id_of(key))
    return RunningTask(engine, task_id, world.away.get(engine, ""))
