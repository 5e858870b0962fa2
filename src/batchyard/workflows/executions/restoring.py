"""Open executions as the store has them, after a restart: what finds them, their timers, and the effects to repeat."""

from __future__ import annotations

from collections.abc import Callable

from batchyard.core.model.changes import Snapshot
from batchyard.core.model.effects import Effect
from batchyard.core.model.executions import Execution, ExecutionStatus, Frame, FramePhase
from batchyard.workflows.commands import ActivityTaskReady
from batchyard.workflows.compiled_states import CompiledMachine, MapState, StateScope
from batchyard.workflows.executions import activities, map_runs, tasks
from batchyard.workflows.executions.abandoned_calls import AbandonedCall
from batchyard.workflows.executions.endings import machine_name
from batchyard.workflows.executions.open_executions import (
    WHOLE,
    OpenExecution,
    OpenExecutions,
    is_open,
)
from batchyard.workflows.executions.progress import CONTAINING, restore_progress

MachineOf = Callable[[str], CompiledMachine]  # by the id of its revision
_QUEUED = frozenset({FramePhase.RUNNABLE, FramePhase.ENDING})


def restore(world: OpenExecutions, snapshot: Snapshot, machine_of: MachineOf) -> None:
    """Takes the open executions of a snapshot, parents before their children."""
    world.next_key = snapshot.next_execution_key
    world.map_runs = {run.arn: run for run in snapshot.map_runs}
    world.children = {arn: set() for arn in world.map_runs}
    frames: dict[int, list[Frame]] = {}
    for frame in snapshot.frames:
        frames.setdefault(frame.execution_key, []).append(frame)
    for record in sorted(snapshot.executions, key=lambda record: record.key):
        execution = OpenExecution(record, _scope_of(world, record, machine_of))
        execution.last_event_id = snapshot.history_ends[record.key]
        _link(world, execution, sorted(frames[record.key], key=lambda frame: frame.id))
    for execution in list(world.open.values()):
        for frame in list(execution.frames.values()):
            _restore_frame(world, execution, frame)
    for document in snapshot.documents.values():
        if isinstance(document, AbandonedCall):
            world.abandoned[document.key] = document


def recovered_effects(world: OpenExecutions) -> list[Effect]:
    """Returns the effects that may not have been carried out before the restart."""
    effects: list[Effect] = [call.effect for call in world.abandoned.values()]
    for execution in world.open.values():
        for frame in execution.frames.values():
            if frame.phase is FramePhase.CALLING:
                effects.append(tasks.call_of(world, execution, frame))
            elif frame.phase is FramePhase.WAITS_FOR_JOB:
                effects.append(tasks.describe_job(execution, frame))
            elif frame.phase is FramePhase.WAITS_FOR_EXECUTION and frame.target not in world.keys:
                effects.append(tasks.describe_child(execution, frame))
            elif frame.phase is FramePhase.READS_ITEMS:
                effects.append(map_runs.read_items(execution, frame))
            elif frame.phase is FramePhase.WRITES_RESULTS:
                effects.append(map_runs.write_results(world, execution, frame))
    effects += [ActivityTaskReady(arn) for arn in world.tasks]
    return effects


def _scope_of(world: OpenExecutions, record: Execution, machine_of: MachineOf) -> StateScope:
    """Returns the states that an execution runs: those of its machine, or of the Map whose child it is."""
    if not record.map_run_arn:
        return machine_of(record.revision_id).scope
    run = world.map_runs[record.map_run_arn]
    parent = world.open[run.execution_key]
    state = world.state_of(parent, parent.frames[run.frame_id])
    assert isinstance(state, MapState), "a map run belongs to a Map"
    return state.processor


def _link(world: OpenExecutions, execution: OpenExecution, frames: list[Frame]) -> None:
    record = execution.record
    world.open[record.key] = execution
    world.keys[record.arn] = record.key
    if record.map_run_arn:
        world.children[record.map_run_arn].add(record.key)
    else:
        world.registry.execution_restored(machine_name(record.machine_arn))
    for frame in frames:
        world.link(execution, frame)
    execution.next_frame_id = frames[-1].id + 1
    if record.deadline_ms:
        world.set_timer(execution, WHOLE, record.deadline_ms)


def _restore_frame(world: OpenExecutions, execution: OpenExecution, frame: Frame) -> None:
    if not is_open(frame) or execution.record.status is ExecutionStatus.PENDING_REDRIVE:
        return
    if frame.phase in CONTAINING:
        restore_progress(world, execution, frame)
    world.set_timers_of(execution, frame)
    place = execution.record.key, frame.id
    if frame.phase in _QUEUED:
        world.queue(execution, frame)
    elif frame.phase is FramePhase.WAITS_FOR_JOB:
        world.jobs[frame.target] = place
    elif frame.phase is FramePhase.WAITS_FOR_EXECUTION:
        world.waiting.setdefault(frame.target, []).append(place)
    elif frame.phase is FramePhase.WAITS_FOR_WORKER:
        activities.offer(world, execution, frame)
