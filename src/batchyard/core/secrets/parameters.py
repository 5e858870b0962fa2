"""Parameters of SSM's Parameter Store against the world (Systems Manager API reference). Values come encrypted."""

from __future__ import annotations

from msgspec.structs import replace

from batchyard.core.model import commands
from batchyard.core.model.refusal import Refused
from batchyard.core.model.secret_records import Parameter, ParameterVersion
from batchyard.core.secrets.document_kinds import PARAMETER
from batchyard.core.state.world import World

MAX_PARAMETERS = 10_000  # Systems Manager quotas: standard parameters
MAX_VERSIONS = 100  # Systems Manager: past versions of a parameter


def put(world: World, command: commands.PutParameter) -> Parameter:
    """Makes a new parameter, or with `overwrite` the next version of one."""
    known = world.parameters.get(command.name)
    if known is None:
        if not command.type:
            raise Refused("A parameter type is required when you create a parameter.", "ValidationException")
        if len(world.parameters) >= MAX_PARAMETERS:
            raise Refused(
                f"There are {MAX_PARAMETERS} parameters already, the most there can be: delete some.",
                "ParameterLimitExceeded",
            )
        parameter = Parameter(
            name=command.name,
            type=command.type,
            versions=(_version(1, command, world.now_ms),),
            tier=command.tier,
            description=command.description or "",
            key_id=command.key_id or "",
            tags=command.tags,
        )
    else:
        parameter = _next(known, command, world.now_ms)
    keep(world, parameter)
    return parameter


def find(world: World, name: str) -> Parameter:
    parameter = world.parameters.get(name)
    if parameter is None:
        raise Refused(f"Parameter {name} not found.", "ParameterNotFound")
    return parameter


def keep(world: World, parameter: Parameter) -> None:
    world.parameters[parameter.name] = parameter
    world.changes.documents[PARAMETER, parameter.name] = parameter


def _next(known: Parameter, command: commands.PutParameter, now_ms: int) -> Parameter:
    if not command.overwrite:
        raise Refused(
            "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.",
            "ParameterAlreadyExists",
        )
    if command.type and command.type != known.type:
        raise Refused(
            f"The parameter {known.name} is of type {known.type}, which can't be changed to {command.type}: delete it "
            "first.",
            "HierarchyTypeMismatchException",
        )
    version = _version(known.versions[-1].number + 1, command, now_ms)
    return replace(
        known,
        versions=(*known.versions, version)[-MAX_VERSIONS:],
        tier=command.tier,
        description=known.description if command.description is None else command.description,
        key_id=known.key_id if command.key_id is None else command.key_id,
    )


def delete(world: World, command: commands.DeleteParameter) -> None:
    find(world, command.name)
    del world.parameters[command.name]
    world.changes.documents[PARAMETER, command.name] = None


def _version(number: int, command: commands.PutParameter, now_ms: int) -> ParameterVersion:
    return ParameterVersion(number, command.value.value_id, command.value.sealed, now_ms)
