"""Scales MANAGED environments at the end of a pass: they keep minvCpus, and terminate instances that have been idle
for long enough (AWS Batch behaviour 3.6)."""

from __future__ import annotations

from msgspec.structs import replace

from batchyard.core.capacity.allocation import Need, NoLaunch
from batchyard.core.instances import instance_lifecycle
from batchyard.core.model.records import Environment, Health, InstanceState
from batchyard.core.model.resources import MILLI_PER_VCPU
from batchyard.core.scheduling import fleet
from batchyard.core.state.world import World


def scale(world: World) -> int | None:
    """Keeps minvCpus, terminates idle instances, and records what changed. Returns when to run again; None: at no
    time."""
    instance_lifecycle.forget_ended(world)
    if not world.instances.providers:
        return None  # capacity and demand are not known yet
    due: list[int] = []
    for name in sorted(world.environments):
        environment = world.environments[name]
        if not environment.kind.has_instances or world.instances.provider_of(environment) is None:
            continue
        if environment.status is Health.VALID:
            _keep_wanted(world, environment)
        due.extend(_let_go(world, environment))
        _write_desired(world, name)
    due.extend(at_ms for at_ms, _ in world.environments.paused.values() if at_ms > world.now_ms)
    due.extend(i.ends_at_ms for i in world.instances.values() if i.ends_at_ms > world.now_ms)
    return min(due, default=None)


def _keep_wanted(world: World, environment: Environment) -> None:
    """Launches desiredvCpus once: as soon as they exist, or no more of them are available, demand decides. A launch
    that was refused only for now is tried again."""
    wanted = fleet.wanted_milli_vcpus(environment)
    while (missing := wanted - fleet.coming(world, environment.name)) > 0:
        need = Need(fleet.ONE_VCPU, -(-missing // MILLI_PER_VCPU))
        if isinstance(fleet.grow(world, world.environments[environment.name], need), NoLaunch):
            break
    if environment.compute_resources.desired_vcpus and environment.name not in world.environments.paused:
        current = world.environments[environment.name]
        left = {k: v for k, v in current.document["computeResources"].items() if k != "desiredvCpus"}
        document = {**current.document, "computeResources": left}
        world.environments[current.name] = world.changes.environments[current.name] = replace(
            current, document=document
        )


def _let_go(world: World, environment: Environment) -> list[int]:
    """Terminates the instances that have been idle for long enough, the longest first, down to what is wanted.
    Returns when the next ones may be due."""
    for instance_id in list(world.instances.launched_in.get(environment.name, ())):
        instance = world.instances[instance_id]
        if 0 < instance.ends_at_ms <= world.now_ms and instance.state is InstanceState.DRAINING:
            instance_lifecycle.drain_and_stop(world, instance, world.limits.stop_grace_seconds)
        is_over = instance.state is InstanceState.DRAINING or environment.status is Health.DELETING
        if is_over and not world.instances.placed_on(instance_id):
            instance_lifecycle.terminate(world, instance)
    delay_ms, wanted = fleet.scale_down_ms(world, environment), fleet.wanted_milli_vcpus(environment)
    due: list[int] = []
    for since_ms, instance_id in fleet.idle_in(world, environment.name):
        instance = world.instances[instance_id]
        if fleet.coming(world, environment.name) - instance.resources.milli_vcpus < wanted:
            continue
        if environment.name in world.environments.gathering:
            continue  # a multi-node job waits for the last of its instances: these are for it, too
        if since_ms + delay_ms <= world.now_ms:
            instance_lifecycle.terminate(world, instance)
        else:
            due.append(since_ms + delay_ms)
    return due


def _write_desired(world: World, name: str) -> None:
    environment = world.environments[name]
    desired = max(environment.compute_resources.min_vcpus, -(-fleet.coming(world, name) // MILLI_PER_VCPU))
    if environment.desired_vcpus != desired:
        world.environments[name] = world.changes.environments[name] = replace(environment, desired_vcpus=desired)
