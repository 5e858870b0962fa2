"""The waiting jobs of one queue in the order of their turn."""

from __future__ import annotations

from batchyard.core.model import commands as c
from batchyard.core.scheduling import candidates
from batchyard.core.state.world import World
from tests.core.driver import ACCOUNT, Driver


def full(**members: object) -> Driver:
    """Nothing has room: one job holds the host."""
    driver = Driver(vcpus=2)
    driver.submit(overrides={"resourceRequirements": [{"type": "VCPU", "value": "2"}]})
    return driver


def order(world: World, queue: str = "default") -> list[tuple[int, int | None]]:
    """Every job, as if each found a place."""
    jobs, found = candidates.in_turn(world, queue), list[tuple[int, int | None]]()
    while (one := jobs.next()) is not None:
        found.append((one.key, one.index))
        jobs.placed(1000)
    return found


def test_by_submission_and_an_array_s_children_one_by_one() -> None:
    driver = full()
    first, array, last = driver.submit(), driver.submit(array_size=3), driver.submit()
    keys = [driver.machine.world.jobs.by_id[job] for job in (first, array, last)]
    assert order(driver.machine.world) == [
        (keys[0], None),
        (keys[1], 0),
        (keys[1], 1),
        (keys[1], 2),
        (keys[2], None),
    ]


def test_a_sequential_array_offers_one_child() -> None:
    driver = full()
    array = driver.submit(array_size=3, depends_on=[c.Dependency(type="SEQUENTIAL")])
    world, key = driver.machine.world, driver.machine.world.jobs.by_id[array]
    assert list(candidates.indexes_of(world, key)) == [0]
    assert candidates.len_of(world, key) == 1
    plain = world.jobs.by_id[driver.submit(array_size=3)]
    assert candidates.len_of(world, plain) == 3
    assert candidates.len_of(world, world.jobs.by_id[driver.submit()]) == 1


def test_a_skipped_shape_leaves_the_others() -> None:
    driver = full()
    small = [driver.machine.world.jobs.by_id[driver.submit()] for _ in "ab"]
    large = driver.machine.world.jobs.by_id[
        driver.submit(overrides={"resourceRequirements": [{"type": "VCPU", "value": "2"}]})
    ]
    jobs = candidates.in_turn(driver.machine.world, "default")
    first = jobs.next()
    assert first is not None
    assert first.key == small[0]
    jobs.skip_shape()
    second = jobs.next()
    assert second is not None
    assert second.key == large, "the rest of its shape is not looked at"
    jobs.skip_shape()
    assert jobs.next() is None


def test_shares_take_turns() -> None:
    driver = full()
    driver.do(c.CreateSchedulingPolicy("p", {"fairsharePolicy": {}}))
    document = {"schedulingPolicyArn": ACCOUNT.policy_arn("p")}
    driver.do(c.CreateJobQueue("fair", "ENABLED", 1, (c.EnvironmentOrder(1, "local"),), document))
    shares = ["a", "a", "a", "b", "b"]
    keys = [
        driver.machine.world.jobs.by_id[driver.submit(queue="fair", share_identifier=share, scheduling_priority=0)]
        for share in shares
    ]
    by_key = dict(zip(keys, shares, strict=True))
    assert [by_key[key] for key, _ in order(driver.machine.world, "fair")] == ["a", "b", "a", "b", "a"]
