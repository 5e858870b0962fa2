"""The ways to wait, and the words for each: AWS's code where one exists, the numbers, the remedy (AWS Batch behaviour
4.7). Built from the same values that placement uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import assert_never

from msgspec import Struct

from batchyard.core.capacity.allocation import NoLaunch, NoLaunchReason
from batchyard.core.model.compute_resources import EnvironmentKind
from batchyard.core.model.reasons import Reason, ReasonCode
from batchyard.core.model.records import Environment, Health, Instance, State
from batchyard.core.model.resources import Resources, format_vcpus, largest
from batchyard.core.model.text import gpus, vcpus

TOO_LARGE = (
    f"{ReasonCode.JOB_RESOURCE_REQUIREMENT} - The job resource requirement (vCPU/memory/GPU) is higher than that "
    "can be met by the CE(s) attached to the job queue."
)
DECLARE = "start the service with more declared (--vcpus, --memory, --gpus)."
LARGER = f"Ask for less, allow larger instance types, or {DECLARE}"
LARGER_TYPES = "Ask for less, or allow larger instance types with UpdateComputeEnvironment."
ALL_DISABLED = f"{ReasonCode.ACTION_REQUIRED} - CE(s) associated with the job queue are disabled."
NONE_USABLE = f"{ReasonCode.ACTION_REQUIRED} - CE(s) associated with the job queue cannot be used."
ALL_INVALID = f"{ReasonCode.ACTION_REQUIRED} - CE(s) associated with the job queue are invalid."
OVER_MAX = (
    f"{ReasonCode.MAX_RESOURCE} - CE(s) associated with the job queue cannot meet the CPU requirement of the job."
)

WRONG_PLATFORM = (
    f"{ReasonCode.JOB_RESOURCE_REQUIREMENT} - The job's runtimePlatform cannot be met by the CE(s) attached to the "
    "job queue."
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
    SETTLING = "SETTLING"  # its environments are being created or updated
    ENGINE_GONE = "ENGINE_GONE"
    OTHER_ENGINE = "OTHER_ENGINE"  # its environments run jobs of another kind than when it was submitted
    OTHER_PLATFORM = "OTHER_PLATFORM"  # it is for another processor or operating system than this machine's
    TOO_LARGE = "TOO_LARGE"  # larger than every instance, or every instance type that its environments may launch
    OVER_MAX = "OVER_MAX"  # more vCPUs than the maxvCpus of its environments
    HOST_TOO_SMALL = "HOST_TOO_SMALL"  # the instance types that would hold it are larger than this host
    ABOVE_BID = "ABOVE_BID"  # the Spot prices of the instance types that would hold it are above the bid
    LAUNCHING = "LAUNCHING"  # an instance is being launched for it
    AT_MAX = "AT_MAX"  # its environments have all the vCPUs they may have, in use
    NO_CAPACITY = "NO_CAPACITY"  # an instance for it would take more of this host than is unreserved and unused
    CONCURRENCY_LIMIT = "CONCURRENCY_LIMIT"  # as many jobs of its queue run as its tag allows
    CONSUMABLE_RESOURCE = "CONSUMABLE_RESOURCE"  # what it asks of a consumable resource is not free
    NO_ROOM = "NO_ROOM"  # its turn has come, what it needs is in use
    BEHIND = "BEHIND"  # jobs before it in the queue, or in a queue of higher priority, wait too
    SHARE = "SHARE"  # jobs of other shares, which have used less, go before it
    RESERVED = "RESERVED"  # its turn has come; what is free is kept for shares that are not active yet
    ENDING_SERVICE = "ENDING_SERVICE"  # the service is ending: nothing starts any more
    STARTING = "STARTING"  # placed; its task is not up yet


UNUSABLE = (  # whatever the job asks
    Wait.ENVIRONMENTS_INVALID,
    Wait.ENVIRONMENTS_DISABLED,
    Wait.ENGINE_GONE,
    Wait.OTHER_ENGINE,
)


CODES = {  # of ways to wait in which no job's end makes room
    Wait.ENVIRONMENTS_INVALID: ReasonCode.ACTION_REQUIRED,
    Wait.ENVIRONMENTS_DISABLED: ReasonCode.ACTION_REQUIRED,
    Wait.ENGINE_GONE: ReasonCode.ACTION_REQUIRED,
    Wait.OTHER_ENGINE: ReasonCode.ACTION_REQUIRED,
    Wait.OTHER_PLATFORM: ReasonCode.JOB_RESOURCE_REQUIREMENT,
    Wait.TOO_LARGE: ReasonCode.JOB_RESOURCE_REQUIREMENT,
    Wait.OVER_MAX: ReasonCode.MAX_RESOURCE,
    Wait.HOST_TOO_SMALL: ReasonCode.INSUFFICIENT_CAPACITY,
    Wait.ABOVE_BID: ReasonCode.INSUFFICIENT_CAPACITY,
}
UNSCHEDULABLE = tuple(CODES)


AFTER_ANY_REMEDY = "It starts when those have ended, however they end, as its tag asks."  # instead of remedy's


def remedy(wait: Wait) -> str:
    """Returns what to change, as a sentence."""
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
        case Wait.SETTLING:
            return "Nothing: it goes on when the compute environment is VALID."
        case Wait.ENGINE_GONE:
            return "`batchyard doctor` says what is missing."
        case Wait.OTHER_ENGINE:
            return "Cancel it, and submit it again."
        case Wait.OTHER_PLATFORM:
            return "Register the definition with this machine's runtimePlatform, or without one, and submit it again."
        case Wait.TOO_LARGE:
            return f"Ask for less, or {DECLARE}"
        case Wait.OVER_MAX:
            return "Ask for less, or raise maxvCpus with UpdateComputeEnvironment."
        case Wait.HOST_TOO_SMALL:
            return f"Allow smaller instance types, ask for less, or {DECLARE}"
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
        case Wait.CONSUMABLE_RESOURCE:
            return "Wait for those jobs to end, or raise the total with UpdateConsumableResource."
        case Wait.NO_ROOM:
            return "Wait for the jobs that hold it, terminate one, or declare more with --vcpus, --memory or --gpus."
        case Wait.BEHIND:
            return "Wait for its turn, use a queue of higher priority, or give it a timeout: a short job may pass."
        case Wait.SHARE:
            return "Wait until its share is the one that is behind, or lower its weightFactor in the scheduling policy."
        case Wait.RESERVED:
            return "Wait for a job of the queue to end, or lower computeReservation in the scheduling policy."
        case Wait.ENDING_SERVICE:
            return "Start the service again: it goes on with what waits."
        case Wait.STARTING:
            return "Nothing: it is being started."
    assert_never(wait)


class EnvironmentState(Struct, frozen=True):
    """An environment of the job's queue, for the scheduler. `engine_ready`: its engine can be used now;
    `engine_away`: why not, where that is known. `wrong_platform`: why its machine is none that the job asks for.
    `refusal`: of a MANAGED one, why it could never hold the job; `instances`: of others, those that could hold it."""

    environment: Environment
    instances: tuple[Instance, ...]
    engine_ready: bool
    engine_away: str = ""
    wrong_platform: str = ""
    refusal: NoLaunch | None = None
    num_nodes: int = 0  # of the job; 0: it is no multi-node job


class Unschedulable(Struct, frozen=True):
    """Why nothing that runs now will ever make room for a job. `text` is the job's statusReason, without the remedy;
    `own_remedy`: where the way to wait has more than one."""

    wait: Wait
    text: str
    own_remedy: str = ""

    @property
    def remedy(self) -> str:
        return self.own_remedy or remedy(self.wait)

    @property
    def code(self) -> ReasonCode:
        return CODES[self.wait]

    @property
    def status_reason(self) -> str:
        return f"{self.text} {self.remedy}"

    @property
    def reason(self) -> Reason:
        return Reason(self.code, self.status_reason)


class Unfit(Struct, frozen=True):
    """Why one environment could never run a job. `text` is sentences that do not name it."""

    wait: Wait
    text: str
    refusal: NoLaunch | None = None


WAITS = {
    NoLaunchReason.TOO_LARGE: Wait.TOO_LARGE,
    NoLaunchReason.OVER_MAX: Wait.OVER_MAX,
    NoLaunchReason.HOST_TOO_SMALL: Wait.HOST_TOO_SMALL,
    NoLaunchReason.ABOVE_BID: Wait.ABOVE_BID,
}


def why_unfit(asked: Resources, engines: Sequence[str], state: EnvironmentState) -> Unfit | None:
    """Returns why the environment can't run the job; None when it could once enough is free."""
    environment = state.environment
    if environment.status not in (Health.VALID, Health.CREATING, Health.UPDATING):
        return Unfit(Wait.ENVIRONMENTS_INVALID, f"It is {environment.status}.")
    if environment.state is not State.ENABLED:
        return Unfit(Wait.ENVIRONMENTS_DISABLED, "It is DISABLED.")
    if environment.engine not in engines:
        text = f"Its engine is {environment.engine}, and the job was submitted for {', '.join(engines) or 'none'}."
        return Unfit(Wait.OTHER_ENGINE, text)
    if not state.engine_ready:
        away = f" ({state.engine_away})" if state.engine_away else ""
        return Unfit(Wait.ENGINE_GONE, f"Its engine, {environment.engine}, cannot be used now{away}.")
    if state.wrong_platform:
        return Unfit(Wait.OTHER_PLATFORM, state.wrong_platform)
    if environment.kind.is_managed:
        refusal = state.refusal
        return None if refusal is None else Unfit(WAITS[refusal.why], refusal.text, refusal)
    if environment.kind is EnvironmentKind.REGISTERED:
        if state.num_nodes:
            return Unfit(Wait.TOO_LARGE, "Its hosts run no multi-node jobs: use an environment of the server itself.")
        if not state.instances:
            return None  # one that is large enough may join
    if any(asked.fits(instance.resources) for instance in state.instances):
        return None
    return Unfit(Wait.TOO_LARGE, _too_large(asked, state.instances))


