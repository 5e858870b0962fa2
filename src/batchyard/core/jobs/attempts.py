"""The life of a placed attempt: run, stop, retry or end (AWS Batch behaviour 7.5, 7.10-7.13)."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from msgspec.structs import replace

from batchyard.core.jobs import completion
from batchyard.core.model import names, reports
from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.effects import StopTask
from batchyard.core.model.lifecycle import Cause
from batchyard.core.model.reasons import StopCause
from batchyard.core.model.records import Attempt, ContainerOutcome, Job, JobSpec, Status
from batchyard.core.scheduling import scheduler
from batchyard.core.state.world import World
from batchyard.core.tasks import retry

EXITED = "Essential container in task exited"
NOT_STARTED = "Task failed to start"
TIMED_OUT = "Job attempt duration exceeded timeout"
REASON_CHARACTERS = 255  # container.reason (Batch API model, ContainerDetail)


def host_lost(instance_id: str) -> str:
    return f"Host EC2 (instance {instance_id}) terminated."


def handle(world: World, job: Job, fact: reports.Report) -> None:
    """Handles a report about the placed attempt of a plain job."""
    if not isinstance(fact, reports.Started):
        _ended(world, job, fact)
    elif job.status is Status.STARTING:
        started(world, job, fact.at_ms)


def current(world: World, attempt_id: str) -> Job | None:
    """Returns the job whose placed attempt this is; None when it is not placed any more, or never was."""
    parsed = names.parse_task_id(attempt_id)
    if parsed is None:
        return None
    key, number = parsed
    job = world.jobs.get(key)
    if job is None or job.attempt is None or job.attempt.number != number:
        return None
    return job if names.task_id(key, number, world.jobs.id_of(key)) == attempt_id else None


def within(job: Job, at_ms: int, now_ms: int) -> int:
    """Returns an engine's time, limited to between the attempt's placement and now: the clocks of hosts differ from
    the service's, which stays ahead of its machine's own after that was set back. An earlier start would use up the
    timeout."""
    placed_at_ms = job.attempt.placed_at_ms if job.attempt is not None else 0
    return min(max(at_ms, job.created_at_ms, placed_at_ms), now_ms)


def started(world: World, job: Job, at_ms: int) -> Job:
    """Makes a STARTING job RUNNING: its timeout counts from here."""
    assert job.attempt is not None, f"job {job.key} started without an attempt"
    at_ms = within(job, at_ms, world.now_ms)
    attempt = replace(job.attempt, started_at_ms=at_ms)
    job = world.move(job, Cause.STARTED, attempt=attempt, started_at_ms=at_ms)
    timeout_seconds = world.jobs.spec_of(job.key).timeout_seconds
    if timeout_seconds and not attempt.stopping:
        world.timetable.add_deadline(at_ms + timeout_seconds * 1000, job.key, attempt.number)
    return job


def _ended(world: World, job: Job, fact: reports.Report) -> None:
    if isinstance(fact, reports.Exited) and job.status is Status.STARTING:
        job = started(world, job, fact.started_at_ms)
    assert job.attempt is not None, f"job {job.key} ended without an attempt"
    attempt = ended_attempt(world, job, job.attempt, world.jobs.spec_of(job.key), fact)
    decide(world, job, attempt)


def ended_attempt(world: World, job: Job, attempt: Attempt, spec: JobSpec, fact: reports.Report) -> Attempt:
    """Returns an attempt with the outcome that its final report states. `attempt`, `spec`: of a node those of the node
    alone."""
    if isinstance(fact, reports.Exited):
        attempt = replace(outcome(attempt, spec, fact.containers), status_reason=EXITED)
        stopped_at_ms = fact.stopped_at_ms
    elif isinstance(fact, reports.NotStarted):
        refused = reports.ContainerExit(fact.container, fact.exit_code, reason=fact.reason)
        attempt = replace(outcome(attempt, spec, (refused,)), status_reason=NOT_STARTED)
        stopped_at_ms = fact.at_ms
    else:
        assert isinstance(fact, reports.Lost), f"unknown report {fact!r}"
        attempt = replace(attempt, status_reason=host_lost(attempt.main.instance_id), is_lost=True)
        stopped_at_ms = fact.at_ms
    return replace(attempt, stopped_at_ms=max(within(job, stopped_at_ms, world.now_ms), attempt.started_at_ms))


def outcome(attempt: Attempt, spec: JobSpec, exits: Sequence[reports.ContainerExit]) -> Attempt:
    """Returns the attempt with its container's exit code and reason; in a task of several, those of the essential
    container that failed first, since the others may have been stopped for it; 0 when every essential one ended with
    0. All containers of a pod count, but for its pause container."""
    if not spec.container_logs:
        one = exits[0]
        used = {"peak_memory_mib": one.peak_memory_mib, "cpu_ms": one.cpu_ms}
        return replace(attempt, exit_code=one.exit_code, reason=_reason(one), **used)
    pauses = [one.name for one in spec.task.containers if one.is_pause]
    exits = [one for one in exits if one.name not in pauses] or [replace(exits[0], name="")]
    if len(spec.container_logs) == 1 or not exits[0].name:  # the engine knows no name, or blames no single container
        essential = next((one.name for one in spec.task.containers if one.essential), spec.container_logs[0].container)
        exits = (replace(exits[0], name=essential),)
    outcomes = tuple(
        ContainerOutcome(one.name, one.exit_code, _reason(one), one.peak_memory_mib, one.cpu_ms) for one in exits
    )
    others = {one.name for one in spec.task.containers if not one.essential}
    essentials = [one for one in exits if one.name not in others] or exits
    failed = [one for one in essentials if one.exit_code != 0]
    first = min(failed, key=lambda one: (one.stopped_at_ms == 0, one.stopped_at_ms)) if failed else essentials[0]
    return replace(attempt, exit_code=first.exit_code, reason=_reason(first), containers=outcomes)


def _reason(one: reports.ContainerExit) -> str:
    return (reports.OUT_OF_MEMORY if one.out_of_memory else one.reason)[:REASON_CHARACTERS]


def decide(world: World, job: Job, attempt: Attempt) -> None:
    """Decides about a retry. Cancelled, terminated and timed-out jobs are never retried. An attempt that failed by
    its host's end is lost."""
    succeeded = attempt.status_reason == EXITED and attempt.exit_code == 0
    if attempt.stopping is StopCause.HOST and not succeeded:
        reason = host_lost(attempt.lost_instance or attempt.main.instance_id)
        attempt = replace(attempt, status_reason=reason, is_lost=True, exit_code=None, reason="")
    changes: dict[str, object] = {"attempt": None, "past": (*job.past, attempt)}
    ending = {**changes, "stopped_at_ms": attempt.stopped_at_ms}
    if job.is_terminated:
        completion.end(world, job, Cause.FAILED, status_reason=job.end_reason, **ending)
    elif attempt.stopping is StopCause.TIMEOUT:
        completion.end(world, job, Cause.FAILED, status_reason=TIMED_OUT, **ending)
    elif succeeded:
        completion.end(world, job, Cause.SUCCEEDED, status_reason=attempt.status_reason, **ending)
    elif not job.is_cancelled and retry.should_retry(world.jobs.spec_of(job.key).retry, attempt):
        retried = world.move(job, Cause.RETRIED, status_reason="", **changes)
        scheduler.enqueue(world, retried.key)
    else:
        completion.end(world, job, Cause.FAILED, status_reason=attempt.status_reason, **ending)


