"""CloudWatch Logs for readers: groups, streams, events (CloudWatch Logs API reference).

The stream of a job is one container of one attempt and is there from RUNNING on; its name ends in the attempt's task
id. Its events come from the log files: their times are those of the lines, and they can be read the moment they are
written. Other streams are those that callers create and write.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re

import msgspec
from msgspec import Struct

from batchyard.api import page_tokens
from batchyard.api.checks import quoted
from batchyard.api.context import Call, Context
from batchyard.api.logs.requests import (
    INVALID_PARAMETER as INVALID_PARAMETER,
)
from batchyard.api.logs.requests import (
    bad_token,
    group_arn,
    group_name,
    invalid,
    limit_of,
    name_of,
    no_stream,
    page,
    require_group,
)
from batchyard.core.model.refusal import Refused
from batchyard.evaluators.logs.filter_pattern import compile_pattern
from batchyard.observe.log_catalogue import AnyStream
from batchyard.observe.log_filters import METRIC_FILTER, event_id
from batchyard.observe.logfile import PAGE_EVENTS
from batchyard.observe.logsearch import Cursor, search
from batchyard.observe.written_log import AnyLine
from batchyard.store.logs.log_records import WrittenGroup
from batchyard.wire.messages import Document

MAX_STREAM_NAMES = 100  # FilterLogEvents (API: InputLogStreamNames)
# Streams that one search merges by time. A larger group is searched in parts, so that a page stays bounded.
MAX_STREAMS_AT_ONCE = 10_000
# A token of GetLogEvents has 56 digits, as on AWS: a proof that it was made for this stream, and the position in it.
PROOF_DIGITS, PLACE_DIGITS = 30, 26
TOKEN = re.compile(rf"[fb]/[0-9]{{{PROOF_DIGITS + PLACE_DIGITS}}}", re.ASCII)
MAX_PAGES_SEARCHED = 100  # of groups, for names with a text, in one answer
MAX_PATTERN_CHARACTERS = 1024  # API: FilterPattern


class _SearchToken(Struct, array_like=True):
    """The position of a search: the store's cursor of the part of the group, and the position in that part."""

    part: str | None
    place: Cursor | None


# -- operations --


