"""Distributed Maps: map runs, whose children are executions (step functions spec 12).

A child exists once it is begun: before that it is a number below the total, afterwards a frame of its parent that has
its output, or has failed."""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_URL, uuid5

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
from batchyard.evaluators.states.errors import StateError
from batchyard.evaluators.states.json_values import check_size, compact, size_bytes
from batchyard.evaluators.states.retriers import EXCEEDED_TOLERATED_FAILURES
from batchyard.evaluators.states.scope import Scope
from batchyard.workflows.commands import ItemsRead, ReadItems, ResultsWritten, WriteResults
from batchyard.workflows.compiled_states import DistributedRun, MapState, ObjectAccess
from batchyard.workflows.executions.beginnings import begin, deadline_ms
from batchyard.workflows.executions.children import concurrency_of, item_input, items_of, selected_item
from batchyard.workflows.executions.data_flow import evaluate, filtered_input, object_of, output_of_result
from batchyard.workflows.executions.endings import abort_map_run, machine_name
from batchyard.workflows.executions.failures import fail, fail_evaluation
from batchyard.workflows.executions.open_executions import Failure, OpenExecution, OpenExecutions, Progress
from batchyard.workflows.executions.payload import Payload, payload_of
from batchyard.workflows.executions.redrives import restart
from batchyard.workflows.executions.scopes import (
    integer_of,
    positive_integer_of,
    scope_for,
    tolerated_count_of,
    tolerated_percentage_of,
)
from batchyard.workflows.executions.transitions import exit_state

MAX_RUNNING_CHILDREN = 10_000  # of a map run (service quota)
BEGUN_AT_ONCE = 200  # children in one step
THRESHOLD_EXCEEDED = "The specified tolerated failure threshold was exceeded"
_COUNTED_AS = {
    ExecutionStatus.SUCCEEDED: "succeeded",
    ExecutionStatus.FAILED: "failed",
    ExecutionStatus.TIMED_OUT: "timed_out",
    ExecutionStatus.ABORTED: "aborted",
}


def start(world: OpenExecutions, execution: OpenExecution, frame: Frame, state: MapState) -> None:
    """Begins a map run. Raises StateError."""
    assert state.run is not None, "the Map is distributed"
    raw = world.input_of(execution, frame)
    scope = scope_for(world, execution, frame, state)
    effective = filtered_input(state, raw, scope)
    concurrency = concurrency_of(state, raw, scope, effective)
    items, reader = Payload("[]"), None
    if state.run.reader is None:
        items = items_of(state, raw, scope, effective, takes_objects=True)
        if isinstance(items.value, dict):
            items = payload_of([{"Key": key, "Value": value} for key, value in items.value.items()])
    else:
        reader = access_of(state.run.reader, raw, scope, effective)
    work = _in_batches(state.run, items, raw, scope, effective)
    details = {"length": len(items.value)}
    started = world.emit(execution, frame.previous_event_id, "MapStateStarted", details)
    frame = world.put(execution, replace(frame, previous_event_id=started, call_event_id=started))
    run = _new_run(world, execution, frame, state, concurrency)
    run = replace(
        run,
        tolerated_failure_count=_tolerated_count(state.run, raw, scope, effective),
        tolerated_failure_percentage=_tolerated_percentage(state.run, raw, scope, effective),
    )
    run_started = world.emit(execution, started, "MapRunStarted", {"mapRunArn": run.arn})
    world.put_map_run(run)
    world.children[run.arn] = set()
    frame = replace(frame, previous_event_id=run_started, target=run.arn, concurrency=concurrency, due_ms=0)
    if reader is None:
        _run(world, execution, frame, state, items, work)
        return
    frame = world.put(execution, replace(frame, phase=FramePhase.READS_ITEMS, work=compact(reader)))
    world.effects.append(read_items(execution, frame))


def items_read(world: OpenExecutions, execution: OpenExecution, frame: Frame, report: ItemsRead) -> None:
    """Takes the items that an ItemReader has read. Raises StateError."""
    state = world.state_of(execution, frame)
    assert isinstance(state, MapState), "only Maps have readers"
    assert state.run is not None, "the Map is distributed"
    if report.error is not None:
        _fail_run(world, execution, frame, Failure(report.error, report.cause))
        return
    raw = world.input_of(execution, frame)
    scope = scope_for(world, execution, frame, state)
    items = payload_of(report.items)
    work = _in_batches(state.run, items, raw, scope, filtered_input(state, raw, scope))
    _run(world, execution, frame, state, items, work)


def read_items(execution: OpenExecution, frame: Frame) -> ReadItems:
    return ReadItems(
        execution_key=execution.record.key,
        frame_id=frame.id,
        event_id=frame.call_event_id,
        reader=Payload(frame.work).value,
    )


