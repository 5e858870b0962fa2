"""Live tail: what is written into log groups, second by second, to callers that watch (observability spec 19)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec import Struct

from batchyard.observe.log_catalogue import LogCatalogue
from batchyard.observe.log_follower import GroupFollower
from batchyard.store.logs.log_records import AppendedEvents

MAX_EVENTS = 500  # of one update: of more, the first of each kind of stream are shown, and `sampled` is true
MAX_WAITING = 5000  # events that a slow reader may be behind: then the oldest are dropped


class LiveEvent(NamedTuple):
    group: str
    stream: str
    at_ms: int
    ingested_ms: int
    message: str


class LiveUpdate(NamedTuple):
    events: list[LiveEvent]
    is_sampled: bool


class LiveSelection(Struct, frozen=True):
    """What a caller watches. `streams`, `prefixes`: only these, or those whose names begin so; empty: all."""

    groups: tuple[str, ...]
    matches: Callable[[str], bool]
    streams: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()

    def has_stream(self, name: str) -> bool:
        if self.streams:
            return name in self.streams
        return not self.prefixes or name.startswith(self.prefixes)


class LiveTail:
    """One session."""

    def __init__(self, catalogue: LogCatalogue, selection: LiveSelection) -> None:
        self._selection = selection
        self._groups = frozenset(selection.groups)
        self._followers = [GroupFollower(catalogue, group) for group in selection.groups]
        self._written: deque[LiveEvent] = deque(maxlen=MAX_WAITING)

    def begin(self, now_ms: int) -> None:
        """Begins with what is written from now on."""
        for follower in self._followers:
            follower.begin(now_ms)

    def hear(self, appended: Sequence[AppendedEvents]) -> None:
        """Takes written events; a listener of the log writer, in its thread."""
        selection = self._selection
        for group, stream, events in appended:
            if group in self._groups and selection.has_stream(stream):
                for event in events:
                    if selection.matches(event.message):
                        live = LiveEvent(group, stream, event.at_ms, event.ingested_ms, event.message)
                        self._written.append(live)

    def update(self) -> LiveUpdate:
        """Returns what was written since the last update, in the order of times."""
        selection = self._selection
        found: deque[LiveEvent] = deque(maxlen=MAX_WAITING)
        for group, follower in zip(selection.groups, self._followers, strict=True):
            for stream, lines, _ in follower.look():
                if selection.has_stream(stream.name):
                    found.extend(
                        LiveEvent(group, stream.name, line.at_ms, line.ingested_ms, line.text)
                        for line in lines
                        if selection.matches(line.text)
                    )
        while self._written:
            found.append(self._written.popleft())
        events = sorted(found, key=lambda event: event.at_ms)
        return LiveUpdate(events[:MAX_EVENTS], len(events) > MAX_EVENTS)
