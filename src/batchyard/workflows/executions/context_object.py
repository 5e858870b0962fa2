"""The context object of a state, `$$` and `$states.context` (step functions spec 9)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from batchyard.core.model.executions import Execution, Frame
from batchyard.workflows.compiled_states import MapState, State
from batchyard.workflows.executions.open_executions import TOP, OpenExecution, OpenExecutions
from batchyard.workflows.executions.payload import Payload

_RETRIED = frozenset({"Task", "Parallel", "Map"})  # types of states that can have retriers


def iso_time(at_ms: int) -> str:
    """Returns a time as the context object writes it: `2024-07-15T13:02:11.123Z`."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def context_of(
    world: OpenExecutions, execution: OpenExecution, frame: Frame, state: State, token: str = ""
) -> dict[str, Any]:
    """Returns the context object as the state of a frame sees it; empty where the state does not read it. `token`: of
    a task that waits for one."""
    if not state.uses_context:
        return {}
    if execution.execution_context is None:
        world.input_of(execution, frame)  # marks it, so that the batch forgets it at its end
        execution.execution_context = _of_execution(execution.record)
    of_state: dict[str, Any] = {"Name": frame.state, "EnteredTime": iso_time(frame.entered_at_ms)}
    if state.type in _RETRIED:
        of_state["RetryCount"] = frame.retry_count
    found = {**execution.execution_context, "State": of_state}
    item = _item_of(world, execution, frame)
    if item is not None:
        found["Map"] = {"Item": item}
    if token:
        found["Task"] = {"Token": token}
    return found


def with_item(context: dict[str, Any], item: dict[str, Any]) -> dict[str, Any]:
    """Returns the context object as an item selector sees it."""
    return {**context, "Map": {"Item": item}} if context else context


def map_item(index: int, value: Any) -> dict[str, Any]:
    """Returns `$$.Map.Item`."""
    return {"Index": index, "Value": value}


def _of_execution(record: Execution) -> dict[str, Any]:
    found: dict[str, Any] = {
        "Id": record.arn,
        "Input": Payload(record.input).value,
        "StartTime": iso_time(record.started_at_ms),
        "Name": record.name,
        "RoleArn": record.role_arn,
        "RedriveCount": record.redrive_count,
    }
    if record.redriven_at_ms:
        found["RedriveTime"] = iso_time(record.redriven_at_ms)
    machine_name = record.machine_arn.rpartition(":")[2]
    return {"Execution": found, "StateMachine": {"Id": record.machine_arn, "Name": machine_name}}


def _item_of(world: OpenExecutions, execution: OpenExecution, frame: Frame) -> dict[str, Any] | None:
    """Returns the item of the innermost iteration that the frame is in."""
    while frame.parent != TOP:
        container = execution.frames[frame.parent]
        if isinstance(world.state_of(execution, container), MapState):
            return map_item(frame.place, world.items_of(execution, container)[frame.place])
        frame = container
    return None
