"""StartLiveTail: a stream of what is written into log groups (observability spec 19)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from batchyard.api.context import Call, Context
from batchyard.api.logs.requests import find_group, group_arn, invalid, name_of
from batchyard.core.model.refusal import Refused
from batchyard.evaluators.logs.filter_pattern import compile_pattern
from batchyard.observe.live_tail import LiveSelection, LiveTail, LiveUpdate
from batchyard.wire.event_stream import StreamedResult, StreamEvent
from batchyard.wire.messages import Document

MAX_GROUPS = 10  # API: StartLiveTailLogGroupIdentifiers
MAX_STREAMS = 100  # API: InputLogStreamNames
MAX_SESSIONS = 15  # at once (CloudWatch Logs quotas)
UPDATE_SECONDS = 1.0
SESSION_SECONDS = 3 * 3600.0


async def start_live_tail(context: Context, call: Call, request: Document) -> Document:
    """logGroupIdentifiers, logStreamNames or logStreamNamePrefixes, logEventFilterPattern -> a stream of events."""
    identifiers = request["logGroupIdentifiers"]
    names = tuple(dict.fromkeys(name_of(text, "logGroupIdentifiers") for text in identifiers))
    streams, prefixes = request.get("logStreamNames") or [], request.get("logStreamNamePrefixes") or []
    if not 1 <= len(names) <= MAX_GROUPS:
        raise invalid(f"logGroupIdentifiers must hold 1 to {MAX_GROUPS} log groups, got {len(names)}.")
    if (streams or prefixes) and len(names) > 1:
        raise invalid("logStreamNames and logStreamNamePrefixes are only for one log group.")
    if streams and prefixes:
        raise invalid("Cannot specify both logStreamNames and logStreamNamePrefixes: give one of them.")
    if max(len(streams), len(prefixes)) > MAX_STREAMS:
        raise invalid(f"At most {MAX_STREAMS} names or prefixes of streams can be given.")
    pattern = request.get("logEventFilterPattern", "")
    selection = LiveSelection(names, compile_pattern(pattern), frozenset(streams), tuple(prefixes))
    for name in names:
        await find_group(context, name)
    if len(context.live_tails) >= MAX_SESSIONS:
        raise Refused(f"At most {MAX_SESSIONS} live tails run at once.", "LimitExceededException")
    tail = LiveTail(context.log_catalogue, selection)
    await context.read(tail.begin, context.log_writer.now_ms())
    start: Document = {
        "requestId": context.new_uuid(),
        "sessionId": context.new_uuid(),
        "logGroupIdentifiers": [group_arn(context, name) for name in names],
        "logStreamNames": streams,
        "logStreamNamePrefixes": prefixes,
        "logEventFilterPattern": pattern,
    }
    return StreamedResult(_session(context, tail, start))


async def _session(context: Context, tail: LiveTail, start: Document) -> AsyncIterator[StreamEvent]:
    """Yields the events of a session until its time is over, or its reader has gone."""
    context.live_tails.add(tail)
    context.log_writer.listen(tail.hear)
    ends_at = time.monotonic() + SESSION_SECONDS
    try:
        yield StreamEvent("sessionStart", start)
        while time.monotonic() < ends_at:
            await asyncio.sleep(UPDATE_SECONDS)
            update = await context.read(tail.update)
            yield StreamEvent("sessionUpdate", _document(context, update))
        yield StreamEvent(
            "SessionTimeoutException", {"message": "The session has lasted 3 hours: begin another."}, True
        )
    finally:
        context.log_writer.unlisten(tail.hear)
        context.live_tails.discard(tail)


def _document(context: Context, update: LiveUpdate) -> Document:
    return {
        "sessionMetadata": {"sampled": update.is_sampled},
        "sessionResults": [
            {
                "logStreamName": event.stream,
                "logGroupIdentifier": f"{context.account.account_id}:{event.group}",
                "message": event.message,
                "timestamp": event.at_ms,
                "ingestionTime": event.ingested_ms,
            }
            for event in update.events
        ],
    }
