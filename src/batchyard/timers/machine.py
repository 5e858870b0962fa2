"""The machine of timers. Another machine of the same loop sets a timer, and gets its payload back as a report once it
is due: in the batch that removes the timer, so that a timer is neither lost nor reported twice.

A room that uses timers registers the type of their payload (`register`), which is the type of the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
from msgspec import Struct

from batchyard.core.model import documents
from batchyard.core.model.effects import Effect
from batchyard.machines.deadlines import Deadlines
from batchyard.machines.document_machine import DocumentMachine, ReportHandlers

_PAYLOADS: dict[str, type[Struct]] = {}  # by owner


class Timer(Struct, frozen=True):
    """One timer, identified by `owner` and `name`. `payload`: the owner's record, as JSON values."""

    owner: str
    name: str
    due_ms: int
    payload: Any


TIMER = documents.register("timer", Timer)


class SetTimer(Struct, frozen=True):
    """A report to this machine: `payload` is to be reported at `due_ms`. Replaces a timer of the same name."""

    owner: str
    name: str
    due_ms: int
    payload: Struct


class CancelTimer(Struct, frozen=True):
    """A report to this machine: removes a timer. A timer that does not exist is no fault: it may have come due in
    the same batch."""

    owner: str
    name: str


def register(owner: str, payload: type[Struct]) -> str:
    """Declares the type of `payload` of the timers of `owner`, and returns `owner`. Must be called while modules are
    imported. `owner` is stored: once released it never changes."""
    known = _PAYLOADS.setdefault(owner, payload)
    assert known is payload, f"timers of {owner} carry {known.__name__} already"
    return owner


class TimerMachine(DocumentMachine):
    """Costs nothing while no timer is due."""

    def __init__(self) -> None:
        super().__init__()
        self._timers = self._table(TIMER, Timer, lambda timer: _document_name(timer.owner, timer.name))
        self._deadlines: Deadlines[tuple[str, str]] = Deadlines(self._is_set)  # by owner and name

    def restore(self, records: Mapping[tuple[str, str], Struct]) -> None:
        super().restore(records)
        for timer in self._timers.values():
            assert timer.owner in _PAYLOADS, f"the timer {timer.name} belongs to the unknown owner {timer.owner}"
            self._deadlines.add(timer.due_ms, (timer.owner, timer.name))

    def schedule(self, now_ms: int) -> None:
        """Removes the timers that are due and reports them, the earliest first; timers due at the same time by owner
        and name."""
        for owner, name in self._deadlines.due(now_ms):
            timer = self._timers.remove(_document_name(owner, name))
            self._outgoing.append(msgspec.convert(timer.payload, _PAYLOADS[owner]))

    def next_deadline(self) -> int | None:
        return self._deadlines.first_ms()

    def _set(self, report: SetTimer) -> None:
        payload = _PAYLOADS.get(report.owner)
        assert type(report.payload) is payload, f"timers of {report.owner} carry {payload}, not {report.payload!r}"
        key = report.owner, report.name
        if not self._is_set(report.due_ms, key):
            self._deadlines.add(report.due_ms, key)
        self._timers.put(Timer(*key, report.due_ms, msgspec.to_builtins(report.payload)))

    def _cancel(self, report: CancelTimer) -> None:
        name = _document_name(report.owner, report.name)
        if name in self._timers:
            self._timers.remove(name)

    def _is_set(self, due_ms: int, key: tuple[str, str]) -> bool:
        timer = self._timers.get(_document_name(*key))
        return timer is not None and timer.due_ms == due_ms

    def _end_batch(self) -> list[Effect]:
        assert not self._outgoing, f"{self._outgoing} was reported to no machine"
        return []

    report_handlers: ClassVar[ReportHandlers] = {SetTimer: _set, CancelTimer: _cancel}


def _document_name(owner: str, name: str) -> str:
    return f"{owner}/{name}"
