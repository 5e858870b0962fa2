"""The end of a state's visit: its exit, and what comes next in its frame."""

from __future__ import annotations

from msgspec.structs import replace

from batchyard.core.model.executions import Frame, FramePhase
from batchyard.workflows.compiled_states import State
from batchyard.workflows.executions.data_flow import Assigned, check_output, texts_of
from batchyard.workflows.executions.open_executions import OpenExecution, OpenExecutions, ended_frame
from batchyard.workflows.executions.payload import Payload


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
    details: dict[str, object] = {"name": state.name, "output": output.text}
    variables = frame.variables
    if assigned:
        details["assignedVariables"] = texts_of(assigned, state.name)
        own = Payload(variables).value if variables else {}
        variables = Payload(value={**own, **assigned}).text
    event_id = world.emit(execution, frame.previous_event_id, f"{state.type}StateExited", details)
    if assigned:
        world.forget_variables(execution)
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
