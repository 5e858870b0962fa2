"""Log streams that callers make, write and delete (observability spec 16)."""

from __future__ import annotations

from itertools import pairwise

from batchyard.api.context import Call, Context
from batchyard.api.logs.requests import (
    MAX_TIME_MS,
    change,
    check_group_name,
    check_stream_name,
    find_group,
    invalid,
    no_stream,
    require_group,
)
from batchyard.core.model.refusal import Refused
from batchyard.observe.log_catalogue import HIDDEN_STREAM, AnyStream, EventStream, JobStream
from batchyard.store.logs import log_changes
from batchyard.store.logs.log_changes import MS_PER_DAY
from batchyard.store.logs.log_records import LogEvent, WrittenGroup
from batchyard.wire.messages import Document

MAX_BATCH_BYTES = 1024 * 1024  # of the events of one request, with what is counted for each (API: PutLogEvents)
EVENT_OVERHEAD_BYTES = 26


async def create_log_stream(context: Context, call: Call, request: Document) -> Document:
    """logGroupName, logStreamName."""
    name = check_stream_name(request["logStreamName"])
    group = await find_group(context, check_group_name(request["logGroupName"]))
    if isinstance(await context.read(context.log_catalogue.stream, group.name, name), JobStream):
        raise Refused("The specified log stream already exists", log_changes.ALREADY_EXISTS)
    await change(context, lambda connection, now_ms: log_changes.create_stream(connection, group, name, now_ms))
    return {}


async def delete_log_stream(context: Context, call: Call, request: Document) -> Document:
    """Deletes a stream with its events. That of a job that runs is refused: it is being written."""
    group, stream = await context.read(_find, context, request["logGroupName"], request["logStreamName"])
    writer = context.log_writer
    if isinstance(stream, EventStream):
        key = stream.stream.key
        await change(context, lambda connection, _: log_changes.delete_stream(connection, writer, key))
        return {}
    if not stream.is_ended:
        raise Refused(
            f"The log stream is written by the running job {stream.job_id}: delete it when that has ended.",
            "OperationAbortedException",
        )
    name = stream.name
    await change(context, lambda connection, _: log_changes.hide_stream(connection, group, HIDDEN_STREAM, name))
    await context.read(stream.remove)
    return {}


async def put_log_events(context: Context, call: Call, request: Document) -> Document:
    """logGroupName, logStreamName, logEvents (in the order of their times) -> nextSequenceToken, and which were too old
    or too new. Sequence tokens are ignored, as on AWS since 2023."""
    group, name = request["logGroupName"], request["logStreamName"]
    events = [LogEvent(entry["timestamp"], entry["message"]) for entry in request["logEvents"]]
    _check(events)
    writer = context.log_writer
    if isinstance(await context.read(context.log_catalogue.stream, group, name), JobStream):
        raise invalid("The log stream is the output of a job, which alone writes it: create another stream.")
    put = await change(
        context,
        lambda connection, now_ms: log_changes.put_events(connection, writer, group, name, events, now_ms),
        len(events),
    )
    answer: Document = {"nextSequenceToken": str(put.stored[-1].sequence if put.stored else 0)}
    rejected = {
        "tooOldLogEventEndIndex": put.too_old_end,
        "expiredLogEventEndIndex": put.expired_end,
        "tooNewLogEventStartIndex": put.too_new_start,
    }
    found = {member: at for member, at in rejected.items() if at is not None}
    if found:
        answer["rejectedLogEventsInfo"] = found
    if request.get("entity"):
        answer["rejectedEntityInfo"] = {"errorType": "UnsupportedLogGroupType"}  # entities are not kept here
    return answer


def _check(events: list[LogEvent]) -> None:
    times = [event.at_ms for event in events]
    if any(not 0 <= at_ms <= MAX_TIME_MS for at_ms in times):
        raise invalid(f"Timestamps must be milliseconds since 1970, from 0 to {MAX_TIME_MS}.")
    if any(earlier > later for earlier, later in pairwise(times)):
        raise invalid("Log events in a single PutLogEvents request must be in chronological order.")
    if times[-1] - times[0] > MS_PER_DAY:
        raise invalid("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
    size = sum(len(event.message.encode("utf-8", "surrogatepass")) + EVENT_OVERHEAD_BYTES for event in events)
    if size > MAX_BATCH_BYTES:
        raise invalid(f"Upload too large: {size} bytes exceeds limit of {MAX_BATCH_BYTES}")
    if not all(event.message for event in events):
        raise invalid(
            "1 validation error detected: Value '' at 'logEvents.1.member.message' failed to satisfy constraint: "
            "Member must have length greater than or equal to 1"
        )


def _find(context: Context, group_name: str, name: str) -> tuple[WrittenGroup, AnyStream]:
    group = require_group(context, group_name)
    stream = context.log_catalogue.stream(group_name, name)
    if stream is None:
        raise no_stream()
    return group, stream
