"""The end of executions, and of frames that are cut off: what they began is ended too."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from batchyard.core.model.executions import ExecutionStatus, Frame, FramePhase, MapRunCounts, MapRunStatus
from batchyard.workflows.compiled_states import TaskState
from batchyard.workflows.executions.abandoned_calls import ABANDONED_CALL, AbandonedCall
from batchyard.workflows.executions.open_executions import (
    Failure,
    OpenExecution,
    OpenExecutions,
    is_open,
)

MAX_ERROR_CHARACTERS, MAX_CAUSE_CHARACTERS = 256, 32_768  # of an execution (step functions spec 2)
TIMEOUT = "States.Timeout"
HISTORY_FULL = Failure("States.Runtime", "The execution reached the maximum number of history events (25000).")
_EVENTS = {
    ExecutionStatus.FAILED: "ExecutionFailed",
    ExecutionStatus.ABORTED: "ExecutionAborted",
    ExecutionStatus.TIMED_OUT: "ExecutionTimedOut",
}
# Types of states whose end by another's failure has an event of its own.
_WITH_ABORTED = frozenset({"Task", "Wait", "Map", "Parallel"})


def end_top_frame(world: OpenExecutions, execution: OpenExecution, frame: Frame) -> None:
    """Ends an execution whose top level has come to its end."""
    world.put(execution, replace(frame, phase=FramePhase.ENDED))
    if frame.is_failed:
        failure = Failure(frame.error, frame.cause)
        close(world, execution, ExecutionStatus.FAILED, failure, previous=frame.previous_event_id)
        return
    assert frame.output is not None, "what succeeds has an output"
    world.emit(execution, frame.previous_event_id, "ExecutionSucceeded", {"output": frame.output})
    _close(world, execution, ExecutionStatus.SUCCEEDED, output=frame.output)


def close(
    world: OpenExecutions,
    execution: OpenExecution,
    status: ExecutionStatus,
    failure: Failure,
    previous: int = 0,
) -> None:
    """Ends an execution that did not succeed."""
    error = None if failure.error is None else failure.error[:MAX_ERROR_CHARACTERS]
    cause = None if failure.cause is None else failure.cause[:MAX_CAUSE_CHARACTERS]
    details: dict[str, Any] = {}
    if error is not None:
        details["error"] = error
    if cause is not None:
        details["cause"] = cause
    world.emit(execution, previous, _EVENTS[status], details)
    if status is ExecutionStatus.TIMED_OUT and execution.is_durable:
        error = None  # DescribeExecution has none (step functions spec 4)
    _close(world, execution, status, error=error, cause=cause)


def time_out(world: OpenExecutions, execution: OpenExecution) -> None:
    """Ends an execution whose TimeoutSeconds are over."""
    close(world, execution, ExecutionStatus.TIMED_OUT, Failure(TIMEOUT))


def _close(
    world: OpenExecutions,
    execution: OpenExecution,
    status: ExecutionStatus,
    output: str | None = None,
    error: str | None = None,
    cause: str | None = None,
) -> None:
    record = execution.record
    for frame in list(execution.frames.values()):
        if is_open(frame):
            abort_frame(world, execution, frame)
    if status is ExecutionStatus.SUCCEEDED:
        for frame_id in list(execution.frames):
            world.drop(execution, frame_id)
    closed = replace(
        record, status=status, stopped_at_ms=world.now_ms, output=output, error=error, cause=cause, deadline_ms=0
    )
    world.put_record(execution, closed)
    del world.open[record.key]
    del world.keys[record.arn]
    if record.map_run_arn:
        world.children.get(record.map_run_arn, set()).discard(record.key)
    else:
        world.registry.execution_ended(machine_name(record.machine_arn))
    world.ended.append(closed)


def abort_branches(
    world: OpenExecutions, execution: OpenExecution, frame: Frame, failed: Frame | None, previous: int
) -> None:
    """Cuts off what runs in a Parallel or Map of which a branch or iteration has failed, or None, and the state itself
    has. `previous`: the failing event, which precedes all events of this (step functions spec 5)."""
    state = world.state_of(execution, frame)
    has_aborted = False
    for child in world.children_of(execution, frame.id):
        if (failed is not None and child.id == failed.id) or not is_open(child):
            continue
        _abort_with_events(world, execution, child, previous)
        if state.type == "Map":
            world.emit(execution, previous, "MapIterationAborted", {"name": frame.state, "index": child.place})
        has_aborted = True
    has_timed_out = failed is not None and failed.error == TIMEOUT and state.type == "Map"
    if has_aborted and failed is not None and has_timed_out and world.state_of(execution, failed).type == "Task":
        world.emit(execution, previous, "TaskStateAborted")  # recorded of a task that timed out beside others


def _abort_with_events(world: OpenExecutions, execution: OpenExecution, frame: Frame, previous: int) -> None:
    state = world.state_of(execution, frame)
    if frame.phase is FramePhase.RUNS_CHILDREN:
        for child in world.children_of(execution, frame.id):
            if is_open(child):
                _abort_with_events(world, execution, child, previous)
                if state.type == "Map":
                    details = {"name": frame.state, "index": child.place}
                    world.emit(execution, previous, "MapIterationAborted", details)
    if state.type in _WITH_ABORTED and frame.phase not in (FramePhase.RUNNABLE, FramePhase.ENDING):
        world.emit(execution, previous, f"{state.type}StateAborted")
    abort_frame(world, execution, frame)


def abort_frame(world: OpenExecutions, execution: OpenExecution, frame: Frame) -> None:
    """Cuts one frame off."""
    if frame.phase is FramePhase.ENDING:
        world.put(execution, replace(frame, phase=FramePhase.ENDED))
        return
    if frame.target in world.map_runs:
        abort_map_run(world, frame.target, MapRunStatus.ABORTED)
    else:
        abandon_call(world, execution, frame)
    world.put(
        execution,
        replace(
            frame, phase=FramePhase.ABORTED, due_ms=0, timeout_ms=0, heartbeat_due_ms=0, heartbeat_ms=0, early_end=""
        ),
    )


def abandon_call(world: OpenExecutions, execution: OpenExecution, frame: Frame) -> None:
    """Ends what an open call of a frame has begun. A call that has not answered has begun nothing: it is carried out
    only while its frame is CALLING."""
    if frame.phase is FramePhase.WAITS_FOR_JOB:
        world.jobs.pop(frame.target, None)
    elif frame.phase is FramePhase.WAITS_FOR_EXECUTION:
        waiting = world.waiting.get(frame.target, [])
        waiting.remove((execution.record.key, frame.id))
        if not waiting:
            del world.waiting[frame.target]
    elif frame.phase is not FramePhase.WAITS_FOR_TOKEN:
        return
    if not frame.target:
        return
    state = world.state_of(execution, frame)
    assert isinstance(state, TaskState), "only tasks call"
    call = AbandonedCall(call_key(execution, frame.call_event_id), state.resource.arn, frame.target)
    world.changes.documents[ABANDONED_CALL, call.key] = world.abandoned[call.key] = call
    world.effects.append(call.effect)


def abort_map_run(world: OpenExecutions, arn: str, status: MapRunStatus) -> None:
    """Ends a map run that does not succeed, and its open children."""
    run = world.map_runs.pop(arn)
    children = sorted(world.children.pop(arn, ()))
    for key in children:
        child = world.open[key]
        if child.record.status is ExecutionStatus.PENDING_REDRIVE:  # its history has its end already
            for inner in [frame.target for frame in child.frames.values() if frame.target in world.map_runs]:
                abort_map_run(world, inner, MapRunStatus.ABORTED)
            _close(world, child, ExecutionStatus.ABORTED, error=child.record.error, cause=child.record.cause)
        else:
            close(world, child, ExecutionStatus.ABORTED, Failure(None))
    world.changes.map_runs[arn] = replace(
        run,
        status=status,
        stopped_at_ms=world.now_ms,
        executions=_aborted(run.executions),
        items=_aborted(run.items),
    )


def _aborted(counts: MapRunCounts) -> MapRunCounts:
    """Returns the counts after what ran, or had not begun, was aborted."""
    return replace(counts, running=0, aborted=counts.aborted + counts.running + counts.pending)


def call_key(execution: OpenExecution, event_id: int) -> str:
    return f"{execution.record.arn}/{event_id}"


def machine_name(arn: str) -> str:
    """Returns the name in the ARN of a state machine."""
    return arn.rpartition(":")[2]
