"""The service's own metrics in the store: what a minute becomes, and that it can be stored again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from batchyard.core.model.resources import Resources
from batchyard.core.questions.gauges import AskGauges, EnvironmentGauge, Gauges, PlacedTask, TaskGroup
from batchyard.job_metrics.execution_metrics import AskExecutionMinutes, ForgetExecutionMinutes
from batchyard.job_metrics.machine import AskMinutes, AskUse, ForgetMinutes, Use
from batchyard.job_metrics.records import Durations, MachineMinute, QueueMinute
from batchyard.server.metrics.minute_recorder import MinuteRecorder
from batchyard.server.metrics.performance_events import Append
from batchyard.server.metrics.process_usage import TaskUsage
from batchyard.store.logs.log_records import LogEvent
from batchyard.store.metrics.metric_store import MetricStore
from batchyard.store.metrics.series import Series

START_S = 1_700_006_400
END_MS = (START_S + 60) * 1000
MINUTE = QueueMinute(
    "default",
    START_S,
    {"JobsSubmitted": 7, "JobsMovedToFailed": 2},
    {"JobAttemptDuration": Durations(3, 1234, 100, 1000, ((100, 1), (134, 1), (1000, 1)))},
)
MACHINE_ARN = "arn:aws:states:us-east-1:123456789012:stateMachine:pipeline"
EXECUTIONS = MachineMinute(
    MACHINE_ARN, START_S, {"ExecutionsStarted": 3, "ExecutionsFailed": 1}, Durations(1, 5000, 5000, 5000, ((5000, 1),))
)
GAUGES = Gauges(
    {"default": {"SUBMITTED": 1, "PENDING": 2, "RUNNABLE": 4}, "idle": {}},
    (EnvironmentGauge("local", Resources(8000, 4096), {}),),
    (TaskGroup("local", "work", 3, Resources(3000, 192)),),
    (
        PlacedTask("t1", "local", "work", START_S * 1000, "j1", "train", "default", 2, "i-1", Resources(500, 64), (1,)),
        PlacedTask("t2", "local", "work", START_S * 1000, instance_id="i-1"),
        PlacedTask("t3", "local", "work", 0),
    ),
)
USE = Use("2023-11", {"default": 1000 * 3_600_000 * 5}, 3_600_000 * 1_250_000)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MetricStore]:
    made = MetricStore(tmp_path / "metrics.db")
    yield made
    made.close()


class Answers:
    """The machines' answers, and what they were asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def __call__(self, command: Any) -> Any:
        self.asked.append(command)
        answers: dict[type[Any], Any] = {
            AskMinutes: (MINUTE,),
            AskExecutionMinutes: (EXECUTIONS,),
            AskGauges: GAUGES,
            AskUse: USE,
            ForgetMinutes: None,
            ForgetExecutionMinutes: None,
        }
        return answers[type(command)]


class Appended:
    """What was written into log groups."""

    def __init__(self) -> None:
        self.events: dict[tuple[str, str, int], list[tuple[int, Any]]] = {}

    def __call__(self, group: str, stream: str, events: list[LogEvent], retention_days: int) -> Future[Any]:
        self.events[group, stream, retention_days] = [(event.at_ms, json.loads(event.message)) for event in events]
        done: Future[Any] = Future()
        done.set_result([])
        return done


def record(
    store: MetricStore,
    *,
    has_prices: bool = False,
    usage: dict[str, TaskUsage] | None = None,
    append: Append | None = None,
) -> Answers:
    async def nothing(end_ms: int) -> None:
        raise AssertionError("not of a single round")

    answers = Answers()
    look = dict(usage or {}).copy
    recorder = MinuteRecorder(
        store, answers, lambda: END_MS, has_prices=has_prices, after=nothing, append=append or Appended(), look=look
    )
    asyncio.run(recorder.record(END_MS))
    return answers


def value(store: MetricStore, namespace: str, name: str, unit: str = "Count", **dimensions: str) -> float | None:
    found = store.find(Series(namespace, name, tuple(sorted(dimensions.items())), unit))
    if found is None:
        return None
    ((_, samples),) = store.points(found.id, START_S, START_S + 60)
    return samples.total


