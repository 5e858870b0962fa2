"""One node of a multi-node job as a job of its own: what it runs, how it runs, and its attempts (AWS Batch behaviour
8.4)."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from batchyard.core.model.records import Attempt, Job, JobSpec, NodeRun, Status, group_of

RUN_MEMBERS = tuple(name for name in NodeRun.__struct_fields__ if name in Attempt.__struct_fields__)
NOT_LAUNCHED = "The job ended before this node was started."


def node_spec(spec: JobSpec, node: int) -> JobSpec:
    """Returns the submission as if it were of this node alone: its task, its container's document and its logs."""
    group = group_of(spec, node)
    return replace(
        spec,
        task=group.task,
        container=group.container,
        log_group=group.log_group,
        log_prefix=group.log_prefix,
        ecs_task=group.ecs_task,
        container_logs=group.container_logs,
        pod=group.pod,
    )


def node_attempt(attempt: Attempt, node: int) -> Attempt:
    """Returns an attempt as if it were of this node alone."""
    own = run_members(attempt.nodes[node])
    return replace(attempt, placements=(attempt.placements[node],), main_node=0, nodes=(), **own)


def run_members(of: NodeRun | Attempt) -> dict[str, Any]:
    """Returns what a node's run and an attempt have in common, by name: times and outcome."""
    return {name: getattr(of, name) for name in RUN_MEMBERS}


def node_status(job: Job, node: int) -> Status:
    """Returns the state of a node. Before it is launched it is that of its job; nodes other than the main one stay
    RUNNABLE until that is RUNNING."""
    attempt = job.attempt or (job.past[-1] if job.past and job.status.is_final else None)
    if attempt is None:
        return job.status
    return _status_of(attempt.nodes[node], is_over=job.status.is_final)


def _status_of(run: NodeRun, *, is_over: bool) -> Status:
    if run.stopped_at_ms:
        return Status.SUCCEEDED if run.exit_code == 0 else Status.FAILED
    if is_over:
        return Status.FAILED
    if run.started_at_ms:
        return Status.RUNNING
    return Status.STARTING if run.launched_at_ms else Status.RUNNABLE


def node_job(job: Job, node: int) -> Job:
    """Returns a job as if it were of this node alone. Its attempts are those in which the node was launched."""
    past = tuple(node_attempt(one, node) for one in job.past if one.nodes[node].launched_at_ms)
    run = job.attempt.nodes[node] if job.attempt is not None else None
    current = node_attempt(job.attempt, node) if job.attempt is not None and run is not None and run.is_live else None
    if job.attempt is not None and run is not None and run.stopped_at_ms:
        past = (*past, node_attempt(job.attempt, node))
    shown = current or (past[-1] if past and (job.attempt is not None or job.status.is_final) else None)
    never_ran = job.status.is_final and bool(job.past) and not job.past[-1].nodes[node].launched_at_ms
    return replace(
        job,
        status=node_status(job, node),
        status_reason=NOT_LAUNCHED if never_ran else (shown.status_reason or "") if shown else job.status_reason,
        started_at_ms=shown.started_at_ms if shown else 0,
        stopped_at_ms=shown.stopped_at_ms if shown else job.stopped_at_ms if job.status.is_final else 0,
        attempt=current,
        past=past,
    )
