"""The beginning of executions."""

from __future__ import annotations

from typing import Any

from batchyard.core.model.executions import EXPRESS, Execution, Frame, FramePhase
from batchyard.workflows.compiled_states import StateScope
from batchyard.workflows.executions.open_executions import WHOLE, OpenExecution, OpenExecutions

EXPRESS_MS = 5 * 60_000  # EXPRESS executions end after this at the latest
TOP_FRAME = 0


def deadline_ms(now_ms: int, execution_type: str, timeout_seconds: int | None) -> int:
    """Returns when an execution that starts now is to end; 0: never."""
    deadlines = [now_ms + timeout_seconds * 1000] if timeout_seconds is not None else []
    if execution_type == EXPRESS:
        deadlines.append(now_ms + EXPRESS_MS)
    return min(deadlines, default=0)


def begin(world: OpenExecutions, record: Execution, scope: StateScope) -> OpenExecution:
    """Begins an execution: its first state is entered in this batch."""
    execution = OpenExecution(record, scope)
    world.open[record.key] = execution
    world.keys[record.arn] = record.key
    world.put_record(execution, record)
    details: dict[str, Any] = {"input": record.input, "roleArn": record.role_arn}
    if record.alias_arn:
        details["stateMachineAliasArn"] = record.alias_arn
    if record.version_arn:
        details["stateMachineVersionArn"] = record.version_arn
    world.emit(execution, 0, "ExecutionStarted", details)
    frame = Frame(
        execution_key=record.key,
        id=world.new_frame_id(execution),
        state=scope.start_at,
        phase=FramePhase.RUNNABLE,
        input=record.input,
    )
    assert frame.id == TOP_FRAME, "the first frame of an execution is its top level"
    world.queue(execution, world.put(execution, frame))
    if record.deadline_ms:
        world.set_timer(execution, WHOLE, record.deadline_ms)
    return execution