def test_the_official_metrics_and_the_gauges_of_a_minute(store: MetricStore) -> None:
    answers = record(store)
    record(store)  # as after a crash between storing and forgetting
    assert value(store, "AWS/Batch", "JobsSubmitted", JobQueueName="default") == 7
    assert value(store, "AWS/Batch", "JobsMovedToSucceeded", JobQueueName="default") is None
    assert value(store, "AWS/Batch", "JobAttemptDuration", "Milliseconds", JobQueueName="default") == 1234
    gauges = {"Pending": 3, "Runnable": 4, "Starting": 0, "Running": 0, "Succeeded": 0, "Failed": 2}
    assert {name: value(store, "AWS/Batch", f"{name}JobCount", JobQueue="default") for name in gauges} == gauges
    assert {value(store, "AWS/Batch", f"{name}JobCount", JobQueue="idle") for name in gauges} == {0}
    assert value(store, "AWS/States", "ExecutionsStarted", StateMachineArn=MACHINE_ARN) == 3
    assert value(store, "AWS/States", "ExecutionsFailed", StateMachineArn=MACHINE_ARN) == 1
    assert value(store, "AWS/States", "ExecutionTime", "Milliseconds", StateMachineArn=MACHINE_ARN) == 5000
    assert answers.asked[-2:] == [ForgetMinutes((MINUTE.name,)), ForgetExecutionMinutes((EXECUTIONS.name,))]


def test_what_environments_have_and_their_tasks_reserve(store: MetricStore) -> None:
    record(store)
    insights = "ECS/ContainerInsights"
    assert value(store, insights, "TaskCount", ClusterName="local") == 3
    assert value(store, insights, "CpuReserved", "None", ClusterName="local", TaskDefinitionFamily="work") == 3072
    assert value(store, insights, "MemoryReserved", "Megabytes", ClusterName="local") == 192
    assert value(store, "Batchyard", "FreeVCPUs", ComputeEnvironment="local") == 5


def test_what_tasks_use_is_recorded_where_all_that_run_were_seen(store: MetricStore) -> None:
    insights = "ECS/ContainerInsights"
    record(store, usage={"t1": TaskUsage(1.0, 102_400)})
    assert value(store, insights, "CpuUtilized", "None", ClusterName="local") is None
    record(store, usage={"t1": TaskUsage(1.0, 102_400), "t2": TaskUsage(0.5, 51_200), "other": TaskUsage(9.0, 9)})
    assert value(store, insights, "CpuUtilized", "None", ClusterName="local") == 1536
    assert value(store, insights, "MemoryUtilized", "Megabytes", ClusterName="local") == 150
    assert value(store, insights, "CpuUtilized", "None", ClusterName="local", TaskDefinitionFamily="work") == 1536
    assert value(store, "AWS/ECS", "CPUUtilization", "Percent", ClusterName="local") == 50


def test_each_task_that_runs_has_a_performance_event(store: MetricStore) -> None:
    written = Appended()
    record(store, usage={"t1": TaskUsage(0.25, 51_200, (7, 9))}, append=written)
    (place, (first, second)), *more = written.events.items()
    assert place == ("/aws/ecs/containerinsights/local/performance", "AgentTelemetry-i-1", 1)
    assert first == (
        END_MS,
        {
            "Version": "0",
            "Type": "Task",
            "ClusterName": "local",
            "TaskId": "t1",
            "TaskDefinitionFamily": "work",
            "ContainerInstanceId": "i-1",
            "CpuReserved": 512,
            "MemoryReserved": 64,
            "CpuUtilized": 256,
            "MemoryUtilized": 50,
            "StorageReadBytes": 7,
            "StorageWriteBytes": 9,
            "Timestamp": END_MS,
            "JobId": "j1",
            "JobName": "train",
            "JobQueue": "default",
            "AttemptNumber": 2,
            "GpuIds": [1],
        },
    )
    assert "CpuUtilized" not in second[1], "what could not be seen is missing"
    assert not more, "one that is starting has none"


def test_charges_are_published_where_the_owner_gave_prices_and_vcpu_hours_always(store: MetricStore) -> None:
    record(store)
    assert value(store, "Batchyard", "VCPUHours", "None") == 5
    assert value(store, "Batchyard", "VCPUHours", "None", JobQueue="default") == 5
    assert value(store, "AWS/Billing", "EstimatedCharges", "None", Currency="USD") is None
    record(store, has_prices=True)
    assert value(store, "AWS/Billing", "EstimatedCharges", "None", Currency="USD") == 1.25
    assert value(store, "AWS/Billing", "EstimatedCharges", "None", Currency="USD", ServiceName="AWSBatch") == 1.25
