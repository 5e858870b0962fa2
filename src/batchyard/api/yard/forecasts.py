"""ForecastJobs, an operation of our own: when waiting jobs will start."""

from __future__ import annotations

from batchyard.analysis.forecasts import Forecast
from batchyard.api.checks import require
from batchyard.api.context import Call, Context
from batchyard.core.model.names import JOB, resource_name
from batchyard.wire.messages import Document

MAX_JOBS = 100  # as DescribeJobs


async def forecast_jobs(context: Context, call: Call, request: Document) -> Document:
    """jobs (ids or ARNs) -> forecasts; of an array: of its first child to start. `earliest` to `latest` holds the start
    with 80 %, in ms since the epoch; without them it is not known. `asOf`: when the state was."""
    job_ids = list(dict.fromkeys(resource_name(text, JOB) for text in request["jobs"]))
    require(1 <= len(job_ids) <= MAX_JOBS, f"jobs must have 1 to {MAX_JOBS} entries, got {len(job_ids)}.")
    views = {view.job_id for view in await context.read(context.reader.jobs, job_ids)}
    missing = [job_id for job_id in job_ids if job_id not in views]
    require(not missing, f"The job {missing[0] if missing else ''} does not exist.")
    assert context.forecaster is not None, "no service runs"
    found = await context.forecaster(job_ids)
    return {"forecasts": [_document(one, found.as_of_ms) for one in found.forecasts], "asOf": found.as_of_ms}


def _document(found: Forecast, now_ms: int) -> Document:
    document: Document = {"jobId": found.job_id, "basis": found.basis, "draws": found.draws}
    times = {"earliest": found.low_ms, "likely": found.middle_ms, "latest": found.high_ms}
    return document | {member: now_ms + at_ms for member, at_ms in times.items() if at_ms is not None}
