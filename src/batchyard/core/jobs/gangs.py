"""The placed attempt of a multi-node job: its main node starts first, the others once that is RUNNING; the job's result
is the main node's (AWS Batch behaviour 8.3).

All nodes are placed together, and their places are given back together, when the last has ended. So no attempt of a
job begins while a node of an earlier one lives."""

from __future__ import annotations

from msgspec.structs import replace

from batchyard.core.jobs import attempts
from batchyard.core.model import reports
from batchyard.core.model.reasons import StopCause
from batchyard.core.model.records import Attempt, Job, NodeRun, Status
from batchyard.core.scheduling import launches
from batchyard.core.state import node_views
from batchyard.core.state.world import World


def handle(world: World, job: Job, fact: reports.Report) -> None:
    """Handles a report about a node. One that was not launched, or has ended, is not changed any more."""
    run = _attempt_of(job).nodes[fact.node]
    if not run.is_live:
        return
    if not isinstance(fact, reports.Started):
        _ended(world, job, fact)
    elif not run.started_at_ms:
        job = _started(world, job, fact.node, fact.at_ms)
        if fact.node == _attempt_of(job).main_node and not _attempt_of(job).stopping:
            _launch_others(world, job)


def _attempt_of(job: Job) -> Attempt:
    assert job.attempt is not None, f"job {job.key} has no attempt"
    return job.attempt


def _with_run(job: Job, node: int, run: NodeRun) -> Job:
    attempt = _attempt_of(job)
    nodes = (*attempt.nodes[:node], run, *attempt.nodes[node + 1 :])
    return replace(job, attempt=replace(attempt, nodes=nodes))


def _started(world: World, job: Job, node: int, at_ms: int) -> Job:
    at_ms = attempts.within(job, at_ms, world.now_ms)
    attempt = _attempt_of(job)
    job = _with_run(job, node, replace(attempt.nodes[node], started_at_ms=at_ms))
    if node == attempt.main_node and job.status is Status.STARTING:
        return attempts.started(world, job, at_ms)
    world.put(job)
    return job


def _launch_others(world: World, job: Job) -> None:
    attempt = _attempt_of(job)
    waiting = [node for node, run in enumerate(attempt.nodes) if not run.launched_at_ms]
    nodes = tuple(run if run.launched_at_ms else NodeRun(launched_at_ms=world.now_ms) for run in attempt.nodes)
    job = replace(job, attempt=replace(attempt, nodes=nodes))
    world.put(job)
    world.effects.extend(launches.launches_of(world, job, waiting))


def _ended(world: World, job: Job, fact: reports.Report) -> None:
    node, spec = fact.node, world.jobs.spec_of(job.key)
    if isinstance(fact, reports.Exited) and not _attempt_of(job).nodes[node].started_at_ms:
        job = _started(world, job, node, fact.started_at_ms)
    attempt, own = _attempt_of(job), node_views.node_spec(spec, node)
    ended = attempts.ended_attempt(world, job, node_views.node_attempt(attempt, node), own, fact)
    run = NodeRun(attempt.nodes[node].launched_at_ms, **node_views.run_members(ended))
    job = _with_run(job, node, run)
    if node == attempt.main_node:  # its outcome is that of the attempt
        job = replace(job, attempt=replace(_attempt_of(job), **node_views.run_members(ended)))
    world.put(job)
    attempt = _attempt_of(job)
    if not any(run.is_live for run in attempt.nodes):
        attempts.decide(world, job, attempt)
    elif node == attempt.main_node:
        attempts.stop(world, job, StopCause.MAIN)
    elif ended.is_lost:
        attempts.stop(world, job, StopCause.HOST, lost_instance=attempt.placements[node].instance_id)
