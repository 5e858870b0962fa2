"""The records of Step Functions' executions, as the store takes and gives them: executions, their frames, the events of
their histories and the map runs of distributed Maps (step functions spec 4, 5, 12)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct

from batchyard.core.model.fact_kinds import Fact, register

STANDARD, EXPRESS = "STANDARD", "EXPRESS"  # types of state machines


class ExecutionStatus(StrEnum):
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    ABORTED = "ABORTED"
    PENDING_REDRIVE = "PENDING_REDRIVE"  # of children of map runs alone

    @property
    def is_final(self) -> bool:
        return self in _FINAL


_FINAL = frozenset({"SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"})


class Logging(Struct, frozen=True):
    """The loggingConfiguration of a state machine. `log_group_arn`: its destination; empty: none."""

    level: str = "OFF"  # ALL, ERROR, FATAL or OFF
    includes_data: bool = False
    log_group_arn: str = ""


class Execution(Struct, frozen=True, kw_only=True):
    """An execution. It is written when it starts, ends and is redriven, not with each step.

    `key`: its number, ascending. `machine_arn`: without version or alias; of a child of a map run
    `...:stateMachine:NAME/LABEL`. `revision_id`: of the definition that it runs, also after the machine has a new one.
    `input`: the text as given. `output`: JSON text; None: none. `error`, `cause`: None where there is none.
    `deadline_ms`: when its TimeoutSeconds are over; 0: never."""

    key: int
    arn: str
    machine_arn: str
    name: str
    type: str
    status: ExecutionStatus
    revision_id: str
    role_arn: str
    input: str
    started_at_ms: int
    version_arn: str = ""  # that it was started by
    alias_arn: str = ""
    stopped_at_ms: int = 0
    output: str | None = None
    error: str | None = None
    cause: str | None = None
    deadline_ms: int = 0
    redrive_count: int = 0
    redriven_at_ms: int = 0
    map_run_arn: str = ""  # of a child of a distributed Map
    map_index: int = 0  # of a child: its place among the children
    item_count: int = 0  # of a child: its items, more than one in a batch of items
    logging: Logging = Logging()
    trace_header: str = ""
    has_given_name: bool = False  # the caller named it


class FramePhase(StrEnum):
    """What a frame waits for."""

    RUNNABLE = "RUNNABLE"  # nothing: its state is about to be entered
    CALLING = "CALLING"  # the answer of an integration's call
    WAITS_FOR_JOB = "WAITS_FOR_JOB"  # the end of the job `target`
    WAITS_FOR_EXECUTION = "WAITS_FOR_EXECUTION"  # the end of the execution `target`
    WAITS_FOR_TOKEN = "WAITS_FOR_TOKEN"  # SendTaskSuccess or SendTaskFailure
    WAITS_FOR_WORKER = "WAITS_FOR_WORKER"  # a worker of the activity `target` to take its task
    WITH_WORKER = "WITH_WORKER"  # a worker that has taken it
    SLEEPING = "SLEEPING"  # the end of a Wait state, `due_ms`
    RETRYING = "RETRYING"  # the end of a retrier's delay, `due_ms`
    RUNS_CHILDREN = "RUNS_CHILDREN"  # its branches or iterations, frames whose parent it is
    READS_ITEMS = "READS_ITEMS"  # the items of the map run `target`
    RUNS_MAP = "RUNS_MAP"  # the map run `target`
    WRITES_RESULTS = "WRITES_RESULTS"  # the results of the map run `target` to be written
    ENDING = "ENDING"  # nothing: it has ended as ENDED says, which its parent or execution is about to learn
    ENDED = "ENDED"  # nothing: it has `output`, or has failed with `error` and `cause`
    ABORTED = "ABORTED"  # nothing: it was open when another branch failed, or its execution ended


class Frame(Struct, frozen=True, kw_only=True):
    """One thread of control of an execution: the top level (id 0), a branch of a Parallel state, or an iteration of a
    Map. Each is a row of its own. Those of an execution that did not succeed are kept, to be redriven.

    `id`: its number within the execution. `parent`: the frame whose Parallel or Map state it runs in; -1: none.
    `place`: its branch or item. `input`: the raw input of its state, JSON text. `previous_event_id`: the last event of
    its chain in the history. `variables`: those of its own scope, a JSON object; empty: none."""

    execution_key: int
    id: int
    state: str
    phase: FramePhase
    input: str
    parent: int = -1
    place: int = 0
    previous_event_id: int = 0
    entered_event_id: int = 0  # of the event StateEntered; 0: not entered
    entered_at_ms: int = 0
    variables: str = ""
    retry_counts: tuple[int, ...] = ()  # by retrier, of this visit of the state
    call_event_id: int = 0  # of TaskScheduled or ActivityScheduled, or ...Started of a Parallel or Map
    target: str = ""
    due_ms: int = 0
    timeout_ms: int = 0  # when the Task's TimeoutSeconds are over; 0: never
    heartbeat_ms: int = 0  # between two heartbeats; 0: none is asked for
    heartbeat_due_ms: int = 0
    work: str = ""  # JSON text: arguments of a call, an activity's input, the items of a Map, the input of branches
    early_end: str = ""  # of a call: a SendTaskSuccess or SendTaskFailure that came before its answer, JSON text
    retry_count: int = 0  # of all retriers
    concurrency: int = 0  # of a Map: how many iterations may run at once; 0: all
    is_failed: bool = False  # it has ended with a failure, which may have neither error nor cause
    output: str | None = None
    error: str | None = None
    cause: str | None = None
    error_aliases: tuple[str, ...] = ()  # further names by which the error is caught


class HistoryEvent(Struct, frozen=True):
    """An event of an execution's history. `details`: its ...EventDetails, by the names of AWS's members, payloads as
    JSON text, without inputDetails and outputDetails; None: it has none."""

    execution_key: int
    id: int
    previous_event_id: int
    at_ms: int
    type: str
    details: dict[str, Any] | None = None


class MapRunStatus(StrEnum):
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    ABORTED = "ABORTED"


class MapRunCounts(Struct, frozen=True):
    """Counts of the children or items of a map run, by status; those that are pending are what remains of `total`."""

    total: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    timed_out: int = 0
    aborted: int = 0
    pending_redrive: int = 0

    @property
    def pending(self) -> int:
        done = self.succeeded + self.failed + self.timed_out + self.aborted + self.pending_redrive
        return self.total - self.running - done


class MapRun(Struct, frozen=True, kw_only=True):
    """A map run: what a distributed Map's children have in common (DescribeMapRun)."""

    arn: str
    execution_key: int
    execution_arn: str
    frame_id: int  # of the Map state
    execution_type: str  # of its children
    state: str  # the name of the Map state
    machine_arn: str  # of its children: `...:stateMachine:NAME/LABEL`
    status: MapRunStatus
    started_at_ms: int
    stopped_at_ms: int = 0
    max_concurrency: int = 0
    tolerated_failure_count: int = 0
    tolerated_failure_percentage: float = 0.0
    items: MapRunCounts = MapRunCounts()
    executions: MapRunCounts = MapRunCounts()
    redrive_count: int = 0
    redriven_at_ms: int = 0


@register
class ExecutionChanged(Fact, frozen=True, tag="execution"):
    """A STANDARD execution came into `status`: RUNNING at its start and when it is redriven. `started_at_ms`: when it
    started, or was redriven the last time."""

    key: int
    arn: str
    status: ExecutionStatus
    started_at_ms: int = 0
    redrive_count: int = 0


@register
class ExpressExecutionChanged(Fact, frozen=True, tag="express-execution"):
    """An EXPRESS execution came into `status`. No consumer stores it: it makes no event (step functions spec 16)."""

    arn: str
    status: ExecutionStatus
    started_at_ms: int = 0


# Types of events whose details have a member name that the type alone does not give.
_STATE_DETAILS = (("StateEntered", "stateEnteredEventDetails"), ("StateExited", "stateExitedEventDetails"))


def details_member(event_type: str) -> str:
    """Returns the member of a HistoryEvent that has the details of events of this type (step functions spec 5)."""
    for ending, member in _STATE_DETAILS:
        if event_type.endswith(ending):
            return member
    return f"{event_type[0].lower()}{event_type[1:]}EventDetails"
