"""ExplainJob, the operation behind `batchyard explain`: why a job is not running, with numbers and the remedy."""

from __future__ import annotations

from batchyard.api.checks import require
from batchyard.api.context import Call, Context
from batchyard.api.yard.amounts import amounts
from batchyard.core.model.names import JOB, resource_name
from batchyard.core.model.records import Status
from batchyard.core.model.resources import MILLI_PER_VCPU
from batchyard.core.questions.explanation import AskExplain, Explanation
from batchyard.core.scheduling.share_position import SharePosition
from batchyard.core.state.fairshare import WEIGHT_ONE
from batchyard.wire.messages import Document


async def explain_job(context: Context, call: Call, request: Document) -> Document:
    """A job that is not in memory has ended: the store knows how."""
    job_id = resource_name(request["jobId"], JOB)
    answer = await context.ask(AskExplain(job_id))
    if isinstance(answer, Explanation):
        return _document(answer)
    views = await context.read(context.reader.jobs, [job_id])
    require(views, f"The job {job_id} does not exist.")
    job = views[0].job
    text = f"It has ended: {job.status_reason or job.status}."
    if job.status is Status.FAILED and job.past and job.past[-1].reason:
        text = f"{text} {job.past[-1].reason}"
    return {"jobId": views[0].job_id, "status": str(job.status), "text": text}


def _document(answer: Explanation) -> Document:
    document: Document = {"jobId": answer.job_id, "status": str(answer.status), "text": answer.text}
    if not answer.wait:
        return document
    document |= {"wait": str(answer.wait), "remedy": answer.remedy}
    if answer.status_reason:
        document["statusReason"] = answer.status_reason
    if answer.asked is not None and answer.largest is not None:
        document |= {
            "asked": amounts(answer.asked),
            "largest": amounts(answer.largest),
            "free": [amounts(free) for free in answer.free],
            "holders": [{"jobId": h.job_id, "resources": amounts(h.resources)} for h in answer.holders],
            "holdersCount": answer.holders_count,
            "jobsAhead": answer.ahead,
            "jobsAheadElsewhere": answer.ahead_elsewhere,
            "environments": [
                {"computeEnvironment": e.environment, "wait": str(e.wait), "text": e.text} for e in answer.environments
            ],
        }
    if answer.share is not None:
        document["share"] = _share(answer.share)
    if answer.dependencies:
        document["dependencies"] = [{"jobId": d.job_id, "status": str(d.status)} for d in answer.dependencies]
        document["dependenciesCount"] = answer.dependencies_count
    return document


def _share(place: SharePosition) -> Document:
    standing = place.standing
    return {
        "shareIdentifier": standing.identifier,
        "usedVcpuSeconds": standing.usage / (MILLI_PER_VCPU * 1000),
        "heldVcpus": place.held / MILLI_PER_VCPU,
        "weight": standing.weight / WEIGHT_ONE,
        "place": place.number,
        "shares": place.shares,
    }