def results_written(world: OpenExecutions, execution: OpenExecution, frame: Frame, report: ResultsWritten) -> None:
    """Takes the outcome of a ResultWriter. Raises StateError."""
    state = world.state_of(execution, frame)
    assert isinstance(state, MapState), "only Maps have writers"
    if report.error is not None:
        _fail_run(world, execution, frame, Failure(report.error, report.cause))
    else:
        _complete(world, execution, frame, state, payload_of(report.output))


def write_results(world: OpenExecutions, execution: OpenExecution, frame: Frame) -> WriteResults:
    """Returns the effect of a frame that WRITES_RESULTS. Raises StateError."""
    state = world.state_of(execution, frame)
    assert isinstance(state, MapState), "only Maps have writers"
    assert state.run is not None, "the Map is distributed"
    assert state.run.writer is not None, "it writes results"
    raw = world.input_of(execution, frame)
    scope = scope_for(world, execution, frame, state)
    return WriteResults(
        execution_key=execution.record.key,
        frame_id=frame.id,
        event_id=frame.call_event_id,
        writer=access_of(state.run.writer, raw, scope, filtered_input(state, raw, scope)),
        map_run_arn=frame.target,
    )


def _run(
    world: OpenExecutions, execution: OpenExecution, frame: Frame, state: MapState, items: Payload, work: Payload
) -> None:
    """Begins the children. `work`: the items, or batches of them."""
    run = world.map_runs[frame.target]
    world.put_map_run(
        replace(
            run,
            items=MapRunCounts(total=len(items.value)),
            executions=MapRunCounts(total=len(work.value)),
        )
    )
    frame = world.put(execution, replace(frame, phase=FramePhase.RUNS_MAP, work=work.text))
    execution.progress[frame.id] = Progress(len(work.value))
    if work.value:
        _begin_children(world, execution, frame, state)
    else:
        _end_run(world, execution, frame, state)


def continue_children(world: OpenExecutions, execution: OpenExecution, frame: Frame) -> None:
    """Begins further children of a map run that was queued for that. Raises StateError."""
    state = world.state_of(execution, frame)
    progress = execution.progress.get(frame.id)
    if progress is not None and progress.is_queued and isinstance(state, MapState):
        progress.is_queued = False
        _begin_children(world, execution, frame, state)
        if progress.done == progress.total:  # of a redriven one, whose children had all succeeded
            _end_run(world, execution, frame, state)


def child_closed(world: OpenExecutions, record: Execution) -> None:
    """Takes the end of a child."""
    run = world.map_runs.get(record.map_run_arn)
    found = None if run is None else world.find(run.execution_key, run.frame_id)
    if run is None or found is None:
        return  # the map run was aborted, and the child with it
    execution, frame = found
    try:
        _child_closed(world, execution, frame, run, record)
    except StateError as error:
        fail_evaluation(world, execution, execution.frames[frame.id], error)


# -- the beginning --


def _in_batches(run: DistributedRun, items: Payload, raw: Payload, scope: Scope, effective: Payload) -> Payload:
    """Returns the items, or where there is an ItemBatcher a list of batches of items."""
    if run.batcher is None:
        return items
    most_items, most_bytes = (
        None if field is None else positive_integer_of(field, raw, scope, effective)
        for field in (run.batcher.max_items, run.batcher.max_bytes)
    )
    batches: list[list[object]] = []
    batch_bytes = 0
    for item in items.value:
        item_bytes = size_bytes(compact(item)) + 1 if most_bytes is not None else 0
        is_full = bool(batches) and (
            (most_items is not None and len(batches[-1]) >= most_items)
            or (most_bytes is not None and batch_bytes + item_bytes > most_bytes)
        )
        if not batches or is_full:
            batches.append([])
            batch_bytes = 0
        batches[-1].append(item)
        batch_bytes += item_bytes
    return payload_of(batches)


def _new_run(
    world: OpenExecutions, execution: OpenExecution, frame: Frame, state: MapState, concurrency: int
) -> MapRun:
    assert state.run is not None, "the Map is distributed"
    record = execution.record
    parent = machine_name(record.machine_arn)
    label = state.run.label or str(uuid5(NAMESPACE_URL, f"{record.machine_arn}/{record.revision_id}/{state.name}"))
    uuid = uuid5(NAMESPACE_URL, f"{record.arn}/{frame.id}/{frame.call_event_id}")
    return MapRun(
        arn=world.account.arn("states", f"mapRun:{parent}/{label}:{uuid}"),
        execution_key=record.key,
        execution_arn=record.arn,
        frame_id=frame.id,
        execution_type=state.run.execution_type,
        state=state.name,
        machine_arn=world.account.arn("states", f"stateMachine:{parent}/{label}"),
        status=MapRunStatus.RUNNING,
        started_at_ms=world.now_ms,
        max_concurrency=concurrency,
    )