def why_unschedulable(
    asked: Resources, engines: Sequence[str], queue: str, environments: Sequence[EnvironmentState]
) -> Unschedulable | None:
    """Returns why no environment can run the job; None when one could once enough is free. The reason is what the
    environment lacks that comes nearest, and each is named with its own."""
    found: list[tuple[EnvironmentState, Unfit]] = []
    for state in environments:
        unfit = why_unfit(asked, engines, state)
        if unfit is None:
            return None
        found.append((state, unfit))
    waits = {unfit.wait for _, unfit in found}
    if not waits - {Wait.ENVIRONMENTS_INVALID}:
        return Unschedulable(Wait.ENVIRONMENTS_INVALID, f"{ALL_INVALID} The job queue {queue} has no VALID one.")
    if not waits - {Wait.ENVIRONMENTS_INVALID, Wait.ENVIRONMENTS_DISABLED}:
        valid = [state for state, unfit in found if unfit.wait is Wait.ENVIRONMENTS_DISABLED]
        text = f"{ALL_DISABLED} All compute environments of the job queue {queue} are DISABLED ({_names(valid)})."
        return Unschedulable(Wait.ENVIRONMENTS_DISABLED, text)
    able = [(state, unfit) for state, unfit in found if unfit.wait not in UNUSABLE]
    if not able:
        return _without_engine(
            engines, [p for p, unfit in found if unfit.wait in (Wait.ENGINE_GONE, Wait.OTHER_ENGINE)]
        )
    if any(unfit.wait is Wait.OTHER_PLATFORM for _, unfit in able):
        return Unschedulable(Wait.OTHER_PLATFORM, f"{WRONG_PLATFORM} {_each(found)}")
    own = {unfit.wait for state, unfit in able if state.environment.kind.is_managed}
    for wait in (Wait.HOST_TOO_SMALL, Wait.ABOVE_BID):
        refusal = next((unfit.refusal for _, unfit in able if unfit.wait is wait and unfit.refusal), None)
        if refusal is not None:
            return Unschedulable(wait, f"{_no_capacity(refusal)} {_each(found)}")
    if own == {Wait.OVER_MAX}:
        return Unschedulable(Wait.OVER_MAX, f"{OVER_MAX} {_each(found)}")
    is_own = [state.environment.kind.is_managed for state, _ in able]
    fix = "" if not any(is_own) else LARGER_TYPES if all(is_own) else LARGER
    return Unschedulable(Wait.TOO_LARGE, f"{TOO_LARGE} {_each(found)}", fix)


