"""The instances and what runs there now, for the operations of ECS and EC2. Reads the world, changes nothing."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct

from batchyard.core.instances.instance_lifecycle import ENDED_SHOWN_MS
from batchyard.core.model.commands import Command, SetHost
from batchyard.core.model.records import JOINED_PROVIDER, EndedInstance, Instance
from batchyard.core.model.resources import Resources
from batchyard.core.state.world import World


class Stock(Struct, frozen=True):
    """An instance and its free resources."""

    instance: Instance
    free: Resources
    free_gpu_ids: tuple[int, ...]


class TaskCount(Struct, frozen=True):
    """The numbers of RUNNING and STARTING attempts of an environment on an instance."""

    environment: str
    instance_id: str
    running: int
    pending: int


class Inventory(Struct, frozen=True):
    """Instances by id; counts by environment and instance, those that are not 0; instances that ended within the last
    hour."""

    instances: tuple[Stock, ...]
    tasks: tuple[TaskCount, ...]
    ended: tuple[EndedInstance, ...] = ()

    def running(self, environment: str, instance_id: str = "") -> int:
        """Returns the number of RUNNING attempts of an environment; with an instance, of those on it."""
        return sum(count.running for count in self._counts(environment, instance_id))

    def pending(self, environment: str, instance_id: str = "") -> int:
        """Returns the number of STARTING attempts, like `running`."""
        return sum(count.pending for count in self._counts(environment, instance_id))

    def _counts(self, environment: str, instance_id: str) -> list[TaskCount]:
        of_environment = [count for count in self.tasks if count.environment == environment]
        return [count for count in of_environment if not instance_id or count.instance_id == instance_id]


class AskInstances(Command[Inventory], frozen=True):
    """Asks for the instances, and what runs there."""


def inventory(world: World, command: AskInstances) -> Inventory:
    running: Counter[tuple[str, str]] = Counter()
    pending: Counter[tuple[str, str]] = Counter()
    for job in world.jobs.values():
        if job.attempt is not None:
            counter = running if job.attempt.started_at_ms else pending
            for placement in job.attempt.placements:
                counter[job.attempt.environment, placement.instance_id] += 1
    stocks = []
    for instance_id in sorted(world.instances):
        if world.instances[instance_id].provider == JOINED_PROVIDER and not world.instances[instance_id].environment:
            continue  # of the provider of joined hosts, which has no machine of its own
        available = world.instances.available[instance_id]
        stocks.append(Stock(world.instances[instance_id], available.free, tuple(available.gpu_ids)))
    tasks = [TaskCount(*key, running[key], pending[key]) for key in sorted({*running, *pending})]
    since_ms = world.now_ms - ENDED_SHOWN_MS
    ended = tuple(one for one in world.instances.ended.values() if one.ended_at_ms > since_ms)
    return Inventory(tuple(stocks), tuple(tasks), ended)


class PastInstance(Struct, frozen=True):
    """A managed instance that there was, or is. `ended_at_ms`: 0: it is there. `hourly_micro_dollars`: the owner's
    price; 0: there is none."""

    instance: Instance
    ended_at_ms: int
    hourly_micro_dollars: int


class AskPastInstances(Command[tuple[PastInstance, ...]], frozen=True):
    """Asks for the managed instances that there were at some time since then, by launch."""

    since_ms: int


def past_instances(world: World, command: AskPastInstances) -> tuple[PastInstance, ...]:
    found = [
        PastInstance(one.instance, one.ended_at_ms, one.hourly_micro_dollars)
        for one in world.instances.ended.values()
        if one.ended_at_ms > command.since_ms
    ]
    found += [PastInstance(one, 0, world.prices.price_of(one)) for one in world.instances.values() if one.environment]
    return tuple(sorted(found, key=lambda one: (one.instance.launched_at_ms, one.instance.instance_id)))


class AskHosts(Command[tuple[SetHost, ...]], frozen=True):
    """Asks for the machines of the providers and the engines there are, as they were reported."""


def hosts(world: World, command: AskHosts) -> tuple[SetHost, ...]:
    providers = sorted(world.instances.providers.items())
    return tuple(SetHost(provider.machine, dict(world.abilities), name) for name, provider in providers)
