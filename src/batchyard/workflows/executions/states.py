"""Enters states, and steps what is ready."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from batchyard.core.model.executions import Frame, FramePhase
from batchyard.evaluators.states.errors import (
    NO_CHOICE_MATCHED,
    RUNTIME,
    StateError,
)
from batchyard.evaluators.states.jsonata import Expression
from batchyard.evaluators.states.scope import Scope
from batchyard.evaluators.states.waits import due_of_seconds, due_of_timestamp
from batchyard.workflows.compiled_states import (
    ChoiceState,
    FailState,
    FailText,
    MapState,
    ParallelState,
    PassState,
    State,
    TaskState,
    WaitState,
)
from batchyard.workflows.executions import map_runs, tasks
from batchyard.workflows.executions.children import (
    child_ended,
    continue_iterations,
    start_branches,
    start_iterations,
)
from batchyard.workflows.executions.data_flow import (
    bindings_of,
    filtered_input,
    output_of_input,
    output_of_result,
    work_input,
)
from batchyard.workflows.executions.endings import end_top_frame
from batchyard.workflows.executions.failures import fail, fail_evaluation
from batchyard.workflows.executions.open_executions import TOP, Failure, OpenExecution, OpenExecutions
from batchyard.workflows.executions.payload import Payload
from batchyard.workflows.executions.scopes import scope_for
from batchyard.workflows.executions.transitions import exit_state

NO_NEXT_STATE = "Failed to transition out of the state. The state does not point to a next state."


def step(world: OpenExecutions, execution: OpenExecution, frame: Frame) -> None:
    """Steps a frame that is ready."""
    phase = frame.phase
    if phase is FramePhase.RUNNABLE:
        _enter(world, execution, frame)
    elif phase is FramePhase.ENDING:
        if frame.parent == TOP:
            end_top_frame(world, execution, frame)
        else:
            child_ended(world, execution, frame)
    elif phase in (FramePhase.RUNS_CHILDREN, FramePhase.RUNS_MAP):
        begin_more = continue_iterations if phase is FramePhase.RUNS_CHILDREN else map_runs.continue_children
        try:
            begin_more(world, execution, frame)
        except StateError as error:
            fail_evaluation(world, execution, execution.frames[frame.id], error)


def wake(world: OpenExecutions, execution: OpenExecution, frame: Frame) -> None:
    """Does what a frame waited for with a timer, if its time has come."""
    now_ms = world.now_ms
    try:
        if tasks.is_open_task(frame):
            if 0 < frame.timeout_ms <= now_ms or 0 < frame.heartbeat_due_ms <= now_ms:
                tasks.time_out(world, execution, frame)
        elif not 0 < frame.due_ms <= now_ms:
            return
        elif frame.phase is FramePhase.SLEEPING:
            _end_wait(world, execution, frame)
        elif frame.phase is FramePhase.RETRYING:
            frame = world.put(execution, replace(frame, phase=FramePhase.RUNNABLE, due_ms=0))
            _begin_work(world, execution, frame, world.state_of(execution, frame))
    except StateError as error:
        fail_evaluation(world, execution, execution.frames[frame.id], error)


def _enter(world: OpenExecutions, execution: OpenExecution, frame: Frame) -> None:
    state = world.state_of(execution, frame)
    before = frame.previous_event_id
    entered = world.emit(execution, before, f"{state.type}StateEntered", {"name": state.name, "input": frame.input})
    frame = world.put(
        execution,
        replace(frame, previous_event_id=entered, entered_event_id=entered, entered_at_ms=world.now_ms),
    )
    try:
        _begin_work(world, execution, frame, state)
    except StateError as error:
        # AWS's events of expressions that fail on entry are siblings of StateEntered (step functions spec 5).
        previous = before if state.type != "Wait" else None
        fail_evaluation(world, execution, execution.frames[frame.id], error, previous)


def _begin_work(world: OpenExecutions, execution: OpenExecution, frame: Frame, state: State) -> None:
    _WORK[state.type](world, execution, frame, state)


# -- the types that wait for nothing outside --


def _pass(world: OpenExecutions, execution: OpenExecution, frame: Frame, state: State) -> None:
    assert isinstance(state, PassState)
    raw = world.input_of(execution, frame)
    scope = scope_for(world, execution, frame, state)
    if state.is_jsonata:
        output, assigned = output_of_input(state, raw, scope, state.assign, state.output)
    else:
        result = Payload(state.result) if state.result is not None else work_input(state, raw, scope)
        output, assigned = output_of_result(state, raw, result, scope)
    exit_state(world, execution, frame, state, output, assigned, state.next)


def _succeed(world: OpenExecutions, execution: OpenExecution, frame: Frame, state: State) -> None:
    raw = world.input_of(execution, frame)
    scope = scope_for(world, execution, frame, state)
    output, assigned = output_of_input(state, raw, scope, None, state.output)
    exit_state(world, execution, frame, state, output, assigned, None)


def _choice(world: OpenExecutions, execution: OpenExecution, frame: Frame, state: State) -> None:
    assert isinstance(state, ChoiceState)
    raw = world.input_of(execution, frame)
    scope = scope_for(world, execution, frame, state)
    place = chosen_rule(state, raw, scope)
    if place is not None:
        rule = state.rules[place]
        output, assigned = output_of_input(state, raw, scope, rule.assign, rule.output)
        exit_state(world, execution, frame, state, output, assigned, rule.next)
    elif state.default is not None:
        output, assigned = output_of_input(state, raw, scope, state.assign, state.output)
        exit_state(world, execution, frame, state, output, assigned, state.default)
    else:
        raise StateError(RUNTIME, NO_NEXT_STATE, aliases=(NO_CHOICE_MATCHED,))


def chosen_rule(state: ChoiceState, raw: Payload, scope: Scope) -> int | None:
    """Returns the place of the rule that holds; None: none does. Raises StateError."""
    if state.choices is not None:
        return state.choices.select(scope.with_document(filtered_input(state, raw, scope).value))
    bindings = bindings_of(raw, scope)
    for place, rule in enumerate(state.rules):
        condition = rule.condition
        if isinstance(condition, Expression):
            condition = bool(condition.evaluate_as(("boolean",), bindings, scope))
        if condition:
            return place
    return None


def _fail(world: OpenExecutions, execution: OpenExecution, frame: Frame, state: State) -> None:
    assert isinstance(state, FailState)
    raw = world.input_of(execution, frame)
    scope = scope_for(world, execution, frame, state)
    failure = Failure(fail_text(state.error, raw, scope), fail_text(state.cause, raw, scope))
    fail(world, execution, frame, failure)


def fail_text(field: FailText | None, raw: Payload, scope: Scope) -> str | None:
    """Returns the Error or Cause of a Fail state; None: it has none. Raises StateError."""
    if field is None:
        return None
    if field.path is not None:
        found = field.path.evaluate(scope.with_document(raw.value))
        if not isinstance(found, str):
            name = field.path.field
            raise StateError(RUNTIME, f"The {name} parameter does not reference a string.")
        return found
    if field.expression is not None:
        return str(field.expression.evaluate_as(("string",), bindings_of(raw, scope), scope))
    return field.text


# -- Wait --


def _wait(world: OpenExecutions, execution: OpenExecution, frame: Frame, state: State) -> None:
    assert isinstance(state, WaitState)
    raw = world.input_of(execution, frame)
    scope = scope_for(world, execution, frame, state)
    due_ms = wait_due_ms(state, raw, scope)
    frame = world.put(execution, replace(frame, phase=FramePhase.SLEEPING, due_ms=due_ms))
    if due_ms <= world.now_ms:
        _end_wait(world, execution, frame)
    else:
        world.set_timer(execution, frame.id, due_ms)


def wait_due_ms(state: WaitState, raw: Payload, scope: Scope) -> int:
    """Returns when a Wait state ends, in epoch milliseconds. Raises StateError."""
    if state.wait is not None:
        return state.wait.due_ms(scope.with_document(filtered_input(state, raw, scope).value))
    bindings = bindings_of(raw, scope)
    if state.timestamp is not None:
        return due_of_timestamp(state.timestamp.evaluate(bindings, scope), scope.now_ms)
    assert state.seconds is not None, "a Wait state has a time"
    return due_of_seconds(state.seconds.evaluate(bindings, scope), scope.now_ms)


def _end_wait(world: OpenExecutions, execution: OpenExecution, frame: Frame) -> None:
    state = world.state_of(execution, frame)
    frame = world.put(execution, replace(frame, phase=FramePhase.RUNNABLE, due_ms=0))
    raw = world.input_of(execution, frame)
    scope = scope_for(world, execution, frame, state)
    output, assigned = output_of_input(state, raw, scope, state.assign, state.output)
    exit_state(world, execution, frame, state, output, assigned, state.next)


# -- the others --


def _task(world: OpenExecutions, execution: OpenExecution, frame: Frame, state: State) -> None:
    assert isinstance(state, TaskState)
    tasks.schedule(world, execution, frame, state)


def _parallel(world: OpenExecutions, execution: OpenExecution, frame: Frame, state: State) -> None:
    assert isinstance(state, ParallelState)
    start_branches(world, execution, frame, state)


def _map(world: OpenExecutions, execution: OpenExecution, frame: Frame, state: State) -> None:
    assert isinstance(state, MapState)
    start = start_iterations if state.run is None else map_runs.start
    start(world, execution, frame, state)


_WORK: dict[str, Callable[[OpenExecutions, OpenExecution, Frame, State], None]] = {
    "Pass": _pass,
    "Succeed": _succeed,
    "Choice": _choice,
    "Fail": _fail,
    "Wait": _wait,
    "Task": _task,
    "Parallel": _parallel,
    "Map": _map,
}
