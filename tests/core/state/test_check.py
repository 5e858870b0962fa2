"""Each invariant is found broken by name."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from batchyard.core.model.records import Status
from batchyard.core.model.resources import Resources
from batchyard.core.model.service_records import ServiceJob
from batchyard.core.state.check import assert_consistent, never_over_committed
from batchyard.core.state.world import World
from tests.core.driver import HOST, Driver


def busy() -> World:
    """One job runs (key 1), one waits (key 2), and an array of three has one child placed (keys 3 to 6)."""
    driver = Driver(vcpus=2)
    driver.started(driver.submit())
    array = driver.submit(array_size=3)
    driver.submit()
    assert driver.placed() == ["00000000-0000-4000-8000-000000000001", f"{array}:0"]
    return driver.machine.world


def test_a_world_in_order_is_consistent() -> None:
    assert_consistent(busy())
    assert never_over_committed(busy())


def final(world: World) -> None:
    world.jobs[6] = replace(world.jobs[6], status=Status.FAILED)


def another_key(world: World) -> None:
    world.jobs[99] = world.jobs[6]


def no_attempt(world: World) -> None:
    world.jobs[1] = replace(world.jobs[1], attempt=None)


def out_of_line(world: World) -> None:
    world.queues.runnable_in("default").discard(6)


def a_count(world: World) -> None:
    world.jobs.arrays[2].count_row(None, Status.RUNNING)


def placed_elsewhere(world: World) -> None:
    del world.instances.placed[HOST][1]


def counted_twice(world: World) -> None:
    world.queues.placed["default"] += 1


def service_job_without_queue(world: World) -> None:
    world.services.jobs.keep(ServiceJob("s", "s", "nowhere", "SAGEMAKER_TRAINING", {}, {}, 1))


def service_job_not_known_as_ended(world: World) -> None:
    ended = ServiceJob("s", "s", "default", "SAGEMAKER_TRAINING", {}, {}, 1, stopped_at_ms=2)
    world.services.jobs.keep(ended)
    del world.services.jobs.ended["s"]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (final, "finished job 6 is kept"),
        (another_key, "job 6 is kept under 99"),
        (no_attempt, "job 1 is RUNNING and has None"),
        (out_of_line, "the RUNNABLE job 6 is in line"),
        (a_count, "array 2 counts"),
        (placed_elsewhere, "is not what is left|who is on it"),
        (counted_twice, "placed in queues"),
        (service_job_without_queue, "service job s waits in no queue"),
        (service_job_not_known_as_ended, "service jobs that ended"),
    ],
)
def test_a_broken_invariant_is_named(damage: Callable[[World], None], words: str) -> None:
    world = busy()
    damage(world)
    with pytest.raises(AssertionError, match=words):
        assert_consistent(world)


def test_an_instance_that_gives_more_than_it_has() -> None:
    world = busy()
    world.instances.available[HOST].free = Resources(-1)
    assert not never_over_committed(world)
