"""The service's own metrics, made of what its machines say: AWS Batch's, those of Step Functions, the gauges of
queues, usage and charges (observability spec 11.3, 14, 15)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from batchyard.core.model.resources import MILLI_PER_VCPU, Resources
from batchyard.core.questions.gauges import Gauges, PlacedTask
from batchyard.evaluators.metrics.samples import Samples, samples_of
from batchyard.job_metrics.execution_metrics import EXECUTION_TIME
from batchyard.job_metrics.machine import Use
from batchyard.job_metrics.records import Durations, MachineMinute, QueueMinute
from batchyard.server.metrics.process_usage import TaskUsage
from batchyard.store.metrics.series import Datum, Dimensions, Series

BATCH, BILLING, INSIGHTS, OWN = "AWS/Batch", "AWS/Billing", "ECS/ContainerInsights", "Batchyard"
STATES = "AWS/States"
COUNT, MILLISECONDS, NO_UNIT, MEGABYTES = "Count", "Milliseconds", "None", "Megabytes"
QUEUE, SHORT_QUEUE = "JobQueueName", "JobQueue"  # dimensions of AWS's metrics, and of the gauges
CPU_UNITS_PER_VCPU = 1024
KIB_PER_MIB = 1024
NEW_TASK_MS = 2000  # a task that has just started may not be seen
MAX_UNSEEN_SHARE = 0.1  # of tasks: those whose ends are not reported yet; with more, the sums would be too low
ECS = "AWS/ECS"
MS_PER_HOUR = 3_600_000
MICRO_PER_DOLLAR = 1_000_000
STATES_OF_GAUGE = {
    "PendingJobCount": ("SUBMITTED", "PENDING"),
    "RunnableJobCount": ("RUNNABLE",),
    "StartingJobCount": ("STARTING",),
    "RunningJobCount": ("RUNNING",),
}
ENDED_GAUGES = {"SucceededJobCount": "JobsMovedToSucceeded", "FailedJobCount": "JobsMovedToFailed"}


def data_of_minute(minute: QueueMinute) -> Iterator[Datum]:
    """Yields what AWS publishes of a queue's minute: only what happened."""
    dimensions = ((QUEUE, minute.queue),)
    for name, number in minute.counts.items():
        yield Datum(Series(BATCH, name, dimensions, COUNT), minute.start_s, _counted(number))
    for name, durations in minute.durations.items():
        yield Datum(Series(BATCH, name, dimensions, MILLISECONDS), minute.start_s, _measured(durations))
    for name, counter in ENDED_GAUGES.items():
        yield _gauge(name, minute.queue, minute.counts.get(counter, 0), minute.start_s)


def data_of_executions(minute: MachineMinute) -> Iterator[Datum]:
    """Yields what AWS publishes of a state machine's minute: only what happened."""
    dimensions = (("StateMachineArn", minute.machine_arn),)
    for name, number in minute.counts.items():
        yield Datum(Series(STATES, name, dimensions, COUNT), minute.start_s, _counted(number))
    if minute.times is not None:
        series = Series(STATES, EXECUTION_TIME, dimensions, MILLISECONDS)
        yield Datum(series, minute.start_s, _measured(minute.times))


def _counted(number: int) -> Samples:
    """Returns a count of events: each is a sample of 1, unless one event counts several (an array's submission)."""
    return samples_of([1.0], [float(number)])


def _measured(durations: Durations) -> Samples:
    values = tuple((float(value), float(count)) for value, count in durations.values)
    return Samples(
        float(durations.count),
        float(durations.total_ms),
        float(durations.minimum_ms),
        float(durations.maximum_ms),
        values,
    )


def _gauge(name: str, queue: str, value: float, at_s: int) -> Datum:
    return Datum(Series(BATCH, name, ((SHORT_QUEUE, queue),), COUNT), at_s, samples_of([float(value)]))


def data_of_gauges(gauges: Gauges, at_s: int, ended: frozenset[str]) -> Iterator[Datum]:
    """Yields the gauges of a minute, also those that are 0. `ended`: queues of which it is known what ended then."""
    for queue, states in gauges.queues.items():
        for name, counted in STATES_OF_GAUGE.items():
            yield _gauge(name, queue, sum(states.get(state, 0) for state in counted), at_s)
        if queue not in ended:
            for name in ENDED_GAUGES:
                yield _gauge(name, queue, 0, at_s)
    yield from _usage(gauges, at_s)