async def describe_log_groups(context: Context, call: Call, request: Document) -> Document:
    """logGroupNamePrefix, or logGroupNamePattern (a text in the name, in any case), or logGroupIdentifiers; limit,
    nextToken -> logGroups, nextToken. A page may be short or empty while there is a nextToken."""
    prefix, pattern, identifiers = (
        bool(request.get(member)) for member in ("logGroupNamePrefix", "logGroupNamePattern", "logGroupIdentifiers")
    )
    if prefix and pattern:
        raise invalid("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
    if identifiers and (prefix or pattern):
        raise invalid("Cannot specify logGroupIdentifiers with a prefix or pattern of names: give one of them.")
    if request.get("logGroupClass", "STANDARD") != "STANDARD":
        return {"logGroups": []}
    return await context.read(_describe_groups, context, limit_of(request), request)


async def describe_log_streams(context: Context, call: Call, request: Document) -> Document:
    """logGroupName or logGroupIdentifier, logStreamNamePrefix, orderBy, descending, limit, nextToken -> logStreams."""
    if request.get("logGroupName") and request.get("logGroupIdentifier"):
        raise Refused("LogGroup name and LogGroup ARN are mutually exclusive parameters.", "ValidationException")
    group = group_name(request)
    prefix = request.get("logStreamNamePrefix", "")
    order = request.get("orderBy", "LogStreamName")
    if order not in ("LogStreamName", "LastEventTime"):
        raise invalid(f"orderBy must be one of [LogStreamName, LastEventTime], got {quoted(order)}.")
    if order == "LastEventTime" and prefix:
        raise invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
    return await context.read(_describe_streams, context, group, prefix, order == "LastEventTime", request)


async def get_log_events(context: Context, call: Call, request: Document) -> Document:
    """One stream's events: logGroupName or logGroupIdentifier, logStreamName, startFromHead, startTime, endTime
    (exclusive), limit, nextToken -> events, nextForwardToken, nextBackwardToken. At either end the token asked with
    comes back."""
    group = group_name(request)
    return await context.read(_events, context, group, request)


async def filter_log_events(context: Context, call: Call, request: Document) -> Document:
    """A group's events by time: logStreamNames or logStreamNamePrefix, startTime, endTime, filterPattern, limit,
    nextToken -> events, nextToken. A page may be short or empty while there is a nextToken."""
    group = group_name(request)
    stream_names = request.get("logStreamNames")
    if stream_names is not None and request.get("logStreamNamePrefix"):
        raise invalid("Cannot specify both logStreamNames and logStreamNamePrefix: give one of them.")
    if stream_names is not None and not 1 <= len(stream_names) <= MAX_STREAM_NAMES:
        raise invalid(f"logStreamNames must hold 1 to {MAX_STREAM_NAMES} names, got {len(stream_names)}.")
    return await context.read(_filter, context, group, request)


# -- the work, in a reader's thread --


def _describe_groups(context: Context, limit: int, request: Document) -> Document:
    if request.get("logGroupIdentifiers"):
        names = [name_of(one, "logGroupIdentifiers") for one in request["logGroupIdentifiers"]]
        found = [context.log_catalogue.group(name) for name in dict.fromkeys(names)]
        return {"logGroups": [_group(context, group) for group in found if group is not None]}
    prefix, pattern = request.get("logGroupNamePrefix", ""), request.get("logGroupNamePattern", "").lower()
    cursor: str | None = request.get("nextToken")
    wanted: list[WrittenGroup] = []
    for _ in range(MAX_PAGES_SEARCHED if pattern else 1):
        try:
            groups, cursor = context.log_catalogue.groups(prefix, limit - len(wanted), cursor)
        except ValueError:
            raise bad_token() from None
        wanted += [group for group in groups if pattern in group.name.lower()]
        if cursor is None or len(wanted) >= limit:
            break
    return page({"logGroups": [_group(context, group) for group in wanted]}, cursor)


def _describe_streams(context: Context, group: str, prefix: str, by_time: bool, request: Document) -> Document:
    require_group(context, group)
    try:
        streams, cursor = context.log_catalogue.streams(
            group,
            prefix,
            limit_of(request),
            request.get("nextToken"),
            descending=bool(request.get("descending", False)),
            by_time=by_time,
        )
    except ValueError:
        raise bad_token() from None
    return page({"logStreams": [_stream(context, group, stream) for stream in streams]}, cursor)


def _events(context: Context, group: str, request: Document) -> Document:
    stream = _find_stream(context, group, request["logStreamName"])
    start_ms, end_ms = request.get("startTime"), request.get("endTime")
    limit = limit_of(request, PAGE_EVENTS)
    token = request.get("nextToken")
    place = _place_of(context, stream.name, token) if token else None
    with stream.open() as log:
        if token is None or place is None:
            forwards, offset = bool(request.get("startFromHead", False)), None
        else:
            forwards, offset = token.startswith("f"), min(place, log.end)
        if forwards:
            found = log.forward(offset or 0, start_ms=start_ms, end_ms=end_ms, limit=limit)
        else:
            found = log.backward(log.end if offset is None else offset, start_ms=start_ms, end_ms=end_ms, limit=limit)
    return {
        "events": [_event(line) for line in found.lines],
        "nextForwardToken": _place_token(context, stream.name, "f", found.stop),
        "nextBackwardToken": _place_token(context, stream.name, "b", found.start),
    }


def _filter(context: Context, group: str, request: Document) -> Document:
    require_group(context, group)
    pattern = request.get("filterPattern", "")
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        raise invalid(f"filterPattern must have at most {MAX_PATTERN_CHARACTERS} characters, got {len(pattern)}.")
    matches = compile_pattern(pattern)
    token = _read_search_token(request.get("nextToken"))
    streams, next_part = _searched(context, group, request, token.part)
    end_ms = request.get("endTime")
    found = search(
        streams,
        matches,
        start_ms=request.get("startTime"),
        # Here, unlike in GetLogEvents, AWS returns the events of endTime itself.
        end_ms=None if end_ms is None else end_ms + 1,
        after=token.place,
        limit=limit_of(request, PAGE_EVENTS),
    )
    events = [
        {"logStreamName": name, "eventId": event_id(name, line.at_ms, line.start), **_event(line)}
        for name, line in found.events
    ]
    # AWS has not filled searchedLogStreams since 2020: it is always empty.
    answer: Document = {"events": events, "searchedLogStreams": []}
    if found.cursor is not None:
        answer["nextToken"] = _write_search_token(_SearchToken(token.part, found.cursor))
    elif next_part is not None:
        answer["nextToken"] = _write_search_token(_SearchToken(next_part, None))
    return answer


def _searched(context: Context, group: str, request: Document, part: str | None) -> tuple[list[AnyStream], str | None]:
    """Returns the streams of this part of the search, and the cursor of the next part."""
    if request.get("logStreamNames") is not None:
        wanted = sorted(set(request["logStreamNames"]))
        return [_find_stream(context, group, name) for name in wanted], None
    prefix = request.get("logStreamNamePrefix", "")
    try:
        found, following = context.log_catalogue.streams(group, prefix, MAX_STREAMS_AT_ONCE, part, by_time=not prefix)
    except ValueError:
        raise bad_token() from None
    return found, following


def _find_stream(context: Context, group: str, name: str) -> AnyStream:
    stream = context.log_catalogue.stream(group, name)
    if stream is None:
        require_group(context, group)
        raise no_stream()
    return stream


# -- shapes --


def _group(context: Context, group: WrittenGroup) -> Document:
    arn = group_arn(context, group.name)
    document: Document = {
        "logGroupName": group.name,
        "creationTime": group.created_at_ms,
        "metricFilterCount": context.log_reader.count_documents(METRIC_FILTER, group.name),
        "arn": f"{arn}:*",
        "logGroupArn": arn,
        "storedBytes": context.log_reader.stored_bytes(group.name),
        "logGroupClass": "STANDARD",
    }
    return document | ({"retentionInDays": group.retention_days} if group.retention_days else {})


def _stream(context: Context, group: str, stream: AnyStream) -> Document:
    document: Document = {
        "logStreamName": stream.name,
        "creationTime": stream.created_at_ms,
        "arn": context.account.arn("logs", f"log-group:{group}:log-stream:{stream.name}"),
        "storedBytes": 0,  # AWS has not counted it for streams since 2019: it is always zero
    }
    with stream.open() as log:
        first, last = log.first(), log.last()
    if first is not None and last is not None:
        document |= {
            "firstEventTimestamp": first.at_ms,
            "lastEventTimestamp": last.at_ms,
            "lastIngestionTime": last.ingested_ms,
        }
    return document


def _event(line: AnyLine) -> Document:
    return {"timestamp": line.at_ms, "message": line.text, "ingestionTime": line.ingested_ms}


# -- tokens --


def _place_token(context: Context, stream: str, direction: str, place: int) -> str:
    proof = page_tokens.proof(context.page_key, stream.encode(), f"{direction}/{place}".encode())
    return f"{direction}/{int.from_bytes(proof) % 10**PROOF_DIGITS:0{PROOF_DIGITS}}{place:0{PLACE_DIGITS}}"


def _place_of(context: Context, stream: str, token: str) -> int:
    """Returns the position in the stream that the token was made for."""
    if not TOKEN.fullmatch(token):
        raise bad_token()
    place = int(token[-PLACE_DIGITS:])
    if not hmac.compare_digest(token, _place_token(context, stream, token[0], place)):
        raise bad_token()
    return place


def _read_search_token(text: str | None) -> _SearchToken:
    if text is None:
        return _SearchToken(None, None)
    try:
        return msgspec.json.decode(base64.b64decode(text, altchars=b"-_", validate=True), type=_SearchToken)
    except (msgspec.DecodeError, binascii.Error, ValueError):
        raise bad_token() from None


def _write_search_token(token: _SearchToken) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).decode()
