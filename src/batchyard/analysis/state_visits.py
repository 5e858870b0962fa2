"""What an execution did, as its history shows it: the visits of its states. From values to values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

Event = dict[str, Any]

RUNNING, SUCCEEDED, FAILED, CAUGHT, ABORTED = "RUNNING", "SUCCEEDED", "FAILED", "CAUGHT", "ABORTED"
ENTERED, EXITED, STATE_ABORTED = "StateEntered", "StateExited", "StateAborted"
CONTAINERS = ("Parallel", "Map")
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
_EVENTS_OF = {"Task": ("Task", "Activity")}  # how types of events begin, where not with the state's
STARTS = ("TaskScheduled", "ActivityScheduled", "MapStateStarted", "ParallelStateStarted")


@dataclass(eq=False)
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
    before: Visit | None = None  # what its begin waited for; of an iteration, for the one that made room
    ends: list[Visit] = field(default_factory=list)  # with which its tries ended: visits of branches or iterations
    executions: list[str] = field(default_factory=list)  # ARNs of those that it began
    map_run_arn: str = ""
    seen_ms: int = 0  # of the last event that is its own
    waited_ms: int = 0  # from an end of its execution to the redrive that continued it

    @property
    def job_id(self) -> str:
        """Returns the id of the job of its last try that submitted one; empty: it has submitted none."""
        return self.job_ids[-1] if self.job_ids else ""

    @property
    def depth(self) -> int:
        return 0 if self.outer is None else self.outer.depth + 1

    @property
    def waits_for_end(self) -> bool:
        """Whether it waits for the end of what it began."""
        return self.work.endswith((".sync", ".sync:2"))

    def lasted_ms(self, now_ms: int) -> int:
        return (now_ms if self.left_ms is None else self.left_ms) - self.entered_ms

    def leave(self, status: str, at_ms: int) -> None:
        self.status, self.left_ms = status, at_ms

    def resume(self, at_ms: int) -> None:
        """Takes a redrive."""
        self.waited_ms += at_ms - (self.left_ms or at_ms)
        self.failed_ms = None if self.failed_ms is None else at_ms
        self.status, self.left_ms = RUNNING, None

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
        self._redriven_id, self._redriven_ms = -1, 0  # of the last redrive
        self._cut_off: list[Visit] = []  # visits that it may continue
        self._of_event: dict[int, Visit | None] = {0: None}
        # Branches and iterations by the event that opens them: the state, the number, and what the begin waited for.
        self._opened: dict[int, tuple[Visit, int, Visit]] = {}

    def add(self, event: Event) -> None:
        """Takes the next event."""
        number, kind = event["id"], event["type"]
        if number <= self.last_id:
            return
        self.last_id = number
        self.started_ms = self.started_ms or milliseconds(event)
        before = event["previousEventId"]
        visit = self._resumed(event, kind) if before == self._redriven_id else self._of_event.get(before)
        if kind.endswith(ENTERED):
            visit = self._enter(event, kind.removesuffix(ENTERED), visit)
        elif kind.startswith("Execution"):
            self._execution(event, kind)
        elif visit is not None:
            visit = self._step(visit, event, kind, milliseconds(event))
        self._of_event[number] = visit

    @property
    def last(self) -> Visit | None:
        """Returns the visit that the end of the execution followed; None: there is none."""
        followed = self._of_event.get(self.end["previousEventId"]) if self.end is not None else None
        leaves = [visit for visit in self.all if not visit.inner]
        return followed or max(leaves, key=lambda one: (one.left_ms or 0, one.entered_ms), default=None)

    def _enter(self, event: Event, kind: str, previous: Visit | None) -> Visit:
        outer, branch = None if previous is None else previous.outer, 0 if previous is None else previous.branch
        opened = self._opened.get(event["previousEventId"])
        if opened is not None:
            outer, branch, previous = opened
            if outer.kind == "Parallel":
                outer.branches += 1
                branch = outer.branches
        name, at_ms = event["stateEnteredEventDetails"]["name"], milliseconds(event)
        visit = Visit(name, kind, at_ms, outer, branch, before=previous, seen_ms=at_ms)
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
            self._opened[event["id"]] = owner, details.get("index", 0), visit
            return owner
        if kind == "TaskSubmitted":
            self._submitted(visit, details.get("output", ""))
        elif kind == "MapRunStarted":
            visit.map_run_arn = details.get("mapRunArn", "")
        elif kind in FAILURES:
            visit.failed_ms, visit.failure = at_ms, details.get("error", "") or kind
        elif kind in ("MapStateFailed", "ParallelStateFailed", "MapIterationFailed"):
            self._fail(visit)
            owner = visit.around(kind.removesuffix("StateFailed").removesuffix("IterationFailed"))
            owner.failed_ms, owner.failure = at_ms, owner.failure or visit.failure
        elif kind.endswith(EXITED):
            left = visit.named(details.get("name", ""))
            if left is not visit and left.kind in CONTAINERS:
                left.ends.append(visit)
            left.leave(CAUGHT if left.failed_ms is not None else SUCCEEDED, at_ms)
            return left
        elif kind.endswith(STATE_ABORTED):
            self._aborted(visit, kind.removesuffix(STATE_ABORTED)).leave(ABORTED, at_ms)
            return visit
        visit.seen_ms = at_ms
        return visit

    def _submitted(self, visit: Visit, output: str) -> None:
        visit.job_ids += ids_in(output, "JobId")
        visit.executions += ids_in(output, "ExecutionArn")

    def _aborted(self, visit: Visit, kind: str) -> Visit:
        """Returns a visit of this type that was cut off by the failure of `visit`, beside which it ran: the event names
        the failure alone."""
        beside = [] if visit.outer is None else list(visit.outer.inner)
        while beside:
            one = beside.pop(0)
            if one.status == RUNNING and one.kind == kind:
                return one
            beside += one.inner
        # One that a redrive has continued without an event: it is cut off again.
        return next((one for one in self._cut_off if one.kind == kind), visit)

    def _try(self, visit: Visit, event: Event, kind: str, at_ms: int) -> Visit:
        """Takes the begin of a try: the first, a retry, or that of a redrive."""
        owner = visit
        if kind in OPENING:
            owner = visit.around(kind.removesuffix("StateStarted"))
            if owner is not visit:  # it follows the event at which the last try failed
                self._fail(visit)
                owner.failed_ms = owner.failed_ms or visit.left_ms
                owner.ends.append(visit)
            if kind == "ParallelStateStarted":
                self._opened[event["id"]] = owner, 0, owner
        if owner.failed_ms is not None:
            owner.retry_ms += at_ms - owner.failed_ms
        owner.status, owner.left_ms, owner.failed_ms = RUNNING, None, None
        owner.tries += 1
        owner.work = details_of(event).get("resource", "") or owner.work
        return owner

    def _fail(self, visit: Visit) -> None:
        if visit.status == RUNNING and not visit.inner:
            visit.leave(FAILED, visit.seen_ms)

    def _execution(self, event: Event, kind: str) -> None:
        if kind == "ExecutionStarted":
            return
        if kind == "ExecutionRedriven":
            self.end, self._redriven_id, self._redriven_ms = None, event["id"], milliseconds(event)
            self._cut_off = [visit for visit in self.all if visit.status in (FAILED, ABORTED)]
            return
        self.end = event
        status = {"ExecutionSucceeded": SUCCEEDED, "ExecutionFailed": FAILED}.get(kind, ABORTED)
        for visit in self.all:
            if visit.status == RUNNING:
                visit.leave(status, milliseconds(event))

    def _resumed(self, event: Event, kind: str) -> Visit | None:
        """Returns the visit that a redrive continues with this event, which follows that of the redrive: the event has
        the state's name, or its type alone."""
        name = details_of(event).get("name", "")
        for visit in self._cut_off:
            if visit.name == name or (not name and kind.startswith(_EVENTS_OF.get(visit.kind, visit.kind))):
                self._cut_off.remove(visit)
                resumed = visit.outer if kind.endswith(ENTERED) else visit
                while resumed is not None and resumed.left_ms is not None and resumed.status != SUCCEEDED:
                    resumed.resume(self._redriven_ms)
                    resumed = resumed.outer
                return visit
        return None


def milliseconds(event: Event) -> int:
    at_seconds: float = event["timestamp"]
    return round(at_seconds * 1000)


def details_of(event: Event) -> dict[str, Any]:
    """Returns the details of an event, whichever its type."""
    for member, value in event.items():
        if member.endswith("EventDetails"):
            return dict(value)
    return {}


def ids_in(output: str, member: str) -> list[str]:
    """Returns the id that an answer has as this member; none: it is an answer of something else."""
    try:
        found = msgspec.json.decode(output)
    except msgspec.DecodeError:
        return []
    return [str(found[member])] if isinstance(found, dict) and member in found else []
