"""The ways to wait, and the words for each: AWS's code where one exists, the numbers, the remedy (AWS Batch behaviour
4.7). Built from the same values that placement uses."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import assert_never

from msgspec import Struct

from batchyard.core.allocation import NoChoice, Why
from batchyard.core.records import Environment, Health, Instance, State
from batchyard.core.resources import Resources, format_vcpus

TOO_LARGE = (
    "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is higher than that "
    "can be met by the CE(s) attached to the job queue."
)
INSUFFICIENT = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"
UNMANAGED = "UNMANAGED"
ALL_INVALID = "ACTION_REQUIRED - CE(s) associated with the job queue are invalid."
OVER_MAX = (
    "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - CE(s) associated with the job queue cannot meet the CPU "
    "requirement of the job."
)


class Wait(StrEnum):
    """Why an unfinished job is not running. `remedy` has a case for each: a new way without one fails type-checking."""

    DEPENDENCIES = "DEPENDENCIES"  # jobs named in dependsOn have not ended
    COUNTERPART = "COUNTERPART"  # N_TO_N: the child of the same index of another array has not succeeded
    PREDECESSOR = "PREDECESSOR"  # SEQUENTIAL: the child before it has not succeeded
    WITHDRAWN = "WITHDRAWN"  # cancelled or terminated while PENDING: it ends when what it waits for has
    CHILDREN = "CHILDREN"  # an array ends when its children have
    ENVIRONMENTS_INVALID = "ENVIRONMENTS_INVALID"
    ENVIRONMENTS_DISABLED = "ENVIRONMENTS_DISABLED"
    ENGINE_GONE = "ENGINE_GONE"
    OTHER_ENGINE = "OTHER_ENGINE"  # its environments run jobs of another kind than when it was submitted
    TOO_LARGE = "TOO_LARGE"  # larger than every instance, or every instance type that its environments may launch
    OVER_MAX = "OVER_MAX"  # more vCPUs than the maxvCpus of its environments
    HOST_TOO_SMALL = "HOST_TOO_SMALL"  # the instance types that would hold it are larger than this host
    ABOVE_BID = "ABOVE_BID"  # the Spot prices of the instance types that would hold it are above the bid
    LAUNCHING = "LAUNCHING"  # an instance is being launched for it
    AT_MAX = "AT_MAX"  # its environments have all the vCPUs they may have, in use
    NO_CAPACITY = "NO_CAPACITY"  # an instance for it would take more of this host than is unreserved and unused
    CONCURRENCY_LIMIT = "CONCURRENCY_LIMIT"  # as many jobs of its queue run as its tag allows
    NO_ROOM = "NO_ROOM"  # its turn has come, what it needs is in use
    BEHIND = "BEHIND"  # jobs before it in the queue, or in a queue of higher priority, wait too
    SHARE = "SHARE"  # jobs of other shares, which have used less, go before it
    RESERVED = "RESERVED"  # its turn has come; what is free is kept for shares that are not active yet
    ENDING_SERVICE = "ENDING_SERVICE"  # the service was told to end: nothing starts any more
    STARTING = "STARTING"  # placed; its task is not up yet


NEVER_STARTS = (
    Wait.ENVIRONMENTS_INVALID,
    Wait.ENVIRONMENTS_DISABLED,
    Wait.ENGINE_GONE,
    Wait.OTHER_ENGINE,
    Wait.TOO_LARGE,
    Wait.OVER_MAX,
    Wait.HOST_TOO_SMALL,
    Wait.ABOVE_BID,
)


AFTER_ANY_REMEDY = "It starts when those have ended, however they end, as its tag asks."  # instead of remedy's


def remedy(wait: Wait) -> str:
    """What to change, as a sentence."""
    match wait:
        case Wait.DEPENDENCIES | Wait.COUNTERPART | Wait.PREDECESSOR:
            return "It starts when those have succeeded; if they should not matter, cancel it and submit it without."
        case Wait.WITHDRAWN:
            return "Nothing: it ends, without having run, when those have ended."
        case Wait.CHILDREN:
            return "Ask about one of its children: its id is the array's id, a colon and the index."
        case Wait.ENVIRONMENTS_INVALID:
            return "Attach a VALID compute environment to the job queue."
        case Wait.ENVIRONMENTS_DISABLED:
            return "Enable one with UpdateComputeEnvironment."
        case Wait.ENGINE_GONE:
            return "`batchyard doctor` says what is missing."
        case Wait.OTHER_ENGINE:
            return "Cancel it, and submit it again."
        case Wait.TOO_LARGE:
            return "Ask for less, allow larger instance types, or start the service with more declared."
        case Wait.OVER_MAX:
            return "Ask for less, or raise maxvCpus with UpdateComputeEnvironment."
        case Wait.HOST_TOO_SMALL:
            return "Ask for less, allow smaller instance types, or start the service with more declared."
        case Wait.ABOVE_BID:
            return "Raise bidPercentage, allow cheaper instance types, or attach an On-Demand environment too."
        case Wait.LAUNCHING:
            return "Nothing: it starts when the instance is ready."
        case Wait.AT_MAX:
            return "Wait for its jobs to end, or raise maxvCpus with UpdateComputeEnvironment."
        case Wait.NO_CAPACITY:
            return "Wait for what holds this host, attach another environment, or start the service with more declared."
        case Wait.CONCURRENCY_LIMIT:
            return "Wait for one of them to end, or raise the queue's tag."
        case Wait.NO_ROOM:
            return "Wait for the jobs that hold it, terminate one, or declare more with --vcpus, --memory or --gpus."
        case Wait.BEHIND:
            return "Wait for its turn, or use a queue of higher priority."
        case Wait.SHARE:
            return "Wait until its share is the one that is behind, or lower its weightFactor in the scheduling policy."
        case Wait.RESERVED:
            return "Wait for a job of the queue to end, or lower computeReservation in the scheduling policy."
        case Wait.ENDING_SERVICE:
            return "Start the service again: it goes on with what waits."
        case Wait.STARTING:
            return "Nothing: it is being started."
    assert_never(wait)


class Place(Struct, frozen=True):
    """An environment of the job's queue as the scheduler sees it. `engine_ready`: its engine can be used now;
    `engine_away`: why not, where that is known. `refusal`: of a MANAGED one, why it could never hold the job."""

    environment: Environment
    instances: tuple[Instance, ...]
    engine_ready: bool
    engine_away: str = ""
    refusal: NoChoice | None = None


class Stuck(Struct, frozen=True):
    """Why nothing that runs now will ever make room for a job. `text` is the job's statusReason, without the remedy."""

    wait: Wait
    text: str

    @property
    def status_reason(self) -> str:
        return f"{self.text} {remedy(self.wait)}"


