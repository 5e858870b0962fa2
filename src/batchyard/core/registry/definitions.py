"""Job definitions: registered, deregistered (AWS Batch behaviour 2.3)."""

from __future__ import annotations

from msgspec.structs import replace

from batchyard.core.model import commands, names
from batchyard.core.model.records import Definition
from batchyard.core.model.refusal import Refused
from batchyard.core.state.world import World


def register(world: World, command: commands.RegisterJobDefinition) -> Definition:
    """Registers a new revision; numbers are never reused, even after deregistration."""
    revision = world.revisions.get(command.name, 0) + 1
    definition = Definition(command.name, revision, "ACTIVE", command.document, command.tags, world.now_ms)
    world.revisions[command.name] = world.changes.revisions[command.name] = revision
    world.definitions[command.name, revision] = world.changes.definitions[command.name, revision] = definition
    return definition


def deregister(world: World, command: commands.DeregisterJobDefinition) -> None:
    definition = world.definitions.get((command.name, command.revision))
    if definition is None:
        raise Refused(f"JobDefinition {command.name}:{command.revision} does not exist.")
    if definition.status == "ACTIVE":
        definition = replace(definition, status="INACTIVE", deregistered_at_ms=world.now_ms)
        world.definitions[command.name, command.revision] = definition
        world.changes.definitions[command.name, command.revision] = definition


def find(world: World, name: str) -> Definition:
    """Returns a revision by `NAME:REVISION`. Raises Refused if there is none."""
    short, revision = names.split_definition(name)
    definition = world.definitions.get((short, revision or 0))
    if definition is None:
        raise Refused(f"JobDefinition {name} does not exist.")
    return definition
