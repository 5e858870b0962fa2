"""Parts of a job's output, for scripts and for reading on; and the whole of it as plain text."""

from __future__ import annotations

from batchyard.api.context import Context
from batchyard.console.job_logs import LogPlace, find_place, read_after, read_last
from batchyard.console.pages.job import find
from batchyard.console.rendering import render
from batchyard.console.site import PLAIN, Answer, NotFound, PageRequest, Site

MAX_RAW_BYTES = 64 * 1024 * 1024  # of one answer, in memory whole; --log-limit-mib is as large by default
CUT = "[the output goes on: {} bytes of {} are shown; batchyard logs prints the whole]\n"
MAX_OFFSET_DIGITS = 18


async def show(site: Site, request: PageRequest) -> Answer:
    """The lines `before` or `after` an offset."""
    place = await _place(site, request)
    context = site.context
    after, before = _offset(request, "after"), _offset(request, "before")
    if after is not None:
        part = await context.read(read_after, context, place, after)
    else:
        part = await context.read(read_last, context, place, before)
    return render(
        site, request, "log.html", place=place, log=part, job_id=place.view.job_id, is_later=after is not None
    )


async def raw(site: Site, request: PageRequest) -> Answer:
    place = await _place(site, request)
    body = await site.context.read(_text, site.context, place)
    name = f"{place.view.job_id.replace(':', '-').replace('#', '-')}-{place.number}.log"
    return Answer(body, 200, PLAIN, (("content-disposition", f'inline; filename="{name}"'),))


async def _place(site: Site, request: PageRequest) -> LogPlace:
    view = await find(site, request)
    place = find_place(view, request.query.get("attempt", ""), request.query.get("container", ""))
    if place is None:
        raise NotFound("The job has no output: no attempt of it has started.")
    return place


def _text(context: Context, place: LogPlace) -> bytes:
    parts: list[bytes] = []
    size = 0
    with place.open(context) as log:
        for line in log.lines(0):
            size += len(line.text) + 1
            if size > MAX_RAW_BYTES:
                parts.append(CUT.format(line.start, log.end).encode())
                break
            parts.append(line.text.encode() + b"\n")
    return b"".join(parts)


def _offset(request: PageRequest, name: str) -> int | None:
    text = request.query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_OFFSET_DIGITS else None
