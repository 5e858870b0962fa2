"""Executions: started, stopped, redriven, described, listed (step functions spec 3, 4)."""

from __future__ import annotations

from batchyard.api.context import Call, Context
from batchyard.api.states.machines import revision_members
from batchyard.api.states.requests import check_name, check_payload_size, fault_of_json, invalid, page_size, seconds
from batchyard.core.model.executions import EXPRESS as EXPRESS_TYPE
from batchyard.core.model.executions import Execution, ExecutionStatus
from batchyard.core.model.refusal import Refused
from batchyard.store.queries import ExecutionFilter
from batchyard.wire.messages import Document
from batchyard.workflows import registry_commands as c
from batchyard.workflows.arns import EXECUTION, EXPRESS, MAP_RUN, SERVICE, STATE_MACHINE, parse_arn
from batchyard.workflows.commands import RedriveExecution, StartExecution, StopExecution
from batchyard.workflows.records import REVISION
from batchyard.workflows.registry_refusals import RefusedWithMembers, no_machine

INCLUDED = {"included": True}
METADATA_ONLY = "METADATA_ONLY"
REDRIVABLE_MS = 14 * 86_400_000  # service quotas: within 14 days of its end
MAX_REDRIVES = 1000
MAX_REDRIVABLE_EVENTS = 24_999
BILLED_MS, BILLED_MIB = 100, 64  # the units in which EXPRESS executions are billed
NOT_SUPPORTED = "This operation is not supported by this type of state machine"


# -- starting --


async def start_execution(context: Context, call: Call, request: Document) -> Document:
    """stateMachineArn, name, input -> executionArn, startDate. A repeated name with an equal input, while the execution
    runs, is answered with that."""
    command = await _start_command(context, request, is_sync=False)
    started = await context.ask(command)
    return {"executionArn": started.arn, "startDate": seconds(started.started_at_ms)}


async def start_sync_execution(context: Context, call: Call, request: Document) -> Document:
    """Starts an execution of an EXPRESS machine, and answers when it has ended: also with status FAILED."""
    command = await _start_command(context, request, is_sync=True)
    machine = parse_arn(command.machine_arn, STATE_MACHINE).name
    arn = context.account.arn(SERVICE, f"{EXPRESS}:{machine}:{command.name}:{command.uuid}")
    with context.waiters.expect_end(arn) as end:
        await context.ask(command)
        execution = await end
    return _sync_answer(execution, request)


async def _start_command(context: Context, request: Document, *, is_sync: bool) -> StartExecution:
    """Returns the command of a request. Refused: it is not allowed, or a STANDARD execution of this name has
    closed."""
    arn, text = request["stateMachineArn"], request.get("input", "{}")
    parsed = parse_arn(arn, STATE_MACHINE)
    if "name" in request:
        check_name(request["name"])
    check_payload_size(text, "input")
    fault = fault_of_json(text) if text.strip() else "Invalid execution input."
    if fault:
        raise Refused(f"Invalid State Machine Execution Input: '{fault}'", "InvalidExecutionInput")
    if "name" in request and not is_sync:
        await _check_name_is_free(context, arn, f"{EXECUTION}:{parsed.name}:{request['name']}")
    uuid = context.new_uuid()
    return StartExecution(
        machine_arn=arn,
        name=request.get("name", uuid),
        input=text,
        uuid=uuid,
        has_given_name="name" in request,
        is_sync=is_sync,
        trace_header=request.get("traceHeader", ""),
    )


async def _check_name_is_free(context: Context, machine_arn: str, resource: str) -> None:
    """Refuses the name of an execution that has closed; the machine knows those that are open."""
    arn = context.account.arn(SERVICE, resource)
    known = await context.read(context.reader.execution, arn)
    if known is None or not known.status.is_final:
        return
    found = await context.ask(c.AskStateMachine(_base(machine_arn)))
    if found.machine.kind != EXPRESS_TYPE:  # it may have been STANDARD before it was deleted and made again
        raise Refused(f"Execution Already Exists: '{arn}'", "ExecutionAlreadyExists")


def _base(arn: str) -> str:
    """Returns the ARN of the state machine of an ARN of a version or alias."""
    return ":".join(arn.split(":")[:7])


def not_supported(arn: str) -> Refused:
    return RefusedWithMembers(NOT_SUPPORTED, "StateMachineTypeNotSupported", resourceName=arn)


