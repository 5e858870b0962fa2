"""Scales MANAGED environments at the end of a pass: they keep minvCpus, and terminate instances that have been idle
for long enough (AWS Batch behaviour 3.6)."""

from __future__ import annotations

from msgspec.structs import replace

from batchyard.core.capacity.allocation import Need, NoLaunch
from batchyard.core.instances import instance_lifecycle, joined_hosts
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
        if not environment.kind.launches_instances:
            joined_hosts.let_go(world, name)
            continue
        if environment.status is Health.VALID:
            _keep_wanted(world, environment)
        idle_due_ms = _let_go(world, environment)
        if idle_due_ms is not None:
            due.append(idle_due_ms)
        _write_desired(world, name)
    due.extend(at_ms for at_ms, _ in world.environments.paused.values() if at_ms > world.now_ms)
    end_ms = world.instances.next_end_ms(world.now_ms)
    if end_ms is not None:
        due.append(end_ms)
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


def _let_go(world: World, environment: Environment) -> int | None:
    """Terminates the instances that have been idle for long enough, the longest first, down to what is wanted.
    Returns when the next one may be due."""
    instances = world.instances.of(environment.name)
    is_deleted = environment.status is Health.DELETING
    for instance_id in list(instances.ids) if is_deleted else instances.in_order(instances.draining):
        instance = world.instances[instance_id]
        if 0 < instance.ends_at_ms <= world.now_ms and instance.state is InstanceState.DRAINING:
            instance_lifecycle.drain_and_stop(world, instance, world.limits.stop_grace_seconds)
        is_over = instance.state is InstanceState.DRAINING or is_deleted
        if is_over and not world.instances.placed_on(instance_id):
            instance_lifecycle.terminate(world, instance)
    delay_ms, wanted = fleet.scale_down_ms(world, environment), fleet.wanted_milli_vcpus(environment)
    if environment.name in world.environments.gathering:
        return None  # a multi-node job waits for the last of its instances: these are for it, too
    while (found := instances.first_idle(instances.coming_milli_vcpus - wanted)) is not None:
        since_ms, instance_id = found
        if since_ms + delay_ms > world.now_ms:
            return since_ms + delay_ms
        instance_lifecycle.terminate(world, world.instances[instance_id])
    return None


def _write_desired(world: World, name: str) -> None:
    environment = world.environments[name]
    desired = max(environment.compute_resources.min_vcpus, -(-fleet.coming(world, name) // MILLI_PER_VCPU))
    if environment.desired_vcpus != desired:
        world.environments[name] = world.changes.environments[name] = replace(environment, desired_vcpus=desired)
