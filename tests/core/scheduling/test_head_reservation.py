"""A head that needs another instance than there is gets it, while small jobs keep coming."""

from __future__ import annotations

from typing import Any

from batchyard.core.model import commands as c
from batchyard.core.model.records import EnvironmentOrder, Status
from tests.core.driver import Driver

IDLE_MS = 30_000
SOON_MS = 1000


def asking(vcpus: int) -> dict[str, Any]:
    return {"overrides": {"resourceRequirements": [{"type": "VCPU", "value": str(vcpus)}]}}


def full_of_small_ones(host_vcpus: int = 64, most: int = 8, **members: Any) -> tuple[Driver, list[str]]:
    """Four instances of two vCPUs, each with a job of two."""
    driver = Driver(vcpus=host_vcpus, memory_mib=1 << 20)
    driver.fleet("fleet", "c5.large", "c5.2xlarge", most=most, **members)
    jobs = [driver.submit(queue="fleet", **asking(2)) for _ in range(4)]
    driver.booted()
    assert len(driver.placed()) == 4
    return driver, jobs


def keep_busy(driver: Driver, rounds: int) -> None:
    """Small jobs come and go: each time all of them end, and as many are submitted."""
    for _ in range(rounds):
        for job_id in driver.placed():
            if driver.machine.world.jobs.spec_of(driver.job(job_id).key).task.resources.milli_vcpus <= 2000:
                driver.exited(job_id)
                driver.submit(queue="fleet", **asking(2))
        driver.tick(SOON_MS)
        driver.gone()


def test_small_jobs_do_not_keep_a_large_one_waiting_for_ever() -> None:
    driver, _ = full_of_small_ones()
    giant = driver.submit(queue="fleet", **asking(8))
    for _ in range(6):
        driver.submit(queue="fleet", **asking(2))
    keep_busy(driver, 10)
    assert len(driver.placed()) == 3, "one instance is enough: then it may pass maxvCpus by the next one"
    assert not driver.launching
    keep_busy(driver, 25)
    assert [i.instance_type for i in driver.launching.values()] == ["c5.2xlarge"]
    driver.booted()
    assert driver.status(giant) is Status.STARTING
    assert len(driver.placed()) == 4, "beside it the others go on"


def test_best_fit_saves_as_much_as_keeps_it_below_maxvcpus() -> None:
    driver, _ = full_of_small_ones(most=8, allocationStrategy="BEST_FIT")
    giant = driver.submit(queue="fleet", **asking(8))
    keep_busy(driver, 40)
    driver.booted()
    assert driver.status(giant) is Status.STARTING


def test_instances_are_saved_where_the_host_is_full() -> None:
    driver, _ = full_of_small_ones(host_vcpus=10, most=64)
    giant = driver.submit(queue="fleet", **asking(8))
    driver.submit(queue="fleet", **asking(2))
    keep_busy(driver, 2)
    assert len(driver.placed()) == 1, "the host has two vCPUs left: three instances have to go"
    keep_busy(driver, 35)
    driver.booted()
    assert driver.status(giant) is Status.STARTING


def test_instances_are_saved_for_a_head_that_only_this_machine_itself_can_hold() -> None:
    driver = Driver(vcpus=8, memory_mib=1 << 20)
    driver.fleet("small", "c5.large", most=4)
    driver.queue("fleet", "small", "local")
    giant = ""
    for number in range(40):
        if number == 2:
            giant = driver.submit(queue="fleet", **asking(8))
        driver.submit(queue="fleet", **asking(2))
        driver.booted(*driver.launching)
        keep_busy(driver, 1)
    assert driver.status(giant) is Status.STARTING


def test_what_minvcpus_keeps_is_not_saved() -> None:
    driver = Driver(vcpus=10, memory_mib=1 << 20)
    driver.fleet("warm", "c5.large", most=8, minvCpus=8)
    driver.fleet("large", "c5.2xlarge", most=8)
    driver.do(c.CreateJobQueue("both", "ENABLED", 1, (EnvironmentOrder(1, "warm"), EnvironmentOrder(2, "large"))))
    driver.booted()
    giant = driver.submit(queue="both", **asking(8))
    small = [driver.submit(queue="both", **asking(2)) for _ in range(4)]
    assert driver.status(giant) is Status.RUNNABLE
    assert driver.placed() == small, "they could not make room for it"


def test_nothing_is_saved_where_an_instance_could_hold_the_head() -> None:
    driver, jobs = full_of_small_ones(most=12)
    holds = driver.submit(queue="fleet", **asking(8))
    driver.booted()
    assert driver.status(holds) is Status.STARTING
    driver.submit(queue="fleet", **asking(8))
    driver.exited(jobs[0])
    passing = driver.submit(queue="fleet", **asking(2))
    assert driver.status(passing) is Status.STARTING, "its room will do, and that one's is nothing to it"
