"""The list of jobs: newest first over all queues, filtered, by pages; and their withdrawal together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from msgspec.structs import replace

from batchyard.console.bulk import BulkWork
from batchyard.console.rendering import render
from batchyard.console.rows import row_of
from batchyard.console.site import Answer, Forbidden, NotFound, PageRequest, Site, redirect, url_of
from batchyard.console.tokens import HINT, NAMES, BadFilter, Filter, read_filter, split_words
from batchyard.core.model.records import Status
from batchyard.store.queries import JobFilter, SearchPage
from batchyard.wire.messages import Document

PAGE_ROWS = 50
COUNTED = 1000  # states with more jobs show "1,000+": counting on would cost more than the page
MAX_AT_ONCE = 200  # withdrawn before the answer, some 0.4 s; more are a work with a page of its own
MAX_COUNTED = 10_000  # jobs before the question: some 0.5 s; "more than 10,000" are all of them still
PAGE_IDS = 1000
MAX_TIME_DIGITS = 15
CANCELLABLE = (Status.SUBMITTED, Status.PENDING, Status.RUNNABLE)


async def show(site: Site, request: PageRequest) -> Answer:
    try:
        if "q" in request.query:
            return redirect("jobs", split_words(request.query["q"]))
        found = read_filter(request.query, site.now_ms())
    except BadFilter as error:
        text = request.query.get("q", "")
        empty = SearchPage([], None, None)
        return render(
            site,
            request,
            "jobs.html",
            status=400,
            **_values(site, Filter({}, JobFilter()), empty, {}, text, str(error)),
        )
    context = site.context
    try:
        page = await context.read(
            context.reader.search_jobs, found.wanted, PAGE_ROWS, request.query.get("older"), request.query.get("newer")
        )
    except ValueError:
        return redirect("jobs", found.given)  # a cursor of another version: the newest page
    counts = await context.read(context.reader.capped_counts, found.wanted.queue, COUNTED + 1)
    return render(
        site,
        request,
        "jobs.html",
        **_values(site, found, page, counts, found.text, ""),
        done=request.query.get("done", ""),
        refused=request.query.get("refused", ""),
    )


def _values(
    site: Site, found: Filter, page: SearchPage, counts: dict[str, int], text: str, problem: str
) -> dict[str, Any]:
    return {
        "rows": [row_of(view, site.context.account) for view in page.views],
        "page": page,
        "filter": found,
        "given": {name: found.given.get(name, "") for name in NAMES},
        "counts": {status: capped(number) for status, number in counts.items()},
        "text": text,
        "problem": problem,
        "hint": HINT,
    }


def capped(number: int) -> str:
    return f"{COUNTED:,}+" if number > COUNTED else f"{number:,}"


# -- withdrawing many --


async def ask(site: Site, request: PageRequest) -> Answer:
    """The question before jobs are withdrawn: the ones that were selected, or all that the filter has."""
    action = _action(request.query.get("action", ""))
    ids = [one for one in request.query.get("ids", "").split(",") if one]
    found = read_filter(request.query, site.now_ms())
    verb = action.capitalize()
    until_ms = site.now_ms() + 1
    number, is_all = len(ids), True
    if not ids:
        number, is_all = await _count(site, narrowed(found.wanted, action, until_ms))
    what = f"{number:,} {'job' if number == 1 else 'jobs'}" if is_all else f"all of more than {number:,} jobs"
    everything = "All of every queue: no job was selected, and no filter is set."
    which = "The selected ones." if ids else f"All that match {found.text}." if found.given else everything
    text = f"{which} {_means(action)}"
    if number > MAX_AT_ONCE:
        text += " It takes a while: a page counts them, and what is submitted from now on is left alone."
    selected = [("ids", ",".join(ids))] if ids else [("until", str(until_ms)), *found.given.items()]
    return render(
        site,
        request,
        "confirm.html",
        heading=f"{verb} {what}?",
        text=text,
        hidden=[("action", action), *selected],
        asks_reason=True,
        reason=f"{verb.rstrip('e')}ed in the console".replace("Canceled", "Cancelled"),
        button=f"{verb} {what}",
        back=url_of("jobs", found.given),
    )


async def withdraw(site: Site, request: PageRequest) -> Answer:
    """Withdraws a few jobs at once, and begins a work for many."""
    form = request.form
    action = _action(form.get("action", ""))
    operation = "CancelJob" if action == "cancel" else "TerminateJob"
    reason = form.get("reason", "").strip() or "Withdrawn in the console"
    visitor = request.visitor

    async def act(job_id: str) -> Document:
        return await site.call(visitor, "batch", operation, {"jobId": job_id, "reason": reason})

    given = [one for one in form.get("ids", "").split(",") if one]
    if not given and not form.get("until"):
        raise Forbidden("Which jobs? The form names some, or the time up to which all that match were submitted.")
    found = read_filter(form, site.now_ms())
    wanted = narrowed(found.wanted, action, _until(form, site.now_ms()))
    number = len(given) if given else (await _count(site, wanted))[0]
    ids = _each(given) if given else matching(site, wanted)
    work = BulkWork(f"{action.capitalize()} {found.text or 'jobs'}", site.now_ms())
    if number > MAX_AT_ONCE:
        return redirect(f"bulk/{site.works.start(work, ids, act)}")
    await work.run(ids, act)
    done = {"done": f"{action} {work.done}"} | ({"refused": str(work.refused)} if work.refused else {})
    return redirect("jobs", done)


def _until(form: Mapping[str, str], now_ms: int) -> int:
    text = form.get("until", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_TIME_DIGITS else now_ms + 1


async def _each(ids: list[str]) -> AsyncIterator[str]:
    for job_id in ids:
        yield job_id


def narrowed(wanted: JobFilter, action: str, until_ms: int) -> JobFilter:
    """Returns the filter of the jobs that the action can change, of those submitted before `until_ms`."""
    able = CANCELLABLE if action == "cancel" else tuple(status for status in Status if not status.is_final)
    statuses = tuple(status for status in (wanted.statuses or able) if status in able)
    before_ms = min(wanted.before_ms or until_ms, until_ms)
    return replace(wanted, statuses=statuses, before_ms=before_ms)


async def matching(site: Site, wanted: JobFilter) -> AsyncIterator[str]:
    """Yields the ids of the jobs of a filter, the newest first, page by page."""
    older: str | None = None
    while wanted.statuses:
        page = await site.context.read(site.context.reader.search_jobs, wanted, PAGE_IDS, older)
        for view in page.views:
            yield view.job_id
        older = page.older
        if older is None:
            return


async def _count(site: Site, wanted: JobFilter) -> tuple[int, bool]:
    """Returns how many jobs a filter has, counted up to MAX_COUNTED, and whether these are all."""
    number = 0
    async for _ in matching(site, wanted):
        number += 1
        if number > MAX_COUNTED:
            return MAX_COUNTED, False
    return number, True


async def show_bulk(site: Site, request: PageRequest) -> Answer:
    """How far a work on many jobs is."""
    return render(site, request, "bulk.html", work=_work(site, request))


async def stop_bulk(site: Site, request: PageRequest) -> Answer:
    _work(site, request).is_stopped = True
    return redirect(f"bulk/{request.parts['number']}")


def _work(site: Site, request: PageRequest) -> BulkWork:
    text = request.parts["number"]
    work = site.works.get(int(text)) if text.isascii() and text.isdigit() and len(text) < MAX_TIME_DIGITS else None
    if work is None:
        raise NotFound("There is no such work: the service was started anew since, or it ended long ago.")
    return work


def _action(text: str) -> str:
    if text not in ("cancel", "terminate"):
        raise Forbidden("Jobs are cancelled or terminated.")
    return text


def _means(action: str) -> str:
    if action == "cancel":
        return "Those that wait end as FAILED; those that run are not touched."
    return "Those that wait end as FAILED, and those that run are stopped."
