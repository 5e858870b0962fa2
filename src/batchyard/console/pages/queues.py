"""Job queues: who is next, why not now, and who has used what."""

from __future__ import annotations

from fnmatch import fnmatchcase

from msgspec import Struct

from batchyard.console.rendering import last_part, render
from batchyard.console.rows import names_of, row_of
from batchyard.console.site import Answer, NotFound, PageRequest, Site
from batchyard.core.model.refusal import Refused
from batchyard.wire.messages import Document

PARTS = 1000  # of a bar's width


class ShareBar(Struct, frozen=True):
    """What a share uses now, in vCPUs and as a part of the largest, and its weight: smaller weights get more."""

    identifier: str
    vcpus: float
    part: int
    weight: float


async def show(site: Site, request: PageRequest) -> Answer:
    queues = (await site.call(request.visitor, "yard", "ListQueues", {}))["queues"]
    return render(site, request, "queues.html", queues=queues, names=await blocked_names(site, queues))


async def blocked_names(site: Site, queues: list[Document]) -> dict[str, str]:
    """Returns the names of the jobs that block queues, by id."""
    return await names_of(site, [queue["blockedJob"] for queue in queues if queue.get("blockedJob")])


async def show_one(site: Site, request: PageRequest) -> Answer:
    name = request.parts["name"]
    queues = (await site.call(request.visitor, "yard", "ListQueues", {}))["queues"]
    queue = next((one for one in queues if one["jobQueue"] == name), None)
    if queue is None:
        raise NotFound(f"The job queue {name} does not exist.")
    detail = (await site.call(request.visitor, "batch", "DescribeJobQueues", {"jobQueues": [name]}))["jobQueues"][0]
    snapshot = await site.call(request.visitor, "batch", "GetJobQueueSnapshot", {"jobQueue": name})
    front = snapshot["frontOfQueue"]["jobs"]
    ids = [last_part(one["jobArn"]) for one in front]
    views = {view.job_id: view for view in await site.context.read(site.context.reader.jobs, ids)}
    rows = [row_of(views[job_id], site.context.account) for job_id in ids if job_id in views]
    policy = await _policy(site, request, detail)
    return render(
        site,
        request,
        "queue.html",
        queue=queue,
        names=await blocked_names(site, [queue]),
        detail=detail,
        rows=rows,
        used=sum(one["quantity"] for one in snapshot["queueUtilization"]["totalCapacityUsage"]),
        shares=_shares(snapshot, policy),
        policy=policy,
        why=await _why(site, request, queue),
    )


async def _policy(site: Site, request: PageRequest, detail: Document) -> Document:
    arn = detail.get("schedulingPolicyArn")
    if not arn:
        return {}
    found = await site.call(request.visitor, "batch", "DescribeSchedulingPolicies", {"arns": [arn]})
    return next(iter(found["schedulingPolicies"]), {})


async def _why(site: Site, request: PageRequest, queue: Document) -> Document:
    if not queue.get("blockedJob"):
        return {}
    try:
        return await site.call(request.visitor, "yard", "ExplainJob", {"jobId": queue["blockedJob"]})
    except Refused:  # it has ended meanwhile
        return {}


def _shares(snapshot: Document, policy: Document) -> list[ShareBar]:
    utilization = snapshot["queueUtilization"].get("fairshareUtilization", {})
    rules = policy.get("fairsharePolicy", {}).get("shareDistribution", [])
    found = []
    for one in utilization.get("topCapacityUtilization", []):
        name = one["shareIdentifier"]
        vcpus = sum(usage["quantity"] for usage in one["capacityUsage"])
        rule: Document = next((rule for rule in rules if fnmatchcase(name, rule["shareIdentifier"])), {})
        found.append((name, vcpus, rule.get("weightFactor", 1.0)))
    most = max((vcpus for _, vcpus, _ in found), default=0) or 1
    return [ShareBar(name, vcpus, round(PARTS * vcpus / most), weight) for name, vcpus, weight in found]
