"""What is counted of executions, by state machine and minute, also over a restart."""

from __future__ import annotations

from typing import Any

from batchyard.core.model.executions import ExecutionChanged, ExecutionStatus, ExpressExecutionChanged
from batchyard.job_metrics.execution_metrics import (
    AskExecutionMinutes,
    ExecutionMetricsMachine,
    ForgetExecutionMinutes,
    machine_of,
)
from batchyard.job_metrics.records import MACHINE_MINUTE, Durations, MachineMinute

START_MS = 1_700_006_400_000
MINUTE_MS = 60_000
HEAD = "arn:aws:states:us-east-1:123456789012"
PIPELINE = f"{HEAD}:stateMachine:pipeline"


def changed(
    status: str, at_ms: int, name: str = "one", began_ms: int = START_MS, redrives: int = 0
) -> ExecutionChanged:
    arn = f"{HEAD}:execution:pipeline:{name}"
    return ExecutionChanged(at_ms, 1, arn, ExecutionStatus(status), began_ms, redrives)


def observed(machine: ExecutionMetricsMachine, *facts: ExecutionChanged) -> dict[Any, Any]:
    """What a batch with these facts changes."""
    machine.observe(facts, facts[-1].at_ms)
    changes, effects = machine.take()
    assert effects == []
    return dict(changes.documents)


def test_starts_and_ends_are_counted_in_their_minute_and_durations_measured() -> None:
    machine = ExecutionMetricsMachine()
    observed(machine, changed("RUNNING", START_MS), changed("RUNNING", START_MS, "two"))
    documents = observed(machine, changed("SUCCEEDED", START_MS + 5000), changed("FAILED", START_MS + 7000, "two"))
    counts = {"ExecutionsStarted": 2, "ExecutionsSucceeded": 1, "ExecutionsFailed": 1}
    minute = MachineMinute(PIPELINE, START_MS // 1000, counts, Durations(2, 12_000, 5000, 7000, ((5000, 1), (7000, 1))))
    assert documents == {(MACHINE_MINUTE, minute.name): minute}
    assert machine.handle(AskExecutionMinutes(), START_MS + 59_999) == (), "the minute is not over"
    assert machine.handle(AskExecutionMinutes(), START_MS + MINUTE_MS) == (minute,)


def test_redriven_executions_are_counted_by_names_of_their_own() -> None:
    machine = ExecutionMetricsMachine()
    observed(machine, changed("RUNNING", START_MS, redrives=1), changed("TIMED_OUT", START_MS + 5, redrives=1))
    observed(machine, changed("ABORTED", START_MS + 6, "other"))
    (minute,) = machine.handle(AskExecutionMinutes(), START_MS + MINUTE_MS)
    assert minute.counts == {"RedrivenExecutions": 1, "RedrivenExecutionsTimedOut": 1, "ExecutionsAborted": 1}


def test_a_minute_outlives_a_restart_and_is_forgotten_once_it_is_stored() -> None:
    before = ExecutionMetricsMachine()
    documents = observed(before, changed("RUNNING", START_MS))
    machine = ExecutionMetricsMachine()
    machine.restore(documents)
    observed(machine, changed("RUNNING", START_MS + 1000, "two"))
    (minute,) = machine.handle(AskExecutionMinutes(), START_MS + MINUTE_MS)
    assert minute.counts == {"ExecutionsStarted": 2}
    machine.handle(ForgetExecutionMinutes((minute.name, "none")), START_MS + MINUTE_MS)
    assert machine.take()[0].documents == {(MACHINE_MINUTE, minute.name): None}
    assert machine.handle(AskExecutionMinutes(), START_MS + MINUTE_MS) == ()


def test_express_executions_are_counted_likewise() -> None:
    machine = ExecutionMetricsMachine()
    arn = f"{HEAD}:express:pipeline:one:uuid"
    began = ExpressExecutionChanged(START_MS, arn, ExecutionStatus.RUNNING, START_MS)
    machine.observe([began, ExpressExecutionChanged(START_MS + 30, arn, ExecutionStatus.FAILED, START_MS)], START_MS)
    machine.take()
    (minute,) = machine.handle(AskExecutionMinutes(), START_MS + MINUTE_MS)
    assert (minute.machine_arn, minute.counts) == (PIPELINE, {"ExecutionsStarted": 1, "ExecutionsFailed": 1})
    assert minute.times is not None
    assert minute.times.total_ms == 30


def test_children_of_map_runs_count_for_their_label() -> None:
    assert machine_of(f"{HEAD}:execution:pipeline/Label:name") == f"{HEAD}:stateMachine:pipeline/Label"
