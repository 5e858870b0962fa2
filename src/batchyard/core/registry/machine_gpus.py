"""GPUs that leave a machine while jobs use it, and come back to it: what the ledger has, and which attempts end."""

from __future__ import annotations

from msgspec.structs import replace

from batchyard.core.instances.instance_lifecycle import drain_and_stop
from batchyard.core.jobs import attempts
from batchyard.core.model.commands import SetGpus
from batchyard.core.model.reasons import StopCause
from batchyard.core.registry.environments import reassess_providers
from batchyard.core.state.world import World


def set_gpus(world: World, command: SetGpus) -> None:
    """Sets the GPUs that a machine has now. Attempts on a lost one are stopped, and end as their host would have; an
    instance of a MANAGED environment with a lost one takes no more jobs and ends."""
    provider = world.instances.providers.get(command.provider)
    assert provider is not None, f"GPUs of {command.provider}, which has no machine"
    machine = provider.machine
    if machine.gpu_ids != command.device_ids:
        resources = replace(machine.resources, gpus=len(command.device_ids))
        world.set_machine(command.provider, replace(machine, gpu_ids=command.device_ids, resources=resources))
        reassess_providers(world)
    lost = frozenset(command.lost)
    for instance in list(world.instances.values()):
        if instance.environment and instance.provider == command.provider and not lost.isdisjoint(instance.gpu_ids):
            drain_and_stop(world, instance, world.limits.stop_grace_seconds)
    for key in list(world.instances.placed_on(machine.instance_id)):
        attempt = world.jobs[key].attempt
        assert attempt is not None, f"job {key} is placed without an attempt"
        if any(
            placement.instance_id == machine.instance_id and not lost.isdisjoint(placement.device_ids)
            for placement in attempt.placements
        ):
            attempts.stop(world, world.jobs[key], StopCause.HOST, world.limits.stop_grace_seconds)