def _each(found: Sequence[tuple[EnvironmentState, Unfit]]) -> str:
    if len(found) == 1:
        return found[0][1].text
    return " ".join(f"{state.environment.name}: {unfit.text}" for state, unfit in found)


def _no_capacity(refusal: NoLaunch) -> str:
    named = f" for instance type [{refusal.instance_type}]" if refusal.instance_type else ""
    return f"{ReasonCode.INSUFFICIENT_CAPACITY} - Service cannot fulfill the capacity requested{named}."


def insufficient(refusal: NoLaunch) -> str:
    """Returns AWS's sentence for unavailable capacity, and our numbers."""
    return f"{_no_capacity(refusal)} {refusal.text}"


def _without_engine(engines: Sequence[str], enabled: Sequence[EnvironmentState]) -> Unschedulable:
    """A job is only ever started on an engine that its queue had when it was submitted."""
    fitting = [p for p in enabled if p.environment.engine in engines]
    wanted = ", ".join(sorted({p.environment.engine for p in fitting or enabled}))
    if not fitting:
        text = (
            f"{NONE_USABLE} The compute environments of the job queue run jobs on another engine now ({wanted}); "
            f"the job was submitted for {', '.join(engines) or 'none'}."
        )
        return Unschedulable(Wait.OTHER_ENGINE, text)
    away = "; ".join(dict.fromkeys(p.engine_away for p in fitting if p.engine_away))
    why = f" ({away})" if away else ""
    text = f"{NONE_USABLE} The engine of the compute environments ({wanted}) cannot be used now{why}."
    return Unschedulable(Wait.ENGINE_GONE, text)


