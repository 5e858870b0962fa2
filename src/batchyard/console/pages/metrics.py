"""Metrics: what is measured, and its course over time by dimensions."""

from __future__ import annotations

from msgspec import Struct

from batchyard.console.charts import KINDS, chart_of, points_of
from batchyard.console.rendering import render
from batchyard.console.site import Answer, PageRequest, Site
from batchyard.console.time_ranges import MINUTE, RANGES, range_named
from batchyard.wire.messages import Document

MONITORING = "monitoring"
MAX_LISTED = 5000  # metrics that the choices are made of: ListMetrics has 500 on a page
STATISTICS = ("Sum", "Average", "Maximum", "Minimum", "SampleCount", "p50", "p90", "p99")
PERIODS = (MINUTE, 5 * MINUTE, 15 * MINUTE, 3600, 6 * 3600, 86_400)
MAX_DRAWN = len(KINDS)  # lines of one picture: more look alike; the table has all
MAX_TABLE = 100
COUNTS = ("JobsMoved", "Succeeded", "Failed", "Executions", "Number", "Invo", "Matched", "Triggered")


class SeriesRow(Struct, frozen=True):
    """One metric with its dimensions over the time shown. `kind`: of its line in the picture; empty: it has none."""

    name: str
    dimensions: list[Document]
    kind: str
    latest: float | None
    least: float | None
    most: float | None
    total: float


async def show(site: Site, request: PageRequest) -> Answer:
    listed, is_whole = await _listed(site, request)
    namespaces = sorted({one["Namespace"] for one in listed})
    counts = {name: len({one["MetricName"] for one in listed if one["Namespace"] == name}) for name in namespaces}
    query = request.query
    namespace = query.get("namespace", "")
    within = [one for one in listed if one["Namespace"] == namespace]
    names = sorted({one["MetricName"] for one in within})
    name = query.get("name", "") if query.get("name", "") in names else ""
    wanted = query.get("dimension", "")
    chosen = [one for one in within if one["MetricName"] == name and _fits(one, wanted)]
    span = range_named(query.get("range", ""))
    statistic = query.get("statistic", "") if query.get("statistic", "") in STATISTICS else default_statistic(name)
    given = query.get("period", "")
    period = int(given) if given in {str(one) for one in PERIODS} else span.period_seconds
    rows, drawn = await _series(site, request, chosen, span.seconds, statistic, period)
    return render(
        site,
        request,
        "metrics.html",
        counts=counts,
        namespace=namespace,
        names=names,
        name=name,
        dimension=wanted,
        statistic=statistic,
        statistics=STATISTICS,
        period=period,
        periods=PERIODS,
        span=span,
        ranges=RANGES.values(),
        rows=rows,
        drawn=drawn,
        hidden=len(chosen) - len(rows),
        is_whole=is_whole,
    )


def default_statistic(name: str) -> str:
    """Returns the statistic that reads best: counts are summed, amounts are looked at by their largest."""
    return "Sum" if name.startswith(COUNTS) else "Maximum"


async def _listed(site: Site, request: PageRequest) -> tuple[list[Document], bool]:
    """Returns the metrics that had data in the last two weeks, and whether these are all."""
    if site.context.metrics is None:
        return [], True
    found: list[Document] = []
    asked: Document = {}
    while len(found) < MAX_LISTED:
        answer = await site.call(request.visitor, MONITORING, "ListMetrics", asked)
        found += answer["Metrics"]
        if not answer.get("NextToken"):
            return found, True
        asked = {"NextToken": answer["NextToken"]}
    return found, False


def _fits(metric: Document, wanted: str) -> bool:
    """Whether a metric has all of the dimensions `NAME=VALUE,...`."""
    own = {f"{one['Name']}={one['Value']}" for one in metric.get("Dimensions", [])}
    return not wanted or set(wanted.split(",")) <= own


async def _series(
    site: Site, request: PageRequest, chosen: list[Document], seconds: int, statistic: str, period: int
) -> tuple[list[SeriesRow], Document]:
    """Returns a row for each metric, the largest first, and the picture of the first ones."""
    end_s = site.now_ms() // 1000 // period * period + period
    start_s = end_s - seconds
    asked = {
        "MetricDataQueries": [
            {
                "Id": f"m{number}",
                "MetricStat": {
                    "Metric": {
                        "Namespace": one["Namespace"],
                        "MetricName": one["MetricName"],
                        "Dimensions": one.get("Dimensions", []),
                    },
                    "Period": period,
                    "Stat": statistic,
                },
            }
            for number, one in enumerate(chosen[:MAX_TABLE])
        ],
        "StartTime": start_s,
        "EndTime": end_s,
    }
    if not chosen:
        return [], {}
    answer = await site.call(request.visitor, MONITORING, "GetMetricData", asked)
    points = {one["Id"]: points_of(one) for one in answer["MetricDataResults"]}
    found = [(one, points.get(f"m{number}", {})) for number, one in enumerate(chosen[:MAX_TABLE])]
    found.sort(key=lambda pair: (-max(pair[1].values(), default=-1), _label(pair[0])))
    rows = []
    for number, (one, values) in enumerate(found):
        kind = KINDS[number] if number < MAX_DRAWN and values else ""
        latest = values[max(values)] if values else None
        least, most = min(values.values(), default=None), max(values.values(), default=None)
        row = SeriesRow(_label(one), one.get("Dimensions", []), kind, latest, least, most, sum(values.values()))
        rows.append(row)
    lines = [(row.name, row.kind, values) for row, (_, values) in zip(rows, found, strict=True) if row.kind]
    return rows, {"chart": chart_of(lines, start_s, end_s), "points": _table(lines)}


def _label(metric: Document) -> str:
    values = [one["Value"] for one in metric.get("Dimensions", [])]
    return " · ".join(values) or "all"


def _table(lines: list[tuple[str, str, dict[int, float]]]) -> list[tuple[int, list[float | None]]]:
    """Returns the points of a picture as rows: the time in milliseconds, and each line's value."""
    times = sorted({at_s for _, _, values in lines for at_s in values}, reverse=True)
    return [(at_s * 1000, [values.get(at_s) for _, _, values in lines]) for at_s in times]
