"""The machine that counts what executions of Step Functions do, by state machine and minute (step functions spec 16).

As that of jobs it follows facts within the batch that makes them, and a minute stays a document here until the server
has put it into the store of metrics."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn

from msgspec import Struct

from batchyard.core.model.changes import Changes
from batchyard.core.model.commands import Command
from batchyard.core.model.effects import Effect
from batchyard.core.model.executions import ExecutionChanged, ExecutionStatus
from batchyard.core.model.fact_kinds import Fact
from batchyard.job_metrics.records import MACHINE_MINUTE, MachineMinute
from batchyard.job_metrics.tally import Tally

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


class ExecutionMetricsMachine:
    """A FactObserver (loop.hosted_machine)."""

    command_types: Collection[type[Command[Any]]] = (AskExecutionMinutes, ForgetExecutionMinutes)
    report_types: Collection[type[Any]] = ()
    observed_facts: Collection[type[Fact]] = (ExecutionChanged,)

    def __init__(self) -> None:
        self._minutes: dict[str, _Minute] = {}  # by name of their documents
        self._touched: dict[str, _Minute] = {}
        self._changes = Changes()

    def restore(self, records: Mapping[tuple[str, str], Struct]) -> None:
        """Takes the documents of the store, before the first batch."""
        for record in records.values():
            if isinstance(record, MachineMinute):
                self._minutes[record.name] = _Minute(record)

    @property
    def pending_changes(self) -> Changes:
        return self._changes

    def want_facts(self, kinds: Collection[type[Fact]]) -> None:
        """Does nothing: this machine makes no facts."""

    def handle(self, command: Command[Any], now_ms: int) -> Any:
        if isinstance(command, AskExecutionMinutes):
            current_s = now_ms // MINUTE_MS * 60
            return tuple(minute.freeze() for _, minute in sorted(self._minutes.items()) if minute.start_s < current_s)
        assert isinstance(command, ForgetExecutionMinutes), f"no handler for {command!r}"
        for name in command.names:
            if self._minutes.pop(name, None) is not None:
                self._touched.pop(name, None)
                self._changes.documents[MACHINE_MINUTE, name] = None
        return None

    def report(self, source: str, report: Any, now_ms: int) -> NoReturn:
        raise AssertionError(f"this machine takes no reports: {report!r}")

    def observe(self, facts: Sequence[Fact], now_ms: int) -> None:
        """Counts what has happened, in the minute in which it is committed."""
        for fact in facts:
            if isinstance(fact, ExecutionChanged):
                self._count(self._minute(machine_of(fact.arn), now_ms), fact)

    def _count(self, minute: _Minute, fact: ExecutionChanged) -> None:
        end = ENDS.get(fact.status)
        if end is None:
            minute.count(REDRIVEN if fact.redrive_count else STARTED)
            return
        minute.count(f"{REDRIVEN if fact.redrive_count else 'Executions'}{end}")
        minute.times.add(max(0, fact.at_ms - fact.started_at_ms), 1)

    def _minute(self, machine_arn: str, now_ms: int) -> _Minute:
        record = MachineMinute(machine_arn, now_ms // MINUTE_MS * 60, {})
        minute = self._minutes.get(record.name)
        if minute is None:
            minute = self._minutes[record.name] = _Minute(record)
        self._touched[record.name] = minute
        return minute

    def schedule(self, now_ms: int) -> None:
        """Does nothing: minutes are asked for."""

    def outgoing(self) -> Collection[Any]:
        return ()

    def take(self) -> tuple[Changes, list[Effect]]:
        for name, minute in self._touched.items():
            self._changes.documents[MACHINE_MINUTE, name] = minute.freeze()
        self._touched.clear()
        changes, self._changes = self._changes, Changes()
        return changes, []

    def next_deadline(self) -> int | None:
        return None

    def recover(self) -> list[Effect]:
        return []


def machine_of(execution_arn: str) -> str:
    """Returns the ARN of an execution's state machine."""
    head, _, tail = execution_arn.partition(":execution:")
    return f"{head}:stateMachine:{tail.partition(':')[0]}"