def never_starts(asked: Resources, engines: Sequence[str], queue: str, places: Sequence[Place]) -> Stuck | None:
    """None when one of the environments could run the job once enough is free."""
    valid = [p for p in places if p.environment.status is Health.VALID]
    if not valid:
        return Stuck(Wait.ENVIRONMENTS_INVALID, f"{ALL_INVALID} The job queue {queue} has no VALID one.")
    enabled = [p for p in valid if p.environment.state is State.ENABLED]
    if not enabled:
        text = f"ACTION_REQUIRED - All compute environments of the job queue {queue} are DISABLED ({_names(valid)})."
        return Stuck(Wait.ENVIRONMENTS_DISABLED, text)
    ready = [p for p in enabled if p.engine_ready and p.environment.engine in engines]
    if not ready:
        return _without_engine(engines, enabled)
    own = [p for p in ready if p.environment.type != UNMANAGED]
    if any(p.refusal is None for p in own):
        return None
    instances = [instance for p in ready if p.environment.type == UNMANAGED for instance in p.instances]
    if any(asked.fits(instance.resources) for instance in instances):
        return None
    refusals = [p.refusal for p in own if p.refusal is not None]
    return _refused(refusals) or Stuck(Wait.TOO_LARGE, _and_why(TOO_LARGE, _too_large(asked, instances), refusals))


