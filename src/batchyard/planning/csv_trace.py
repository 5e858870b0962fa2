"""Traces as CSV, for what SWF has no fields: a header names the columns, of which `submit` and `run` must be there."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping

from batchyard.planning.workload import MS, PlannedJob, TraceError, Workload

COLUMNS = {
    "submit": "seconds from any beginning",
    "run": "seconds",
    "vcpus": "of each child or node; 1 where it is absent",
    "memory": "MiB, likewise; 512",
    "gpus": "likewise; 0",
    "nodes": "of a multi-node job; 1",
    "size": "children, all of the same run time; 1",
    "queue": "default",
    "share": "share identifier of a queue with fair share; none",
    "priority": "within the share; 0",
    "timeout": "seconds; none",
    "definition": "its name; none",
}
REQUIRED = ("submit", "run")
MAX_SIZE = 10_000  # children, as in SubmitJob


def read_csv(lines: Iterable[str], name: str) -> Workload:
    """Reads a trace. `name`: for the report and errors."""
    reader = csv.DictReader(lines)
    header = reader.fieldnames or []
    missing = [column for column in REQUIRED if column not in header]
    unknown = [column for column in header if column not in COLUMNS]
    if missing or unknown:
        wrong = f"has no column {missing[0]}" if missing else f"has a column {unknown[0]}"
        raise TraceError(f"{name} {wrong}. Its first line names columns of: {', '.join(COLUMNS)}.")
    jobs = [_job(row, f"{name}, line {number}") for number, row in enumerate(reader, 2)]
    if not jobs:
        raise TraceError(f"{name} has no jobs.")
    first = min(job.submit_ms for job in jobs)
    jobs.sort(key=lambda job: job.submit_ms)
    moved = [
        PlannedJob(
            **{part: getattr(job, part) for part in job.__struct_fields__} | {"submit_ms": job.submit_ms - first}
        )
        for job in jobs
    ]
    return Workload(moved, f"{name}, {len(moved):,} jobs")


def _job(row: Mapping[str, str | None], where: str) -> PlannedJob:
    def number(column: str, default: float, least: float, kind: Callable[[str], float] = float) -> float:
        text = (row.get(column) or "").strip()
        if not text:
            return default
        try:
            value = kind(text)
        except ValueError:
            value = least - 1
        if not value >= least:
            raise TraceError(f"{where}: {column} must be a number of at least {least:g}, not {text!r}.")
        return value

    for column in REQUIRED:
        if not (row.get(column) or "").strip():
            raise TraceError(f"{where}: {column} is empty.")
    size = int(number("size", 1, 1, int))
    if size > MAX_SIZE:
        raise TraceError(f"{where}: size must be at most {MAX_SIZE:,}, not {size:,}.")
    timeout = number("timeout", 0, 1)
    return PlannedJob(
        submit_ms=round(number("submit", 0, 0) * MS),
        runs_ms=(max(1, round(number("run", 0, 0) * MS)),) * size,
        milli_vcpus=max(1, round(number("vcpus", 1, 0.001) * 1000)),
        memory_mib=int(number("memory", 512, 4)),
        gpus=int(number("gpus", 0, 0, int)),
        nodes=int(number("nodes", 1, 1, int)),
        queue=(row.get("queue") or "").strip() or "default",
        share=(row.get("share") or "").strip(),
        priority=int(number("priority", 0, 0, int)),
        limit_ms=max(60 * MS, round(timeout * MS)) if timeout else 0,
        definition=(row.get("definition") or "").strip(),
    )
