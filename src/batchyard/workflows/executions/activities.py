"""Activities: tasks that workers take by asking for them (step functions spec 15)."""

from __future__ import annotations

from collections import deque
from typing import Any

from msgspec.structs import replace

from batchyard.core.model.executions import Frame, FramePhase
from batchyard.evaluators.states.errors import RUNTIME, StateError
from batchyard.workflows import commands as c
from batchyard.workflows.compiled_states import TaskState
from batchyard.workflows.executions.open_executions import OpenExecution, OpenExecutions
from batchyard.workflows.executions.task_tokens import make_token


def schedule(
    world: OpenExecutions,
    execution: OpenExecution,
    frame: Frame,
    state: TaskState,
    work: str,
    times: dict[str, int],
) -> None:
    """Offers a task to the workers of its activity. Raises StateError."""
    arn = state.resource.arn
    if not world.registry.has_activity(arn):
        raise StateError(RUNTIME, f"The activity {arn} does not exist.")
    details: dict[str, Any] = {"resource": arn, "input": work, **times}
    event_id = world.emit(execution, frame.previous_event_id, "ActivityScheduled", details)
    timeout = times.get("timeoutInSeconds", 0)
    frame = replace(
        frame,
        phase=FramePhase.WAITS_FOR_WORKER,
        previous_event_id=event_id,
        call_event_id=event_id,
        target=arn,
        due_ms=0,
        timeout_ms=world.now_ms + timeout * 1000 if timeout else 0,
        heartbeat_ms=times.get("heartbeatInSeconds", 0) * 1000,  # from when a worker has it
        heartbeat_due_ms=0,
        work=work,
    )
    world.put(execution, frame)
    world.set_timers_of(execution, frame)
    offer(world, execution, frame)


def offer(world: OpenExecutions, execution: OpenExecution, frame: Frame) -> None:
    """Puts the task of a frame behind the others of its activity."""
    world.tasks.setdefault(frame.target, deque()).append((execution.record.key, frame.id, frame.call_event_id))
    world.effects.append(c.ActivityTaskReady(frame.target))


def next_task(world: OpenExecutions, activity_arn: str) -> tuple[OpenExecution, Frame] | None:
    """Removes the oldest task of an activity from those that wait for a worker, and returns its frame."""
    waiting = world.tasks.get(activity_arn)
    while waiting:
        key, frame_id, event_id = waiting.popleft()
        if not waiting:
            del world.tasks[activity_arn]
        found = world.find(key, frame_id)
        if found is None:
            continue
        frame = found[1]
        if frame.phase is FramePhase.WAITS_FOR_WORKER and frame.call_event_id == event_id:
            return found
    return None


def give(world: OpenExecutions, execution: OpenExecution, frame: Frame, worker_name: str | None) -> c.ActivityTask:
    """Gives the task of a frame to a worker."""
    details = {} if worker_name is None else {"workerName": worker_name}
    started = world.emit(execution, frame.previous_event_id, "ActivityStarted", details)
    due_ms = world.now_ms + frame.heartbeat_ms if frame.heartbeat_ms else 0
    world.put(
        execution,
        replace(frame, phase=FramePhase.WITH_WORKER, previous_event_id=started, heartbeat_due_ms=due_ms, work=""),
    )
    if due_ms:
        world.set_timer(execution, frame.id, due_ms)
    token = make_token(world.account.account_id, execution.record.key, frame.id, frame.call_event_id)
    return c.ActivityTask(token, frame.work)