def stop(world: World, job: Job, cause: StopCause, notice_seconds: float | None = None, lost_instance: str = "") -> Job:
    """Stops a placed attempt, once. Of an attempt of several nodes those that run. `notice_seconds`: the grace where
    its host is about to end; None: that of every other stop. `lost_instance`: the host, of a multi-node job."""
    attempt = job.attempt
    assert attempt is not None, f"job {job.key} has nothing to stop"
    if attempt.stopping:
        return job
    if notice_seconds is None:
        notice_seconds = _grace_seconds(world, world.jobs.spec_of(job.key)) if cause is StopCause.HOST else 0.0
    lost = lost_instance if attempt.nodes else ""
    changed = replace(attempt, stopping=cause, notice_seconds=notice_seconds, lost_instance=lost)
    job = replace(job, attempt=changed)
    world.put(job)
    world.effects.extend(stops_of(world, job))
    return job


def stops_of(world: World, job: Job) -> list[StopTask]:
    """Returns a stop for each node of the attempt that was launched and has not ended."""
    attempt = job.attempt
    assert attempt is not None, f"job {job.key} has nothing to stop"
    task_id = names.task_id(job.key, attempt.number, world.jobs.id_of(job.key))
    if attempt.stopping is StopCause.HOST:
        grace_seconds = attempt.notice_seconds
    else:
        grace_seconds = _grace_seconds(world, world.jobs.spec_of(job.key))
    return [
        StopTask(attempt.engine, AttemptNode(task_id, node, placement.instance_id), grace_seconds)
        for node, placement in enumerate(attempt.placements)
        if not attempt.nodes or attempt.nodes[node].is_live
    ]


def _grace_seconds(world: World, spec: JobSpec) -> float:
    """Returns the grace. A task of one container is a plain one to its engine, which then does not know the
    container's own stopTimeout."""
    containers = spec.ecs_task.get("containers", ())
    own = containers[0].get("stopTimeout", 0) if len(containers) == 1 else 0
    return float(own) or world.limits.stop_grace_seconds


def expire(world: World) -> None:
    """Stops the attempts whose timeout has passed. It counts from the moment the attempt is RUNNING."""
    while world.timetable.deadlines and world.timetable.deadlines[0][0] <= world.now_ms:
        _, key, number = heapq.heappop(world.timetable.deadlines)
        job = world.jobs.get(key)
        if job is None or job.attempt is None or job.attempt.number != number or job.status is not Status.RUNNING:
            continue
        stop(world, job, StopCause.TIMEOUT)
