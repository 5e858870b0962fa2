"""Performance log events, as Container Insights has them: one for each task that runs, once a minute, in the log group
of its environment (observability spec 15)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from msgspec import json

from batchyard.core.model.resources import MILLI_PER_VCPU
from batchyard.core.questions.gauges import Gauges, PlacedTask
from batchyard.server.metrics.own_metrics import CPU_UNITS_PER_VCPU, KIB_PER_MIB
from batchyard.server.metrics.process_usage import TaskUsage
from batchyard.store.logs.log_records import LogEvent, StoredEvent
from batchyard.store.logs.log_writer import NotWritten

GROUP = "/aws/ecs/containerinsights/{}/performance"
STREAM = "AgentTelemetry-{}"  # by instance, as the agent of ECS names its own
RETENTION_DAYS = 1  # of a group that is made here, as on AWS: a task and month is 20 MB

Append = Callable[[str, str, list[LogEvent], int], Future[list[StoredEvent]]]  # group, stream, events, retention

logger = logging.getLogger("batchyard.metrics")


def performance_events(
    gauges: Gauges, usage: Mapping[str, TaskUsage], end_ms: int
) -> dict[tuple[str, str], list[LogEvent]]:
    """Returns the events of a minute, by group and stream."""
    logged = {environment.name for environment in gauges.environments if environment.has_performance_events}
    found: dict[tuple[str, str], list[LogEvent]] = {}
    for task in gauges.placed:
        if task.started_at_ms and task.environment in logged:
            place = GROUP.format(task.environment), STREAM.format(task.instance_id)
            event = LogEvent(end_ms, json.encode(_event(task, usage.get(task.task_id), end_ms)).decode())
            found.setdefault(place, []).append(event)
    return found


async def write_performance_events(append: Append, gauges: Gauges, usage: Mapping[str, TaskUsage], end_ms: int) -> None:
    """Writes the events of a minute. On a full disk they are missing: jobs and metrics are worth more."""
    found = performance_events(gauges, usage, end_ms).items()
    futures = [append(group, stream, events, RETENTION_DAYS) for (group, stream), events in found]
    for future in futures:
        try:
            await asyncio.wrap_future(future)
        except NotWritten as error:
            logger.warning("Performance events of a minute are missing: %s", error)


def _event(task: PlacedTask, used: TaskUsage | None, end_ms: int) -> dict[str, Any]:
    """Returns one event. What is not known of a task is missing, and never 0."""
    event: dict[str, Any] = {
        "Version": "0",
        "Type": "Task",
        "ClusterName": task.environment,
        "TaskId": task.task_id,
        "TaskDefinitionFamily": task.family,
        "ContainerInstanceId": task.instance_id,
        "CpuReserved": task.reserved.milli_vcpus * CPU_UNITS_PER_VCPU / MILLI_PER_VCPU,
        "MemoryReserved": task.reserved.memory_mib,
    }
    if used is not None:
        event["CpuUtilized"] = round(used.cores * CPU_UNITS_PER_VCPU, 2)
        event["MemoryUtilized"] = round(used.memory_kib / KIB_PER_MIB, 2)
        if used.storage is not None:
            event["StorageReadBytes"], event["StorageWriteBytes"] = used.storage
    return event | {
        "Timestamp": end_ms,
        "JobId": task.job_id,
        "JobName": task.job_name,
        "JobQueue": task.queue,
        "AttemptNumber": task.number,
        "GpuIds": list(task.device_ids),
    }
