"""The machine that counts what executions of Step Functions do, by state machine and minute (step functions spec 16).

As that of jobs it follows facts within the batch that makes them, and a minute stays a document here until the server
has put it into the store of metrics."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar

from msgspec import Struct

from batchyard.core.model.commands import Command
from batchyard.core.model.effects import Effect
from batchyard.core.model.executions import ExecutionChanged, ExecutionStatus, ExpressExecutionChanged
from batchyard.core.model.fact_kinds import Fact
from batchyard.job_metrics.records import MACHINE_MINUTE, MachineMinute
from batchyard.job_metrics.tally import Tally
from batchyard.machines.document_machine import CommandHandlers, DocumentMachine

MINUTE_MS = 60_000
ENDS = {
    ExecutionStatus.SUCCEEDED: "Succeeded",
    ExecutionStatus.FAILED: "Failed",
    ExecutionStatus.TIMED_OUT: "TimedOut",
    ExecutionStatus.ABORTED: "Aborted",
}
STARTED, REDRIVEN = "ExecutionsStarted", "RedrivenExecutions"
EXECUTION_TIME = "ExecutionTime"


class AskExecutionMinutes(Command[tuple[MachineMinute, ...]], frozen=True):
    """Asks for the minutes that are over and not yet in the store of metrics."""


class ForgetExecutionMinutes(Command[None], frozen=True):
    """The minutes of these names are in the store of metrics."""

    names: tuple[str, ...]


class _Minute:
    """A state machine's minute that is under way."""

    def __init__(self, record: MachineMinute) -> None:
        self.machine_arn, self.start_s = record.machine_arn, record.start_s
        self.counts = dict(record.counts)
        self.times = Tally() if record.times is None else Tally(record.times)

    def count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1

    def freeze(self) -> MachineMinute:
        times = self.times.freeze() if self.times.count else None
        return MachineMinute(self.machine_arn, self.start_s, dict(self.counts), times)


class ExecutionMetricsMachine(DocumentMachine):
    """A FactObserver (loop.hosted_machine)."""

    observed_facts: Collection[type[Fact]] = (ExecutionChanged, ExpressExecutionChanged)

    def __init__(self) -> None:
        super().__init__()
        self._minutes: dict[str, _Minute] = {}  # by name of their documents
        self._touched: dict[str, _Minute] = {}

    def restore(self, records: Mapping[tuple[str, str], Struct]) -> None:
        for record in records.values():
            if isinstance(record, MachineMinute):
                self._minutes[record.name] = _Minute(record)

    def observe(self, facts: Sequence[Fact], now_ms: int) -> None:
        """Counts what has happened, in the minute in which it is committed."""
        self._begin(now_ms)
        for fact in facts:
            if isinstance(fact, ExecutionChanged):
                self._count(self._minute(machine_of(fact.arn)), fact, is_redriven=fact.redrive_count > 0)
            elif isinstance(fact, ExpressExecutionChanged):
                self._count(self._minute(machine_of(fact.arn)), fact, is_redriven=False)

    def _count(self, minute: _Minute, fact: ExecutionChanged | ExpressExecutionChanged, *, is_redriven: bool) -> None:
        end = ENDS.get(fact.status)
        if end is None:
            minute.count(REDRIVEN if is_redriven else STARTED)
            return
        minute.count(f"{REDRIVEN if is_redriven else 'Executions'}{end}")
        minute.times.add(max(0, fact.at_ms - fact.started_at_ms), 1)

    def _minute(self, machine_arn: str) -> _Minute:
        record = MachineMinute(machine_arn, self._now_ms // MINUTE_MS * 60, {})
        minute = self._minutes.get(record.name)
        if minute is None:
            minute = self._minutes[record.name] = _Minute(record)
        self._touched[record.name] = minute
        return minute

    def _end_batch(self) -> list[Effect]:
        for name, minute in self._touched.items():
            self._changes.documents[MACHINE_MINUTE, name] = minute.freeze()
        self._touched.clear()
        return []

    # -- questions --

    def _ask_minutes(self, command: AskExecutionMinutes) -> tuple[MachineMinute, ...]:
        current_s = self._now_ms // MINUTE_MS * 60
        return tuple(minute.freeze() for _, minute in sorted(self._minutes.items()) if minute.start_s < current_s)

    def _forget(self, command: ForgetExecutionMinutes) -> None:
        for name in command.names:
            if self._minutes.pop(name, None) is not None:
                self._touched.pop(name, None)
                self._changes.documents[MACHINE_MINUTE, name] = None

    command_handlers: ClassVar[CommandHandlers] = {AskExecutionMinutes: _ask_minutes, ForgetExecutionMinutes: _forget}


def machine_of(execution_arn: str) -> str:
    """Returns the ARN of an execution's state machine."""
    *head, kind, machine = execution_arn.split(":")[:7]
    assert kind in ("execution", "express"), f"{execution_arn} is the ARN of no execution"
    return ":".join([*head, "stateMachine", machine])
