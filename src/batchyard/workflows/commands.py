"""What goes in and out of the machine of executions: commands of the API, reports of those that carry out its effects,
and the effects. Commands about state machines and activities are in registry_commands.

Effects about calls are repeated after a crash: they are to be carried out idempotently by their `key`."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from batchyard.core.model.commands import Command
from batchyard.core.model.effects import Effect
from batchyard.core.model.executions import Execution, Frame, HistoryEvent, Logging, MapRun
from batchyard.workflows.resources import Resource

# -- commands --


class Started(Struct, frozen=True):
    arn: str
    started_at_ms: int


class StartExecution(Command[Started], frozen=True):
    """Starts an execution. `machine_arn`: of a machine, version or alias. `name`: the caller's, or made for it
    (`has_given_name` False). `uuid`: of the ARN of an EXPRESS execution, new for each call. `is_sync`: its end is
    awaited: the effect ExecutionEnded has it; await that before asking.

    The machine knows open executions, and named ones that closed in the last minute. Ask the store first: an execution
    of that ARN that has closed is ExecutionAlreadyExists."""

    machine_arn: str
    name: str
    input: str
    uuid: str
    has_given_name: bool = False
    is_sync: bool = False
    trace_header: str = ""


class StopExecution(Command[int | None], frozen=True):
    """Stops an execution; the answer is when. None: it is not open; the store knows whether and when it closed."""

    arn: str
    error: str | None = None
    cause: str | None = None


class RedriveExecution(Command[int], frozen=True):
    """Continues a closed execution; the answer is the time. `execution`, `frames`: its own, as the store has them;
    `history_end`: the id of its last event. `map_runs`: its own and those of its children, outer ones first.
    `children`: of these map runs, those that did not succeed, with their frames and the id of their last event."""

    execution: Execution
    frames: tuple[Frame, ...]
    history_end: int
    map_runs: tuple[MapRun, ...] = ()
    children: tuple[tuple[Execution, tuple[Frame, ...], int], ...] = ()
    client_token: str = ""


class SendTaskSuccess(Command[None], frozen=True):
    """`output`: checked JSON text."""

    token: str
    output: str


class SendTaskFailure(Command[None], frozen=True):
    token: str
    error: str | None = None
    cause: str | None = None


class SendTaskHeartbeat(Command[None], frozen=True):
    token: str


class ActivityTask(Struct, frozen=True):
    token: str
    input: str


class TakeActivityTask(Command[ActivityTask | None], frozen=True):
    """Takes the oldest task of an activity. None: there is none now; ask again when ActivityTaskReady comes."""

    activity_arn: str
    worker_name: str | None = None


class UpdateMapRun(Command[None], frozen=True):
    """Changes a map run that runs; None: unchanged. Refused when it is over; one that the store does not know either
    is the caller's ResourceNotFound."""

    arn: str
    max_concurrency: int | None = None
    tolerated_failure_count: int | None = None
    tolerated_failure_percentage: float | None = None


# -- reports --


class CallReport(Struct, frozen=True, kw_only=True):
    """Report about the call that the frame made at the event `event_id`. After the end of the call it changes
    nothing."""

    execution_key: int
    frame_id: int
    event_id: int


class CallAnswered(CallReport, frozen=True, kw_only=True):
    """`output`: the answer as a JSON value, where `error` is None. `stage`: with an error: SUBMIT where the call of a
    .sync or .waitForTaskToken integration failed (TaskSubmitFailed); empty: TaskFailed."""

    output: Any = None
    error: str | None = None
    cause: str | None = None
    stage: str = ""


SUBMIT = "SUBMIT"


class JobDescribed(CallReport, frozen=True, kw_only=True):
    """`has_ended`: False: it still runs, the rest has no meaning. `output`: its JobDetail in PascalCase."""

    has_ended: bool
    is_succeeded: bool = False
    output: Any = None


class ChildDescribed(CallReport, frozen=True, kw_only=True):
    """`execution`: as the store has it, also when it still runs; None: there is none."""

    execution: Execution | None


class ItemsRead(CallReport, frozen=True, kw_only=True):
    """What an ItemReader has read: `items`, JSON values, where `error` is None."""

    items: list[Any] = []
    error: str | None = None
    cause: str | None = None


class ResultsWritten(CallReport, frozen=True, kw_only=True):
    """`output`: the result of the Map, `{MapRunArn, ResultWriterDetails}`, where `error` is None."""

    output: Any = None
    error: str | None = None
    cause: str | None = None


class CallAbandoned(Struct, frozen=True):
    """What AbandonCall asked for is done, or is not possible any more."""

    key: str


# -- effects --


class CallIntegration(Effect, frozen=True, kw_only=True):
    """Calls an integration and reports CallAnswered. `key`: `<execution ARN>/<id of TaskScheduled>`."""

    execution_key: int
    execution_arn: str
    frame_id: int
    event_id: int
    key: str
    resource: Resource
    arguments: Any  # JSON value
    machine_arn: str
    machine_role_arn: str
    timeout_ms: int = 0  # when the task's time is over; 0: never


class DescribeJob(Effect, frozen=True, kw_only=True):
    """Describes a job of which it is not known that it runs, and reports JobDescribed."""

    execution_key: int
    frame_id: int
    event_id: int
    job_id: str


class DescribeChild(Effect, frozen=True, kw_only=True):
    """Reads an execution that a .sync task waits for and that is not open, and reports ChildDescribed."""

    execution_key: int
    frame_id: int
    event_id: int
    arn: str


class ReadItems(Effect, frozen=True, kw_only=True):
    """Reads the items of a distributed Map, and reports ItemsRead. `reader`: its ItemReader, with Parameters or
    Arguments and MaxItems evaluated."""

    execution_key: int
    frame_id: int
    event_id: int
    reader: dict[str, Any]


class WriteResults(Effect, frozen=True, kw_only=True):
    """Writes the results of a map run whose children have ended, and reports ResultsWritten. `writer`: its
    ResultWriter, evaluated. The children are in the store."""

    execution_key: int
    frame_id: int
    event_id: int
    writer: dict[str, Any]
    map_run_arn: str


class AbandonCall(Effect, frozen=True, kw_only=True):
    """Ends what a call has begun and the execution no longer waits for: terminates a job ("Terminated by Step
    Functions") or stops an execution. Reports CallAbandoned. `target`: job id or ARN; empty: the call had not answered:
    what it began is found by `key`, and must not begin any more."""

    key: str
    resource: Resource
    target: str


class ExecutionEnded(Effect, frozen=True):
    """A synchronous EXPRESS execution has ended."""

    execution: Execution


class ActivityTaskReady(Effect, frozen=True):
    """An activity has a task that no worker has taken."""

    activity_arn: str


class LogHistory(Effect, frozen=True):
    """Events of an execution whose machine logs; to be filtered by its level. Those of EXPRESS executions are stored
    nowhere else."""

    execution_arn: str
    logging: Logging
    events: tuple[HistoryEvent, ...]
    redrive_count: int = 0
