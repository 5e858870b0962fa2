"""Service environments: created, updated, deleted (AWS Batch behaviour 2.7). Changes are done when answered."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from batchyard.core.model import names, service_commands
from batchyard.core.model.records import Queue, State
from batchyard.core.model.refusal import EXISTS, Refused
from batchyard.core.model.service_records import ServiceEnvironment
from batchyard.core.service_jobs.document_kinds import SERVICE_ENVIRONMENT
from batchyard.core.state.world import World


def create(world: World, command: service_commands.CreateServiceEnvironment) -> ServiceEnvironment:
    if command.name in world.services.environments:
        raise Refused(EXISTS)
    environment = ServiceEnvironment(
        name=command.name,
        type=command.type,
        state=State(command.state),
        capacity_limits=command.capacity_limits,
        tags=command.tags,
        created_at_ms=world.now_ms,
    )
    put(world, environment)
    return environment


def update(world: World, command: service_commands.UpdateServiceEnvironment) -> ServiceEnvironment:
    environment = find(world, command.name)
    environment = replace(
        environment,
        state=State(command.state) if command.state else environment.state,
        capacity_limits=command.capacity_limits or environment.capacity_limits,
    )
    put(world, environment)
    return environment


def delete(world: World, command: service_commands.DeleteServiceEnvironment) -> None:
    environment = find(world, command.name)
    if environment.state is not State.DISABLED:
        raise Refused(f"Cannot delete, service environment {command.name} must be DISABLED first.")
    if any(command.name in names_of(queue) for queue in world.queues.values()):
        raise Refused("Cannot delete, found existing JobQueue relationship")
    del world.services.environments[command.name]
    world.changes.documents[SERVICE_ENVIRONMENT, command.name] = None


def find(world: World, name: str) -> ServiceEnvironment:
    """Returns a service environment by its name. Raises Refused if there is none."""
    environment = world.services.environments.get(name)
    if environment is None:
        raise Refused(f"ServiceEnvironment {name} does not exist.")
    return environment


def put(world: World, environment: ServiceEnvironment) -> None:
    """Sets the next version of a service environment's record."""
    keep(world, environment)
    world.changes.documents[SERVICE_ENVIRONMENT, environment.name] = environment


def keep(world: World, environment: ServiceEnvironment) -> None:
    """Sets a record in memory alone."""
    world.services.environments[environment.name] = environment


def check_order(world: World, order: list[dict[str, Any]]) -> None:
    """Checks serviceEnvironmentOrder of a job queue. Raises Refused where it names what is not there."""
    for entry in order:
        if names.resource_name(entry["serviceEnvironment"], SERVICE_ENVIRONMENT) not in world.services.environments:
            raise Refused("Service environments must be created and valid before attaching them to a job queue.")


def names_of(queue: Queue) -> list[str]:
    """Returns the names of a queue's service environments; none for a queue of ordinary jobs."""
    order = queue.document.get("serviceEnvironmentOrder", ())
    return [names.resource_name(entry["serviceEnvironment"], SERVICE_ENVIRONMENT) for entry in order]
