"""The failure of a state: retried, caught, or the end of its frame (step functions spec 11)."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from batchyard.core.model.executions import Frame, FramePhase, MapRunStatus
from batchyard.evaluators.states.errors import DATA_LIMIT_EXCEEDED, QUERY_EVALUATION_ERROR, StateError
from batchyard.evaluators.states.retriers import TERMINAL, delay_ms, matches
from batchyard.workflows.compiled_states import Catcher, State
from batchyard.workflows.executions.data_flow import output_of_catcher
from batchyard.workflows.executions.endings import abort_branches, abort_map_run
from batchyard.workflows.executions.open_executions import Failure, OpenExecution, OpenExecutions, ended_frame
from batchyard.workflows.executions.payload import payload_of
from batchyard.workflows.executions.scopes import scope_for
from batchyard.workflows.executions.transitions import exit_state

CONTAINERS = frozenset({"Parallel", "Map"})  # types of states that other states run in


def fail(
    world: OpenExecutions, execution: OpenExecution, frame: Frame, failure: Failure, *, is_own: bool = True
) -> None:
    """Lets the state of a frame fail. `frame`: with the failing event as its last. `is_own`: it is not the failure of a
    branch or iteration."""
    state = world.state_of(execution, frame)
    for place, retrier in enumerate(state.retriers):
        if not matches(retrier.error_equals, failure.error, failure.cause, failure.aliases):
            continue
        counts = frame.retry_counts or (0,) * len(state.retriers)
        if counts[place] >= retrier.max_attempts:
            break
        seed = f"{execution.record.arn}/{frame.id}/{execution.last_event_id}/retry"
        due_ms = world.now_ms + delay_ms(retrier, counts[place], seed)
        drop_children(world, execution, frame)
        frame = replace(
            _at_rest(frame),
            phase=FramePhase.RETRYING,
            retry_counts=(*counts[:place], counts[place] + 1, *counts[place + 1 :]),
            retry_count=frame.retry_count + 1,
            due_ms=due_ms,
        )
        world.put(execution, frame)
        world.set_timer(execution, frame.id, due_ms)
        return
    if state.type in CONTAINERS and not (is_own and failure.error in TERMINAL):
        failed = world.emit(execution, frame.previous_event_id, f"{state.type}StateFailed")
        frame = replace(frame, previous_event_id=failed)
    for catcher in state.catchers:
        if matches(catcher.error_equals, failure.error, failure.cause, failure.aliases):
            drop_children(world, execution, frame)
            _catch(world, execution, frame, state, catcher, failure)
            return
    _end(world, execution, frame, failure)


def fail_evaluation(
    world: OpenExecutions, execution: OpenExecution, frame: Frame, error: StateError, previous: int | None = None
) -> None:
    """Lets the state of a frame fail because it could not evaluate one of its fields. `previous`: the event before, of
    an expression that was evaluated on entry."""
    if frame.phase is FramePhase.RUNS_CHILDREN:
        abort_branches(world, execution, frame, None, frame.previous_event_id)
    elif frame.target in world.map_runs:
        abort_map_run(world, frame.target, MapRunStatus.FAILED)
    frame, failure = _evaluation_failed(world, execution, frame, error, previous)
    fail(world, execution, frame, failure)


def drop_children(world: OpenExecutions, execution: OpenExecution, frame: Frame) -> None:
    """Forgets the branches or iterations of a state, which no one will continue."""
    execution.progress.pop(frame.id, None)
    for child in world.children_of(execution, frame.id):
        drop_children(world, execution, child)
        world.drop(execution, child.id)


def _evaluation_failed(
    world: OpenExecutions, execution: OpenExecution, frame: Frame, error: StateError, previous: int | None = None
) -> tuple[Frame, Failure]:
    cause = error.cause
    if error.error != DATA_LIMIT_EXCEEDED:
        cause = (
            f"An error occurred while executing the state '{frame.state}' (entered at the event id "
            f"#{frame.entered_event_id}). {cause}"
        )
    if error.error == QUERY_EVALUATION_ERROR:
        details: dict[str, Any] = {"error": error.error, "cause": cause}
        if error.location:
            details["location"] = error.location
        details["state"] = frame.state
        before = frame.previous_event_id if previous is None else previous
        frame = replace(frame, previous_event_id=world.emit(execution, before, "EvaluationFailed", details))
    return frame, Failure(error.error, cause, error.aliases)


def _catch(
    world: OpenExecutions,
    execution: OpenExecution,
    frame: Frame,
    state: State,
    catcher: Catcher,
    failure: Failure,
) -> None:
    given = (("Error", failure.error), ("Cause", failure.cause))
    error_output = payload_of({name: text for name, text in given if text is not None})
    frame = world.put(execution, _at_rest(frame))
    try:
        raw = world.input_of(execution, frame)
        scope = scope_for(world, execution, frame, state)
        output, assigned = output_of_catcher(state, catcher, raw, error_output, scope)
        exit_state(world, execution, frame, state, output, assigned, catcher.next)
    except StateError as error:
        _end(world, execution, *_evaluation_failed(world, execution, frame, error))


def _end(world: OpenExecutions, execution: OpenExecution, frame: Frame, failure: Failure) -> None:
    world.queue(execution, world.put(execution, ended_frame(frame, None, failure)))


def _at_rest(frame: Frame) -> Frame:
    """Returns a frame that waits for nothing."""
    return replace(
        frame,
        phase=FramePhase.RUNNABLE,
        call_event_id=0,
        target="",
        due_ms=0,
        timeout_ms=0,
        heartbeat_ms=0,
        heartbeat_due_ms=0,
        work="",
        early_end="",
    )
