"""Where a job's share stands, and what is reserved for shares that are not active yet."""

from __future__ import annotations

from typing import Any

import pytest

from batchyard.core.model import commands as c
from batchyard.core.model.records import EnvironmentOrder
from batchyard.core.scheduling import share_position
from batchyard.core.scheduling.share_position import Reservation, SharePosition
from tests.core.driver import ACCOUNT, Driver


def shared(percent: int = 0, unmanaged_vcpus: int = 0) -> Driver:
    """A host of two vCPUs with the queue `fair`."""
    driver = Driver(vcpus=2)
    if unmanaged_vcpus:
        driver.do(c.UpdateComputeEnvironment("local", document={"unmanagedvCpus": unmanaged_vcpus}))
    driver.do(c.CreateSchedulingPolicy("p", {"fairsharePolicy": {"computeReservation": percent}}))
    document = {"schedulingPolicyArn": ACCOUNT.policy_arn("p")}
    driver.do(c.CreateJobQueue("fair", "ENABLED", 1, (EnvironmentOrder(1, "local"),), document))
    return driver


def submit(driver: Driver, share: str, **members: Any) -> int:
    job_id = driver.submit(queue="fair", share_identifier=share, scheduling_priority=0, **members)
    return driver.machine.world.jobs.by_id[job_id]


def position(driver: Driver, key: int, own_before: int = 0) -> SharePosition:
    world = driver.machine.world
    found = share_position.share_position(world, world.jobs.specs[key], key, own_before)
    assert found is not None
    return found


def test_a_share_that_holds_more_stands_behind() -> None:
    driver = shared()
    submit(driver, "a"), submit(driver, "a")  # they fill the host
    mine, other = submit(driver, "a"), submit(driver, "b")
    theirs, ours = position(driver, other), position(driver, mine)
    assert (theirs.number, theirs.shares, theirs.held, theirs.ahead_of_others) == (1, 2, 0, 0)
    assert (ours.number, ours.shares, ours.held, ours.ahead_of_others) == (2, 2, 2000, 1)


def test_jobs_of_its_own_share_that_go_before() -> None:
    driver = shared()
    submit(driver, "a"), submit(driver, "a")
    submit(driver, "b", array_size=3)
    last = submit(driver, "b")
    assert position(driver, last).ahead_in_share == 3


def test_a_fifo_queue_has_no_shares() -> None:
    driver = Driver()
    key = driver.machine.world.jobs.by_id[driver.submit()]
    world = driver.machine.world
    assert share_position.share_position(world, world.jobs.specs[key], key, 0) is None


@pytest.mark.parametrize(("percent", "at_most", "back"), [(50, 1000, 1000), (25, 1500, 500)])
def test_what_is_reserved_for_shares_to_come(percent: int, at_most: int, back: int) -> None:
    driver = shared(percent, unmanaged_vcpus=2)
    submit(driver, "a")
    world = driver.machine.world
    found = share_position.reservation(world, "fair", [world.environments["local"]])
    assert found == Reservation(at_most, 1000, back)


def test_without_a_percentage_or_a_maximum_nothing_is_reserved() -> None:
    for driver in (shared(0, unmanaged_vcpus=2), shared(50)):
        submit(driver, "a")
        world = driver.machine.world
        assert share_position.reservation(world, "fair", [world.environments["local"]]) is None


@pytest.mark.parametrize(("held", "asked", "has_room"), [(0, 9000, True), (500, 500, True), (500, 501, False)])
def test_one_job_at_a_time_always_may(held: int, asked: int, has_room: bool) -> None:
    assert Reservation(1000, held, 1000).has_room(asked) is has_room
