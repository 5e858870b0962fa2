"""What is timed goes on over a restart of the service: idle instances, heads of queues, pauses, jobs set aside."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from batchyard.core.model import commands as c
from batchyard.core.model import reports
from batchyard.core.model.records import Dependency, Status
from batchyard.core.questions.overview import AskOverview
from batchyard.core.state.document_kinds import QUEUE_HEAD
from tests.core.driver import Driver


def sized(vcpus: int) -> dict[str, Any]:
    return {"overrides": {"resourceRequirements": [{"type": "VCPU", "value": str(vcpus)}]}}


def test_an_idle_instance_goes_when_its_time_is_over_whoever_saw_it_become_idle() -> None:
    driver = Driver(vcpus=8, memory_mib=1 << 15)
    driver.fleet("fleet")
    driver.submit(queue="fleet")
    (name,) = driver.booted()
    driver.exited(driver.placed()[0])
    driver.tick(20_000)
    driver.crash()
    driver.tick(9_000)
    assert not driver.terminated
    driver.tick(1_000)
    assert driver.terminated == [name]


def test_a_job_that_waits_has_an_instance_before_it_is_let_go() -> None:
    """Its time was over while the service was down."""
    driver = Driver(vcpus=8, memory_mib=1 << 15)
    driver.fleet("fleet", minvCpus=2)
    driver.booted()
    driver.do(c.UpdateComputeEnvironment("fleet", "DISABLED"))
    job = driver.submit(queue="fleet")
    driver.do(c.UpdateComputeEnvironment("fleet", "", {"computeResources": {"minvCpus": 0}}))
    driver.do(c.SetAway({"process": "not now"}))
    driver.do(c.UpdateComputeEnvironment("fleet", "ENABLED"))
    driver.now_ms += 60_000
    driver.crash()
    assert driver.status(job) is Status.STARTING
    assert not driver.terminated


def test_jobs_that_follow_each_other_write_nothing_about_idle_instances() -> None:
    driver = Driver(vcpus=8, memory_mib=1 << 15)
    driver.fleet("fleet", most=2)
    driver.submit(queue="fleet", array_size=8)
    driver.booted()
    before = driver.instances("fleet")
    while len(driver.placed()) == 2:
        driver.exited(driver.placed()[0])
    assert driver.instances("fleet") == before


def test_a_refused_environment_pauses_on() -> None:
    driver = Driver(vcpus=8, memory_mib=1 << 15)
    driver.fleet("fleet")
    driver.submit(queue="fleet")
    (refused,) = driver.launching
    del driver.launching[refused]
    driver.fact(reports.InstanceRefused(refused, "none left"))
    driver.tick(4_000)
    driver.crash()
    driver.tick(5_000)
    assert not driver.launching
    driver.tick(1_000)
    assert len(driver.launching) == 1
    assert driver.kept.environments["fleet"].paused_until_ms == 0


def test_a_head_has_stood_since_it_became_it() -> None:
    driver = Driver(vcpus=1)
    driver.submit()
    driver.submit()
    head = driver.machine.world.queues.heads["default"]
    driver.tick(30_000)
    driver.crash()
    assert driver.machine.world.queues.heads["default"] == head
    driver.tick(29_000)
    assert not driver.facts
    driver.tick(2_000)
    assert len(driver.facts) == 1
    reason = driver.job(driver.facts[0].job_id).status_reason
    driver.crash()
    assert driver.job(driver.facts[0].job_id).status_reason == reason
    driver.tick(120_000)
    assert len(driver.facts) == 1, "it is told once, whoever tells it"


def test_heads_that_stand_for_moments_only_are_not_written_down() -> None:
    driver = Driver(vcpus=1)
    driver.submit(array_size=9)
    for _ in range(8):
        driver.exited(driver.placed()[0])
    assert (QUEUE_HEAD, "default") not in driver.kept.documents


def test_a_child_that_is_the_head_says_so_after_a_restart() -> None:
    driver = Driver(vcpus=1)
    array = driver.submit(array_size=3)
    driver.tick(61_000)
    reason = driver.job(f"{array}:1").status_reason
    assert reason.startswith("UNDETERMINED")
    driver.crash()
    assert driver.job(f"{array}:1").status_reason == reason
    driver.exited(f"{array}:0")
    driver.tick(11_000)
    driver.crash()
    assert driver.job(f"{array}:2").status_reason == ""


def test_what_the_head_of_a_queue_says_stays_when_an_environment_changes() -> None:
    driver = Driver(vcpus=1)
    driver.submit()
    head = driver.submit()
    driver.tick(61_000)
    reason = driver.job(head).status_reason
    driver.do(c.UpdateComputeEnvironment("local", "ENABLED"))
    assert driver.job(head).status_reason == reason != ""


def test_a_misconfigured_job_is_told_of_once_as_blocking_its_queue() -> None:
    driver = Driver(vcpus=2)
    job = driver.submit(**sized(8))
    array = driver.submit(array_size=4, **sized(9))
    assert [(fact.queue, fact.job_id) for fact in driver.facts] == [("default", job), ("default", array)]
    assert driver.facts[0].reason == driver.job(job).status_reason
    assert driver.facts[0].reason.startswith("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - ")
    driver.do(c.UpdateComputeEnvironment("local", "DISABLED"))
    driver.do(c.UpdateComputeEnvironment("local", "ENABLED"))
    driver.tick(120_000)
    driver.crash()
    driver.tick(120_000)
    assert len(driver.facts) == 2
    (queue,) = driver.do(AskOverview()).queues
    assert (queue.blocked_count, queue.stuck_count) == (2, 5)


def test_a_job_that_no_longer_fits_after_a_change_is_told_of_for_the_other_code() -> None:
    driver = Driver(vcpus=8, memory_mib=1 << 15)
    driver.fleet("fleet", "c5.xlarge", most=4)
    job = driver.submit(queue="fleet", **sized(8))
    assert [fact.reason.partition(" - ")[0] for fact in driver.facts] == [
        "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE"
    ]
    driver.do(c.UpdateComputeEnvironment("fleet", "", {"computeResources": {"maxvCpus": 16}}))
    assert [fact.job_id for fact in driver.facts] == [job, job]
    assert driver.facts[1].reason.startswith("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT")


def test_a_sequential_array_with_a_running_child_waits_for_no_capacity_after_a_restart_either() -> None:
    driver = Driver(vcpus=4)
    array = driver.submit(array_size=2, depends_on=[Dependency(type="SEQUENTIAL")], **sized(4))
    assert driver.placed() == [f"{array}:0"]
    driver.may_shrink = True
    driver.host = replace(driver.host, resources=replace(driver.host.resources, milli_vcpus=2000))
    driver.set_host()
    assert driver.facts == []
    driver.crash()
    driver.set_host()
    assert driver.facts == [], "it is judged when its next child's turn comes"
    driver.exited(f"{array}:0")
    assert [fact.job_id for fact in driver.facts] == [array]
