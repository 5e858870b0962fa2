"""Events that callers put, and patterns that they try (observability spec 3.4, 3.5)."""

from __future__ import annotations

from batchyard.api.context import Call, Context
from batchyard.api.events.requests import invalid
from batchyard.evaluators.events.envelope import InvalidEntry, entry_bytes, envelope, parse_detail, parse_test_event
from batchyard.evaluators.events.event_pattern import compile_pattern
from batchyard.events import commands as c
from batchyard.events.records import DEFAULT_BUS, bus_name
from batchyard.wire.messages import Document

MAX_ENTRIES = 10  # API: PutEventsRequestEntryList
MAX_BYTES = 1024 * 1024  # of the entries of a request (observability spec 3.4)
RESERVED_SOURCE = "aws."


async def put_events(context: Context, call: Call, request: Document) -> Document:
    """Entries -> for each its EventId, or why it was not taken."""
    entries = request["Entries"]
    if not 1 <= len(entries) <= MAX_ENTRIES:
        bound = f"less than or equal to {MAX_ENTRIES}" if entries else "greater than or equal to 1"
        raise invalid(
            f"1 validation error detected: Value '[...]' at 'entries' failed to satisfy constraint: Member must have "
            f"length {bound}"
        )
    if sum(map(_bytes_of, entries)) >= MAX_BYTES:
        raise invalid("Total size of the entries in the request is over the limit.")
    taken: list[c.Event] = []
    results: list[Document] = []
    for entry in entries:
        try:
            event = _event(context, entry)
        except InvalidEntry as error:
            results.append({"ErrorCode": error.code, "ErrorMessage": error.message})
        else:
            taken.append(event)
            results.append({"EventId": event.id})
    if taken:
        await context.ask(c.PutEvents(tuple(taken)))
    return {"FailedEntryCount": len(results) - len(taken), "Entries": results}


async def test_event_pattern(context: Context, call: Call, request: Document) -> Document:
    """EventPattern, Event -> Result. The pattern is judged first."""
    pattern = compile_pattern(request["EventPattern"])
    return {"Result": pattern.matches(parse_test_event(request["Event"]))}


def _event(context: Context, entry: Document) -> c.Event:
    source, detail_type = entry.get("Source"), entry.get("DetailType")
    detail = parse_detail(source, detail_type, entry.get("Detail"))
    if str(source).startswith(RESERVED_SOURCE):
        text = (
            f"Not authorized for the source {source}: sources that start with {RESERVED_SOURCE} are the service's own."
        )
        raise InvalidEntry("NotAuthorizedForSourceException", text)
    at = entry.get("Time")
    document = envelope(  # the machine enters its own time where the entry has none
        event_id=context.new_uuid(),
        detail_type=str(detail_type),
        source=str(source),
        account=context.account.account_id,
        at_ms=int(at * 1000) if at is not None else 0,
        region=context.account.region,
        resources=entry.get("Resources", []),
        detail=detail,
    )
    return c.Event(bus_name(entry.get("EventBusName") or DEFAULT_BUS), document, has_time=at is not None)


def _bytes_of(entry: Document) -> int:
    return entry_bytes(
        source=entry.get("Source", ""),
        detail_type=entry.get("DetailType", ""),
        detail=entry.get("Detail", ""),
        resources=entry.get("Resources", ()),
        has_time="Time" in entry,
    )
