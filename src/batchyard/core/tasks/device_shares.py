"""Which of a task's devices each of its containers gets."""

from __future__ import annotations

from batchyard.core.model.records import TaskSpec, containers_of


def devices_of(task: TaskSpec, container: str, device_ids: tuple[int, ...]) -> tuple[int, ...]:
    """Returns a container's part of a task's devices, which are shared out in the order of the definition. An init
    container of a pod has ended before the others start, and begins with the same ones."""
    first = 0
    for one in containers_of(task):
        if one.name == container:
            start = 0 if one.is_init else first
            return device_ids[start : start + one.resources.gpus]
        first += 0 if one.is_init else one.resources.gpus
    raise AssertionError(f"a task has no container {container}")
