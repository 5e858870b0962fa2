"""Job queues: who is next, why not now, and who has used what."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct

from batchyard.console.charts import KINDS, chart_of
from batchyard.console.rendering import last_part, render
from batchyard.console.rows import names_of, row_of
from batchyard.console.share_usage import held_by_share
from batchyard.console.site import Answer, NotFound, PageRequest, Site
from batchyard.console.time_ranges import RANGES, range_named
from batchyard.core.model.refusal import Refused
from batchyard.store.queries import JobView
from batchyard.wire.messages import Document

PARTS = 1000  # of a bar's width
MAX_TURNS = 10  # shares whose place is asked for
MAX_ATTEMPTS = 3000  # that the picture of shares is made of: three pages of ListPastAttempts, some 0.1 s


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
        turns=await _turns(site, request, [views[job_id] for job_id in ids if job_id in views]) if policy else [],
        **(await _usage(site, request, name) if policy else {"usage": None, "is_whole": True}),
        span=range_named(request.query.get("range", ""), "1h"),
        ranges=RANGES.values(),
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


async def _turns(site: Site, request: PageRequest, front: list[JobView]) -> list[Document]:
    """Returns where the shares of the jobs at the front stand, the next one first, as ExplainJob has it."""
    first = {view.spec.share_identifier: view.job_id for view in reversed(front) if view.spec.share_identifier}
    found: dict[str, Document] = {}
    for identifier, job_id in list(first.items())[:MAX_TURNS]:
        try:
            why = await site.call(request.visitor, "yard", "ExplainJob", {"jobId": job_id})
        except Refused:  # it has ended meanwhile
            continue
        if "share" in why:
            found[identifier] = why["share"]
    return sorted(found.values(), key=lambda share: share["place"])


async def _usage(site: Site, request: PageRequest, queue: str) -> dict[str, Any]:
    """Returns the picture of what shares held, and whether it is made of all attempts."""
    span = range_named(request.query.get("range", ""), "1h")
    now_ms = site.now_ms()
    end_s = now_ms // 1000 // span.period_seconds * span.period_seconds + span.period_seconds
    start_s = end_s - span.seconds
    asked: Document = {"jobQueue": queue, "since": start_s * 1000, "until": end_s * 1000}
    attempts: list[Document] = []
    while len(attempts) < MAX_ATTEMPTS:
        answer = await site.call(request.visitor, "yard", "ListPastAttempts", asked)
        attempts += answer["attempts"]
        if not answer.get("nextToken"):
            break
        asked = asked | {"nextToken": answer["nextToken"]}
    held = held_by_share(attempts, start_s, end_s, span.period_seconds, now_ms)
    lines = [(name, kind, points) for (name, points), kind in zip(held, KINDS, strict=False)]
    return {"usage": chart_of(lines, start_s, end_s), "is_whole": len(attempts) < MAX_ATTEMPTS}


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
