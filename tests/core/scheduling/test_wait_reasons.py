"""Why an environment, or all of a queue, can never run a job, with AWS's codes, numbers and remedies."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from batchyard.core.capacity.allocation import NoLaunch, NoLaunchReason
from batchyard.core.model.reasons import Reason
from batchyard.core.model.records import Environment, Health, Instance, State
from batchyard.core.model.resources import Resources
from batchyard.core.scheduling import wait_reasons
from batchyard.core.scheduling.wait_reasons import UNSCHEDULABLE, EnvironmentState, Wait

ASKED = Resources(2000, 1024)
ENGINES = ("process",)
HOST = Instance("i-host", Resources(4000, 4096))
LOCAL = Environment("local", "u", "UNMANAGED", State.ENABLED, Health.VALID, "", "process", {}, {}, 0)


def state(environment: Environment = LOCAL, host: Instance = HOST, **members: Any) -> EnvironmentState:
    return EnvironmentState(environment, (host,), **{"engine_ready": True, **members})


def managed(why: NoLaunchReason) -> EnvironmentState:
    refusal = NoLaunch(why, "Numbers.", ASKED)
    return state(replace(LOCAL, name="fleet", type="MANAGED"), refusal=refusal)


def test_an_environment_that_could_run_it() -> None:
    assert wait_reasons.why_unfit(ASKED, ENGINES, state()) is None
    assert wait_reasons.why_unfit(ASKED, ENGINES, state(replace(LOCAL, status=Health.UPDATING))) is None


@pytest.mark.parametrize(
    ("given", "wait", "words"),
    [
        (state(replace(LOCAL, status=Health.INVALID)), Wait.ENVIRONMENTS_INVALID, "It is INVALID."),
        (state(replace(LOCAL, state=State.DISABLED)), Wait.ENVIRONMENTS_DISABLED, "It is DISABLED."),
        (state(replace(LOCAL, engine="docker")), Wait.OTHER_ENGINE, "docker, and the job was submitted for process"),
        (state(engine_ready=False, engine_away="no socket"), Wait.ENGINE_GONE, "cannot be used now (no socket)"),
        (state(wrong_platform="It is for ARM64."), Wait.OTHER_PLATFORM, "It is for ARM64."),
        (state(host=Instance("i", Resources(1000, 512))), Wait.TOO_LARGE, "2 vCPUs asked, 1 at most there (--vcpus)"),
        (state(host=Instance("i", Resources(2000, 512))), Wait.TOO_LARGE, "1024 MiB asked, 512 MiB at most there"),
        (managed(NoLaunchReason.OVER_MAX), Wait.OVER_MAX, "Numbers."),
        (managed(NoLaunchReason.ABOVE_BID), Wait.ABOVE_BID, "Numbers."),
    ],
)
def test_why_one_environment_never_runs_it(given: EnvironmentState, wait: Wait, words: str) -> None:
    unfit = wait_reasons.why_unfit(ASKED, ENGINES, given)
    assert unfit is not None
    assert unfit.wait is wait
    assert words in unfit.text


def test_one_environment_that_could_is_enough() -> None:
    disabled = state(replace(LOCAL, state=State.DISABLED))
    assert wait_reasons.why_unschedulable(ASKED, ENGINES, "q", [disabled, state()]) is None


@pytest.mark.parametrize(
    ("states", "wait", "code"),
    [
        ([], Wait.ENVIRONMENTS_INVALID, "ACTION_REQUIRED"),
        ([state(replace(LOCAL, state=State.DISABLED))], Wait.ENVIRONMENTS_DISABLED, "ACTION_REQUIRED"),
        ([state(engine_ready=False)], Wait.ENGINE_GONE, "ACTION_REQUIRED"),
        ([state(replace(LOCAL, engine="docker"))], Wait.OTHER_ENGINE, "ACTION_REQUIRED"),
        (
            [state(host=Instance("i", Resources())), state(replace(LOCAL, state=State.DISABLED))],
            Wait.TOO_LARGE,
            "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
        ),
        ([managed(NoLaunchReason.OVER_MAX)], Wait.OVER_MAX, "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE"),
        ([managed(NoLaunchReason.HOST_TOO_SMALL)], Wait.HOST_TOO_SMALL, "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"),
    ],
)
def test_the_code_of_aws_for_a_whole_queue(states: list[EnvironmentState], wait: Wait, code: str) -> None:
    found = wait_reasons.why_unschedulable(ASKED, ENGINES, "q", states)
    assert found is not None
    assert found.wait is wait
    assert found.code == code
    assert found.reason == Reason(found.code, found.status_reason)
    assert found.status_reason.startswith(f"{code} - ")
    assert found.status_reason.endswith(found.remedy)


def test_every_way_to_wait_has_a_remedy() -> None:
    assert all(wait_reasons.remedy(wait).endswith(".") for wait in Wait)
    assert set(UNSCHEDULABLE) < set(Wait)


def test_what_is_lacking_where_least_is_lacking() -> None:
    free = [Resources(0, 4096), Resources(1000, 4096)]
    assert wait_reasons.lacking(ASKED, free) == "2 vCPUs asked, 1 free"
    assert wait_reasons.lacking(ASKED, [Resources(8000, 8192)]) == "It would fit"
    assert wait_reasons.lacking(ASKED, []) == "2 vCPUs asked, 0 free; 1024 MiB asked, 0 MiB free"
