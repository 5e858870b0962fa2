"""Reports of engines about attempts, to the plain or the multi-node job that each is about."""

from __future__ import annotations

from batchyard.core.jobs import attempts, gangs
from batchyard.core.model import reports
from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.effects import AcknowledgeTask
from batchyard.core.state.world import World


def report(world: World, engine: str, fact: reports.Report) -> None:
    """Handles a report. Reports about an attempt that is not the current one are only acknowledged: the engine repeats
    its last report until then."""
    job, instance_id = attempts.current(world, fact.attempt_id), ""
    if job is not None and job.attempt is not None and fact.node < len(job.attempt.placements):
        instance_id = job.attempt.placements[fact.node].instance_id
        if job.attempt.nodes:
            gangs.handle(world, job, fact)
        else:
            attempts.handle(world, job, fact)
    if not isinstance(fact, reports.Started):
        world.effects.append(AcknowledgeTask(engine, AttemptNode(fact.attempt_id, fact.node, instance_id)))
