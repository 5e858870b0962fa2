"""Draws an execution: its states, what they wait for, and how it ended."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from batchyard.analysis.critical_path import COLUMNS, Row, Spent
from batchyard.analysis.state_visits import CAUGHT, FAILED, RUNNING, Visit, Visits, details_of
from batchyard.cli.formats import duration, progress, table
from batchyard.cli.terminal_output import coloured, shown

MARKS = {"RUNNING": ">", "SUCCEEDED": "+", "FAILED": "x", "CAUGHT": "!", "ABORTED": "-"}
INDENT = "  "
MAX_INNER = 12  # visits shown of one Parallel or Map state: others are counted
Jobs = Mapping[str, dict[str, Any]]  # JobDetails by id


class Known(NamedTuple):
    """What is known of things that visits wait for: JobDetails by id, and answers of DescribeMapRun by ARN."""

    jobs: Jobs
    map_runs: Mapping[str, dict[str, Any]] = {}


def lines_of(visits: Visits, known: Known, now_ms: int) -> list[str]:
    """Returns a line for each visit; visits of branches and iterations stand below their state."""
    found: list[str] = []
    for visit in visits.all:
        if visit.outer is None:
            _add(visit, known, now_ms, found)
    return found


def _add(visit: Visit, known: Known, now_ms: int, found: list[str]) -> None:
    found.append(_line(visit, known, now_ms))
    shown_ones = _shown(visit.inner)
    for inner in shown_ones:
        _add(inner, known, now_ms, found)
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


def _line(visit: Visit, known: Known, now_ms: int) -> str:
    mark = coloured(MARKS[visit.status], FAILED if visit.status == CAUGHT else visit.status)
    indent = INDENT * visit.depth
    item = f" [{visit.branch}]" if visit.outer is not None and visit.outer.kind == "Map" else ""
    parts = [f"{indent}{mark} {shown(visit.name)}{item}", duration(visit.lasted_ms(now_ms))]
    note = note_of(visit, known)
    return "  ".join([*parts, shown(note)]) if note else "  ".join(parts)


def note_of(visit: Visit, known: Known) -> str:
    """Returns what there is to say of a visit: what it waits for and why, how often it was tried, what it caught."""
    notes = []
    if visit.status == RUNNING:
        notes.append(_waiting_for(visit, known))
    elif visit.map_run_arn:
        notes.append(_items_of(known.map_runs.get(visit.map_run_arn)))
    if visit.tries > 1:
        notes.append(f"try {visit.tries}" if visit.status == RUNNING else f"{visit.tries} tries")
    if visit.failure and visit.status == CAUGHT:
        notes.append(f"caught {visit.failure}")
    elif visit.failure and (visit.status == FAILED or visit.failed_ms is not None):
        notes.append(visit.failure)
    return ", ".join(note for note in notes if note)


def _items_of(run: dict[str, Any] | None) -> str:
    """Returns how far a map run is."""
    counts = (run or {}).get("itemCounts")
    if not counts:
        return ""
    failed = sum(counts[kind] for kind in ("failed", "timedOut", "aborted"))
    found = f"{counts['succeeded'] + failed}/{counts['total']} items done"
    found += f", {failed} failed" if failed else ""
    return found + (f", {counts['running']} running" if counts["running"] else "")


def _waiting_for(visit: Visit, known: Known) -> str:
    if visit.failed_ms is not None:
        return "waits for its next try"
    if visit.map_run_arn:
        return _items_of(known.map_runs.get(visit.map_run_arn))
    if visit.job_id:
        job = known.jobs.get(visit.job_id)
        if job is None:
            return f"job {visit.job_id[:8]}"
        if job.get("arrayProperties"):
            return f"job {visit.job_id[:8]} is {job['status']}: {progress(job['arrayProperties'])}"
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


def where_time_went(rows: Sequence[Row]) -> str:
    """Returns the rows as a table with their sums; empty: there are none."""
    if not rows:
        return ""
    sums = {column: sum(row.spent[column] for row in rows) for column in COLUMNS}
    lines = [
        (f"{INDENT * row.depth}{row.name}{f' x{row.visits}' if row.visits > 1 else ''}", *_cells(row.spent))
        for row in rows
    ]
    return table(("CRITICAL PATH", *(column.upper() for column in COLUMNS)), [*lines, ("all", *_cells(sums))])


def _cells(spent: Spent) -> list[str]:
    return [duration(spent[column]) if spent[column] else "-" for column in COLUMNS]


def is_terminal() -> bool:
    return sys.stdout.isatty()