def _sync_answer(execution: Execution, request: Document) -> Document:
    milliseconds = execution.stopped_at_ms - execution.started_at_ms
    billed_ms = max(BILLED_MS, -(-milliseconds // BILLED_MS) * BILLED_MS)
    document = {
        "executionArn": execution.arn,
        "stateMachineArn": execution.machine_arn,
        "name": execution.name,
        "startDate": seconds(execution.started_at_ms),
        "stopDate": seconds(execution.stopped_at_ms),
        "status": execution.status.value,
        "billingDetails": {"billedDurationInMilliseconds": billed_ms, "billedMemoryUsedInMB": BILLED_MIB},
    }
    payloads = _payloads(execution, request)
    if payloads:
        payloads["outputDetails"] = INCLUDED  # also of one that failed (recorded)
    return document | payloads | _failure(execution) | _trace(execution)


# -- stopping, redriving --


async def stop_execution(context: Context, call: Call, request: Document) -> Document:
    """executionArn, error, cause -> stopDate. One that has closed stays as it is."""
    arn = request["executionArn"]
    parse_arn(arn, EXECUTION)
    stopped_at_ms = await context.ask(StopExecution(arn, request.get("error"), request.get("cause")))
    if stopped_at_ms is None:
        stopped_at_ms = (await find(context, arn)).stopped_at_ms
    return {"stopDate": seconds(stopped_at_ms)}


async def redrive_execution(context: Context, call: Call, request: Document) -> Document:
    """executionArn -> redriveDate. Continues an execution from the states that did not succeed."""
    arn = request["executionArn"]
    execution = await find(context, arn)
    _check_redrivable(context, execution)
    frames, history_end = await context.read(context.reader.execution_state, execution.key)
    if history_end >= MAX_REDRIVABLE_EVENTS:
        raise _not_redrivable(execution, "its history has reached the maximum number of events")
    map_runs, children, keys = [], [], [execution.key]
    while keys:  # of the execution, of its children, and of theirs
        runs, _ = await context.read(context.reader.map_runs, keys.pop(), limit=MAX_REDRIVABLE_EVENTS)
        for run in runs:
            found = await context.read(context.reader.unsuccessful_children, run.arn)
            keys += [child.key for child, _, _ in found]
            children += found
        map_runs += runs
    command = RedriveExecution(
        execution=execution,
        frames=tuple(frames),
        history_end=history_end,
        map_runs=tuple(map_runs),
        children=tuple((child, tuple(own), end) for child, own, end in children),
        client_token=request.get("clientToken", ""),
    )
    return {"redriveDate": seconds(await context.ask(command))}


def _check_redrivable(context: Context, execution: Execution) -> None:
    reason = _redrive_reason(execution)
    if reason:
        raise Refused(reason, "ExecutionNotRedrivable")
    if execution.map_run_arn:
        raise _not_redrivable(execution, "it is a child of a map run: redrive the execution of that")
    if execution.redrive_count >= MAX_REDRIVES:
        raise _not_redrivable(execution, f"it was redriven {MAX_REDRIVES} times")


def _not_redrivable(execution: Execution, reason: str) -> Refused:
    return Refused(f"Execution {execution.arn} cannot be redriven: {reason}.", "ExecutionNotRedrivable")


def _redrive_reason(execution: Execution) -> str:
    """Returns why an execution in its state can't be redriven, in AWS's words; empty: it can."""
    if execution.status in (ExecutionStatus.RUNNING, ExecutionStatus.SUCCEEDED, ExecutionStatus.PENDING_REDRIVE):
        return f"Execution is {execution.status.value} and cannot be redriven"
    return ""


# -- describing --


async def find(context: Context, arn: str) -> Execution:
    """Returns a STANDARD execution. Raises Refused."""
    parse_arn(arn, EXECUTION)
    execution = await context.read(context.reader.execution, arn)
    if execution is None:
        raise Refused(f"Execution Does Not Exist: '{arn}'", "ExecutionDoesNotExist")
    return execution


async def describe_execution(context: Context, call: Call, request: Document) -> Document:
    execution = await find(context, request["executionArn"])
    document = _common(execution) | _payloads(execution, request) | _failure(execution) | _trace(execution)
    reason = _redrive_reason(execution)
    document["redriveStatus"] = "NOT_REDRIVABLE" if reason else "REDRIVABLE"
    if reason:
        document["redriveStatusReason"] = reason
    elif execution.map_run_arn:
        document["redriveStatus"] = "REDRIVABLE_BY_MAP_RUN"
    return document


async def list_executions(context: Context, call: Call, request: Document) -> Document:
    """Lists the executions of a state machine, a version, an alias or a map run, the newest first."""
    wanted = await _filter(context, request)
    found, cursor = await context.read(
        context.reader.executions, wanted, page_size(request), request.get("nextToken") or None
    )
    rows = [_common(execution) | _items(execution) for execution in found]
    return {"executions": rows} | ({} if cursor is None else {"nextToken": cursor})


async def _filter(context: Context, request: Document) -> ExecutionFilter:
    status, redriven = request.get("statusFilter"), request.get("redriveFilter")
    is_redriven = None if redriven is None else redriven == "REDRIVEN"
    if ("stateMachineArn" in request) == ("mapRunArn" in request):
        raise invalid("Specify either a stateMachineArn or a mapRunArn.")
    if "mapRunArn" in request:
        arn = request["mapRunArn"]
        parse_arn(arn, MAP_RUN)
        if await context.read(context.reader.map_run, arn) is None:
            raise RefusedWithMembers(f"Resource not found: '{arn}'", "ResourceNotFound", resourceName=arn)
        return ExecutionFilter(arn, status=status, is_redriven=is_redriven)
    arn = request["stateMachineArn"]
    parsed = parse_arn(arn, STATE_MACHINE)
    column = "listed_under"
    if not parsed.qualifier:
        found = await context.ask(c.AskStateMachine(arn))
    elif parsed.qualifier.isdigit():
        found, column = await context.ask(c.AskStateMachine(arn)), "version_arn"
    else:
        aliases = await context.ask(c.AskAliases(_base(arn)))
        if parsed.qualifier not in {one.name for one in aliases}:
            raise no_machine(arn)
        found, column = await context.ask(c.AskStateMachine(_base(arn))), "alias_arn"
    if found.machine.kind == EXPRESS_TYPE:
        raise not_supported(arn)
    return ExecutionFilter(arn, column, status, is_redriven)


async def describe_state_machine_for_execution(context: Context, call: Call, request: Document) -> Document:
    """What an execution began with, whatever its state machine is now."""
    execution = await find(context, request["executionArn"])
    (revision,), _ = await context.read(context.reader.documents, REVISION, [execution.revision_id])
    machine, _, label = parse_arn(execution.machine_arn, STATE_MACHINE).name.partition("/")
    document: Document = {
        "stateMachineArn": execution.machine_arn,
        "name": machine,
        "updateDate": seconds(revision.created_at_ms),
    }
    if execution.map_run_arn:
        document |= {"mapRunArn": execution.map_run_arn, "label": label}
    return document | revision_members(revision, request)


def _common(execution: Execution) -> Document:
    document: Document = {
        "executionArn": execution.arn,
        "stateMachineArn": execution.machine_arn,
        "name": execution.name,
        "status": execution.status.value,
        "startDate": seconds(execution.started_at_ms),
        "redriveCount": execution.redrive_count,
    }
    if execution.stopped_at_ms and execution.status.is_final:
        document["stopDate"] = seconds(execution.stopped_at_ms)
    if execution.redriven_at_ms:
        document["redriveDate"] = seconds(execution.redriven_at_ms)
    if execution.map_run_arn:
        document["mapRunArn"] = execution.map_run_arn
    if execution.version_arn:
        document["stateMachineVersionArn"] = execution.version_arn
    if execution.alias_arn:
        document["stateMachineAliasArn"] = execution.alias_arn
    return document


def _payloads(execution: Execution, request: Document) -> Document:
    if request.get("includedData") == METADATA_ONLY:
        return {}
    document: Document = {"input": execution.input, "inputDetails": INCLUDED}
    if execution.output is not None:
        document |= {"output": execution.output, "outputDetails": INCLUDED}
    return document


def _failure(execution: Execution) -> Document:
    given = {"error": execution.error, "cause": execution.cause}
    return {member: value for member, value in given.items() if value is not None}


def _trace(execution: Execution) -> Document:
    return {"traceHeader": execution.trace_header} if execution.trace_header else {}


def _items(execution: Execution) -> Document:
    return {"itemCount": execution.item_count} if execution.map_run_arn else {}
