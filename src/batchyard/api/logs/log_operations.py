"""CloudWatch Logs, as far as readers of job output need it: groups, streams, events (CloudWatch Logs API reference).

A stream is one container of one attempt and is there from RUNNING on; its name ends in the attempt's task id. Events
come from the log files: their times are those of the lines, and they can be read the moment they are written.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from pathlib import Path

import msgspec
from msgspec import Struct

from batchyard.api import page_tokens
from batchyard.api.batch.render import stream_name
from batchyard.api.checks import quoted
from batchyard.api.context import Call, Context
from batchyard.core.model.records import log_file_container, logs_of
from batchyard.core.model.refusal import Refused
from batchyard.evaluators.logs.filter_pattern import compile_pattern
from batchyard.observe.logfile import PAGE_EVENTS, Line, LogFile, log_path
from batchyard.observe.logsearch import Cursor, Stream, search
from batchyard.store.queries import AttemptView, LogGroup, LogStream, Reader
from batchyard.wire.messages import Document

MAX_DESCRIBED = 50  # DescribeLogGroups, DescribeLogStreams (API: DescribeLimit)
MAX_STREAM_NAMES = 100  # FilterLogEvents (API: InputLogStreamNames)
# Streams that one search merges by time. A larger group is searched in parts, so that a page stays bounded.
MAX_STREAMS_AT_ONCE = 10_000
# A token of GetLogEvents has 56 digits, as on AWS: a proof that it was made for this stream, and the position in it.
PROOF_DIGITS, PLACE_DIGITS = 36, 20
TOKEN = re.compile(rf"[fb]/[0-9]{{{PROOF_DIGITS + PLACE_DIGITS}}}", re.ASCII)
MAX_PATTERN_CHARACTERS = 1024  # API: FilterPattern
TIME_DIGITS, STREAM_DIGITS, OFFSET_DIGITS = 13, 20, 23  # the parts of an event id

INVALID_PARAMETER = "InvalidParameterException"


class _SearchToken(Struct, array_like=True):
    """The position of a search: the store's cursor of the part of the group, and the position in that part."""

    part: str | None
    place: Cursor | None


# -- operations --


async def describe_log_groups(context: Context, call: Call, request: Document) -> Document:
    """logGroupNamePrefix, limit, nextToken -> logGroups, nextToken."""
    for member in ("logGroupNamePattern", "logGroupIdentifiers"):
        if request.get(member):
            raise _invalid(f"{member} is not supported here: use logGroupNamePrefix.")
    if request.get("logGroupClass", "STANDARD") != "STANDARD":
        return {"logGroups": []}
    limit = _limit(request, MAX_DESCRIBED)
    try:
        groups, cursor = await context.read(
            context.reader.log_groups, request.get("logGroupNamePrefix", ""), limit, request.get("nextToken")
        )
    except ValueError:
        raise _bad_token() from None
    return _page({"logGroups": [_group(context, group) for group in groups]}, cursor)


async def describe_log_streams(context: Context, call: Call, request: Document) -> Document:
    """logGroupName or logGroupIdentifier, logStreamNamePrefix, orderBy, descending, limit, nextToken -> logStreams."""
    group = _group_name(request)
    prefix = request.get("logStreamNamePrefix", "")
    order = request.get("orderBy", "LogStreamName")
    if order not in ("LogStreamName", "LastEventTime"):
        raise _invalid(f"orderBy must be one of [LogStreamName, LastEventTime], got {quoted(order)}.")
    if order == "LastEventTime" and prefix:
        raise _invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
    return await context.read(_describe_streams, context, group, prefix, order == "LastEventTime", request)


async def get_log_events(context: Context, call: Call, request: Document) -> Document:
    """One stream's events: logGroupName or logGroupIdentifier, logStreamName, startFromHead, startTime, endTime
    (exclusive), limit, nextToken -> events, nextForwardToken, nextBackwardToken. At either end the token asked with
    comes back."""
    group = _group_name(request)
    return await context.read(_events, context, group, request)


async def filter_log_events(context: Context, call: Call, request: Document) -> Document:
    """A group's events by time: logStreamNames or logStreamNamePrefix, startTime, endTime, filterPattern, limit,
    nextToken -> events, nextToken. A page may be short or empty while there is a nextToken."""
    group = _group_name(request)
    stream_names = request.get("logStreamNames")
    if stream_names is not None and request.get("logStreamNamePrefix"):
        raise _invalid("Cannot specify both logStreamNames and logStreamNamePrefix: give one of them.")
    if stream_names is not None and not 1 <= len(stream_names) <= MAX_STREAM_NAMES:
        raise _invalid(f"logStreamNames must hold 1 to {MAX_STREAM_NAMES} names, got {len(stream_names)}.")
    return await context.read(_filter, context, group, request)


