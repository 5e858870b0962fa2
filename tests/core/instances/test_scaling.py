"""What a MANAGED environment keeps without work, and when idle instances go."""

from __future__ import annotations

from typing import Any

import pytest

from batchyard.core.model import commands as c
from batchyard.core.model.records import InstanceState
from tests.core.driver import Driver

DELAY_MS = 30_000
TWO_VCPUS = {"resourceRequirements": [{"type": "VCPU", "value": "2"}]}


def fleet(**members: Any) -> Driver:
    driver = Driver(vcpus=16, memory_mib=65_536)
    driver.fleet("fleet", "c5.large", **members)
    return driver


def vcpus(driver: Driver) -> int:
    alive = [i for i in driver.instances("fleet") if i.state is not InstanceState.TERMINATING]
    return sum(i.resources.milli_vcpus for i in alive) // 1000


@pytest.mark.parametrize(("least", "expected"), [(0, 0), (1, 2), (4, 4), (5, 6)])
def test_minvcpus_are_there_in_whole_instances(least: int, expected: int) -> None:
    driver = fleet(minvCpus=least)
    assert vcpus(driver) == expected
    assert driver.machine.world.environments["fleet"].desired_vcpus == expected
    driver.booted(*driver.launching)
    driver.tick(10 * DELAY_MS)
    assert vcpus(driver) == expected, "without work"


def test_an_idle_instance_goes_after_the_delay_and_the_longest_idle_first() -> None:
    driver = fleet(minvCpus=2)
    jobs = [driver.submit(queue="fleet", overrides=TWO_VCPUS) for _ in "ab"]
    driver.booted()
    first = driver.job(jobs[1]).attempt
    assert first is not None
    driver.exited(jobs[1])
    idle_ms = driver.now_ms
    driver.tick(1000)
    driver.exited(jobs[0])
    driver.tick(idle_ms + DELAY_MS - driver.now_ms - 1)
    assert driver.terminated == []
    driver.tick(1)
    assert driver.terminated == [first.main.instance_id]
    driver.tick(10 * DELAY_MS)
    assert driver.terminated == [first.main.instance_id], "minvCpus keep the other"


def test_an_environment_s_own_delay() -> None:
    driver = fleet(scalingPolicy={"minScaleDownDelayMinutes": 20})
    job = driver.submit(queue="fleet")
    driver.booted()
    driver.exited(job)
    driver.tick(20 * 60_000 - 1)
    assert driver.terminated == []
    driver.tick(1)
    assert len(driver.terminated) == 1


def test_the_machine_is_to_be_woken_when_the_delay_is_over() -> None:
    driver = fleet()
    job = driver.submit(queue="fleet")
    driver.booted()
    driver.exited(job)
    assert driver.machine.next_deadline() == driver.now_ms + DELAY_MS


def test_a_deleted_environment_lets_everything_go_at_once() -> None:
    driver = fleet(minvCpus=4)
    driver.booted()
    driver.do(c.UpdateJobQueue("fleet", "DISABLED"))
    driver.do(c.DeleteJobQueue("fleet"))
    driver.do(c.UpdateComputeEnvironment("fleet", "DISABLED"))
    driver.do(c.DeleteComputeEnvironment("fleet"))
    assert len(driver.terminated) == 2
    driver.gone()
    assert "fleet" not in driver.machine.world.environments
