"""The first page: is all well, and what needs attention first?"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from batchyard.console.charts import Chart, Points, chart_of
from batchyard.console.pages.jobs import COUNTED, capped
from batchyard.console.pages.queues import blocked_names
from batchyard.console.rendering import render
from batchyard.console.rows import row_of
from batchyard.console.site import Answer, PageRequest, Site
from batchyard.core.model.records import Status
from batchyard.core.model.refusal import Refused
from batchyard.store.queries import JobFilter
from batchyard.wire.messages import Document

DAY_MS = 86_400_000
HOUR_SECONDS = 3600
MINUTE_SECONDS = 60
READ_FAILURES = 200  # the newest, which are grouped
SHOWN_GROUPS = 10
WAITING = (Status.PENDING, Status.RUNNABLE)
EXPLAINED = 5  # blocked queues whose reason is asked for
MAX_SERIES = 50  # queues and environments of one chart: GetMetricData takes 500 queries
CPU_UNITS_PER_VCPU = 1024
RATE_MINUTES = 15  # over which the present rate is taken


class Failures(Struct):
    """Failed jobs that have name, reason and exit code in common. `job_id`: of the newest."""

    name: str
    reason: str
    exit_code: int | None
    job_id: str
    at_ms: int
    count: int = 0


class Blocked(Struct, frozen=True):
    """What keeps a queue's jobs waiting. `why`: the answer of ExplainJob about one of them."""

    label: str
    why: Document


async def show(site: Site, request: PageRequest) -> Answer:
    queues = (await site.call(request.visitor, "yard", "ListQueues", {}))["queues"]
    environments = (await site.call(request.visitor, "yard", "ListEnvironments", {}))["environments"]
    counts = await site.context.read(site.context.reader.capped_counts, "", COUNTED + 1)
    throughput, capacity, ended = await _charts(site, request, queues, environments)
    waiting = sum(queue["demand"]["jobs"] for queue in queues)
    return render(
        site,
        request,
        "overview.html",
        queues=queues,
        environments=environments,
        names=await blocked_names(site, queues),
        counts={status: capped(number) for status, number in counts.items()},
        is_new=not any(counts.values()),
        failures=await _failures(site),
        blocked=await _blocked(site, request, queues),
        stuck_environments=[
            one for one in environments if one["status"] == "INVALID" or one["next"]["action"] == "BLOCKED"
        ],
        alarms=await _alarms(site, request),
        throughput=throughput,
        capacity=capacity,
        waiting=waiting,
        never=sum(queue["jobsNeverRunnable"] for queue in queues),
        done_in_ms=round(waiting / ended * RATE_MINUTES * MINUTE_SECONDS * 1000) if waiting and ended else None,
    )


async def _failures(site: Site) -> list[Failures]:
    """The failures of a day, the most frequent first."""
    wanted = JobFilter(statuses=(Status.FAILED,), since_ms=site.now_ms() - DAY_MS)
    page = await site.context.read(site.context.reader.search_jobs, wanted, READ_FAILURES)
    groups: dict[tuple[str, str, int | None], Failures] = {}
    for view in page.views:
        row = row_of(view, site.context.account)
        key = view.spec.name, row.reason, row.exit_code
        group = groups.setdefault(key, Failures(*key, view.job_id, view.job.stopped_at_ms))
        group.count += 1
    return sorted(groups.values(), key=lambda group: (-group.count, -group.at_ms))[:SHOWN_GROUPS]


async def _blocked(site: Site, request: PageRequest, queues: list[Document]) -> list[Blocked]:
    """The queues whose first job finds no room, and those that have jobs which can never run; each with a reason."""
    found: list[Blocked] = []
    for queue in queues:
        name, never = queue["jobQueue"], queue["jobsNeverRunnable"]
        asked = [(f"blocks {name}", queue["blockedJob"])] if queue.get("blockedJob") else []
        if never and (job_id := await _never_runnable(site, name)):
            asked.append((f"{never:,} can never run in {name}", job_id))
        for label, job_id in asked[: EXPLAINED - len(found)]:
            try:
                why = await site.call(request.visitor, "yard", "ExplainJob", {"jobId": job_id})
            except Refused:  # it has ended meanwhile, and is no longer kept
                continue
            found.append(Blocked(label, why))
    return found


async def _never_runnable(site: Site, queue: str) -> str:
    """Returns the id of a job that waits for what its queue does not have; empty: none of the newest does."""
    page = await site.context.read(site.context.reader.search_jobs, JobFilter(queue, WAITING), READ_FAILURES)
    aside = [
        view for view in page.views if view.job.set_aside_code or (view.job.array and view.job.array.set_aside_code)
    ]
    return aside[-1].job_id if aside else ""


async def _alarms(site: Site, request: PageRequest) -> list[Document]:
    answer = await site.call(request.visitor, "monitoring", "DescribeAlarms", {"StateValue": "ALARM"})
    return [*answer.get("MetricAlarms", []), *answer.get("CompositeAlarms", [])]


# -- charts --


async def _charts(
    site: Site, request: PageRequest, queues: list[Document], environments: list[Document]
) -> tuple[Chart | None, Chart | None, float]:
    """Returns the charts of an hour: jobs that ended each minute, and vCPUs; and how many ended lately."""
    if site.context.metrics is None:
        return None, None, 0
    end_s = site.now_ms() // 1000 // MINUTE_SECONDS * MINUTE_SECONDS
    start_s = end_s - HOUR_SECONDS
    queries: list[Document] = []
    for queue in queues[:MAX_SERIES]:
        for name in ("SucceededJobCount", "FailedJobCount"):
            queries.append(_query(len(queries), name, "AWS/Batch", name, ("JobQueue", queue["jobQueue"]), "Sum"))
    for environment in environments[:MAX_SERIES]:
        own = ("ClusterName", environment["computeEnvironment"])
        queries.append(_query(len(queries), "reserved", "ECS/ContainerInsights", "CpuReserved", own, "Maximum"))
    if not queries:
        return None, None, 0
    asked = {"MetricDataQueries": queries, "StartTime": start_s, "EndTime": end_s + MINUTE_SECONDS}
    answer = await site.call(request.visitor, "monitoring", "GetMetricData", asked)
    sums: dict[str, dict[int, float]] = {"SucceededJobCount": {}, "FailedJobCount": {}, "reserved": {}}
    for found in answer["MetricDataResults"]:
        points = sums[found["Label"]]
        for at_s, value in zip(found["Timestamps"], found["Values"], strict=True):
            points[int(at_s)] = points.get(int(at_s), 0.0) + value
    used: Points = {at_s: value / CPU_UNITS_PER_VCPU for at_s, value in sums["reserved"].items()}
    ends = (("succeeded", "a", sums["SucceededJobCount"]), ("failed", "b", sums["FailedJobCount"]))
    throughput = chart_of(ends, start_s, end_s)
    capacity = chart_of([("vCPUs in use", "a", used)], start_s, end_s)
    lately = end_s - RATE_MINUTES * MINUTE_SECONDS
    ended = sum(value for _, _, points in ends for at_s, value in points.items() if at_s >= lately)
    return throughput, capacity, ended


def _query(number: int, label: str, namespace: str, name: str, dimension: tuple[str, str], stat: str) -> Document:
    metric: dict[str, Any] = {
        "Namespace": namespace,
        "MetricName": name,
        "Dimensions": [{"Name": dimension[0], "Value": dimension[1]}],
    }
    return {
        "Id": f"m{number}",
        "Label": label,
        "MetricStat": {"Metric": metric, "Period": MINUTE_SECONDS, "Stat": stat},
    }