def access_of(access: ObjectAccess, raw: Payload, scope: Scope, effective: Payload) -> dict[str, Any]:
    """Returns an ItemReader or ResultWriter with what it says evaluated. Raises StateError."""
    if access.template is not None:
        return object_of(evaluate(access.template, raw, scope, effective), "ItemReader or ResultWriter")
    given = dict(access.document)
    if access.parameters is not None:
        given["Parameters"] = evaluate(access.parameters, raw, scope, effective)
    if access.max_items is not None:
        number = integer_of(access.max_items, raw, scope, effective)
        given["ReaderConfig"] = {**given.get("ReaderConfig", {}), "MaxItems": number}
    return given


def _tolerated_count(run: DistributedRun, raw: Payload, scope: Scope, effective: Payload) -> int:
    if run.tolerated_count is None:
        return 0
    return tolerated_count_of(run.tolerated_count, raw, scope, effective)


def _tolerated_percentage(run: DistributedRun, raw: Payload, scope: Scope, effective: Payload) -> float:
    if run.tolerated_percentage is None:
        return 0.0
    return tolerated_percentage_of(run.tolerated_percentage, raw, scope, effective)


# -- children --


def _begin_children(world: OpenExecutions, execution: OpenExecution, frame: Frame, state: MapState) -> None:
    """Begins as many children as may run. Raises StateError."""
    run = world.map_runs[frame.target]
    progress = execution.progress[frame.id]
    most = min(run.max_concurrency or MAX_RUNNING_CHILDREN, MAX_RUNNING_CHILDREN)
    begun: list[int] = []  # how many items each has
    continued: list[int] = []  # likewise of children that were redriven
    while progress.has_more and progress.running < most:
        if len(begun) + len(continued) >= BEGUN_AT_ONCE:
            world.queue_for_more(execution, frame)
            break
        if progress.redriven:
            child = world.open[progress.redriven.popleft()]
            restart(world, child)
            continued.append(child.record.item_count)
        else:
            begun.append(_begin_next(world, execution, frame, state, run, progress))
        progress.running += 1
    if begun or continued:
        run = world.map_runs[run.arn]
        world.put_map_run(
            replace(
                run,
                executions=_with_begun(run.executions, len(begun), len(continued)),
                items=_with_begun(run.items, sum(begun), sum(continued)),
            )
        )


def _with_begun(counts: MapRunCounts, begun: int, continued: int) -> MapRunCounts:
    return replace(
        counts,
        running=counts.running + begun + continued,
        pending_redrive=counts.pending_redrive - continued,
    )


def _begin_next(
    world: OpenExecutions,
    execution: OpenExecution,
    frame: Frame,
    state: MapState,
    run: MapRun,
    progress: Progress,
) -> int:
    """Begins the next child, and returns how many items it has. Raises StateError, having changed nothing."""
    place = progress.again[0] if progress.again else progress.next
    given, item_count = _child_input(world, execution, frame, state, place)
    if progress.again:
        progress.again.popleft()
    else:
        progress.next += 1
    _begin_child(world, execution, run, state, place, given, item_count)
    return item_count


def _child_input(
    world: OpenExecutions, execution: OpenExecution, frame: Frame, state: MapState, place: int
) -> tuple[Payload, int]:
    """Returns the input of a child, and the number of items in it. Raises StateError."""
    assert state.run is not None, "the Map is distributed"
    if state.run.batcher is None:
        return item_input(world, execution, frame, state, place), 1
    batches = world.items_of(execution, frame)
    first = sum(len(batch) for batch in batches[:place])
    selected = list(batches[place])
    if state.item_selector is not None:
        selected = [
            selected_item(world, execution, frame, state, first + offset, item).value
            for offset, item in enumerate(selected)
        ]
    given: dict[str, object] = {}
    if state.run.batcher.batch_input is not None:
        raw = world.input_of(execution, frame)
        scope = scope_for(world, execution, frame, state)
        effective = filtered_input(state, raw, scope)
        given["BatchInput"] = evaluate(state.run.batcher.batch_input, raw, scope, effective)
    given["Items"] = selected
    return payload_of(given), len(selected)


