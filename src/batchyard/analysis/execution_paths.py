"""What an execution did and where its time went, from the answers of operations. Each function is a generator: it
yields what it wants to know, is sent the answer, and returns its result, so that a command and a page can ask in their
own ways."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any, NamedTuple

from batchyard.analysis.critical_path import Row, Step, critical_path, rows_of
from batchyard.analysis.state_visits import Event, Visit, Visits, milliseconds

EVENTS = 200  # of one answer: followers ask for it again and again
EXECUTIONS = 1000  # of one answer
MAX_TIMES = 100  # jobs of one DescribeJobTimes
MAX_CHILDREN = 10_000  # of a map run, among which the one that ended last is looked for
MAX_DEPTH = 4  # executions in executions

Answer = dict[str, Any]


class Asked(NamedTuple):
    """A call whose answer is wanted. `service`: by the name of its model."""

    service: str
    operation: str
    request: dict[str, Any]


def path_rows(visits: Visits) -> Generator[Asked, Answer, list[Row]]:
    """Returns how the time on the critical path of an ended execution was spent; none while it runs."""
    if visits.end is None:
        return []
    steps = yield from _steps(visits, 0)
    jobs = list(dict.fromkeys(job_id for visit in _visits(steps) for job_id in visit.job_ids))
    times: dict[str, dict[str, Any]] = {}
    for start_at in range(0, len(jobs), MAX_TIMES):
        answer = yield Asked("yard", "DescribeJobTimes", {"jobs": jobs[start_at : start_at + MAX_TIMES]})
        times |= {one["jobId"]: one for one in answer["jobs"]}
    return rows_of(steps, times, milliseconds(visits.end))


def read_visits(arn: str, visits: Visits) -> Generator[Asked, Answer, Visits]:
    """Adds what an execution did since `visits` were read. An EXPRESS one's history is not kept."""
    if ":express:" in arn:
        return visits
    for event in (yield from events_after(arn, visits.last_id)):
        visits.add(event)
    return visits


def events_after(arn: str, last_id: int) -> Generator[Asked, Answer, list[Event]]:
    """Returns the events after `last_id`, in their order: by pages from the end, so that following a long history costs
    what is new."""
    found: list[Event] = []
    token: dict[str, str] = {}
    while True:
        request = {"executionArn": arn, "reverseOrder": True, "maxResults": EVENTS, **token}
        answer = yield Asked("states", "GetExecutionHistory", request)
        fresh = [event for event in answer["events"] if event["id"] > last_id]
        found += fresh
        if not answer.get("nextToken") or len(fresh) < len(answer["events"]):
            return found[::-1]
        token = {"nextToken": answer["nextToken"]}


def _visits(steps: Sequence[Step]) -> Iterator[Visit]:
    for step in steps:
        yield step.visit
        yield from _visits(step.within)


def _steps(visits: Visits, depth: int) -> Generator[Asked, Answer, list[Step]]:
    found = []
    for visit in critical_path(visits):
        found.append((yield from _step(visit, depth)))
    return found


def _step(visit: Visit, depth: int) -> Generator[Asked, Answer, Step]:
    """Returns a visit with the path of the execution whose end it waited for."""
    if depth == MAX_DEPTH:
        return Step(visit)
    if visit.map_run_arn:
        last = yield from _last_child(visit.map_run_arn)
        if not last:
            return Step(visit)
        queued_ms = max(0, round(last["startDate"] * 1000) - visit.entered_ms)
        read = yield from read_visits(last["executionArn"], Visits())
        return Step(visit, (yield from _steps(read, depth + 1)), queued_ms)
    if visit.waits_for_end and visit.executions:
        read = yield from read_visits(visit.executions[-1], Visits())
        return Step(visit, (yield from _steps(read, depth + 1)))
    return Step(visit)


def _last_child(map_run_arn: str) -> Generator[Asked, Answer, Answer]:
    """Returns the child of a map run that ended last; empty: none of the newest has."""
    ended: list[Answer] = []
    token: dict[str, str] = {}
    for _ in range(MAX_CHILDREN // EXECUTIONS):
        request = {"mapRunArn": map_run_arn, "maxResults": EXECUTIONS, **token}
        answer = yield Asked("states", "ListExecutions", request)
        ended += [one for one in answer["executions"] if "stopDate" in one]
        if not answer.get("nextToken"):
            break
        token = {"nextToken": answer["nextToken"]}
    return max(ended, key=lambda one: float(one["stopDate"]), default={})
