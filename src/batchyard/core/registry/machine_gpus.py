"""GPUs of a machine while jobs use them: those that leave it and come back, and what attempts use of them."""

from __future__ import annotations

from msgspec.structs import replace

from batchyard.core.instances.instance_lifecycle import drain_and_stop
from batchyard.core.jobs import attempts
from batchyard.core.model.commands import NoteGpuUse, SetGpus
from batchyard.core.model.gpus import use_with
from batchyard.core.model.reasons import StopCause
from batchyard.core.model.records import HOST_PROVIDER, Instance, Status
from batchyard.core.registry.environments import reassess_providers
from batchyard.core.state.world import World


def set_gpus(world: World, command: SetGpus) -> None:
    """Sets the GPUs that a machine has now. Attempts on a lost one are stopped, and end as their host would have; an
    instance of a MANAGED environment with a lost one takes no more jobs and ends."""
    provider = world.instances.providers.get(command.provider)
    assert provider is not None, f"GPUs of {command.provider}, which has no machine"
    machine = provider.machine
    if machine.gpu_ids != command.device_ids:
        world.set_machine(command.provider, _with_gpus(machine, command.device_ids))
        reassess_providers(world)
    _drain_instances(world, command.provider, frozenset(command.lost))
    _stop_attempts(world, machine.instance_id, frozenset(command.lost))


def _drain_instances(world: World, provider: str, lost: frozenset[int]) -> None:
    for instance in list(world.instances.values()):
        if instance.environment and instance.provider == provider and not lost.isdisjoint(instance.gpu_ids):
            drain_and_stop(world, instance, world.limits.stop_grace_seconds)


def _stop_attempts(world: World, instance_id: str, lost: frozenset[int]) -> None:
    """Stops the attempts with a lost GPU on the machine itself. A node that has ended uses its GPUs no more."""
    for key in list(world.instances.placed_on(instance_id)):
        attempt = world.jobs[key].attempt
        assert attempt is not None, f"job {key} is placed without an attempt"
        if any(
            placement.instance_id == instance_id and not lost.isdisjoint(placement.device_ids)
            for node, placement in enumerate(attempt.placements)
            if not attempt.nodes or not attempt.nodes[node].stopped_at_ms
        ):
            attempts.stop(world, world.jobs[key], StopCause.HOST, lost_instance=instance_id)


def _with_gpus(machine: Instance, device_ids: tuple[int, ...]) -> Instance:
    return replace(machine, gpu_ids=device_ids, resources=replace(machine.resources, gpus=len(device_ids)))


def note_use(world: World, command: NoteGpuUse) -> None:
    """Adds samples to the use of the running attempts that have these GPUs."""
    samples = {sample.device_id: sample for sample in command.samples}
    mine = [i for i in world.instances.values() if i.provider == command.provider and i.gpu_ids]
    names = {instance.instance_id for instance in mine}
    for key in dict.fromkeys(key for instance in mine for key in world.instances.placed_on(instance.instance_id)):
        job = world.jobs[key]
        if job.status is not Status.RUNNING or job.attempt is None:
            continue
        devices = [d for p in job.attempt.placements if p.instance_id in names for d in p.device_ids]
        found = [samples[device] for device in devices if device in samples]
        if found:
            attempt = replace(job.attempt, gpu_use=use_with(job.attempt.gpu_use, found))
            world.put(replace(job, attempt=attempt))


def devices_in_use(world: World) -> frozenset[int]:
    """Returns the GPUs of this host that an attempt or an instance has."""
    provider = world.instances.providers.get(HOST_PROVIDER)
    return frozenset() if provider is None else frozenset({*provider.machine.gpu_ids} - {*provider.ledger.gpu_ids})