def _begin_child(
    world: OpenExecutions,
    execution: OpenExecution,
    run: MapRun,
    state: MapState,
    place: int,
    given: Payload,
    item_count: int,
) -> None:
    parent = execution.record
    name = str(uuid5(NAMESPACE_URL, f"{run.arn}/{place}/{run.redrive_count}"))
    labelled = machine_name(run.machine_arn)
    is_express = run.execution_type == EXPRESS
    resource = f"express:{labelled}:{name}:{name}" if is_express else f"execution:{labelled}:{name}"
    record = Execution(
        key=world.take_key(),
        arn=world.account.arn("states", resource),
        machine_arn=run.machine_arn,
        name=name,
        type=run.execution_type,
        status=ExecutionStatus.RUNNING,
        revision_id=parent.revision_id,
        role_arn=parent.role_arn,
        input=given.text,
        started_at_ms=world.now_ms,
        deadline_ms=deadline_ms(world.now_ms, run.execution_type, None),
        map_run_arn=run.arn,
        map_index=place,
        item_count=item_count,
        logging=parent.logging,
    )
    begin(world, record, state.processor)
    world.children[run.arn].add(record.key)


def _child_closed(
    world: OpenExecutions, execution: OpenExecution, frame: Frame, run: MapRun, record: Execution
) -> None:
    state = world.state_of(execution, frame)
    assert isinstance(state, MapState), "a map run belongs to a Map"
    is_failed = record.status is not ExecutionStatus.SUCCEEDED
    child = Frame(
        execution_key=execution.record.key,
        id=world.new_frame_id(execution),
        state="",
        phase=FramePhase.ENDED,
        input="",
        parent=frame.id,
        place=record.map_index,
        target=record.arn,
        output=record.output,
        is_failed=is_failed,
    )
    world.put(execution, child)
    progress = execution.progress[frame.id]
    progress.running -= 1
    progress.done += 1
    progress.failed_items += record.item_count if is_failed else 0
    run = world.put_map_run(
        replace(
            run,
            executions=_counted(run.executions, record.status, 1),
            items=_counted(run.items, record.status, record.item_count),
        )
    )
    if is_failed and _is_beyond_threshold(run, progress.failed_items):
        _fail_run(world, execution, frame, Failure(EXCEEDED_TOLERATED_FAILURES, THRESHOLD_EXCEEDED))
    elif progress.done == progress.total:
        _end_run(world, execution, frame, state)
    else:
        world.queue_for_more(execution, frame)


def _counted(counts: MapRunCounts, status: ExecutionStatus, number: int) -> MapRunCounts:
    member = _COUNTED_AS[status]
    changed = {"running": counts.running - number, member: getattr(counts, member) + number}
    return replace(counts, **changed)


def _is_beyond_threshold(run: MapRun, failed_items: int) -> bool:
    """Whether more items have failed than either threshold tolerates."""
    count, percentage = run.tolerated_failure_count, run.tolerated_failure_percentage
    if not count and not percentage:
        return True
    share = 100 * failed_items / run.items.total
    return (bool(count) and failed_items > count) or (bool(percentage) and share > percentage)


# -- the end --


def _fail_run(world: OpenExecutions, execution: OpenExecution, frame: Frame, failure: Failure) -> None:
    abort_map_run(world, frame.target, MapRunStatus.FAILED)
    details = {"error": failure.error, "cause": failure.cause}
    failed = world.emit(execution, frame.previous_event_id, "MapRunFailed", details)
    fail(world, execution, replace(frame, previous_event_id=failed), failure, is_own=False)


def _end_run(world: OpenExecutions, execution: OpenExecution, frame: Frame, state: MapState) -> None:
    """Ends a map run whose children have ended, or has their results written. Raises StateError."""
    assert state.run is not None, "the Map is distributed"
    if state.run.writer is None:
        _complete(world, execution, frame, state, None)
        return
    frame = world.put(execution, replace(frame, phase=FramePhase.WRITES_RESULTS))
    world.effects.append(write_results(world, execution, frame))


def _complete(
    world: OpenExecutions, execution: OpenExecution, frame: Frame, state: MapState, written: Payload | None
) -> None:
    """Ends a map run. `written`: what its ResultWriter gives; None: there is none. Raises StateError."""
    run = world.map_runs.pop(frame.target)
    world.children.pop(run.arn, None)
    world.changes.map_runs[run.arn] = replace(run, status=MapRunStatus.SUCCEEDED, stopped_at_ms=world.now_ms)
    children = sorted(world.children_of(execution, frame.id), key=lambda child: child.place)
    result = written
    if result is None:
        result = Payload("[" + ",".join([child.output for child in children if child.output is not None]) + "]")
    started = frame.previous_event_id
    run_succeeded = world.emit(execution, started, "MapRunSucceeded")
    world.emit(execution, run_succeeded, "MapStateSucceeded")
    execution.progress.pop(frame.id, None)
    for child in children:
        world.drop(execution, child.id)
    frame = world.put(execution, replace(frame, phase=FramePhase.RUNNABLE, work="", target="", concurrency=0))
    check_size(result.text, state.name)
    scope = scope_for(world, execution, frame, state)
    output, assigned = output_of_result(state, world.input_of(execution, frame), result, scope)
    exit_state(world, execution, frame, state, output, assigned, state.next)
