"""Compute environments: created, updated, deleted (AWS Batch behaviour 2.1)."""

from __future__ import annotations

from msgspec.structs import replace

from batchyard.core.capacity import environment_rules
from batchyard.core.model import commands
from batchyard.core.model.records import Environment, Health, State
from batchyard.core.model.refusal import EXISTS, Refused
from batchyard.core.scheduling import fleet, scheduler
from batchyard.core.state import transient_states
from batchyard.core.state.world import World


def create(world: World, command: commands.CreateComputeEnvironment) -> Environment:
    """Creates an environment. It is VALID at once, so that scripts can attach it without a wait, unless settings
    delay changes."""
    if command.name in world.environments:
        raise Refused(EXISTS)
    environment_rules.check_new(command.type, command.document, world.catalogue)
    environment = Environment(
        name=command.name,
        uuid=command.uuid,
        type=command.type,
        state=State(command.state),
        status=Health.VALID,
        status_reason=fleet.ENVIRONMENT_HEALTHY,
        engine=command.engine,
        document=command.document,
        tags=command.tags,
        created_at_ms=world.now_ms,
        provider=command.provider,
    )
    if not command.is_settled:
        environment = transient_states.begin(world, environment, Health.CREATING)
    return _keep(world, environment)


def update(world: World, command: commands.UpdateComputeEnvironment) -> Environment:
    environment = find(world, command.name)
    if environment.status is Health.DELETING:
        raise Refused(f"ComputeEnvironment {command.name} is being deleted.")
    transient_states.check(environment, "update")
    desired = max(environment.desired_vcpus, environment.compute_resources.desired_vcpus)
    document = environment_rules.updated(environment, command.document, desired, world.catalogue)
    state = State(command.state) if command.state else environment.state
    replaces = environment_rules.replaces_instances(environment.document, document, command.document)
    environment = replace(environment, state=state, document=document)
    environment = _keep(world, transient_states.begin(world, environment, Health.UPDATING))
    if replaces:
        fleet.replace_instances(world, environment)
    scheduler.reassess(world)
    return environment


def _keep(world: World, environment: Environment) -> Environment:
    if environment.status is Health.VALID:
        environment = replace(environment, status_reason=fleet.health_of(world, environment))
    world.put_environment(environment)
    fleet.set_budget(world, environment)
    return environment


def delete(world: World, command: commands.DeleteComputeEnvironment) -> None:
    """Deletes an environment: at once, or when its instances and attempts have ended, and the delay of a change has
    passed."""
    environment = find(world, command.name)
    transient_states.check(environment, "delete")
    if environment.state is not State.DISABLED:
        raise Refused(f"Cannot delete, compute environment {command.name} must be DISABLED first.")
    if any(o.environment == command.name for queue in world.queues.values() for o in queue.environments):
        raise Refused("Cannot delete, found existing JobQueue relationship")
    if environment.status is not Health.DELETING:
        world.put_environment(transient_states.begin(world, environment, Health.DELETING))


def sweep_deleted(world: World) -> None:
    """Removes the environments being deleted in which nothing is left."""
    leaving = [name for name, environment in world.environments.items() if environment.status is Health.DELETING]
    for name in leaving:
        if (transient_states.ENVIRONMENT, name) in world.timetable.settling:
            continue
        placed = (world.jobs[key].attempt for keys in world.instances.placed.values() for key in keys)
        if world.instances.launched_in.get(name) or any(a is not None and a.environment == name for a in placed):
            continue
        world.forget_environment(name)


def finish_changes(world: World) -> bool:
    """Makes environments VALID whose delay has passed; called before a pass. Returns whether there were any."""
    names = transient_states.due(world, transient_states.ENVIRONMENT)
    for name in names:
        environment = replace(world.environments[name], settles_at_ms=0)
        if environment.status is not Health.DELETING:
            environment = replace(environment, status=Health.VALID)
        _keep(world, environment)
    return bool(names)


def reassess_providers(world: World) -> None:
    """Recomputes what environments can have after a provider's amounts changed."""
    for name in sorted(world.environments):
        environment = world.environments[name]
        reason = fleet.health_of(world, environment)
        if environment.status is Health.VALID and environment.status_reason != reason:
            world.put_environment(replace(environment, status_reason=reason))
    scheduler.reassess(world)


def find(world: World, name: str) -> Environment:
    """Returns an environment by its name. Raises Refused if there is none."""
    environment = world.environments.get(name)
    if environment is None:
        raise Refused(f"ComputeEnvironment {name} does not exist.")
    return environment
