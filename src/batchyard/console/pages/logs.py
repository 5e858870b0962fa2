"""Log groups and streams: what was written, searched, read page by page, and followed."""

from __future__ import annotations

from msgspec import Struct

from batchyard.console.ansi import line_html
from batchyard.console.job_logs import ShownLine
from batchyard.console.rendering import render
from batchyard.console.site import Answer, NotFound, PageRequest, Site
from batchyard.console.time_ranges import RANGES, range_named
from batchyard.wire.messages import Document

LOGS = "logs"
PAGE_STREAMS = 50
PAGE_EVENTS = 500
MAX_FOUND = 200
MAX_SEARCHED = 10  # pages of FilterLogEvents, which may be empty: beyond it the reader is asked to go on


class Hit(Struct, frozen=True):
    """A line that a search found, with the stream in which it is."""

    stream: str
    line: ShownLine


async def show_group(site: Site, request: PageRequest) -> Answer:
    """The streams of a group, those with the newest lines first; or the lines that a pattern finds in them."""
    query = request.query
    name = query.get("name", "")
    if not name:
        raise NotFound("Which log group? Its name goes into the address, as ?name=/aws/batch/job.")
    pattern, prefix = query.get("pattern", ""), query.get("prefix", "")
    asked: Document = {"logGroupName": name, "limit": PAGE_STREAMS}
    if prefix:
        asked["logStreamNamePrefix"] = prefix
    else:
        asked |= {"orderBy": "LastEventTime", "descending": True}
    if query.get("next") and not pattern:
        asked["nextToken"] = query["next"]
    answer = await site.call(request.visitor, LOGS, "DescribeLogStreams", asked)
    span = range_named(query.get("range", ""), "1d")
    hits, following = await _search(site, request, name, pattern, span.seconds) if pattern else ([], "")
    return render(
        site,
        request,
        "log_group.html",
        name=name,
        pattern=pattern,
        prefix=prefix,
        span=span,
        ranges=RANGES.values(),
        hits=hits,
        following=following,
        streams=answer["logStreams"],
        next_streams=answer.get("nextToken", ""),
    )


async def _search(site: Site, request: PageRequest, group: str, pattern: str, seconds: int) -> tuple[list[Hit], str]:
    """Returns lines by time, and the token with which the search goes on; empty: there are no more."""
    asked: Document = {
        "logGroupName": group,
        "filterPattern": pattern,
        "startTime": site.now_ms() - seconds * 1000,
        "limit": MAX_FOUND,
    }
    if request.query.get("since"):
        asked["startTime"] = int(request.query["since"]) if request.query["since"].isdigit() else 0
    token = request.query.get("next", "")
    hits: list[Hit] = []
    for _ in range(MAX_SEARCHED):
        answer = await site.call(
            request.visitor, LOGS, "FilterLogEvents", asked | ({"nextToken": token} if token else {})
        )
        hits += [
            Hit(one["logStreamName"], _line(one, len(hits) + number)) for number, one in enumerate(answer["events"])
        ]
        token = answer.get("nextToken", "")
        if not token or len(hits) >= MAX_FOUND:
            break
    return hits, token


async def show_stream(site: Site, request: PageRequest) -> Answer:
    """The last lines of a stream, or those before or after a token of GetLogEvents."""
    query = request.query
    group, stream = query.get("group", ""), query.get("stream", "")
    asked: Document = {"logGroupName": group, "logStreamName": stream, "limit": PAGE_EVENTS}
    later, earlier = query.get("after", ""), query.get("before", "")
    if later or earlier:
        asked["nextToken"] = later or earlier
    answer = await site.call(request.visitor, LOGS, "GetLogEvents", asked)
    lines = [_line(one, number) for number, one in enumerate(answer["events"])]
    return render(
        site,
        request,
        "log_stream.html",
        group=group,
        stream=stream,
        lines=lines,
        is_last=not earlier,
        stop=answer["nextForwardToken"],
        start=answer["nextBackwardToken"] if lines else "",
    )


def _line(event: Document, number: int) -> ShownLine:
    return ShownLine(number, event["timestamp"], line_html(event["message"].replace("\n", " ")))
