"""The world's state: indexes and capacity keep in step as jobs, attempts and instances come and go."""

from __future__ import annotations

import pytest

from batchyard.core.capacity.prices import Prices
from batchyard.core.model.lifecycle import Cause, submitted
from batchyard.core.model.names import Account
from batchyard.core.model.records import Attempt, Instance, Job, JobSpec, Placement, Status, TaskSpec
from batchyard.core.model.resources import Resources
from batchyard.core.state.world import Limits, World
from tests.core.driver import CATALOGUE

HOST = Instance("i-host", Resources(4000, 4096, 2), (0, 1))
TASK = TaskSpec((), (), Resources(1000, 64, 1))


@pytest.fixture
def world() -> World:
    world = World(Account("1", "r"), Limits(finished_kept_ms=1000), CATALOGUE, Prices())
    world.set_machine(HOST.provider, HOST)
    return world


def add(world: World, array_size: int = 0) -> int:
    key = world.jobs.next_key
    spec = JobSpec(key, f"job-{key}", "name", "queue", "work:1", TASK, {}, 0, array_size=array_size)
    world.add(spec, submitted(key, 0))
    return key


def placed(world: World, key: int) -> Job:
    world.move(world.jobs[key], Cause.READY)
    attempt = Attempt(1, "local", "process", (Placement("i-host", (0,)),))
    return world.move(world.jobs[key], Cause.PLACED, attempt=attempt)


def test_keys_leave_room_for_children(world: World) -> None:
    assert [add(world), add(world, array_size=10), add(world)] == [1, 2, 13]
    assert world.changes.next_key == 14
    assert [world.jobs.id_of(key) for key in (1, 2, 13)] == ["job-1", "job-2", "job-13"]
    assert {spec.key for spec in world.changes.specs} == {1, 2, 13}


def test_a_child_s_row_belongs_to_its_parent(world: World) -> None:
    parent = add(world, array_size=3)
    world.add_child_row(parent, 1, Job(parent + 2, Status.RUNNABLE, 0))
    assert (world.jobs.id_of(parent + 2), world.jobs.index_of(parent + 2)) == (f"job-{parent}:1", 1)
    assert world.jobs.spec_of(parent + 2) is world.jobs.specs[parent]
    assert world.jobs.rows_of(parent) == [parent + 2]
    assert [world.jobs.status_at(parent, index) for index in range(3)] == [None, Status.RUNNABLE, None]


def test_an_attempt_takes_capacity_and_gives_it_back(world: World) -> None:
    key = add(world)
    job = placed(world, key)
    assert world.instances.placed_on("i-host") == [key]
    assert (world.instances.available["i-host"].free, world.instances.available["i-host"].gpu_ids) == (
        Resources(3000, 4032, 1),
        [1],
    )
    world.move(job, Cause.RETRIED, attempt=None, past=(job.attempt,))
    assert world.instances.placed_on("i-host") == []
    assert (world.instances.available["i-host"].free, world.instances.available["i-host"].gpu_ids) == (
        HOST.resources,
        [0, 1],
    )


def test_a_finished_job_is_remembered_for_a_while(world: World) -> None:
    key = add(world)
    ended = Job(key, Status.FAILED, 0)
    world.now_ms = 500
    world.finish(ended)
    assert key not in world.jobs
    assert world.jobs.status_at(key, None) is Status.FAILED
    assert world.changes.jobs[key] == ended
    with pytest.raises(KeyError):
        world.put(ended)


def test_an_instance_reserves_its_share_of_the_host(world: World) -> None:
    world.add_instance(Instance("i-own", Resources(2000, 1024, 1), (1,), environment="fleet"))
    assert world.instances.launched_in == {"fleet": ["i-own"]}
    assert (world.instances.available["i-host"].free, world.instances.available["i-host"].gpu_ids) == (
        Resources(2000, 3072, 1),
        [0],
    )
    world.remove_instance("i-own")
    assert world.instances.launched_in == {}
    assert (world.instances.available["i-host"].free, world.instances.available["i-host"].gpu_ids) == (
        HOST.resources,
        [0, 1],
    )


def test_the_host_s_new_size_counts_what_is_taken_from_it(world: World) -> None:
    placed(world, add(world))
    world.add_instance(Instance("i-own", Resources(2000, 1024), environment="fleet"))
    world.set_machine(HOST.provider, Instance("i-host", Resources(8000, 8192, 2), (0, 1)))
    assert world.instances.available["i-host"].free == Resources(5000, 7104, 1)
