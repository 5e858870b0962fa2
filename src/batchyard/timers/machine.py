"""The machine of timers. Another machine of the same loop sets a timer, and gets its payload back as a report once it
is due: in the batch that removes the timer, so that a timer is neither lost nor reported twice.

A room that uses timers registers the type of their payload (`register`), which is the type of the report."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping
from typing import Any, NoReturn

import msgspec
from msgspec import Struct

from batchyard.core.model import documents
from batchyard.core.model.changes import Changes
from batchyard.core.model.commands import Command
from batchyard.core.model.effects import Effect
from batchyard.core.model.fact_kinds import Fact

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


class TimerMachine:
    """A HostedMachine (loop.hosted_machine). Costs nothing while no timer is due."""

    command_types: Collection[type[Command[Any]]] = ()
    report_types: Collection[type[Any]] = (SetTimer, CancelTimer)

    def __init__(self) -> None:
        self._timers: dict[tuple[str, str], Timer] = {}
        self._due: list[tuple[int, str, str]] = []  # a heap of (due_ms, owner, name); replaced timers stay until then
        self._changes = Changes()
        self._outgoing: list[Struct] = []

    def restore(self, records: Mapping[tuple[str, str], Struct]) -> None:
        """Takes the documents of the store, before the first batch."""
        for record in records.values():
            if isinstance(record, Timer):
                assert record.owner in _PAYLOADS, f"the timer {record.name} belongs to the unknown owner {record.owner}"
                self._keep(record)

    @property
    def pending_changes(self) -> Changes:
        return self._changes

    def want_facts(self, kinds: Collection[type[Fact]]) -> None:
        """Does nothing: this machine makes no facts; the machine that set a timer gets a report."""

    def handle(self, command: Command[Any], now_ms: int) -> NoReturn:
        raise AssertionError(f"timers are set by machines, not by callers: {command!r}")

    def report(self, source: str, report: SetTimer | CancelTimer, now_ms: int) -> None:
        if isinstance(report, CancelTimer):
            self._forget(report.owner, report.name)
            return
        payload = _PAYLOADS.get(report.owner)
        assert type(report.payload) is payload, f"timers of {report.owner} carry {payload}, not {report.payload!r}"
        timer = Timer(report.owner, report.name, report.due_ms, msgspec.to_builtins(report.payload))
        self._keep(timer)
        self._changes.documents[TIMER, _document_name(timer.owner, timer.name)] = timer

    def schedule(self, now_ms: int) -> None:
        """Removes the timers that are due and reports them, the earliest first; timers due at the same time by owner
        and name."""
        while self._due and self._due[0][0] <= now_ms:
            due_ms, owner, name = heapq.heappop(self._due)
            timer = self._timers.get((owner, name))
            if timer is not None and timer.due_ms == due_ms:
                self._forget(owner, name)
                self._outgoing.append(msgspec.convert(timer.payload, _PAYLOADS[owner]))

    def outgoing(self) -> list[Struct]:
        reports, self._outgoing = self._outgoing, []
        return reports

    def take(self) -> tuple[Changes, list[Effect]]:
        assert not self._outgoing, f"{self._outgoing} was reported to no machine"
        changes, self._changes = self._changes, Changes()
        return changes, []

    def next_deadline(self) -> int | None:
        while self._due:
            due_ms, owner, name = self._due[0]
            timer = self._timers.get((owner, name))
            if timer is not None and timer.due_ms == due_ms:
                return due_ms
            heapq.heappop(self._due)  # it was cancelled or replaced
        return None

    def recover(self) -> list[Effect]:
        return []

    def _keep(self, timer: Timer) -> None:
        known = self._timers.get((timer.owner, timer.name))
        self._timers[timer.owner, timer.name] = timer
        if known is None or known.due_ms != timer.due_ms:
            heapq.heappush(self._due, (timer.due_ms, timer.owner, timer.name))

    def _forget(self, owner: str, name: str) -> None:
        if self._timers.pop((owner, name), None) is not None:
            self._changes.documents[TIMER, _document_name(owner, name)] = None


def _document_name(owner: str, name: str) -> str:
    return f"{owner}/{name}"
