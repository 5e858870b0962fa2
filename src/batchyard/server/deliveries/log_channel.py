"""Writes messages into log groups: the events of a log group target, and dead letters (observability spec 5.1, 6)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from msgspec import json

from batchyard.core.model.deliveries import Message
from batchyard.core.model.refusal import Refused
from batchyard.server.deliveries.sender import ARRIVED, Outcome
from batchyard.store.logs.log_records import LogEvent
from batchyard.store.logs.log_writer import LogWriter, NotWritten

OWN_FORM = {"timestamp", "message"}  # the members of what a transformer for a log group makes
RULE_MARK = ":rule/"


class LogChannel:
    """A channel (server.deliveries.sender). Groups and streams are created when the first message comes."""

    def __init__(self, writer: LogWriter, now_ms: Callable[[], int]) -> None:
        self._writer, self._now_ms = writer, now_ms

    async def send(self, message: Message) -> Outcome:
        now_ms = self._now_ms()
        event, stream = log_event(message.body, now_ms), stream_of(message.lane, now_ms)
        try:
            await asyncio.wrap_future(self._writer.append(message.target["group"], stream, [event], creates=True))
        except Refused as refusal:
            return Outcome("NO_RESOURCE", refusal.message, is_final=True)
        except NotWritten as error:  # a disk may be full, and have room later
            return Outcome("THROTTLING", str(error))
        return ARRIVED


def stream_of(lane: str, now_ms: int) -> str:
    """Returns the stream of a lane's messages: one for each rule's target and day, where AWS makes one for each
    delivery, which would be more streams than events are worth. Dead letters have one a day."""
    _, is_rule, place = lane.partition(RULE_MARK)
    day = datetime.fromtimestamp(now_ms / 1000, UTC).date().isoformat()
    return f"{place.replace('#', '/') if is_rule else 'dead-letters'}/{day}"


def log_event(body: str, now_ms: int) -> LogEvent:
    """Returns the event of a target's input: what `{"timestamp": …, "message": "…"}` holds, as a transformer may make
    it; else the input as it is, at `now_ms`."""
    if not body.startswith("{") or ('"message"' not in body and "\\u" not in body):
        return LogEvent(now_ms, body)  # most are whole events, which take long to read
    try:
        document = json.decode(body)
    except ValueError:
        return LogEvent(now_ms, body)
    if not isinstance(document, dict) or document.keys() != OWN_FORM:
        return LogEvent(now_ms, body)
    message = document["message"]
    text = message if isinstance(message, str) else json.encode(message).decode()
    return LogEvent(_time_of(document["timestamp"], now_ms), text)


def _time_of(value: Any, now_ms: int) -> int:
    """Returns milliseconds of a number or of ISO 8601 text; `now_ms` for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return now_ms
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
