"""What an execution did, as its history shows it: the visits of its states. From values to values."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]

RUNNING, SUCCEEDED, FAILED, CAUGHT, ABORTED = "RUNNING", "SUCCEEDED", "FAILED", "CAUGHT", "ABORTED"
ENTERED, EXITED, STATE_ABORTED = "StateEntered", "StateExited", "StateAborted"
OPENING = ("ParallelStateStarted", "MapStateStarted")
FAILURES = (
    "TaskFailed",
    "TaskTimedOut",
    "TaskSubmitFailed",
    "TaskStartFailed",
    "ActivityFailed",
    "ActivityTimedOut",
    "ActivityScheduleFailed",
    "EvaluationFailed",
    "MapRunFailed",
)
STARTS = ("TaskScheduled", "ActivityScheduled", "MapStateStarted", "ParallelStateStarted")


@dataclass
class Visit:
    """One visit of a state. `kind`: its type; `outer`: the visit of the Parallel or Map state in whose branch or
    iteration it is, which `branch` numbers. `tries`: how often its work was begun; `retry_ms`: the time between failed
    tries and the next. `work`: what was called; `job_ids`: of the jobs that it submitted. `failure`: the error of
    its last try that failed."""

    name: str
    kind: str
    entered_ms: int
    outer: Visit | None = None
    branch: int = 0
    status: str = RUNNING
    left_ms: int | None = None
    tries: int = 0
    retry_ms: int = 0
    failed_ms: int | None = None  # when the last try failed, while no other has begun
    work: str = ""
    job_ids: list[str] = field(default_factory=list)
    failure: str = ""
    inner: list[Visit] = field(default_factory=list)
    branches: int = 0  # how many were opened, of a Parallel state

    @property
    def job_id(self) -> str:
        """Returns the id of the job of its last try that submitted one; empty: it has submitted none."""
        return self.job_ids[-1] if self.job_ids else ""

    @property
    def depth(self) -> int:
        return 0 if self.outer is None else self.outer.depth + 1

    def lasted_ms(self, now_ms: int) -> int:
        return (now_ms if self.left_ms is None else self.left_ms) - self.entered_ms

    def leave(self, status: str, at_ms: int) -> None:
        self.status, self.left_ms = status, at_ms

    def around(self, kind: str) -> Visit:
        """Returns the visit of a state of this type that is this one or the nearest around it."""
        found = self
        while found.kind != kind and found.outer is not None:
            found = found.outer
        return found

    def named(self, name: str) -> Visit:
        """Returns the visit of this name that is this one or the nearest around it."""
        found = self
        while found.name != name and found.outer is not None:
            found = found.outer
        return found


class Visits:
    """The visits of one execution, from its events in their order. `end`: its last event, once it has ended."""

    def __init__(self) -> None:
        self.all: list[Visit] = []
        self.last_id = 0
        self.end: Event | None = None
        self.started_ms = 0
        self._of_event: dict[int, Visit | None] = {0: None}
        self._opened: dict[int, tuple[Visit, int]] = {}  # branches and iterations by the event that opens them

    def add(self, event: Event) -> None:
        """Takes the next event."""
        number, kind = event["id"], event["type"]
        if number <= self.last_id:
            return
        self.last_id = number
        self.started_ms = self.started_ms or milliseconds(event)
        visit = self._of_event.get(event["previousEventId"])
        if kind.endswith(ENTERED):
            visit = self._enter(event, kind.removesuffix(ENTERED), visit)
        elif kind.startswith("Execution"):
            self._execution(event, kind)
        elif visit is not None:
            visit = self._step(visit, event, kind, milliseconds(event))
        self._of_event[number] = visit

    def _enter(self, event: Event, kind: str, previous: Visit | None) -> Visit:
        outer, branch = None if previous is None else previous.outer, 0 if previous is None else previous.branch
        opened = self._opened.get(event["previousEventId"])
        if opened is not None:
            outer, branch = opened
            if outer.kind == "Parallel":
                outer.branches += 1
                branch = outer.branches
        visit = Visit(event["stateEnteredEventDetails"]["name"], kind, milliseconds(event), outer, branch)
        self.all.append(visit)
        if outer is not None:
            outer.inner.append(visit)
        return visit

    def _step(self, visit: Visit, event: Event, kind: str, at_ms: int) -> Visit:
        """Takes an event of a visit; returns the visit to which what follows belongs."""
        details = details_of(event)
        if kind in STARTS:
            return self._try(visit, event, kind, at_ms)
        if kind == "MapIterationStarted":
            owner = visit.around("Map")
            self._opened[event["id"]] = owner, details.get("index", 0)
            return owner
        if kind == "TaskSubmitted":
            visit.job_ids += job_ids_in(details.get("output", ""))
        elif kind in FAILURES:
            visit.failed_ms, visit.failure = at_ms, details.get("error", "") or kind
        elif kind in ("MapStateFailed", "ParallelStateFailed", "MapIterationFailed"):
            self._fail(visit, at_ms)
            owner = visit.around(kind.removesuffix("StateFailed").removesuffix("IterationFailed"))
            owner.failed_ms, owner.failure = at_ms, owner.failure or visit.failure
        elif kind.endswith(EXITED):
            left = visit.named(details.get("name", ""))
            left.leave(CAUGHT if left.failed_ms is not None else SUCCEEDED, at_ms)
            return left
        elif kind.endswith(STATE_ABORTED):
            self._aborted(visit, kind.removesuffix(STATE_ABORTED)).leave(ABORTED, at_ms)
        return visit

    def _aborted(self, visit: Visit, kind: str) -> Visit:
        """Returns a visit of this type that was cut off by the failure of `visit`, beside which it ran: the event names
        the failure alone."""
        beside = [] if visit.outer is None else list(visit.outer.inner)
        while beside:
            one = beside.pop(0)
            if one.status == RUNNING and one.kind == kind:
                return one
            beside += one.inner
        return visit

    def _try(self, visit: Visit, event: Event, kind: str, at_ms: int) -> Visit:
        """Takes the begin of a try: the first, a retry, or that of a redrive."""
        owner = visit
        if kind in OPENING:
            owner = visit.around(kind.removesuffix("StateStarted"))
            if owner is not visit:  # it follows the event at which the last try failed
                self._fail(visit, at_ms)
                owner.failed_ms = owner.failed_ms or visit.left_ms
            if kind == "ParallelStateStarted":
                self._opened[event["id"]] = owner, 0
        if owner.failed_ms is not None:
            owner.retry_ms += at_ms - owner.failed_ms
        owner.status, owner.left_ms, owner.failed_ms = RUNNING, None, None
        owner.tries += 1
        owner.work = details_of(event).get("resource", "") or owner.work
        return owner

    def _fail(self, visit: Visit, at_ms: int) -> None:
        if visit.status == RUNNING and not visit.inner:
            visit.leave(FAILED, at_ms if visit.failed_ms is None else visit.failed_ms)

    def _execution(self, event: Event, kind: str) -> None:
        if kind in ("ExecutionStarted", "ExecutionRedriven"):
            self.end = None
            return
        self.end = event
        status = {"ExecutionSucceeded": SUCCEEDED, "ExecutionFailed": FAILED}.get(kind, ABORTED)
        for visit in self.all:
            if visit.status == RUNNING:
                visit.leave(status, milliseconds(event))


def milliseconds(event: Event) -> int:
    at_seconds: float = event["timestamp"]
    return round(at_seconds * 1000)


def details_of(event: Event) -> dict[str, Any]:
    """Returns the details of an event, whichever its type."""
    for member, value in event.items():
        if member.endswith("EventDetails"):
            return dict(value)
    return {}


def job_ids_in(output: str) -> list[str]:
    """Returns the id of the job in an answer of SubmitJob; none: it is an answer of something else."""
    try:
        found = json.loads(output)
    except ValueError:
        return []
    return [str(found["JobId"])] if isinstance(found, dict) and "JobId" in found else []


def critical_path(visits: Visits) -> list[Visit]:
    """Returns the visits that the end of the execution waited for, in their order: of branches and iterations that ran
    beside each other the one that ended last."""
    return _path([visit for visit in visits.all if visit.outer is None])


def _path(visits: list[Visit]) -> list[Visit]:
    found: list[Visit] = []
    for visit in visits:
        found.append(visit)
        if visit.inner:
            last = max(visit.inner, key=lambda one: (one.left_ms or 0, one.entered_ms))
            found += _path([one for one in visit.inner if one.branch == last.branch])
    return found
