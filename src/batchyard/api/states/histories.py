"""GetExecutionHistory: the events of an execution, by pages (step functions spec 5)."""

from __future__ import annotations

from batchyard.api.context import Call, Context
from batchyard.api.states.executions import find
from batchyard.api.states.requests import page_size, seconds
from batchyard.core.model.executions import HistoryEvent, details_member
from batchyard.wire.messages import Document

NOT_TRUNCATED = {"truncated": False}
# The members of details that hold data of the execution, and the member beside each that describes it.
PAYLOADS = {"input": "inputDetails", "output": "outputDetails", "assignedVariables": "assignedVariablesDetails"}
LEFT_OUT = frozenset({*PAYLOADS, "error", "cause", "parameters"})  # without includeExecutionData
WITHOUT_DATA = LEFT_OUT - {"error", "cause"}


async def get_execution_history(context: Context, call: Call, request: Document) -> Document:
    """executionArn, reverseOrder, includeExecutionData -> events."""
    execution = await find(context, request["executionArn"])
    token = request.get("nextToken")
    events, after = await context.read(
        context.reader.history,
        execution.key,
        page_size(request),
        int(token) if token else None,
        is_reverse=request.get("reverseOrder", False),
    )
    has_data = request.get("includeExecutionData", True)
    answer: Document = {"events": [event_document(event, has_data=has_data) for event in events]}
    return answer | ({} if after is None else {"nextToken": str(after)})


def event_document(event: HistoryEvent, *, has_data: bool = True) -> Document:
    """Returns an event as GetExecutionHistory shows it. `has_data`: False: without inputs, outputs and parameters."""
    document: Document = {
        "timestamp": seconds(event.at_ms),
        "type": event.type,
        "id": event.id,
        "previousEventId": event.previous_event_id,
    }
    if event.details is None:
        return document
    details = dict(event.details)
    if has_data:
        details |= {PAYLOADS[member]: NOT_TRUNCATED for member in event.details if member in PAYLOADS}
    else:
        details = {member: value for member, value in details.items() if member not in WITHOUT_DATA}
    return document | {details_member(event.type): details}