def _names(environments: Sequence[EnvironmentState]) -> str:
    return ", ".join(p.environment.name for p in environments)


def _too_large(asked: Resources, instances: Sequence[Instance]) -> str:
    most = largest(instance.resources for instance in instances)
    wants = [f"{wanted} asked, {there} at most there ({flag})" for wanted, there, flag in _shortfalls(asked, most)]
    return ("; ".join(wants) or "No single instance has all of it at once") + "."


def lacking(asked: Resources, free: Sequence[Resources]) -> str:
    """Returns what a job lacks on the instance that comes nearest: `2 vCPUs asked, 1 free`."""
    nearest = min(free, key=lambda f: _lack(asked, f), default=Resources())
    lacks = [f"{wanted} asked, {there} free" for wanted, there, _ in _shortfalls(asked, nearest)]
    return "; ".join(lacks) or "It would fit"


def _shortfalls(asked: Resources, there: Resources) -> Iterator[tuple[str, str, str]]:
    """Yields, for each kind of which there is less than asked: what is asked, what is there, and the setting for it."""
    if asked.milli_vcpus > there.milli_vcpus:
        yield vcpus(asked.milli_vcpus), format_vcpus(there.milli_vcpus), "--vcpus"
    if asked.memory_mib > there.memory_mib:
        yield f"{asked.memory_mib} MiB", f"{there.memory_mib} MiB", "--memory"
    if asked.gpus > there.gpus:
        yield gpus(asked.gpus), str(there.gpus), "--gpus"


def _lack(asked: Resources, free: Resources) -> tuple[int, int, int]:
    return (
        max(0, asked.gpus - free.gpus),
        max(0, asked.milli_vcpus - free.milli_vcpus),
        max(0, asked.memory_mib - free.memory_mib),
    )
