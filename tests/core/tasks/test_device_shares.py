"""Containers and the devices of their task."""

from batchyard.core.model.records import DEFAULT_CONTAINER, ContainerSpec, TaskSpec
from batchyard.core.model.resources import Resources
from batchyard.core.tasks.device_shares import devices_of


def test_containers_share_out_the_devices_of_their_task() -> None:
    containers = (
        ContainerSpec("a", resources=Resources(0, 1, 1)),
        ContainerSpec("b"),
        ContainerSpec("c", resources=Resources(0, 1, 2)),
        ContainerSpec("first", resources=Resources(0, 1, 1), is_init=True),
        ContainerSpec("second", resources=Resources(0, 1, 3), is_init=True),
    )
    task = TaskSpec((), (), Resources(0, 5, 3), containers=containers)
    parts = {one.name: devices_of(task, one.name, (4, 6, 7)) for one in containers}
    assert parts == {"a": (4,), "b": (), "c": (6, 7), "first": (4,), "second": (4, 6, 7)}
    assert devices_of(TaskSpec((), (), Resources(0, 1, 2)), DEFAULT_CONTAINER, (1, 2)) == (1, 2)
