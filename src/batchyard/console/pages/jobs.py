"""The list of jobs: newest first over all queues, filtered, by pages; and their withdrawal together."""

from __future__ import annotations

from typing import Any

from batchyard.console.rendering import render
from batchyard.console.rows import row_of
from batchyard.console.site import Answer, Forbidden, PageRequest, Site, redirect, url_of
from batchyard.console.tokens import HINT, NAMES, BadFilter, Filter, read_filter, split_words
from batchyard.core.model.records import Status
from batchyard.core.model.refusal import Refused
from batchyard.store.queries import JobFilter, SearchPage

PAGE_ROWS = 50
COUNTED = 1000  # states with more jobs show "1,000+": counting on would cost more than the page
MAX_WITHDRAWN = 1000  # at once: one request each to the loop, some 2 s; the page says so and takes the next ones
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
    which = "The selected ones."
    if not ids:
        ids = await _matching(site, found, action)
        everything = "All of every queue: no job was selected, and no filter is set."
        which = f"All that match {found.text}." if found.given else everything
    verb = action.capitalize()
    more = f" There may be more: ask again for the next {MAX_WITHDRAWN:,}." if len(ids) == MAX_WITHDRAWN else ""
    what = f"{len(ids):,} {'job' if len(ids) == 1 else 'jobs'}"
    text = f"{which} {_means(action)}{more}"
    return render(
        site,
        request,
        "confirm.html",
        heading=f"{verb} {what}?",
        text=text,
        hidden=[("action", action), ("ids", ",".join(ids))],
        asks_reason=True,
        reason=f"{verb.rstrip('e')}ed in the console".replace("Canceled", "Cancelled"),
        button=f"{verb} {what}",
        back=url_of("jobs", found.given),
    )


async def withdraw(site: Site, request: PageRequest) -> Answer:
    action = _action(request.form.get("action", ""))
    ids = [one for one in request.form.get("ids", "").split(",") if one][:MAX_WITHDRAWN]
    operation = "CancelJob" if action == "cancel" else "TerminateJob"
    reason = request.form.get("reason", "").strip() or "Withdrawn in the console"
    refused = 0
    for job_id in ids:
        try:
            await site.call(request.visitor, "batch", operation, {"jobId": job_id, "reason": reason})
        except Refused:
            refused += 1
    done = {"done": f"{action} {len(ids) - refused}"} | ({"refused": str(refused)} if refused else {})
    return redirect("jobs", done)


async def _matching(site: Site, found: Filter, action: str) -> list[str]:
    """Returns the ids of the jobs of a filter that the action can change."""
    wanted = found.wanted
    able = CANCELLABLE if action == "cancel" else tuple(status for status in Status if not status.is_final)
    statuses = tuple(status for status in (wanted.statuses or able) if status in able)
    if not statuses:
        return []
    narrowed = JobFilter(
        wanted.queue,
        statuses,
        wanted.name,
        wanted.definition,
        wanted.share,
        wanted.tag,
        wanted.since_ms,
        wanted.before_ms,
    )
    page = await site.context.read(site.context.reader.search_jobs, narrowed, MAX_WITHDRAWN)
    return [view.job_id for view in page.views]


def _action(text: str) -> str:
    if text not in ("cancel", "terminate"):
        raise Forbidden("Jobs are cancelled or terminated.")
    return text


def _means(action: str) -> str:
    if action == "cancel":
        return "Those that wait end as FAILED; those that run are not touched."
    return "Those that wait end as FAILED, and those that run are stopped."
