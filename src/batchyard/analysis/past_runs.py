"""The rows of ListPastAttempts and ListPastInstances as values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

MILLI = 1000
RUNNING, SUCCEEDED, HOST_LOST, OUT_OF_MEMORY = "RUNNING", "SUCCEEDED", "HOST_LOST", "OUT_OF_MEMORY"


class PastRun(Struct, frozen=True):
    """An attempt that ran. `asked`: for all its nodes together. `stopped_at_ms`: 0: it runs. `peak_memory_mib`,
    `cpu_ms`: 0: not measured."""

    job_id: str
    attempt: int
    queue: str
    definition: str  # name:revision
    share: str
    principal: str
    environment: str
    tags: Mapping[str, str]
    started_at_ms: int
    stopped_at_ms: int
    milli_vcpus: int
    memory_mib: int
    gpus: int
    outcome: str
    is_last: bool
    num_nodes: int = 0
    peak_memory_mib: int = 0
    cpu_ms: int = 0
    instance_ids: tuple[str, ...] = ()
    created_at_ms: int = 0
    limit_ms: int = 0  # its timeout; 0: none
    priority: int = 0
    array_size: int = 0
    depends_on: tuple[tuple[str, str], ...] = ()  # (job id, type), either may be empty

    @property
    def definition_name(self) -> str:
        return self.definition.partition(":")[0]

    @property
    def is_interrupted(self) -> bool:
        """Whether its work was lost with its host."""
        return self.outcome == HOST_LOST


class PastInstance(Struct, frozen=True):
    """An instance that there was, or is (`ended_at_ms` is 0). `hourly_micro_dollars`: 0: it has no price."""

    instance_id: str
    instance_type: str
    environment: str
    market: str
    launched_at_ms: int
    ended_at_ms: int
    milli_vcpus: int
    memory_mib: int
    gpus: int
    hourly_micro_dollars: int = 0


def runs_of(rows: Iterable[Mapping[str, Any]]) -> Iterator[PastRun]:
    """Yields the attempts of rows of ListPastAttempts, each once: a job that starts again between two pages comes
    twice."""
    seen: set[tuple[str, int]] = set()
    for row in rows:
        identity = row["jobId"], row["attempt"]
        if identity in seen:
            continue
        seen.add(identity)
        yield PastRun(
            job_id=row["jobId"],
            attempt=row["attempt"],
            queue=row["jobQueue"],
            definition=row["jobDefinition"],
            share=row.get("shareIdentifier", ""),
            principal=row.get("principal", ""),
            environment=row.get("computeEnvironment", ""),
            tags=row.get("tags", {}),
            started_at_ms=row["startedAt"],
            stopped_at_ms=row.get("stoppedAt", 0),
            milli_vcpus=round(row["asked"]["vcpus"] * MILLI),
            memory_mib=row["asked"]["memory"],
            gpus=row["asked"]["gpus"],
            outcome=row["outcome"],
            is_last=row["isLast"],
            num_nodes=row.get("numNodes", 0),
            peak_memory_mib=row.get("peakMemory", 0),
            cpu_ms=row.get("cpuMilliseconds", 0),
            instance_ids=tuple(row.get("instanceIds", ())),
            created_at_ms=row["createdAt"],
            limit_ms=row.get("timeoutSeconds", 0) * MILLI,
            priority=row.get("schedulingPriority", 0),
            array_size=row.get("arraySize", 0),
            depends_on=tuple((one.get("jobId", ""), one.get("type", "")) for one in row.get("dependsOn", ())),
        )


def instances_of(rows: Iterable[Mapping[str, Any]]) -> list[PastInstance]:
    """Returns the instances of rows of ListPastInstances."""
    return [
        PastInstance(
            instance_id=row["instanceId"],
            instance_type=row["instanceType"],
            environment=row["computeEnvironment"],
            market=row["market"],
            launched_at_ms=row["launchedAt"],
            ended_at_ms=row.get("endedAt", 0),
            milli_vcpus=round(row["capacity"]["vcpus"] * MILLI),
            memory_mib=row["capacity"]["memory"],
            gpus=row["capacity"]["gpus"],
            hourly_micro_dollars=row.get("hourlyMicroDollars", 0),
        )
        for row in rows
    ]
