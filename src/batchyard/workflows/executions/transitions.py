"""The end of a state's visit: its exit, and what comes next in its frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from batchyard.core.model.executions import Frame, FramePhase
from batchyard.evaluators.states.errors import DATA_LIMIT_EXCEEDED, StateError
from batchyard.evaluators.states.json_values import compact
from batchyard.workflows.compiled_states import State
from batchyard.workflows.executions.data_flow import Assigned, check_output, texts_of
from batchyard.workflows.executions.open_executions import OpenExecution, OpenExecutions, ended_frame
from batchyard.workflows.executions.payload import Payload

MAX_VARIABLES = 10 * 1024 * 1024  # characters, of an execution (step functions spec 2)


def exit_state(
    world: OpenExecutions,
    execution: OpenExecution,
    frame: Frame,
    state: State,
    output: Payload,
    assigned: Assigned,
    next_state: str | None,
) -> None:
    """Leaves a state. `next_state`: None: the frame ends. Raises StateError if output or variables are too long."""
    check_output(output, state.name)
    details: dict[str, Any] = {"name": state.name, "output": output.text}
    variables = frame.variables
    visible: Mapping[str, Any] = {}
    if assigned:
        texts = details["assignedVariables"] = texts_of(assigned, state.name)
        visible = world.variables_of(execution, frame)
        variables = _with_variables(variables, assigned, texts, visible)
        if execution.variables_size - len(frame.variables) + len(variables) > MAX_VARIABLES:
            text = f"The variables of the execution have more than {MAX_VARIABLES} characters together."
            raise StateError(DATA_LIMIT_EXCEEDED, text)
    event_id = world.emit(execution, frame.previous_event_id, f"{state.type}StateExited", details)
    if assigned:
        world.note_variables(execution, frame, {**visible, **assigned})
    if next_state is None:
        frame = replace(frame, previous_event_id=event_id, variables=variables)
        frame = world.put(execution, ended_frame(frame, output.text))
    else:
        frame = world.put(
            execution,
            Frame(
                execution_key=frame.execution_key,
                id=frame.id,
                state=next_state,
                phase=FramePhase.RUNNABLE,
                input=output.text,
                parent=frame.parent,
                place=frame.place,
                previous_event_id=event_id,
                variables=variables,
            ),
        )
        world.note_input(execution, frame, output)
    world.queue(execution, frame)


def _with_variables(own: str, assigned: Assigned, texts: dict[str, str], visible: Mapping[str, Any]) -> str:
    """Returns a frame's own variables, a JSON object, with others assigned. `texts`: of these; `visible`: all that it
    can read before. New ones are put behind the others, which may be long and are not decoded for it."""
    if own and not visible.keys().isdisjoint(assigned):
        return Payload(value={**Payload(own).value, **assigned}).text
    members = ",".join([f"{compact(name)}:{text}" for name, text in texts.items()])
    return f"{own[:-1]},{members}}}" if own else f"{{{members}}}"
