"""Writes the events of executions into the log groups of their state machines (step functions spec 16).

As on AWS this is done after the fact: events of the last moment before a crash may be missing in the log, never in the
history."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import json

from batchyard.core.model.effects import Effect
from batchyard.core.model.executions import HistoryEvent
from batchyard.core.model.refusal import Refused
from batchyard.store.logs.log_records import LogEvent
from batchyard.store.logs.log_writer import LogWriter, NotWritten
from batchyard.workflows.commands import LogHistory

FATAL = frozenset({"ExecutionAborted", "ExecutionFailed", "ExecutionTimedOut"})
ERROR_ENDINGS = ("Aborted", "Failed", "TimedOut")
FAIL_ENTERED = "FailStateEntered"
DATA = ("input", "output", "parameters", "assignedVariables")  # left out unless includeExecutionData is set
DETAILED = ("input", "output")  # have a member that tells whether they were cut
MAX_WAITING = 10_000  # effects that wait for a disk that is full; further ones are not logged
PAUSE_SECONDS = 1.0
GROUP_MARK = ":log-group:"

logger = logging.getLogger("batchyard.workflows")


class HistoryLogs:
    """`carry_out` from the loop; `run` once, for as long as the service runs."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer
        self._waiting: deque[LogHistory] = deque()
        self._wake = asyncio.Event()
        self._dropped = 0

    def carry_out(self, effects: Sequence[Effect]) -> None:
        """Takes events; the handler of LogHistory."""
        for effect in effects:
            assert isinstance(effect, LogHistory), f"{effect!r} is nothing to log"
            if len(self._waiting) < MAX_WAITING:
                self._waiting.append(effect)
            else:
                self._dropped += 1
        self._wake.set()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            taken, self._waiting = self._waiting, deque()
            for (group, stream), events in _by_stream(taken).items():
                await self._write(group, stream, events)
            if self._dropped:
                logger.warning("events of %d steps of executions were not logged: the disk was full", self._dropped)
                self._dropped = 0

    async def _write(self, group: str, stream: str, events: Sequence[LogEvent]) -> None:
        while True:
            try:
                await asyncio.wrap_future(self._writer.append(group, stream, events, creates=True))
            except NotWritten:  # a disk may be full, and have room later
                await asyncio.sleep(PAUSE_SECONDS)
            except Refused as refusal:
                logger.warning("executions cannot be logged into %s: %s", group, refusal.message)
                return
            else:
                return


def _by_stream(effects: Sequence[LogHistory]) -> dict[tuple[str, str], list[LogEvent]]:
    found: dict[tuple[str, str], list[LogEvent]] = {}
    for effect in effects:
        group = effect.logging.log_group_arn.partition(GROUP_MARK)[2].removesuffix(":*")
        for event in effect.events:
            if group and is_logged(effect.logging.level, event.type):
                place = group, stream_of(effect.execution_arn, event.at_ms)
                found.setdefault(place, []).append(LogEvent(event.at_ms, line_of(effect, event)))
    return found


def is_logged(level: str, event_type: str) -> bool:
    """Returns whether a level covers a type of event (guide: cloudwatch-log-level)."""
    if level == "ERROR":
        return event_type.endswith(ERROR_ENDINGS) or event_type == FAIL_ENTERED
    return level == "ALL" or (level == "FATAL" and event_type in FATAL)


def stream_of(execution_arn: str, at_ms: int) -> str:
    """Returns the stream of an execution's events: one for each state machine and day."""
    machine = execution_arn.split(":")[6].partition("/")[0]
    return f"states/{machine}/{datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()}"


def line_of(effect: LogHistory, event: HistoryEvent) -> str:
    """Returns the line of an event, AWS's JSON."""
    details: dict[str, Any] = {}
    for name, value in (event.details or {}).items():
        if name in DATA and not effect.logging.includes_data:
            continue
        details[name] = value
        if name in DETAILED:
            details[f"{name}Details"] = {"truncated": False}
    return json.encode(
        {
            "id": str(event.id),
            "type": event.type,
            "details": details,
            "redrive_count": str(effect.redrive_count),
            "previous_event_id": str(event.previous_event_id),
            "event_timestamp": str(event.at_ms),
            "execution_arn": effect.execution_arn,
        }
    ).decode()
