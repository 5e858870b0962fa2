"""Redrive: a closed execution continues where it failed (step functions spec 4).

States that failed or were cut off run again with their input; branches, iterations and children that have succeeded do
not. Tasks, waits, Parallel and Map states begin again without a further StateEntered; others are entered again."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from batchyard.core.model.executions import (
    EXPRESS,
    Execution,
    ExecutionStatus,
    Frame,
    FramePhase,
    MapRun,
    MapRunCounts,
    MapRunStatus,
)
from batchyard.core.model.refusal import Refused
from batchyard.workflows.commands import RedriveExecution
from batchyard.workflows.compiled_states import CompiledMachine, MapState, StateScope
from batchyard.workflows.executions.beginnings import TOP_FRAME, deadline_ms
from batchyard.workflows.executions.endings import machine_name
from batchyard.workflows.executions.open_executions import (
    WHOLE,
    OpenExecution,
    OpenExecutions,
)
from batchyard.workflows.executions.progress import restore_progress

NOT_REDRIVABLE = "ExecutionNotRedrivable"
MAX_REDRIVES = 1_000  # of an execution (service quota)
MAX_REDRIVEN_EVENTS = 24_999  # an execution with more has no place for another event
REDRIVABLE_MS = 14 * 86_400_000  # after its end
_UNSUCCESSFUL = frozenset({MapRunStatus.FAILED, MapRunStatus.ABORTED})
_BEGUN_AGAIN = frozenset({"Task", "Wait", "Parallel", "Map"})  # without a further StateEntered


def check_redrivable(command: RedriveExecution, now_ms: int) -> None:
    """Raises Refused if an execution cannot be redriven."""
    record = command.execution
    if record.map_run_arn:
        raise Refused(
            "Execution is a child of a Map Run: redrive the execution of the Map Run instead.", NOT_REDRIVABLE
        )
    if record.type == EXPRESS or record.status not in (
        ExecutionStatus.FAILED,
        ExecutionStatus.ABORTED,
        ExecutionStatus.TIMED_OUT,
    ):
        raise Refused(f"Execution is {record.status.value} and cannot be redriven", NOT_REDRIVABLE)
    if record.redrive_count >= MAX_REDRIVES:
        raise Refused(f"Execution has reached the limit of {MAX_REDRIVES} redrives.", NOT_REDRIVABLE)
    if now_ms > record.stopped_at_ms + REDRIVABLE_MS:
        raise Refused("Execution ended more than 14 days ago and cannot be redriven", NOT_REDRIVABLE)
    if command.history_end >= MAX_REDRIVEN_EVENTS:
        text = "Execution has reached the maximum number of history events and cannot be redriven"
        raise Refused(text, NOT_REDRIVABLE)


def redrive(world: OpenExecutions, command: RedriveExecution, compiled: CompiledMachine) -> None:
    """Opens a closed execution again, and has it continued."""
    execution = _reopen(world, command.execution, compiled.scope, command.frames, command.history_end)
    world.registry.execution_restored(machine_name(command.execution.machine_arn))
    for run in command.map_runs:
        parent = world.open.get(run.execution_key)
        if parent is not None:
            _reopen_map_run(world, parent, run, command)
    restart(world, execution, compiled.timeout_seconds)


def restart(world: OpenExecutions, execution: OpenExecution, timeout_seconds: int | None = None) -> None:
    """Continues an execution that was opened again."""
    record = execution.record
    record = replace(
        record,
        status=ExecutionStatus.RUNNING,
        stopped_at_ms=0,
        output=None,
        error=None,
        cause=None,
        redrive_count=record.redrive_count + 1,
        redriven_at_ms=world.now_ms,
        deadline_ms=deadline_ms(world.now_ms, record.type, timeout_seconds),
    )
    world.put_record(execution, record)
    if record.deadline_ms:
        world.set_timer(execution, WHOLE, record.deadline_ms)
    details = {"redriveCount": record.redrive_count}
    redriven = world.emit(execution, execution.last_event_id, "ExecutionRedriven", details)
    top = execution.frames[TOP_FRAME]
    if _has_succeeded(top):  # it was stopped when only its end was left
        top = replace(top, phase=FramePhase.ENDING, previous_event_id=redriven)
        world.queue(execution, world.put(execution, top))
    else:
        _restart_frame(world, execution, top, redriven)


def _reopen(
    world: OpenExecutions, record: Execution, scope: StateScope, frames: Sequence[Frame], history_end: int
) -> OpenExecution:
    execution = OpenExecution(record, scope)
    execution.last_event_id = history_end
    for frame in sorted(frames, key=lambda frame: frame.id):
        world.link(execution, frame)
        execution.next_frame_id = frame.id + 1
    world.open[record.key] = execution
    world.keys[record.arn] = record.key
    return execution


def _reopen_map_run(world: OpenExecutions, execution: OpenExecution, run: MapRun, command: RedriveExecution) -> None:
    """Opens a map run again, and those of its children that did not succeed."""
    frame = execution.frames.get(run.frame_id)
    is_last = frame is not None and frame.target == run.arn  # not one that a retry of the Map has replaced
    if frame is None or not is_last or not run.items.total or run.status not in _UNSUCCESSFUL:
        return
    state = world.state_of(execution, frame)
    assert isinstance(state, MapState), "a map run belongs to a Map"
    world.children[run.arn] = set()
    pending = pending_items = 0
    for child, frames, history_end in command.children:
        if child.map_run_arn == run.arn and child.status.is_final:
            record = replace(child, status=ExecutionStatus.PENDING_REDRIVE)
            opened = _reopen(world, record, state.processor, frames, history_end)
            world.put_record(opened, record)
            world.children[run.arn].add(child.key)
            pending += 1
            pending_items += child.item_count
    for child_frame in world.children_of(execution, frame.id):
        if child_frame.is_failed:
            world.drop(execution, child_frame.id)
    world.put_map_run(
        replace(
            run,
            status=MapRunStatus.RUNNING,
            stopped_at_ms=0,
            redrive_count=run.redrive_count + 1,
            redriven_at_ms=world.now_ms,
            executions=_pending(run.executions, pending),
            items=_pending(run.items, pending_items),
        )
    )


def _pending(counts: MapRunCounts, redriven: int) -> MapRunCounts:
    return MapRunCounts(total=counts.total, succeeded=counts.succeeded, pending_redrive=redriven)


def _restart_frame(world: OpenExecutions, execution: OpenExecution, frame: Frame, redriven: int) -> None:
    if _has_succeeded(frame):
        return
    state = world.state_of(execution, frame)
    frame = replace(
        frame,
        phase=FramePhase.RUNNABLE,
        previous_event_id=redriven,
        retry_counts=(),
        retry_count=0,
        is_failed=False,
        error=None,
        cause=None,
        error_aliases=(),
        due_ms=0,
        early_end="",
    )
    children = world.children_of(execution, frame.id)
    if frame.target in world.map_runs and isinstance(state, MapState):
        run = world.map_runs[frame.target]
        details = {"mapRunArn": run.arn, "redriveCount": run.redrive_count}
        event_id = world.emit(execution, redriven, "MapRunRedriven", details)
        frame = world.put(execution, replace(frame, phase=FramePhase.RUNS_MAP, previous_event_id=event_id))
        restore_progress(world, execution, frame)
        if not execution.progress[frame.id].is_queued:  # it has to see that all have ended
            execution.progress[frame.id].is_queued = True
            world.queue(execution, frame)
    elif children and not (isinstance(state, MapState) and state.run is not None):
        frame = world.put(execution, replace(frame, phase=FramePhase.RUNS_CHILDREN))
        for child in children:
            _restart_frame(world, execution, child, redriven)
        if all(_has_succeeded(child) for child in children):  # the last one's end is still to be taken
            last = replace(children[-1], phase=FramePhase.ENDING, previous_event_id=redriven)
            world.queue(execution, world.put(execution, last))
        restore_progress(world, execution, frame)
    elif state.type in _BEGUN_AGAIN and frame.entered_event_id:
        for child in children:
            world.drop(execution, child.id)
        world.put(execution, replace(frame, phase=FramePhase.RETRYING, due_ms=world.now_ms, work="", target=""))
        world.set_timer(execution, frame.id, world.now_ms)
    else:
        world.queue(execution, world.put(execution, replace(frame, work="", target="")))


def _has_succeeded(frame: Frame) -> bool:
    return frame.phase is FramePhase.ENDED and not frame.is_failed