def _usage(gauges: Gauges, at_s: int) -> Iterator[Datum]:
    """Yields what environments have and what their tasks reserve, as Container Insights has it."""
    for environment in gauges.environments:
        groups = [group for group in gauges.tasks if group.environment == environment.name]
        cluster = ("ClusterName", environment.name)
        rows: list[tuple[Dimensions, int, list[Resources]]]
        rows = [((cluster,), sum(group.count for group in groups), [group.resources for group in groups])]
        rows += [((cluster, ("TaskDefinitionFamily", g.family)), g.count, [g.resources]) for g in groups]
        for dimensions, count, resources in rows:
            units = sum(one.milli_vcpus for one in resources) * CPU_UNITS_PER_VCPU / MILLI_PER_VCPU
            yield _point(INSIGHTS, "TaskCount", dimensions, COUNT, count, at_s)
            yield _point(INSIGHTS, "CpuReserved", dimensions, NO_UNIT, units, at_s)
            memory = sum(one.memory_mib for one in resources)
            yield _point(INSIGHTS, "MemoryReserved", dimensions, MEGABYTES, memory, at_s)
        own = (("ComputeEnvironment", environment.name),)
        free = environment.total.milli_vcpus - sum(group.resources.milli_vcpus for group in groups)
        yield _point(OWN, "VCPUCapacity", own, COUNT, environment.total.milli_vcpus / MILLI_PER_VCPU, at_s)
        yield _point(OWN, "FreeVCPUs", own, COUNT, free / MILLI_PER_VCPU, at_s)
        if environment.instances:
            number = sum(environment.instances.values())
            yield _point(INSIGHTS, "ContainerInstanceCount", (cluster,), COUNT, number, at_s)
        for state, number in environment.instances.items():
            yield _point(OWN, "InstanceCount", (*own, ("State", state)), COUNT, number, at_s)


def data_of_usage(gauges: Gauges, usage: Mapping[str, TaskUsage], end_ms: int) -> Iterator[Datum]:
    """Yields what the tasks of environments and of their definitions use, where those that run could be seen."""
    at_s = end_ms // 1000 - 60
    groups: dict[tuple[str, str], list[PlacedTask]] = {}
    for task in gauges.placed:
        groups.setdefault((task.environment, ""), []).append(task)
        groups.setdefault((task.environment, task.family), []).append(task)
    reserved = {(group.environment, group.family): group.resources.milli_vcpus for group in gauges.tasks}
    for (environment, family), tasks in groups.items():
        running = [task for task in tasks if task.started_at_ms and end_ms - task.started_at_ms > NEW_TASK_MS]
        unseen = sum(task.task_id not in usage for task in running)
        if unseen > len(running) * MAX_UNSEEN_SHARE:
            continue
        seen = [usage[task.task_id] for task in tasks if task.task_id in usage]
        cluster = ("ClusterName", environment)
        dimensions = (cluster, ("TaskDefinitionFamily", family)) if family else (cluster,)
        units = round(sum(one.cores for one in seen) * CPU_UNITS_PER_VCPU, 2)
        memory = round(sum(one.memory_kib for one in seen) / KIB_PER_MIB, 2)
        yield _point(INSIGHTS, "CpuUtilized", dimensions, NO_UNIT, units, at_s)
        yield _point(INSIGHTS, "MemoryUtilized", dimensions, MEGABYTES, memory, at_s)
        if not family:
            milli_vcpus = sum(number for (of, _), number in reserved.items() if of == environment)
            percent = round(100 * units / CPU_UNITS_PER_VCPU * MILLI_PER_VCPU / milli_vcpus, 2)
            yield _point(ECS, "CPUUtilization", (cluster,), "Percent", percent, at_s)


def data_of_use(use: Use, at_s: int, *, has_prices: bool) -> Iterator[Datum]:
    """Yields what the month has used until now: vCPU hours, and the owner's money where prices are known."""
    by_queue: Mapping[str, int] = use.milli_vcpu_ms
    for dimensions, spent in [
        ((), sum(by_queue.values())),
        *((((SHORT_QUEUE, queue),), spent) for queue, spent in by_queue.items()),
    ]:
        hours = round(spent / MILLI_PER_VCPU / MS_PER_HOUR, 6)
        yield _point(OWN, "VCPUHours", dimensions, NO_UNIT, hours, at_s)
    if has_prices:
        dollars = round(use.micro_dollar_ms / MS_PER_HOUR / MICRO_PER_DOLLAR, 6)
        currency = ("Currency", "USD")
        yield _point(BILLING, "EstimatedCharges", (currency,), NO_UNIT, dollars, at_s)
        service = (currency, ("ServiceName", "AWSBatch"))
        yield _point(BILLING, "EstimatedCharges", service, NO_UNIT, dollars, at_s)


def _point(
    namespace: str, name: str, dimensions: tuple[tuple[str, str], ...], unit: str, value: float, at_s: int
) -> Datum:
    return Datum(Series(namespace, name, tuple(sorted(dimensions)), unit), at_s, samples_of([float(value)]))
