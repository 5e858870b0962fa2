"""Why a job is not running: AWS's code where one exists, the numbers, the remedy (AWS Batch behaviour 4.7)."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from batchyard.core.records import Environment, Health, Instance, State
from batchyard.core.resources import Resources, format_vcpus

TOO_LARGE = (
    "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is higher than that "
    "can be met by the CE(s) attached to the job queue."
)
ALL_INVALID = "ACTION_REQUIRED - CE(s) associated with the job queue are invalid."
NO_CAPACITY = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Service cannot fulfill the capacity requested."


class Place(Struct, frozen=True):
    """An environment of the job's queue as the scheduler sees it. `engine_ready`: its engine can be used now."""

    environment: Environment
    instances: tuple[Instance, ...]
    engine_ready: bool


def never_starts(asked: Resources, engines: Sequence[str], queue: str, places: Sequence[Place]) -> str:
    """Why nothing that runs now will ever make room for the job: a statusReason with numbers and a remedy. Empty when
    one of the environments could run it once enough is free."""
    valid = [p for p in places if p.environment.status is Health.VALID]
    if not valid:
        return f"{ALL_INVALID} Attach a VALID compute environment to the job queue {queue}."
    enabled = [p for p in valid if p.environment.state is State.ENABLED]
    if not enabled:
        names = ", ".join(p.environment.name for p in valid)
        return (
            f"ACTION_REQUIRED - All compute environments of the job queue {queue} are DISABLED ({names}). "
            "Enable one with UpdateComputeEnvironment."
        )
    ready = [p for p in enabled if p.engine_ready and p.environment.engine in engines]
    if not ready:
        wanted = ", ".join(sorted({p.environment.engine for p in enabled}))
        return (
            f"ACTION_REQUIRED - The engine of the compute environments ({wanted}) cannot be used now; the job was "
            f"submitted for {', '.join(engines)}. `batchyard doctor` says what is missing."
        )
    offering = [p for p in ready if p.instances]
    if not offering:
        names = ", ".join(p.environment.name for p in ready)
        return (
            f"{NO_CAPACITY} MANAGED compute environments offer no capacity in this version ({names}). "
            "Attach an UNMANAGED one, such as local, to the job queue."
        )
    instances = [instance for p in offering for instance in p.instances]
    if any(asked.fits(instance.resources) for instance in instances):
        return ""
    return f"{TOO_LARGE} {_numbers(asked, instances)}"


def _numbers(asked: Resources, instances: Sequence[Instance]) -> str:
    wants: list[str] = []
    most_vcpus = max(i.resources.milli_vcpus for i in instances)
    most_memory = max(i.resources.memory_mib for i in instances)
    most_gpus = max(i.resources.gpus for i in instances)
    if asked.milli_vcpus > most_vcpus:
        wants.append(
            f"{format_vcpus(asked.milli_vcpus)} vCPUs asked, {format_vcpus(most_vcpus)} at most there (--vcpus)"
        )
    if asked.memory_mib > most_memory:
        wants.append(f"{asked.memory_mib} MiB asked, {most_memory} MiB at most there (--memory)")
    if asked.gpus > most_gpus:
        wants.append(f"{asked.gpus} GPUs asked, {most_gpus} at most there (--gpus)")
    detail = "; ".join(wants) if wants else "no single instance has all of it at once"
    return f"{detail}. Ask for less, or start the service with more declared."
