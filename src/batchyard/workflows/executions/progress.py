"""How far a Parallel or Map has come, made again of the frames in it."""

from __future__ import annotations

from batchyard.core.model.executions import ExecutionStatus, Frame, FramePhase
from batchyard.workflows.compiled_states import ParallelState
from batchyard.workflows.executions.open_executions import OpenExecution, OpenExecutions, Progress

CONTAINING = frozenset({FramePhase.RUNS_CHILDREN, FramePhase.RUNS_MAP})


def restore_progress(world: OpenExecutions, execution: OpenExecution, frame: Frame) -> None:
    """Makes the progress of a frame in one of the phases CONTAINING, and has what is missing begun. Places that neither
    run nor have ended are begun again: their children were not durable."""
    state = world.state_of(execution, frame)
    is_parallel = isinstance(state, ParallelState)
    total = len(state.branches) if isinstance(state, ParallelState) else len(world.items_of(execution, frame))
    progress = execution.progress[frame.id] = Progress(total)
    children = world.children_of(execution, frame.id)
    ended = [child for child in children if child.phase is FramePhase.ENDED]
    progress.done = len(ended)
    begun = {child.place for child in children}
    if frame.phase is FramePhase.RUNS_MAP:
        opened = [world.open[key].record for key in sorted(world.children[frame.target])]
        begun |= {record.map_index for record in opened}
        waiting = [record.key for record in opened if record.status is ExecutionStatus.PENDING_REDRIVE]
        progress.redriven.extend(waiting)
        progress.running = len(opened) - len(waiting)
        progress.failed_items = world.map_runs[frame.target].items.failed
    else:
        progress.running = len(children) - len(ended)
    progress.next = total if is_parallel else max(begun, default=-1) + 1
    progress.again.extend(place for place in range(progress.next) if place not in begun)
    world.queue_for_more(execution, frame)
