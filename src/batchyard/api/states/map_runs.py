"""Map runs: what the children of a distributed Map have in common (step functions spec 12)."""

from __future__ import annotations

from batchyard.api.context import Call, Context
from batchyard.api.states.executions import find
from batchyard.api.states.requests import page_size, seconds
from batchyard.core.model.executions import MapRun, MapRunCounts, MapRunStatus
from batchyard.core.model.refusal import Refused
from batchyard.wire.messages import Document
from batchyard.workflows.arns import MAP_RUN, parse_arn
from batchyard.workflows.commands import UpdateMapRun
from batchyard.workflows.registry_refusals import VALIDATION, RefusedWithMembers, not_found


async def describe_map_run(context: Context, call: Call, request: Document) -> Document:
    run = await _find(context, request["mapRunArn"])
    document: Document = {
        "mapRunArn": run.arn,
        "executionArn": run.execution_arn,
        "status": run.status.value,
        "startDate": seconds(run.started_at_ms),
        "maxConcurrency": run.max_concurrency,
        "toleratedFailurePercentage": run.tolerated_failure_percentage,
        "toleratedFailureCount": run.tolerated_failure_count,
        "itemCounts": _counts(run.items),
        "executionCounts": _counts(run.executions),
        "redriveCount": run.redrive_count,
    }
    return document | _times(run)


async def list_map_runs(context: Context, call: Call, request: Document) -> Document:
    """Lists the map runs of an execution, in the order in which they started."""
    execution = await find(context, request["executionArn"])
    runs, cursor = await context.read(
        context.reader.map_runs, execution.key, page_size(request), request.get("nextToken") or None
    )
    rows = [
        {
            "executionArn": run.execution_arn,
            "mapRunArn": run.arn,
            "stateMachineArn": run.machine_arn,
            "startDate": seconds(run.started_at_ms),
        }
        | ({"stopDate": seconds(run.stopped_at_ms)} if run.stopped_at_ms else {})
        for run in runs
    ]
    return {"mapRuns": rows} | ({} if cursor is None else {"nextToken": cursor})


async def update_map_run(context: Context, call: Call, request: Document) -> Document:
    """Changes how many children of a map run, that runs, run at once, and how many of them may fail."""
    arn = request["mapRunArn"]
    run = await _find(context, arn)
    if run.status != MapRunStatus.RUNNING:
        raise _completed(arn)
    command = UpdateMapRun(
        arn,
        request.get("maxConcurrency"),
        request.get("toleratedFailureCount"),
        request.get("toleratedFailurePercentage"),
    )
    await context.ask(command)
    return {}


def _completed(arn: str) -> Refused:
    return RefusedWithMembers(
        f"The map run has completed and cannot be updated: '{arn}'",
        VALIDATION,
        reason="CANNOT_UPDATE_COMPLETED_MAP_RUN",
    )


async def _find(context: Context, arn: str) -> MapRun:
    parse_arn(arn, MAP_RUN)
    run = await context.read(context.reader.map_run, arn)
    if run is None:
        raise not_found(arn)
    return run


def _times(run: MapRun) -> Document:
    times = {"stopDate": run.stopped_at_ms, "redriveDate": run.redriven_at_ms}
    return {member: seconds(at_ms) for member, at_ms in times.items() if at_ms}


def _counts(counts: MapRunCounts) -> Document:
    """Returns counts as AWS shows them: results are written for what succeeded, also without a ResultWriter
    (recorded)."""
    return {
        "pending": counts.pending,
        "running": counts.running,
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "timedOut": counts.timed_out,
        "aborted": counts.aborted,
        "total": counts.total,
        "resultsWritten": counts.succeeded,
        "failuresNotRedrivable": 0,
        "pendingRedrive": counts.pending_redrive,
    }