# -- the work, in a reader's thread --


def _describe_streams(context: Context, group: str, prefix: str, by_time: bool, request: Document) -> Document:
    _require_group(context.reader, group)
    try:
        streams, cursor = context.reader.log_streams(
            group,
            prefix,
            _limit(request, MAX_DESCRIBED),
            request.get("nextToken"),
            descending=bool(request.get("descending", False)),
            by_time=by_time,
        )
    except ValueError:
        raise _bad_token() from None
    return _page({"logStreams": [_stream(context, group, stream) for stream in streams]}, cursor)


def _events(context: Context, group: str, request: Document) -> Document:
    stream = _find_stream(context, group, request["logStreamName"])
    start_ms, end_ms = request.get("startTime"), request.get("endTime")
    limit = _limit(request, PAGE_EVENTS)
    token = request.get("nextToken")
    place = _place_of(context, stream.name, token) if token else None
    with LogFile(stream.path) as log:
        if token is None or place is None:
            forwards, offset = bool(request.get("startFromHead", False)), None
        else:
            forwards, offset = token.startswith("f"), min(place, log.end)
        if forwards:
            page = log.forward(offset or 0, start_ms=start_ms, end_ms=end_ms, limit=limit)
        else:
            page = log.backward(log.end if offset is None else offset, start_ms=start_ms, end_ms=end_ms, limit=limit)
    return {
        "events": [_event(line) for line in page.lines],
        "nextForwardToken": _place_token(context, stream.name, "f", page.stop),
        "nextBackwardToken": _place_token(context, stream.name, "b", page.start),
    }


def _filter(context: Context, group: str, request: Document) -> Document:
    _require_group(context.reader, group)
    pattern = request.get("filterPattern", "")
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        raise _invalid(f"filterPattern must have at most {MAX_PATTERN_CHARACTERS} characters, got {len(pattern)}.")
    matches = compile_pattern(pattern)
    token = _read_search_token(request.get("nextToken"))
    streams, next_part = _searched(context, group, request, token.part)
    end_ms = request.get("endTime")
    page = search(
        streams,
        matches,
        start_ms=request.get("startTime"),
        # Here, unlike in GetLogEvents, AWS returns the events of endTime itself.
        end_ms=None if end_ms is None else end_ms + 1,
        after=token.place,
        limit=_limit(request, PAGE_EVENTS),
    )
    events = [{"logStreamName": name, "eventId": _event_id(name, line), **_event(line)} for name, line in page.events]
    # AWS has not filled searchedLogStreams since 2020: it is always empty.
    answer: Document = {"events": events, "searchedLogStreams": []}
    if page.cursor is not None:
        answer["nextToken"] = _write_search_token(_SearchToken(token.part, page.cursor))
    elif next_part is not None:
        answer["nextToken"] = _write_search_token(_SearchToken(next_part, None))
    return answer


def _searched(context: Context, group: str, request: Document, part: str | None) -> tuple[list[Stream], str | None]:
    """Returns the streams of this part of the search, and the cursor of the next part."""
    if request.get("logStreamNames") is not None:
        wanted = sorted(set(request["logStreamNames"]))
        return [_find_stream(context, group, name) for name in wanted], None
    prefix = request.get("logStreamNamePrefix", "")
    try:
        found, next_part = context.reader.log_streams(group, prefix, MAX_STREAMS_AT_ONCE, part, by_time=not prefix)
    except ValueError:
        raise _bad_token() from None
    return [Stream(stream.name, _path(context, stream.task_id, stream.container)) for stream in found], next_part


# -- groups and streams by name --


def _group_name(request: Document) -> str:
    name, identifier = request.get("logGroupName"), request.get("logGroupIdentifier")
    if name and identifier:
        raise _invalid("Cannot specify both logGroupName and logGroupIdentifier: give one of them.")
    if name:
        return str(name)
    if not identifier:
        raise _invalid("Give the log group: logGroupName, or logGroupIdentifier with its name or ARN.")
    if not identifier.startswith("arn:"):
        return str(identifier)
    _, found, resource = identifier.partition(":log-group:")
    if not found:
        raise _invalid(f"logGroupIdentifier is not the ARN of a log group: {quoted(identifier)}.")
    return str(resource.removesuffix(":*"))


