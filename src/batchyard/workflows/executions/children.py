"""Parallel states and inline Maps: their branches and iterations are frames of the same execution (step functions spec
12)."""

from __future__ import annotations

from msgspec.structs import replace

from batchyard.core.model.executions import Frame, FramePhase
from batchyard.evaluators.states.errors import QUERY_EVALUATION_ERROR, RUNTIME, StateError
from batchyard.evaluators.states.json_values import check_size, compact
from batchyard.evaluators.states.jsonata import Expression
from batchyard.evaluators.states.scope import Scope
from batchyard.workflows.compiled_states import MapState, ParallelState, State
from batchyard.workflows.executions.context_object import map_item, with_item
from batchyard.workflows.executions.data_flow import (
    bindings_of,
    evaluate,
    filtered_input,
    output_of_result,
    work_input,
)
from batchyard.workflows.executions.endings import abort_branches
from batchyard.workflows.executions.failures import fail, fail_evaluation
from batchyard.workflows.executions.open_executions import Failure, OpenExecution, OpenExecutions, Progress
from batchyard.workflows.executions.payload import Payload, payload_of
from batchyard.workflows.executions.scopes import integer_of, scope_for
from batchyard.workflows.executions.transitions import exit_state

BEGUN_AT_ONCE = 500  # iterations in one step: others have their turn between


def start_branches(world: OpenExecutions, execution: OpenExecution, frame: Frame, state: ParallelState) -> None:
    """Begins all branches. Raises StateError."""
    raw = world.input_of(execution, frame)
    work = work_input(state, raw, scope_for(world, execution, frame, state))
    started = world.emit(execution, frame.previous_event_id, "ParallelStateStarted")
    frame = world.put(execution, _running(frame, started))
    progress = execution.progress[frame.id] = Progress(len(state.branches))
    for place in range(progress.total):
        _begin(world, execution, frame, place, state.branches[place].start_at, work, started)
    progress.next = progress.running = progress.total


def start_iterations(world: OpenExecutions, execution: OpenExecution, frame: Frame, state: MapState) -> None:
    """Begins an inline Map. Raises StateError."""
    raw = world.input_of(execution, frame)
    scope = scope_for(world, execution, frame, state)
    effective = filtered_input(state, raw, scope)
    concurrency = concurrency_of(state, raw, scope, effective)
    items = items_of(state, raw, scope, effective)
    count = len(items.value)
    started = world.emit(execution, frame.previous_event_id, "MapStateStarted", {"length": count})
    frame = replace(_running(frame, started), work=items.text, concurrency=concurrency)
    world.put(execution, frame)
    execution.items[frame.id] = items
    execution.progress[frame.id] = Progress(count)
    begin_iterations(world, execution, frame, state, started)
    if not count:
        _complete(world, execution, frame, state, started)


def concurrency_of(state: MapState, raw: Payload, scope: Scope, effective: Payload) -> int:
    if state.max_concurrency is None:
        return 0
    return max(0, integer_of(state.max_concurrency, raw, scope, effective))


def items_of(
    state: MapState, raw: Payload, scope: Scope, effective: Payload, *, takes_objects: bool = False
) -> Payload:
    """Returns the items of a Map, an array. Raises StateError."""
    expected = ("array", "object") if takes_objects else ("array",)
    if isinstance(state.items, Expression):
        return payload_of(state.items.evaluate_as(expected, bindings_of(raw, scope), scope))
    found = effective
    if state.items is not None:
        found = payload_of(state.items.evaluate(bindings_of(raw, scope), scope))
    elif state.items_path is not None:
        found = payload_of(state.items_path.find_items(scope.with_document(effective.value)))
    if isinstance(found.value, list) or (takes_objects and isinstance(found.value, dict)):
        return found
    if state.is_jsonata:
        cause = f"Map state input must be an array but was: {compact(found.value)}"
        raise StateError(QUERY_EVALUATION_ERROR, cause)
    text = state.items_path.rooted_text if state.items_path is not None else "$"
    raise StateError(RUNTIME, f'Reference path "{text}" must point to array.')


def begin_iterations(
    world: OpenExecutions, execution: OpenExecution, frame: Frame, state: MapState, previous: int
) -> None:
    """Begins as many iterations as may run. `previous`: the event before: the start of the Map, or the end of the
    iteration that made room. Raises StateError."""
    progress = execution.progress[frame.id]
    begun = 0
    while progress.again or progress.next < progress.total:
        if frame.concurrency and progress.running >= frame.concurrency:
            return
        if begun >= BEGUN_AT_ONCE:
            if not progress.is_queued:
                progress.is_queued = True
                world.queue(execution, frame)
            return
        place = progress.again[0] if progress.again else progress.next
        item = item_input(world, execution, frame, state, place)
        if progress.again:
            progress.again.popleft()
        else:
            progress.next += 1
        details = {"name": frame.state, "index": place}
        started = world.emit(execution, previous, "MapIterationStarted", details)
        _begin(world, execution, frame, place, state.processor.start_at, item, started)
        progress.running += 1
        begun += 1


