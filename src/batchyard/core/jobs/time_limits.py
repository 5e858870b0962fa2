"""jobStateTimeLimitActions: what a queue does with jobs that have been stuck for too long (AWS Batch behaviour 4.5)."""

from __future__ import annotations

from batchyard.core.jobs import cancellation
from batchyard.core.scheduling import queue_head
from batchyard.core.state.world import World

TIMED_OUT = "Canceled by JobStateTimeLimit action due to reason: "


def expire(world: World) -> None:
    """Cancels jobs that have been stuck for longer than their queue's actions allow."""
    for name in sorted(world.queues.heads.keys() | world.queues.stuck.keys()):
        for limit_ms, code in queue_head.limits_of(world.queues[name]):
            for job_id, since_ms in queue_head.stuck_for(world, name, code):
                if since_ms + limit_ms <= world.now_ms:
                    cancellation.withdraw(world, job_id, f"{TIMED_OUT}{code}", terminate=False)
