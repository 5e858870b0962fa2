"""Why each environment of a queue does not run a job: never, or not now."""

from __future__ import annotations

import pytest

from batchyard.core.model import commands as c
from batchyard.core.model.records import JobSpec
from batchyard.core.scheduling import unschedulable
from batchyard.core.scheduling.unschedulable import EnvironmentWait
from batchyard.core.scheduling.wait_reasons import Wait
from tests.core.driver import Driver


def of(vcpus: int) -> dict[str, object]:
    return {"overrides": {"resourceRequirements": [{"type": "VCPU", "value": str(vcpus)}]}}


def spec(driver: Driver, job_id: str) -> JobSpec:
    return driver.machine.world.jobs.specs[driver.machine.world.jobs.by_id[job_id]]


def test_a_job_that_fits_some_day_and_one_that_never_does() -> None:
    driver = Driver(vcpus=4)
    driver.submit(**of(4))
    waits, never = spec(driver, driver.submit(**of(4))), spec(driver, driver.submit(**of(5)))
    world = driver.machine.world
    assert unschedulable.find_unschedulable(world, waits) is None
    found = unschedulable.find_unschedulable(world, never)
    assert found is not None
    assert found.wait is Wait.TOO_LARGE
    (now,) = unschedulable.environment_waits(world, waits)
    assert now.wait is Wait.NO_ROOM
    assert now.text == "4 vCPUs asked, 0 free. Held of this host's 4 vCPUs: 4 by 1 job that runs on it as it is."
    assert unschedulable.why_head_waits(world, waits) == f"It is next, and waits for room. {now.text}"


def test_an_instance_that_is_coming() -> None:
    driver = Driver(vcpus=16, memory_mib=65_536)
    driver.fleet("fleet", "c5.large")
    job = spec(driver, driver.submit(queue="fleet"))
    (found,) = unschedulable.environment_waits(driver.machine.world, job)
    (name,) = driver.launching
    assert found == EnvironmentWait("fleet", Wait.LAUNCHING, f"{name} (c5.large) is being launched in fleet for it.")


def test_an_environment_with_all_that_it_may_have() -> None:
    driver = Driver(vcpus=16, memory_mib=65_536)
    driver.fleet("fleet", "c5.large", most=2)
    driver.submit(queue="fleet", **of(2))
    driver.booted()
    job = spec(driver, driver.submit(queue="fleet", **of(2)))
    (found,) = unschedulable.environment_waits(driver.machine.world, job)
    assert found.wait is Wait.AT_MAX
    assert "2 vCPUs asked, 0 free on its instances; 1 job on them." in found.text


@pytest.mark.parametrize(
    ("waits", "expected"),
    [
        ((Wait.NO_ROOM, Wait.TOO_LARGE), Wait.NO_ROOM),
        ((Wait.NO_ROOM, Wait.AT_MAX), Wait.AT_MAX),  # the last that could ever run it
        ((Wait.LAUNCHING, Wait.AT_MAX), Wait.LAUNCHING),
        ((Wait.SETTLING, Wait.TOO_LARGE), Wait.SETTLING),
    ],
)
def test_what_the_head_of_a_queue_waits_for(waits: tuple[Wait, ...], expected: Wait) -> None:
    found = tuple(EnvironmentWait(f"e{at}", wait, f"text {at}.") for at, wait in enumerate(waits))
    wait, text = unschedulable.head_wait(found)
    assert wait is expected
    assert "text 0." in text


def test_who_may_not_be_passed() -> None:
    driver = Driver(vcpus=4)
    driver.queue("high", priority=9)
    driver.submit(**of(2))
    head = driver.submit(queue="high", **of(4))
    low = spec(driver, driver.submit(**of(1)))
    assert unschedulable.held_by(driver.machine.world, low) == (
        f"{head} waits for room in the queue high, which has a higher priority."
    )
    driver.do(c.CancelJob(head, "no"))
    assert unschedulable.held_by(driver.machine.world, low) == ""


def test_a_head_of_a_queue_of_one_priority_holds_nobody_up() -> None:
    driver = Driver(vcpus=4)
    driver.queue("same", priority=1)
    driver.submit(**of(2))
    driver.submit(queue="same", **of(4))
    passing = spec(driver, driver.submit(**of(1)))
    assert unschedulable.held_by(driver.machine.world, passing) == ""
