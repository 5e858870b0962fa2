"""One job: what happened, why, and what to do now. An array and a multi-node job have pages of their own shape."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from batchyard.console.graph import MAX_NODES, Drawing, Node, draw
from batchyard.console.job_logs import LogPart, attempts_of, find_place, read_last, search
from batchyard.console.pages import array, gang
from batchyard.console.rendering import duration, job_url, render
from batchyard.console.rows import names_of
from batchyard.console.site import Answer, NotFound, PageRequest, Site
from batchyard.console.submission import as_boto3, as_cli, submission_of
from batchyard.core.model.records import Job, Status, logs_of
from batchyard.store.queries import JobView

SHOWN_HOLDERS = 6  # as in the template
FORECAST = (Status.PENDING, Status.RUNNABLE)  # whose starts can be forecast
MAX_ANCESTORS = 30  # jobs of the graph of dependencies: what is further away belongs to their pages
MAX_DESCENDANTS = 30  # that wait for it, or for one that does
MAX_READS = 6  # of those that wait for one job: each looks at some thousand jobs


class Moment(Struct, frozen=True):
    """A state that the job came into, and how long it stayed there; None: it is there still."""

    status: str
    at_ms: int
    spent_ms: int | None
    label: str


async def show(site: Site, request: PageRequest) -> Answer:
    view = await find(site, request)
    values = await shared_values(site, request, view)
    if view.job.array is not None:
        return await array.show(site, request, view, values)
    if view.spec.num_nodes and view.node is None:
        return await gang.show(site, request, view, values)
    return render(site, request, "job.html", **values)


async def find(site: Site, request: PageRequest) -> JobView:
    """Returns the job of the path. Raises NotFound."""
    job_id = request.parts["id"]
    views = await site.context.read(site.context.reader.jobs, [job_id])
    if not views:
        raise NotFound(f"The job {job_id} does not exist. It may have ended long ago: ended jobs are kept for a time.")
    return views[0]


async def shared_values(site: Site, request: PageRequest, view: JobView) -> dict[str, Any]:
    """Returns what every kind of job's page shows."""
    detail = (await site.call(request.visitor, "batch", "DescribeJobs", {"jobs": [view.job_id]}))["jobs"][0]
    explanation = await site.call(request.visitor, "yard", "ExplainJob", {"jobId": view.job_id})
    usage = (await site.call(request.visitor, "yard", "ListAttempts", {"jobId": view.job_id}))["attempts"]
    holders, dependencies_left = explanation.get("holders", ()), explanation.get("dependencies", ())
    related = [one["jobId"] for one in (*holders[:SHOWN_HOLDERS], *dependencies_left[:MAX_ANCESTORS])]
    now_ms = site.now_ms()
    submission = submission_of(detail) if view.index is None and view.node is None else None
    return {
        "job": detail,
        "view": view,
        "top_id": view.spec.job_id,
        "why": explanation,
        "names": await names_of(site, related),
        "may_start": site.context.forecaster is not None and view.job.status in FORECAST,
        "headline": headline(view, now_ms),
        "timeline": timeline(view.job, now_ms),
        "usage": {one["attempt"]: one["containers"] for one in usage},
        "attempts": attempts_of(view),
        "containers": [log.container for log in logs_of(view.spec)],
        "is_final": view.job.status.is_final,
        "graph": await dependencies(site, view),
        "cli": as_cli(submission) if submission else "",
        "boto3": as_boto3(submission) if submission else "",
        **await log_values(site, request, view),
    }


async def log_values(site: Site, request: PageRequest, view: JobView) -> dict[str, Any]:
    context = site.context
    place = find_place(view, request.query.get("attempt", ""), request.query.get("container", ""))
    query = request.query.get("q", "")
    part: LogPart | None = None
    if place is not None:
        part = (
            await context.read(search, context, place, query)
            if query
            else await context.read(read_last, context, place)
        )
    return {"place": place, "log": part, "log_query": query}


def headline(view: JobView, now_ms: int) -> str:
    """How the job ended, in one sentence; empty while it has not."""
    job, spec = view.job, view.spec
    if not job.status.is_final or job.array is not None:
        return ""
    last = job.past[-1] if job.past else None
    if last is None or not last.started_at_ms:
        reason = (last.status_reason if last else "") or job.status_reason or "it was never started"
        return f"Ended without having run: {reason}."
    ran = duration(last.stopped_at_ms - last.started_at_ms)
    which = f" in attempt {last.number} of {spec.retry.attempts}" if spec.retry.attempts > 1 else ""
    if job.status is Status.SUCCEEDED:
        return f"Succeeded after {ran}{which}."
    why = [f"exit {last.exit_code}"] if last.exit_code is not None else []
    why += [text for text in (last.reason, last.status_reason or job.status_reason) if text]
    return f"Failed after {ran}{which}: {', '.join(dict.fromkeys(why)) or 'no reason is known'}."


def timeline(job: Job, now_ms: int) -> list[Moment]:
    """The states that the job came through, by its latest attempt."""
    attempt = job.attempt or (job.past[-1] if job.past else None)
    steps = [("SUBMITTED", job.created_at_ms, "Submitted")]
    if attempt is not None:
        if attempt.placed_at_ms:
            steps.append(("STARTING", attempt.placed_at_ms, "Placed"))
        if attempt.started_at_ms:
            steps.append(("RUNNING", attempt.started_at_ms, "Running"))
    if job.status.is_final:
        steps.append((job.status.value, job.stopped_at_ms, "Ended"))
    elif attempt is None:
        steps[-1] = (job.status.value, job.created_at_ms, "Submitted")
    found = []
    for number, (status, at_ms, label) in enumerate(steps):
        following = steps[number + 1][1] if number + 1 < len(steps) else None
        spent = following - at_ms if following is not None else None if job.status.is_final else now_ms - at_ms
        found.append(Moment(status, at_ms, spent, label))
    return found


async def dependencies(site: Site, view: JobView) -> Drawing | None:
    """The jobs that this one waited for, and theirs, and those that wait for it, and for them; None: there are none."""
    top = view.spec.job_id
    nodes: dict[str, Node] = {}
    edges: list[tuple[str, str]] = []
    waiting, known = [top], {top}
    while waiting and len(nodes) < MAX_ANCESTORS:
        for found in await site.context.read(site.context.reader.jobs, waiting):
            nodes[found.spec.job_id] = _node(found, top)
            edges += _edges(found)
        fresh = dict.fromkeys(start for start, _ in edges if start not in known)
        waiting = list(fresh)[:MAX_ANCESTORS]
        known.update(waiting)
    following = [view]
    for _ in range(MAX_READS):
        if not following:
            break
        later = await site.context.read(site.context.reader.dependents, following.pop(0), MAX_DESCENDANTS)
        for found in later[: MAX_ANCESTORS + MAX_DESCENDANTS - len(nodes)]:
            edges += _edges(found)
            if found.spec.job_id not in nodes:
                nodes[found.spec.job_id] = _node(found, top)
                following.append(found)
    if not edges:
        return None
    return draw(list(nodes.values())[:MAX_NODES], edges)


def _node(view: JobView, top: str) -> Node:
    spec = view.spec
    size = f"array of {spec.array_size:,}" if spec.array_size else ""
    return Node(spec.job_id, spec.name, view.job.status.value, size, job_url(spec.job_id), spec.job_id == top)


def _edges(view: JobView) -> list[tuple[str, str]]:
    return [(one.job_id.partition(":")[0], view.spec.job_id) for one in view.spec.depends_on if one.job_id]
