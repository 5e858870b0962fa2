"""Draws an execution: its states while it runs, and where its time went when it has ended."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from batchyard.cli.formats import duration, table
from batchyard.cli.state_visits import CAUGHT, FAILED, RUNNING, Visit, Visits, critical_path, details_of
from batchyard.cli.terminal_output import coloured, shown

MARKS = {"RUNNING": ">", "SUCCEEDED": "+", "FAILED": "x", "CAUGHT": "!", "ABORTED": "-"}
INDENT = "  "
MAX_INNER = 12  # visits shown of one Parallel or Map state: others are counted
Jobs = Mapping[str, dict[str, Any]]  # JobDetails by id


def lines_of(visits: Visits, jobs: Jobs, now_ms: int) -> list[str]:
    """Returns a line for each visit; visits of branches and iterations stand below their state."""
    found: list[str] = []
    for visit in visits.all:
        if visit.outer is None:
            _add(visit, jobs, now_ms, found)
    return found


def _add(visit: Visit, jobs: Jobs, now_ms: int, found: list[str]) -> None:
    found.append(_line(visit, jobs, now_ms))
    shown_ones = _shown(visit.inner)
    for inner in shown_ones:
        _add(inner, jobs, now_ms, found)
    hidden = len(visit.inner) - len(shown_ones)
    if hidden > 0:
        done = sum(one.status != RUNNING for one in visit.inner)
        indent = INDENT * (visit.depth + 1)
        found.append(f"{indent}  ... {hidden} more; {done} of {len(visit.inner)} are done")


def _shown(inner: Sequence[Visit]) -> list[Visit]:
    """Returns the visits of which people want to know most, in their order: those that run or failed, then others."""
    if len(inner) <= MAX_INNER:
        return list(inner)
    first = [one for one in inner if one.status in (RUNNING, FAILED, CAUGHT)][:MAX_INNER]
    rest = [one for one in inner if one not in first][: MAX_INNER - len(first)]
    chosen = {id(one) for one in (*first, *rest)}
    return [one for one in inner if id(one) in chosen]


def _line(visit: Visit, jobs: Jobs, now_ms: int) -> str:
    mark = coloured(MARKS[visit.status], FAILED if visit.status == CAUGHT else visit.status)
    indent = INDENT * visit.depth
    parts = [f"{indent}{mark} {shown(visit.name)}", duration(visit.lasted_ms(now_ms))]
    note = note_of(visit, jobs)
    return "  ".join([*parts, shown(note)]) if note else "  ".join(parts)


def note_of(visit: Visit, jobs: Jobs) -> str:
    """Returns what there is to say of a visit: what it waits for and why, how often it was tried, what it caught."""
    notes = []
    if visit.status == RUNNING:
        notes.append(_waiting_for(visit, jobs))
    if visit.tries > 1:
        notes.append(f"try {visit.tries}" if visit.status == RUNNING else f"{visit.tries} tries")
    if visit.failure and visit.status == CAUGHT:
        notes.append(f"caught {visit.failure}")
    elif visit.failure and (visit.status == FAILED or visit.failed_ms is not None):
        notes.append(visit.failure)
    return ", ".join(note for note in notes if note)


def _waiting_for(visit: Visit, jobs: Jobs) -> str:
    if visit.failed_ms is not None:
        return "waits for its next try"
    if visit.job_id:
        job = jobs.get(visit.job_id)
        if job is None:
            return f"job {visit.job_id[:8]}"
        reason = job.get("why", "") if job["status"] not in (RUNNING, "STARTING") else ""
        return f"job {visit.job_id[:8]} is {job['status']}" + (f": {reason}" if reason else "")
    if visit.kind == "Wait":
        return "waits"
    return visit.work if visit.kind == "Task" else ""


def result_of(visits: Visits) -> str:
    """Returns a sentence about the end of an execution; empty: it has not ended."""
    if visits.end is None:
        return ""
    status = visits.end["type"].removeprefix("Execution").upper()
    took = duration(round(visits.end["timestamp"] * 1000) - visits.started_ms)
    details = details_of(visits.end)
    reason = ": ".join(text for text in (details.get("error"), short_cause(details.get("cause") or "")) if text)
    return f"{coloured(status, 'SUCCEEDED' if status == 'SUCCEEDED' else 'FAILED')} in {took}" + (
        f": {shown(reason)}" if reason else ""
    )


def short_cause(cause: str) -> str:
    """Returns a cause in words: that of a job or an execution that failed is the whole of its description."""
    try:
        found = json.loads(cause)
    except ValueError:
        return cause
    if not isinstance(found, dict):
        return cause
    if "JobId" in found:
        code = (found.get("Container") or {}).get("ExitCode")
        end = "" if code is None else f", exit code {code}"
        return f"job {str(found['JobId'])[:8]}: {found.get('StatusReason', '')}{end}"
    if "ExecutionArn" in found:
        reason = ": ".join(str(found[member]) for member in ("Error", "Cause") if found.get(member))
        return f"execution {found.get('Name', '')}: {reason}"
    return cause


# -- where the time went --


def where_time_went(visits: Visits, jobs: Jobs) -> str:
    """Returns the critical path of an ended execution as a table: for each state what it waited for, and the sums."""
    path = [visit for visit in critical_path(visits) if not visit.inner]
    if not path or visits.end is None:
        return ""
    end_ms = round(visits.end["timestamp"] * 1000)
    rows, sums = [], dict.fromkeys(COLUMNS, 0)
    for visit in path:
        spent = spent_ms(visit, jobs, end_ms)
        for column, milliseconds in spent.items():
            sums[column] += milliseconds
        rows.append((visit.name, *(_cell(spent[column]) for column in COLUMNS)))
    rows.append(("all", *(_cell(sums[column]) for column in COLUMNS)))
    return table(("CRITICAL PATH", *(column.upper() for column in COLUMNS)), rows)


COLUMNS = ("queueing", "running", "waiting", "retries", "other")


def spent_ms(visit: Visit, jobs: Jobs, end_ms: int) -> dict[str, int]:
    """Returns how a visit's time was spent: until a job began to run, while it ran, in a Wait state or until a
    callback, in delays between tries; `other`: everything else, as calls and steps are."""
    spent = dict.fromkeys(COLUMNS, 0)
    left = visit.lasted_ms(end_ms)
    spent["retries"] = min(left, visit.retry_ms)
    ran = [job for job_id in visit.job_ids if (job := jobs.get(job_id)) is not None and job.get("startedAt")]
    for job in ran:
        spent["queueing"] += max(0, job["startedAt"] - job["createdAt"])
        spent["running"] += max(0, (job.get("stoppedAt") or end_ms) - job["startedAt"])
    if not ran and (visit.kind == "Wait" or visit.work.endswith(".waitForTaskToken") or ":activity:" in visit.work):
        spent["waiting"] = left - spent["retries"]
    spent["other"] = max(0, left - sum(spent.values()))
    return spent


def _cell(milliseconds: int) -> str:
    return duration(milliseconds) if milliseconds else "-"


def is_terminal() -> bool:
    return sys.stdout.isatty()
