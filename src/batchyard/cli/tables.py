"""`batchyard jobs`: the table of jobs, once or repeatedly."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from batchyard.cli.client import Client
from batchyard.cli.follow import is_array
from batchyard.cli.formats import (
    clock,
    duration,
    exit_code_of,
    name_of,
    now_ms,
    progress,
    run_time,
    short_reason,
    table,
)
from batchyard.cli.job_lookup import UNFINISHED, list_jobs, queue_names, short_ids
from batchyard.cli.start_forecasts import forecasts, in_brief
from batchyard.cli.terminal_output import print_json, redraw, say, shown, tell

HEADINGS = ("ID", "NAME", "QUEUE", "STATUS", "AGE", "RAN", "EXIT", "REASON")
STATUS_COLUMN = 3
WAITING = ("SUBMITTED", "PENDING", "RUNNABLE")
WATCH_SECONDS = 1.0
PATIENCE_SECONDS = 60.0  # a watch outlives a restart of the service
MAX_NAME_CHARACTERS = 32  # longer names would push the reasons off the terminal


class Selection(NamedTuple):
    """The selected jobs: of a queue (None: all), in these states (none: all), the newest `limit` (0: all)."""

    queue: str | None
    statuses: tuple[str, ...]
    limit: int
    has_forecasts: bool = False  # of those that wait


def find(client: Client, selection: Selection) -> list[dict[str, Any]]:
    queues = [selection.queue] if selection.queue else queue_names(client)
    return list_jobs(client, queues, selection.statuses, selection.limit)


def show_jobs(client: Client, selection: Selection, *, as_json: bool) -> int:
    jobs = find(client, selection)
    starts = _forecasts(client, jobs) if selection.has_forecasts else {}
    if as_json:
        for job in jobs:
            if job["jobId"] in starts:
                job["forecast"] = starts[job["jobId"]]
        print_json({"jobSummaryList": jobs})  # ListJobs' shape
        return 0
    if jobs:
        say(jobs_table(jobs, starts))
    if not jobs:
        hint = " Finished ones: batchyard jobs --all" if selection.statuses == UNFINISHED else ""
        tell(f"No {'unfinished ' if selection.statuses == UNFINISHED else ''}jobs.{hint}")
    elif selection.limit and len(jobs) >= selection.limit:
        tell(f"The newest {selection.limit}; more with --limit.")
    return 0


def watch_jobs(client: Client, selection: Selection, *, as_json: bool) -> int:
    """Shows the jobs until Ctrl-C, the normal way to end it. JSON: a line for each job that is new or has changed."""
    client.patience_seconds = PATIENCE_SECONDS
    seen: dict[str, dict[str, Any]] = {}
    try:
        while True:
            jobs = find(client, selection)
            if as_json:
                for job in jobs:
                    if seen.get(job["jobId"]) != job:
                        print_json(job, line=True)
                seen = {job["jobId"]: job for job in jobs}
            else:
                text = f"{clock(now_ms())}  {len(jobs)} jobs  {shown(client.url)}\n\n{jobs_table(jobs)}"
                redraw(text)
            time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        return 0


def _forecasts(client: Client, jobs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Returns when those jobs start that have not."""
    return forecasts(client, [job["jobId"] for job in jobs if job["status"] in WAITING])


def jobs_table(jobs: list[dict[str, Any]], starts: Mapping[str, dict[str, Any]] | None = None) -> str:
    """`starts`: forecasts by job; with them there is a column for it."""
    now = now_ms()
    short = short_ids([job["jobId"] for job in jobs])
    rows = [_row(job, short[job["jobId"]], now) for job in jobs]
    if not starts:
        return table(HEADINGS, rows, status_column=STATUS_COLUMN)
    shown_starts = [in_brief(starts[job["jobId"]]) if job["jobId"] in starts else "" for job in jobs]
    with_starts = [(*row[:-1], start, row[-1]) for row, start in zip(rows, shown_starts, strict=True)]
    return table((*HEADINGS[:-1], "STARTS", HEADINGS[-1]), with_starts, status_column=STATUS_COLUMN)


def _row(job: dict[str, Any], short_id: str, now: int) -> tuple[str, ...]:
    name = job["jobName"]
    reason = short_reason(job)
    if is_array(job):
        reason = progress(job["arrayProperties"]) + (f": {reason}" if reason else "")
    return (
        short_id,
        shown(name if len(name) <= MAX_NAME_CHARACTERS else name[: MAX_NAME_CHARACTERS - 3] + "..."),
        name_of(job["jobQueue"]),
        job["status"],
        duration(now - job["createdAt"]),
        run_time(job, now),
        exit_code_of(job.get("container")),
        reason,
    )
