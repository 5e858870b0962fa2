"""Environments of two engines on one host: one ledger, jobs of a kind, and an engine that comes and goes."""

from __future__ import annotations

import pytest

from batchyard.core.model import commands as c
from batchyard.core.model.records import Abilities, EnvironmentOrder, Status
from batchyard.core.model.refusal import Refused
from batchyard.core.questions.explanation import AskExplain
from batchyard.core.scheduling.wait_reasons import Wait
from tests.core.driver import ENGINE, Driver

OTHER = "containers"
IMAGES = Abilities(images=True, needs_command=False)


def both(vcpus: int = 1) -> Driver:
    """`local` and `default` of processes, `docker` of containers, `mixed` of both."""
    yard = Driver(vcpus=vcpus)
    yard.do(c.SetHost(yard.host, {ENGINE: Abilities(), OTHER: IMAGES}))
    yard.do(c.CreateComputeEnvironment("docker", "u2", "UNMANAGED", "ENABLED", OTHER, {}))
    yard.do(c.CreateJobQueue("docker", "ENABLED", 1, (EnvironmentOrder(1, "docker"),)))
    yard.do(c.CreateJobQueue("mixed", "ENABLED", 1, (EnvironmentOrder(1, "docker"), EnvironmentOrder(2, "local"))))
    return yard


def test_both_take_from_one_ledger() -> None:
    yard = both(vcpus=1)
    first = yard.submit(queue="docker")
    second = yard.submit()
    assert (yard.job(first).status, yard.job(second).status) == (Status.STARTING, Status.RUNNABLE)
    yard.exited(first)
    assert yard.job(second).status == Status.STARTING


def test_jobs_wait_for_an_engine_that_is_away_and_say_why() -> None:
    yard = both()
    yard.do(c.SetAway({OTHER: "no daemon answers"}))
    waits, runs = yard.submit(queue="docker"), yard.submit()
    assert yard.job(runs).status == Status.STARTING
    assert "(containers) cannot be used now (no daemon answers)" in yard.job(waits).status_reason
    answer = yard.do(AskExplain(waits))
    assert answer.wait == Wait.ENGINE_GONE
    yard.exited(runs)
    assert yard.job(waits).status == Status.RUNNABLE
    yard.do(c.SetAway({}))
    assert yard.job(waits).status == Status.STARTING


def test_what_runs_where_the_engine_went_is_left_alone() -> None:
    yard = both(vcpus=2)
    runs = yard.submit(queue="docker")
    yard.started(runs)
    yard.do(c.SetAway({OTHER: "no daemon answers"}))
    assert yard.job(runs).status == Status.RUNNING
    yard.exited(runs)
    assert yard.job(runs).status == Status.SUCCEEDED


def test_an_engine_that_is_away_still_refuses_what_it_cannot_do() -> None:
    yard = both()
    yard.define("privileged", container={"privileged": True})
    yard.do(c.SetAway({OTHER: "no daemon answers"}))
    with pytest.raises(Refused, match="the containers engine can't do privileged"):
        yard.submit("privileged", queue="docker")


@pytest.mark.parametrize(
    ("images", "queue", "engines"),
    [
        (None, "mixed", (OTHER, ENGINE)),
        (True, "mixed", (OTHER,)),
        (False, "mixed", (ENGINE,)),
        (True, "docker", (OTHER,)),
        (False, "default", (ENGINE,)),
    ],
)
def test_a_caller_may_want_images_or_none(images: bool | None, queue: str, engines: tuple[str, ...]) -> None:
    yard = both()
    job = yard.submit(queue=queue, images=images)
    spec = next(spec for spec in yard.kept.specs.values() if spec.job_id == job)
    assert spec.engines == engines
    attempt = yard.job(job).attempt
    assert attempt is not None
    assert attempt.engine == engines[0]


@pytest.mark.parametrize(
    ("images", "queue", "words"),
    [(True, "default", "the process engine runs no images"), (False, "docker", "the containers engine runs images")],
)
def test_the_wrong_kind_is_refused(images: bool, queue: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        both().submit(queue=queue, images=images)


def test_a_job_is_for_the_engines_whose_machine_it_asks_for() -> None:
    yard = both()
    yard.do(c.SetHost(yard.host, {ENGINE: Abilities(architecture="ARM64"), OTHER: IMAGES}))
    yard.define("arm", container={"runtimePlatform": {"cpuArchitecture": "X86_64"}})
    job = yard.submit("arm", queue="mixed")
    spec = next(spec for spec in yard.kept.specs.values() if spec.job_id == job)
    assert spec.engines == (OTHER,)


def test_a_job_for_another_machine_is_set_aside_and_blocks_nobody() -> None:
    yard = both()
    yard.do(c.SetHost(yard.host, {ENGINE: Abilities(architecture="X86_64"), OTHER: IMAGES}))
    yard.define("windows", container={"runtimePlatform": {"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}})
    waits, runs = yard.submit("windows"), yard.submit()
    assert yard.job(runs).status == Status.STARTING
    assert yard.job(waits).status == Status.RUNNABLE
    assert yard.job(waits).status_reason == (
        "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job's runtimePlatform cannot be met by the CE(s) attached to "
        "the job queue. The job is for WINDOWS_SERVER_2022_CORE, and this machine runs LINUX. Register the definition "
        "with this machine's runtimePlatform, or without one, and submit it again."
    )