def _require_group(reader: Reader, name: str) -> None:
    groups, _ = reader.log_groups(name, 1)
    if not groups or groups[0].name != name:
        raise Refused("The specified log group does not exist.", code="ResourceNotFoundException")


def _find_stream(context: Context, group: str, name: str) -> Stream:
    task_id = name.rpartition("/")[2]
    view = context.reader.attempt(task_id)
    container = None if view is None else _container_of(view, group, name, task_id)
    if container is None:
        _require_group(context.reader, group)
        raise Refused("The specified log stream does not exist.", code="ResourceNotFoundException")
    return Stream(name, _path(context, task_id, container))


def _container_of(attempt: AttemptView, group: str, name: str, task_id: str) -> str | None:
    """Returns the container whose log the stream is, by the name of the file; None when there is no such stream."""
    if attempt.attempt is None or not attempt.attempt.started_at_ms:
        return None
    spec = attempt.view.spec
    for log in logs_of(spec):
        if log.group == group and stream_name(log, task_id) == name:
            return log_file_container(spec, log.container)
    return None


def _path(context: Context, task_id: str, container: str) -> Path:
    return log_path(context.logs_directory, task_id, container)


# -- shapes --


def _group(context: Context, group: LogGroup) -> Document:
    arn = context.account.arn("logs", f"log-group:{group.name}")
    return {
        "logGroupName": group.name,
        "creationTime": group.created_at_ms,
        "metricFilterCount": 0,
        "arn": f"{arn}:*",
        "logGroupArn": arn,
        "logGroupClass": "STANDARD",
    }


def _stream(context: Context, group: str, stream: LogStream) -> Document:
    document: Document = {
        "logStreamName": stream.name,
        "creationTime": stream.attempt.started_at_ms,
        "arn": context.account.arn("logs", f"log-group:{group}:log-stream:{stream.name}"),
        "storedBytes": 0,  # AWS has not counted it for streams since 2019: it is always zero
    }
    with LogFile(_path(context, stream.task_id, stream.container)) as log:
        first, last = log.first(), log.last()
    if first is not None and last is not None:
        document |= {
            "firstEventTimestamp": first.at_ms,
            "lastEventTimestamp": last.at_ms,
            "lastIngestionTime": last.at_ms,
        }
    return document


def _event(line: Line) -> Document:
    return {"timestamp": line.at_ms, "message": line.text, "ingestionTime": line.at_ms}


def _event_id(stream: str, line: Line) -> str:
    """Returns 56 digits, as on AWS: the event's time, its stream, and its position in the stream."""
    digest = int.from_bytes(hashlib.blake2b(stream.encode(), digest_size=8).digest())
    return f"{line.at_ms:0{TIME_DIGITS}}{digest:0{STREAM_DIGITS}}{line.start:0{OFFSET_DIGITS}}"


def _page(document: Document, cursor: str | None) -> Document:
    return document if cursor is None else {**document, "nextToken": cursor}


# -- numbers and tokens --


def _limit(request: Document, maximum: int) -> int:
    asked = request.get("limit")
    if asked is None:
        return maximum
    if not 1 <= asked <= maximum:
        raise _invalid(f"limit must be between 1 and {maximum}, got {asked}.")
    return int(asked)


def _place_token(context: Context, stream: str, direction: str, place: int) -> str:
    proof = page_tokens.proof(context.page_key, stream.encode(), f"{direction}/{place}".encode())
    return f"{direction}/{int.from_bytes(proof) % 10**PROOF_DIGITS:0{PROOF_DIGITS}}{place:0{PLACE_DIGITS}}"


def _place_of(context: Context, stream: str, token: str) -> int:
    """Returns the position in the stream that the token was made for."""
    if not TOKEN.fullmatch(token):
        raise _bad_token()
    place = int(token[-PLACE_DIGITS:])
    if not hmac.compare_digest(token, _place_token(context, stream, token[0], place)):
        raise _bad_token()
    return place


def _read_search_token(text: str | None) -> _SearchToken:
    if text is None:
        return _SearchToken(None, None)
    try:
        return msgspec.json.decode(base64.b64decode(text, altchars=b"-_", validate=True), type=_SearchToken)
    except (msgspec.DecodeError, binascii.Error, ValueError):
        raise _bad_token() from None


def _write_search_token(token: _SearchToken) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).decode()


def _invalid(message: str) -> Refused:
    return Refused(message, code=INVALID_PARAMETER)


def _bad_token() -> Refused:
    return page_tokens.bad_token(INVALID_PARAMETER)