def item_input(world: OpenExecutions, execution: OpenExecution, frame: Frame, state: MapState, place: int) -> Payload:
    """Returns the input of one iteration. Raises StateError."""
    item = world.items_of(execution, frame)[place]
    if state.item_selector is None:
        return payload_of(item)
    return selected_item(world, execution, frame, state, place, item)


def selected_item(
    world: OpenExecutions, execution: OpenExecution, frame: Frame, state: MapState, index: int, item: object
) -> Payload:
    """Returns what the item selector makes of an item. Raises StateError."""
    raw = world.input_of(execution, frame)
    scope = scope_for(world, execution, frame, state)
    scope = replace(scope, context=with_item(dict(scope.context), map_item(index, item)), seed=f"{scope.seed}/{index}")
    effective = filtered_input(state, raw, scope)
    return payload_of(evaluate(state.item_selector, raw, scope, effective))


def continue_iterations(world: OpenExecutions, execution: OpenExecution, frame: Frame) -> None:
    """Begins further iterations of a Map that was queued for that. Raises StateError."""
    state = world.state_of(execution, frame)
    progress = execution.progress.get(frame.id)
    if progress is not None and progress.is_queued and isinstance(state, MapState):
        progress.is_queued = False
        begin_iterations(world, execution, frame, state, frame.call_event_id)


def child_ended(world: OpenExecutions, execution: OpenExecution, child: Frame) -> None:
    """Takes the end of a branch or iteration."""
    parent = execution.frames[child.parent]
    if parent.phase is not FramePhase.RUNS_CHILDREN:
        world.put(execution, replace(child, phase=FramePhase.ENDED))
        return
    try:
        _child_ended(world, execution, parent, child)
    except StateError as error:
        parent = replace(execution.frames[parent.id], previous_event_id=child.previous_event_id)
        fail_evaluation(world, execution, parent, error)


def _child_ended(world: OpenExecutions, execution: OpenExecution, parent: Frame, child: Frame) -> None:
    state = world.state_of(execution, parent)
    last = ended = child.previous_event_id
    if state.type == "Map":
        event_type = "MapIterationFailed" if child.is_failed else "MapIterationSucceeded"
        ended = world.emit(execution, last, event_type, {"name": parent.state, "index": child.place})
    if child.is_failed:
        world.put(execution, replace(child, phase=FramePhase.ENDED))
        abort_branches(world, execution, parent, child, last)
        failure = Failure(child.error, child.cause, child.error_aliases)
        fail(world, execution, replace(parent, previous_event_id=last), failure, is_own=False)
        return
    world.put(execution, replace(child, phase=FramePhase.ENDED, input="", variables=""))
    progress = execution.progress[parent.id]
    progress.running -= 1
    progress.done += 1
    if progress.done == progress.total:
        _complete(world, execution, parent, state, ended)
    elif isinstance(state, MapState):
        begin_iterations(world, execution, parent, state, last)


def _complete(world: OpenExecutions, execution: OpenExecution, frame: Frame, state: State, last: int) -> None:
    """Ends a Parallel or Map whose branches or iterations have all succeeded. Raises StateError."""
    children = sorted(world.children_of(execution, frame.id), key=lambda child: child.place)
    result = "[" + ",".join([child.output or "" for child in children]) + "]"
    check_size(result, state.name)
    world.emit(execution, last, f"{state.type}StateSucceeded")
    execution.progress.pop(frame.id, None)
    for child in children:
        world.drop(execution, child.id)
    frame = world.put(
        execution, replace(frame, phase=FramePhase.RUNNABLE, previous_event_id=last, work="", concurrency=0)
    )
    scope = scope_for(world, execution, frame, state)
    output, assigned = output_of_result(state, world.input_of(execution, frame), Payload(result), scope)
    exit_state(world, execution, frame, state, output, assigned, state.next)


def _running(frame: Frame, started: int) -> Frame:
    return replace(frame, phase=FramePhase.RUNS_CHILDREN, previous_event_id=started, call_event_id=started, due_ms=0)


def _begin(
    world: OpenExecutions,
    execution: OpenExecution,
    parent: Frame,
    place: int,
    start_at: str,
    given: Payload,
    previous: int,
) -> None:
    frame = Frame(
        execution_key=execution.record.key,
        id=world.new_frame_id(execution),
        state=start_at,
        phase=FramePhase.RUNNABLE,
        input=given.text,
        parent=parent.id,
        place=place,
        previous_event_id=previous,
    )
    world.put(execution, frame)
    world.note_input(execution, frame, given)
    world.queue(execution, frame)
