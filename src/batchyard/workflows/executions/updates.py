"""Changes of map runs while they run (UpdateMapRun)."""

from __future__ import annotations

from msgspec.structs import replace

from batchyard.core.model.executions import MapRun
from batchyard.core.model.refusal import Refused
from batchyard.workflows.commands import UpdateMapRun
from batchyard.workflows.executions.open_executions import OpenExecutions


def update_map_run(world: OpenExecutions, command: UpdateMapRun) -> None:
    run = world.map_runs.get(command.arn)
    if run is None:
        raise Refused(f"Map Run is not in a RUNNING state: '{command.arn}'", "ValidationException")
    run = world.put_map_run(_updated(run, command))
    found = world.find(run.execution_key, run.frame_id)
    assert found is not None, "an open map run has a frame"
    world.queue_for_more(*found)


def _updated(run: MapRun, command: UpdateMapRun) -> MapRun:
    count, percentage = command.tolerated_failure_count, command.tolerated_failure_percentage
    return replace(
        run,
        max_concurrency=run.max_concurrency if command.max_concurrency is None else command.max_concurrency,
        tolerated_failure_count=run.tolerated_failure_count if count is None else count,
        tolerated_failure_percentage=run.tolerated_failure_percentage if percentage is None else percentage,
    )
