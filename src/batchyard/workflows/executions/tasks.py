"""Task states: calls of integrations, what they wait for, and their ends (step functions spec 5, 11, 13, 14)."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from batchyard.core.model.executions import Execution, ExecutionStatus, Frame, FramePhase
from batchyard.evaluators.states.errors import RUNTIME, StateError
from batchyard.evaluators.states.json_values import compact
from batchyard.evaluators.states.retriers import HEARTBEAT_TIMEOUT, TASK_FAILED, TIMEOUT
from batchyard.evaluators.states.scope import Scope
from batchyard.workflows import commands as c
from batchyard.workflows.compiled_states import TaskState
from batchyard.workflows.executions import activities
from batchyard.workflows.executions.data_flow import (
    check_output,
    evaluate,
    object_of,
    output_of_result,
    work_input,
)
from batchyard.workflows.executions.endings import MAX_CAUSE_CHARACTERS, abandon_call, call_key
from batchyard.workflows.executions.failures import fail
from batchyard.workflows.executions.open_executions import Failure, OpenExecution, OpenExecutions
from batchyard.workflows.executions.payload import Payload, payload_of
from batchyard.workflows.executions.scopes import positive_integer_of, scope_for
from batchyard.workflows.executions.task_tokens import make_token
from batchyard.workflows.executions.transitions import exit_state
from batchyard.workflows.resources import ACTIVITY, SYNC, TOKEN, Resource

_OPEN = frozenset(
    {
        FramePhase.CALLING,
        FramePhase.WAITS_FOR_JOB,
        FramePhase.WAITS_FOR_EXECUTION,
        FramePhase.WAITS_FOR_TOKEN,
        FramePhase.WAITS_FOR_WORKER,
        FramePhase.WITH_WORKER,
    }
)


def schedule(world: OpenExecutions, execution: OpenExecution, frame: Frame, state: TaskState) -> None:
    """Begins an attempt of a task. Raises StateError."""
    resource = state.resource
    event_id = execution.last_event_id + 1  # of the event that follows
    token = ""
    if resource.pattern == TOKEN:
        token = make_token(world.account.account_id, execution.record.key, frame.id, event_id)
    raw = world.input_of(execution, frame)
    scope = scope_for(world, execution, frame, state, token)
    arguments = work_input(state, raw, scope)
    check_output(arguments, state.name)
    times = _times(state, raw, arguments, scope)
    if resource.service == ACTIVITY:
        activities.schedule(world, execution, frame, state, arguments.text, times)
        return
    fault = world.check_arguments(resource, arguments.value)
    if fault:
        given = compact(arguments.value)
        raise StateError(RUNTIME, f"The Parameters '{given}' could not be used to start the Task: [{fault}]")
    details: dict[str, Any] = {
        **_names(resource),
        "region": world.account.region,
        "parameters": arguments.text,
        **times,
    }
    if state.credentials is not None:
        credentials = object_of(evaluate(state.credentials, raw, scope, raw), "Credentials")
        details["taskCredentials"] = {"roleArn": str(credentials.get("RoleArn", ""))}
    scheduled = world.emit(execution, frame.previous_event_id, "TaskScheduled", details)
    started = world.emit(execution, scheduled, "TaskStarted", _names(resource))
    frame = timed(world, frame, times, starts_heartbeat=True)
    frame = replace(
        frame,
        phase=FramePhase.CALLING,
        previous_event_id=started,
        call_event_id=scheduled,
        target="",
        due_ms=0,
        work=arguments.text,
    )
    world.put(execution, frame)
    world.set_timers_of(execution, frame)
    world.effects.append(call_of(world, execution, frame))


def call_of(world: OpenExecutions, execution: OpenExecution, frame: Frame) -> c.CallIntegration:
    """Returns the effect of a frame that is CALLING."""
    state = world.state_of(execution, frame)
    assert isinstance(state, TaskState), "only tasks call"
    record = execution.record
    return c.CallIntegration(
        execution_key=record.key,
        execution_arn=record.arn,
        frame_id=frame.id,
        event_id=frame.call_event_id,
        key=call_key(execution, frame.call_event_id),
        resource=state.resource,
        arguments=Payload(frame.work).value,
        machine_arn=record.machine_arn,
        machine_role_arn=record.role_arn,
        timeout_ms=frame.timeout_ms,
    )


def timed(world: OpenExecutions, frame: Frame, times: dict[str, int], *, starts_heartbeat: bool) -> Frame:
    timeout, heartbeat = times.get("timeoutInSeconds", 0), times.get("heartbeatInSeconds", 0)
    return replace(
        frame,
        timeout_ms=world.now_ms + timeout * 1000 if timeout else 0,
        heartbeat_ms=heartbeat * 1000,
        heartbeat_due_ms=world.now_ms + heartbeat * 1000 if heartbeat and starts_heartbeat else 0,
    )


# -- what comes of the call --


def answered(world: OpenExecutions, execution: OpenExecution, frame: Frame, report: c.CallAnswered) -> None:
    """Takes the answer of the call that the frame is in. Raises StateError."""
    state = _task(world, execution, frame)
    resource = state.resource
    if report.error is not None:
        event_type = "TaskSubmitFailed" if report.stage == c.SUBMIT else "TaskFailed"
        _fail(world, execution, frame, resource, event_type, Failure(report.error, report.cause))
        return
    output = payload_of(report.output)
    check_output(output, resource.arn)
    if not resource.pattern:
        _succeed(world, execution, frame, state, output)
        return
    details = {**_names(resource), "output": output.text}
    submitted = world.emit(execution, frame.previous_event_id, "TaskSubmitted", details)
    frame = replace(frame, previous_event_id=submitted, work="", target=_target(resource, report.output))
    if resource.pattern == TOKEN:
        _wait_for_token(world, execution, frame)
    elif resource.service == "batch":
        _wait_for_job(world, execution, frame)
    else:
        _wait_for_execution(world, execution, frame)


def job_described(world: OpenExecutions, execution: OpenExecution, frame: Frame, report: c.JobDescribed) -> None:
    """Takes the end of the job that the frame waits for. Raises StateError."""
    if not report.has_ended:
        return
    state = _task(world, execution, frame)
    world.jobs.pop(frame.target, None)
    detail = payload_of(report.output)
    if report.is_succeeded:
        check_output(detail, state.resource.arn)
        _succeed(world, execution, frame, state, detail)
    else:
        failure = Failure(TASK_FAILED, detail.text[:MAX_CAUSE_CHARACTERS])
        _fail(world, execution, frame, state.resource, "TaskFailed", failure)


def child_described(world: OpenExecutions, execution: OpenExecution, frame: Frame, record: Execution | None) -> None:
    """Takes the end of the execution that the frame waits for. Raises StateError."""
    state = _task(world, execution, frame)
    if record is None:
        cause = f"Execution Does Not Exist: '{frame.target}'"
        _fail(world, execution, frame, state.resource, "TaskFailed", Failure(TASK_FAILED, cause))
    elif record.status.is_final:
        found = payload_of(described_execution(record, as_text=state.resource.pattern == SYNC))
        if record.status is ExecutionStatus.SUCCEEDED:
            check_output(found, state.resource.arn)
            _succeed(world, execution, frame, state, found)
        else:
            failure = Failure(TASK_FAILED, found.text)
            _fail(world, execution, frame, state.resource, "TaskFailed", failure)


def described_execution(record: Execution, *, as_text: bool) -> dict[str, Any]:
    """Returns what a .sync task gets of an execution that has ended. `as_text`: Input and Output as JSON texts, as the
    first form of .sync has them (step functions spec 13)."""
    found: dict[str, Any] = {}
    if record.cause is not None:
        found["Cause"] = record.cause
    if record.error is not None:
        found["Error"] = record.error
    found |= {
        "ExecutionArn": record.arn,
        "Input": record.input if as_text else Payload(record.input).value,
        "InputDetails": {"Included": True},
        "Name": record.name,
    }
    if record.output is not None:
        found["Output"] = record.output if as_text else Payload(record.output).value
        found["OutputDetails"] = {"Included": True}
    found |= {
        "StartDate": record.started_at_ms,
        "StateMachineArn": record.machine_arn,
        "Status": record.status.value,
        "StopDate": record.stopped_at_ms,
    }
    return found


def token_answered(
    world: OpenExecutions, execution: OpenExecution, frame: Frame, output: str | None, failure: Failure | None
) -> None:
    """Takes what SendTaskSuccess or SendTaskFailure gives the task of a frame. Raises StateError."""
    state = _task(world, execution, frame)
    if frame.phase is FramePhase.CALLING:  # the callback has come before the answer
        given = {"output": output} if failure is None else {"error": failure.error, "cause": failure.cause}
        world.put(execution, replace(frame, early_end=compact(given)))
    elif failure is not None:
        event_type = "ActivityFailed" if state.resource.service == ACTIVITY else "TaskFailed"
        _fail(world, execution, frame, state.resource, event_type, failure)
    else:
        assert output is not None, "a task that succeeds has an output"
        payload = Payload(output)
        check_output(payload, state.resource.arn)
        _succeed(world, execution, frame, state, payload)


def heartbeat(world: OpenExecutions, execution: OpenExecution, frame: Frame) -> None:
    if frame.heartbeat_ms:
        frame = world.put(execution, replace(frame, heartbeat_due_ms=world.now_ms + frame.heartbeat_ms))
        world.set_timer(execution, frame.id, frame.heartbeat_due_ms)


def is_open_task(frame: Frame) -> bool:
    return frame.phase in _OPEN


def time_out(world: OpenExecutions, execution: OpenExecution, frame: Frame) -> None:
    """Lets a task fail whose time, or time between two heartbeats, is over. Raises StateError."""
    state = _task(world, execution, frame)
    is_activity = state.resource.service == ACTIVITY
    abandon_call(world, execution, frame)
    details = {} if is_activity else _names(state.resource)
    event_id = world.emit(
        execution,
        frame.previous_event_id,
        "ActivityTimedOut" if is_activity else "TaskTimedOut",
        {**details, "error": TIMEOUT},
    )
    is_heartbeat = not frame.timeout_ms or frame.timeout_ms > world.now_ms
    failure = Failure(TIMEOUT, None, (HEARTBEAT_TIMEOUT,) if is_heartbeat else ())
    fail(world, execution, replace(frame, previous_event_id=event_id), failure)


# -- parts --


def _task(world: OpenExecutions, execution: OpenExecution, frame: Frame) -> TaskState:
    state = world.state_of(execution, frame)
    assert isinstance(state, TaskState), f"{state.type} states do not call"
    return state


def _names(resource: Resource) -> dict[str, str]:
    return {"resourceType": resource.type_name, "resource": resource.name or resource.arn}


def _times(state: TaskState, raw: Payload, arguments: Payload, scope: Scope) -> dict[str, int]:
    found = {}
    for member, field in (("timeoutInSeconds", state.timeout), ("heartbeatInSeconds", state.heartbeat)):
        if field is not None:
            found[member] = positive_integer_of(field, raw, scope, raw)
    return found


def _target(resource: Resource, output: Any) -> str:
    """Returns the id of the job, or the ARN of the execution, that a call has begun; empty: neither."""
    if not isinstance(output, dict):
        return ""
    member = "JobId" if resource.service == "batch" else "ExecutionArn"
    return str(output.get(member, ""))


def _wait_for_token(world: OpenExecutions, execution: OpenExecution, frame: Frame) -> None:
    early = Payload(frame.early_end).value if frame.early_end else None
    frame = world.put(execution, replace(frame, phase=FramePhase.WAITS_FOR_TOKEN, early_end=""))
    if early is None:
        return
    if "output" in early:
        token_answered(world, execution, frame, early["output"], None)
    else:
        token_answered(world, execution, frame, None, Failure(early["error"], early["cause"]))


def _wait_for_job(world: OpenExecutions, execution: OpenExecution, frame: Frame) -> None:
    frame = world.put(execution, replace(frame, phase=FramePhase.WAITS_FOR_JOB))
    world.jobs[frame.target] = execution.record.key, frame.id
    world.effects.append(describe_job(execution, frame))  # it may have ended before the answer came


def describe_job(execution: OpenExecution, frame: Frame) -> c.DescribeJob:
    return c.DescribeJob(
        execution_key=execution.record.key,
        frame_id=frame.id,
        event_id=frame.call_event_id,
        job_id=frame.target,
    )


def _wait_for_execution(world: OpenExecutions, execution: OpenExecution, frame: Frame) -> None:
    frame = world.put(execution, replace(frame, phase=FramePhase.WAITS_FOR_EXECUTION))
    world.waiting.setdefault(frame.target, []).append((execution.record.key, frame.id))
    if frame.target not in world.keys:
        world.effects.append(describe_child(execution, frame))


def describe_child(execution: OpenExecution, frame: Frame) -> c.DescribeChild:
    return c.DescribeChild(
        execution_key=execution.record.key,
        frame_id=frame.id,
        event_id=frame.call_event_id,
        arn=frame.target,
    )


def _succeed(world: OpenExecutions, execution: OpenExecution, frame: Frame, state: TaskState, result: Payload) -> None:
    is_activity = state.resource.service == ACTIVITY
    details = {} if is_activity else _names(state.resource)
    event_type = "ActivitySucceeded" if is_activity else "TaskSucceeded"
    event_id = world.emit(execution, frame.previous_event_id, event_type, {**details, "output": result.text})
    # From here on nothing is open: a failure of what follows abandons nothing, and its retry calls again.
    frame = world.put(execution, replace(frame, previous_event_id=event_id, phase=FramePhase.RUNNABLE))
    raw = world.input_of(execution, frame)
    scope = scope_for(world, execution, frame, state)
    output, assigned = output_of_result(state, raw, result, scope)
    exit_state(world, execution, frame, state, output, assigned, state.next)


def _fail(
    world: OpenExecutions,
    execution: OpenExecution,
    frame: Frame,
    resource: Resource,
    event_type: str,
    failure: Failure,
) -> None:
    details: dict[str, Any] = {} if resource.service == ACTIVITY else _names(resource)
    if failure.error is not None:
        details["error"] = failure.error
    if failure.cause is not None:
        details["cause"] = failure.cause
    event_id = world.emit(execution, frame.previous_event_id, event_type, details)
    fail(world, execution, replace(frame, previous_event_id=event_id), failure)
