"""Queries of Logs Insights: written, run, their results as a table and a picture. The address holds the query, so that
it can be shared."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from batchyard.console.charts import KINDS, Chart, chart_of
from batchyard.console.rendering import render
from batchyard.console.site import Answer, PageRequest, Site, redirect
from batchyard.console.time_ranges import RANGES, range_named
from batchyard.core.model.refusal import Refused
from batchyard.wire.messages import Document

LOGS = "logs"
WAIT_SECONDS, LOOK_SECONDS = 2.0, 0.05  # for a quick query: a slow one is looked at again by the page
ACTIVE = ("Scheduled", "Running")
MAX_ROWS = 1000
MAX_BARS = 20
MAX_QUERY_CHARACTERS = 10_000
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?", re.ASCII)
POINTER = "@ptr"
EXAMPLES = (
    ("The newest lines", "fields @timestamp, @jobName, @message | sort @timestamp desc | limit 100"),
    ("Lines with an error", "fields @timestamp, @jobName, @message | filter @message like /(?i)error/ | limit 200"),
    ("Lines each five minutes", "stats count(*) as lines by bin(5m)"),
    ("Which jobs write most", "stats count(*) as lines by @jobName | sort lines desc | limit 20"),
)
DEFAULT_GROUP = "/aws/batch/job"


class Bar(Struct, frozen=True):
    """A row of a result whose number is drawn as a bar. `part`: in thousandths of the largest."""

    label: str
    value: float
    part: int


class Result(Struct, frozen=True):
    """What a query gave. `columns`, `rows`: as text; `chart`: of counts by time, `bars`: by anything else."""

    status: str
    columns: list[str]
    rows: list[list[str]]
    statistics: Document
    chart: Chart | None
    bars: list[Bar]


async def show(site: Site, request: PageRequest) -> Answer:
    query = request.query
    text = query.get("q", "").replace("\r\n", "\n").strip()[:MAX_QUERY_CHARACTERS]
    span = range_named(query.get("range", ""), "1d")
    groups = [one for one in query.get("groups", DEFAULT_GROUP).split(",") if one]
    result, problem, query_id = None, "", query.get("id", "")
    if text:
        try:
            query_id = query_id or await _start(site, request, text, groups, span.seconds)
            result = await _results(site, request, query_id, span.seconds)
        except Refused as error:
            problem = error.message
    if result is not None and result.status in ACTIVE and not query.get("id"):
        return redirect("insights", dict(query) | {"id": query_id})
    return render(
        site,
        request,
        "insights.html",
        status=400 if problem else 200,
        text=text,
        span=span,
        ranges=RANGES.values(),
        groups=groups,
        known=await _groups(site, request),
        saved=await _saved(site, request),
        examples=EXAMPLES,
        result=result,
        problem=problem,
        is_active=result is not None and result.status in ACTIVE,
    )


async def _start(site: Site, request: PageRequest, text: str, groups: list[str], seconds: int) -> str:
    now_s = site.now_ms() // 1000
    asked: Document = {
        "logGroupNames": groups,
        "startTime": now_s - seconds,
        "endTime": now_s,
        "queryString": text,
        "limit": MAX_ROWS,
    }
    return str((await site.call(request.visitor, LOGS, "StartQuery", asked))["queryId"])


async def _results(site: Site, request: PageRequest, query_id: str, seconds: int) -> Result:
    """Waits a moment for the end of a query."""
    answer: Document = {}
    for _ in range(round(WAIT_SECONDS / LOOK_SECONDS)):
        asked = {"queryId": query_id, "maxItems": MAX_ROWS}
        answer = await site.call(request.visitor, LOGS, "GetQueryResults", asked)
        if answer["status"] not in ACTIVE:
            break
        await asyncio.sleep(LOOK_SECONDS)
    found = [{cell["field"]: cell["value"] for cell in row} for row in answer["results"]]
    columns = list(dict.fromkeys(name for row in found for name in row if name != POINTER))
    rows = [[row.get(name, "") for name in columns] for row in found]
    end_s = site.now_ms() // 1000
    chart = _chart(columns, rows, end_s - seconds, end_s)
    bars = [] if chart is not None else bars_of(columns, rows)
    return Result(answer["status"], columns, rows, answer["statistics"], chart, bars)


def _chart(columns: list[str], rows: list[list[str]], start_s: int, end_s: int) -> Chart | None:
    """Draws results that have a time and numbers alone."""
    times = [number for number, _ in enumerate(columns) if rows and all(TIME.fullmatch(row[number]) for row in rows)]
    if len(times) != 1 or len(columns) < 2:
        return None
    numbers = [number for number, _ in enumerate(columns) if number != times[0]]
    if not all(_is_number(row[number]) for row in rows for number in numbers):
        return None
    at = [round(datetime.fromisoformat(row[times[0]]).replace(tzinfo=UTC).timestamp()) for row in rows]
    lines = [
        (columns[number], kind, {at_s: float(row[number]) for at_s, row in zip(at, rows, strict=True) if row[number]})
        for number, kind in zip(numbers, KINDS, strict=False)
    ]
    return chart_of(lines, min(start_s, *at), max(end_s, *at))


def bars_of(columns: list[str], rows: list[list[str]]) -> list[Bar]:
    """Returns bars of results whose last column is a number, of a few rows; none: they are no counts."""
    if len(columns) != 2 or not 0 < len(rows) <= MAX_BARS or not all(_is_number(row[1]) and row[1] for row in rows):
        return []
    most = max(float(row[1]) for row in rows)
    if most <= 0:
        return []
    return [Bar(row[0], float(row[1]), max(0, round(1000 * float(row[1]) / most))) for row in rows]


def _is_number(text: str) -> bool:
    return not text or re.fullmatch(r"-?\d{1,30}(\.\d{1,30})?(E-?\d{1,3})?", text, re.ASCII) is not None


async def _groups(site: Site, request: PageRequest) -> list[str]:
    answer = await site.call(request.visitor, LOGS, "DescribeLogGroups", {"limit": 50})
    return [one["logGroupName"] for one in answer["logGroups"]]


async def _saved(site: Site, request: PageRequest) -> list[dict[str, Any]]:
    return list((await site.call(request.visitor, LOGS, "DescribeQueryDefinitions", {}))["queryDefinitions"])
