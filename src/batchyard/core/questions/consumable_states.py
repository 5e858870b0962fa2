"""What there is of consumable resources, what is in use of them, and which jobs take them (AWS Batch behaviour 2.6)."""

from __future__ import annotations

from heapq import nsmallest

from batchyard.core.model import consumable_commands as c
from batchyard.core.model.consumable_records import ConsumableResource
from batchyard.core.registry import consumable_resources
from batchyard.core.state.world import World


def _state(world: World, resource: ConsumableResource) -> c.ConsumableState:
    return c.ConsumableState(resource, world.consumables.in_use(resource.name))


def describe(world: World, command: c.AskConsumableResource) -> c.ConsumableState:
    return _state(world, consumable_resources.find(world, command.name))


def listed(world: World, command: c.AskConsumableResources) -> tuple[c.ConsumableState, ...]:
    """Returns the resources that are asked for, in the order of their names."""

    def matches(name: str) -> bool:
        lower = name.lower()
        return lower.startswith(command.prefix) if command.is_prefix else lower == command.prefix

    names = nsmallest(command.limit, (name for name in world.consumables if name > command.after and matches(name)))
    return tuple(_state(world, world.consumables[name]) for name in names)


def jobs(world: World, command: c.AskConsumableJobs) -> tuple[c.ConsumableJob, ...]:
    """Returns the unfinished submissions that take a resource, in the order of their keys."""
    found = [
        c.ConsumableJob(key, spec.job_id, one.quantity)
        for key, spec in world.jobs.specs.items()
        if key > command.after
        for one in spec.consumables
        if one.name == command.name
    ]
    return tuple(sorted(found, key=lambda job: job.key))