def _refused(refusals: Sequence[NoChoice]) -> Stuck | None:
    """What kept the environments that launch instances from ever holding a job, where it is not its size alone."""
    why = [refusal.why for refusal in refusals]
    if Why.HOST_TOO_SMALL in why:
        first = refusals[why.index(Why.HOST_TOO_SMALL)]
        return Stuck(Wait.HOST_TOO_SMALL, insufficient(first))
    if Why.ABOVE_BID in why:
        return Stuck(Wait.ABOVE_BID, insufficient(refusals[why.index(Why.ABOVE_BID)]))
    if why and set(why) == {Why.OVER_MAX}:
        return Stuck(Wait.OVER_MAX, _and_why(OVER_MAX, "", refusals))
    return None


def _and_why(sentence: str, own: str, refusals: Sequence[NoChoice]) -> str:
    texts = [own] if own and not refusals else [refusal.text for refusal in refusals]
    return " ".join([sentence, *dict.fromkeys(texts)])


def insufficient(refusal: NoChoice) -> str:
    """AWS's sentence for capacity that can't be had, and our numbers."""
    named = f" for instance type [{refusal.instance_type}]" if refusal.instance_type else ""
    return f"{INSUFFICIENT} - Service cannot fulfill the capacity requested{named}. {refusal.text}"


def _without_engine(engines: Sequence[str], enabled: Sequence[Place]) -> Stuck:
    """A job is only ever started on an engine that its queue had when it was submitted."""
    fitting = [p for p in enabled if p.environment.engine in engines]
    wanted = ", ".join(sorted({p.environment.engine for p in fitting or enabled}))
    if not fitting:
        text = (
            f"ACTION_REQUIRED - The compute environments of the job queue run jobs on another engine now ({wanted}); "
            f"the job was submitted for {', '.join(engines) or 'none'}."
        )
        return Stuck(Wait.OTHER_ENGINE, text)
    away = "; ".join(dict.fromkeys(p.engine_away for p in fitting if p.engine_away))
    why = f" ({away})" if away else ""
    text = f"ACTION_REQUIRED - The engine of the compute environments ({wanted}) cannot be used now{why}."
    return Stuck(Wait.ENGINE_GONE, text)


def _names(places: Sequence[Place]) -> str:
    return ", ".join(p.environment.name for p in places)


def largest(instances: Sequence[Instance]) -> Resources:
    """The most of each kind that any instance has."""
    return Resources(
        max((i.resources.milli_vcpus for i in instances), default=0),
        max((i.resources.memory_mib for i in instances), default=0),
        max((i.resources.gpus for i in instances), default=0),
    )


def _too_large(asked: Resources, instances: Sequence[Instance]) -> str:
    most = largest(instances)
    wants: list[str] = []
    if asked.milli_vcpus > most.milli_vcpus:
        vcpus = format_vcpus(asked.milli_vcpus), format_vcpus(most.milli_vcpus)
        wants.append(f"{vcpus[0]} vCPUs asked, {vcpus[1]} at most there (--vcpus)")
    if asked.memory_mib > most.memory_mib:
        wants.append(f"{asked.memory_mib} MiB asked, {most.memory_mib} MiB at most there (--memory)")
    if asked.gpus > most.gpus:
        wants.append(f"{asked.gpus} GPUs asked, {most.gpus} at most there (--gpus)")
    return ("; ".join(wants) or "No single instance has all of it at once") + "."


def no_room(asked: Resources, free: Sequence[Resources], holders: int) -> str:
    """The head of a queue: what it lacks on the instance that is nearest to having it."""
    nearest = min(free, key=lambda f: _lack(asked, f), default=Resources())
    lacks: list[str] = []
    if asked.milli_vcpus > nearest.milli_vcpus:
        lacks.append(f"{format_vcpus(asked.milli_vcpus)} vCPUs asked, {format_vcpus(nearest.milli_vcpus)} free")
    if asked.memory_mib > nearest.memory_mib:
        lacks.append(f"{asked.memory_mib} MiB asked, {nearest.memory_mib} MiB free")
    if asked.gpus > nearest.gpus:
        lacks.append(f"{asked.gpus} GPUs asked, {nearest.gpus} free")
    return f"It is next, and waits for room: {'; '.join(lacks)}. {holders} jobs hold the rest."


def _lack(asked: Resources, free: Resources) -> tuple[int, int, int]:
    return (
        max(0, asked.gpus - free.gpus),
        max(0, asked.milli_vcpus - free.milli_vcpus),
        max(0, asked.memory_mib - free.memory_mib),
    )
