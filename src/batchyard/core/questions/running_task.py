"""Finds the attempt that takes a second command in a running job's container (`batchyard exec`). Reads the world,
changes nothing."""

from __future__ import annotations

from msgspec import Struct

from batchyard.core.model import names
from batchyard.core.model.attempt_node import task_id_of
from batchyard.core.model.commands import Command
from batchyard.core.model.names import JobId, child_key
from batchyard.core.model.records import Job, JobSpec, Status
from batchyard.core.model.refusal import Refused
from batchyard.core.state.node_views import node_spec, node_status
from batchyard.core.state.world import World

NOT_RUNNING = "Job {}: only the container of a RUNNING job takes a command."


class RunningTask(Struct, frozen=True):
    """The attempt of a RUNNING job: its engine, and its task id there. `away`: why the engine can't be used now."""

    engine: str
    task_id: str
    away: str


class AskRunningTask(Command[RunningTask], frozen=True):
    """Asks for the attempt of a job, a child or a node that takes another command; of a multi-node job it is its main
    node. Refused, with the remedy."""

    job_id: str


def running_task(world: World, command: AskRunningTask) -> RunningTask:
    job_id = command.job_id
    wanted = names.parse_job_id(job_id)
    top = world.jobs.by_id.get(wanted.uuid)
    if top is None:
        raise Refused(f"Job {job_id} does not run: it has ended, or there never was one.")
    if wanted.index is None and top in world.jobs.arrays:
        raise Refused(f"Job {job_id} is an array: name one of its children, like {job_id}:0.")
    spec = world.jobs.specs.get(top)
    if spec is None:  # it has ended
        raise Refused(NOT_RUNNING.format(f"{job_id} has no container now"))
    if wanted.index is not None and wanted.index >= spec.array_size:  # that key is another job's
        raise Refused(f"Job {wanted.uuid} has no child {wanted.index}.")
    key = top if wanted.index is None else child_key(top, wanted.index)
    job = world.jobs.get(key)
    node = _node(spec, wanted, job_id)
    status = _status(job, spec, node)
    if job is None or job.attempt is None or status is not Status.RUNNING:
        state = f"is {status.value}" if status is not None else "has no container now"
        raise Refused(NOT_RUNNING.format(f"{job_id} {state}"))
    engine, own = job.attempt.engine, node_spec(spec, node) if spec.num_nodes else spec
    if engine in world.abilities and not world.abilities[engine].execute_command:
        raise Refused(
            f"Job {job_id} runs on the {engine} engine, which has no containers: it is a program of the machine that "
            f"{_machine_of(world, job.attempt.placements[node].instance_id)}."
        )
    # A pod has no such member: every one takes commands, as with Kubernetes.
    if not own.pod and not own.task.container.get("enableExecuteCommand"):
        raise Refused(
            f"The job definition {own.definition} does not set enableExecuteCommand: set it, and submit the job again."
        )
    task_id = task_id_of(names.task_id(key, job.attempt.number, world.jobs.id_of(key)), node)
    return RunningTask(engine, task_id, world.away.get(engine, ""))


def _node(spec: JobSpec, wanted: JobId, job_id: str) -> int:
    """Returns the node that takes the command; 0 for a job that has no nodes."""
    if wanted.node is None:
        return spec.main_node if spec.num_nodes else 0
    if not spec.num_nodes:
        raise Refused(f"Job {wanted.uuid} is no multi-node job: there is no node {job_id}.")
    if wanted.node >= spec.num_nodes:
        raise Refused(f"Job {wanted.uuid} has no node {wanted.node}: its nodes are 0 to {spec.num_nodes - 1}.")
    return wanted.node


def _status(job: Job | None, spec: JobSpec, node: int) -> Status | None:
    if job is None:
        return None
    return node_status(job, node) if spec.num_nodes else job.status


def _machine_of(world: World, instance_id: str) -> str:
    host = world.hosts.get(instance_id)
    return f"has joined as {host.facts.name}" if host is not None else "the service runs on"
