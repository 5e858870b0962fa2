"""Reads what the critical path of an execution needs: times of jobs, and histories of executions that it waited for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from batchyard.cli.client import YARD, Client
from batchyard.cli.critical_path import Row, Step, critical_path, rows_of
from batchyard.cli.state_visits import Visit, Visits
from batchyard.cli.workflow_lookup import events_after, milliseconds, pages

MAX_TIMES = 100  # jobs of one DescribeJobTimes
MAX_CHILDREN = 10_000  # of a map run, among which the one that ended last is looked for
MAX_DEPTH = 4  # executions in executions


def path_rows(client: Client, visits: Visits) -> list[Row]:
    """Returns how the time on the critical path of an ended execution was spent; none while it runs."""
    if visits.end is None:
        return []
    steps = _steps(client, visits, 0)
    jobs = list(dict.fromkeys(job_id for visit in _visits(steps) for job_id in visit.job_ids))
    times: dict[str, dict[str, Any]] = {}
    for start_at in range(0, len(jobs), MAX_TIMES):
        answer = client.call("DescribeJobTimes", {"jobs": jobs[start_at : start_at + MAX_TIMES]}, YARD)
        times |= {one["jobId"]: one for one in answer["jobs"]}
    return rows_of(steps, times, milliseconds(visits.end["timestamp"]))


def _visits(steps: Sequence[Step]) -> Iterator[Visit]:
    for step in steps:
        yield step.visit
        yield from _visits(step.within)


def _steps(client: Client, visits: Visits, depth: int) -> list[Step]:
    return [_step(client, visit, depth) for visit in critical_path(visits)]


def _step(client: Client, visit: Visit, depth: int) -> Step:
    """Returns a visit with the path of the execution whose end it waited for."""
    if depth == MAX_DEPTH:
        return Step(visit)
    if visit.map_run_arn:
        listed = pages(client, "ListExecutions", {"mapRunArn": visit.map_run_arn, "maxResults": 1000}, "executions")
        ended = [one for one in islice(listed, MAX_CHILDREN) if "stopDate" in one]
        if not ended:
            return Step(visit)
        last = max(ended, key=lambda one: float(one["stopDate"]))
        queued_ms = max(0, milliseconds(last["startDate"]) - visit.entered_ms)
        return Step(visit, _steps(client, _read(client, last["executionArn"]), depth + 1), queued_ms)
    if visit.waits_for_end and visit.executions:
        return Step(visit, _steps(client, _read(client, visit.executions[-1]), depth + 1))
    return Step(visit)


def _read(client: Client, arn: str) -> Visits:
    """Returns the visits of an execution; none of an EXPRESS one, whose history is not kept."""
    visits = Visits()
    if ":express:" not in arn:
        for event in events_after(client, arn, 0):
            visits.add(event)
    return visits
