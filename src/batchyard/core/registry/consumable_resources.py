"""Consumable resources: created, updated, deleted (AWS Batch behaviour 2.6). A job takes all that it asks of them when
it is placed (5.4): core.scheduling.consumable_gate."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from batchyard.core.model import consumable_commands as c
from batchyard.core.model.consumable_records import MAX_QUANTITY, AppliedUpdate, ConsumableResource
from batchyard.core.model.refusal import EXISTS, Refused
from batchyard.core.state.document_kinds import CONSUMABLE_RESOURCE
from batchyard.core.state.world import World

MAX_RESOURCES = 50_000  # user guide: service_limits
TOKEN_KEPT_MS = 8 * 3600 * 1000  # API: UpdateConsumableResourceRequest
MAX_TOKENS = 100  # of one resource: more updates within eight hours than that are no retries any more


def create(world: World, command: c.CreateConsumableResource) -> None:
    if command.name in world.consumables:
        raise Refused(EXISTS)
    if len(world.consumables) >= MAX_RESOURCES:
        raise Refused(f"There are {MAX_RESOURCES} consumable resources already, and no more are allowed: delete one.")
    put(world, ConsumableResource(command.name, command.type, command.total, world.now_ms, command.tags))


def update(world: World, command: c.UpdateConsumableResource) -> c.ConsumableState:
    """Lowering the total below what is in use stops nothing: jobs go on, and none starts until use has drained."""
    resource = find(world, command.name)
    recent = tuple(one for one in resource.updates if one.at_ms + TOKEN_KEPT_MS > world.now_ms)
    if command.operation and not _is_repeated(recent, command):
        if command.client_token:
            applied = AppliedUpdate(command.client_token, world.now_ms, command.operation, command.quantity)
            recent = (*recent, applied)[-MAX_TOKENS:]
        put(world, replace(resource, total=_total_after(resource, command), updates=recent))
    return c.ConsumableState(find(world, command.name), world.consumables.in_use(command.name))


def _is_repeated(recent: Iterable[AppliedUpdate], command: c.UpdateConsumableResource) -> bool:
    """Whether an update was applied before. Raises Refused where its token was used for another one."""
    before = next((one for one in recent if one.client_token == command.client_token), None)
    if before is not None and not before.is_same(command.operation, command.quantity):
        raise Refused(
            f"The clientToken {command.client_token} was used for another update of ConsumableResource "
            f"{command.name}, {before.operation} {before.quantity}: use another one for each update."
        )
    return before is not None


def _total_after(resource: ConsumableResource, command: c.UpdateConsumableResource) -> int:
    changes = {"SET": command.quantity - resource.total, "ADD": command.quantity, "REMOVE": -command.quantity}
    total = resource.total + changes[command.operation]
    if total < 0:
        raise Refused("totalQuantity cannot be a negative number.")
    if total > MAX_QUANTITY:
        raise Refused(f"totalQuantity cannot be more than {MAX_QUANTITY}.")
    return total


def delete(world: World, command: c.DeleteConsumableResource) -> None:
    """Deletes it although jobs use it: what runs goes on, and what waits for it waits until it is created again."""
    find(world, command.name)
    del world.consumables[command.name]
    world.changes.documents[CONSUMABLE_RESOURCE, command.name] = None


def find(world: World, name: str) -> ConsumableResource:
    """Returns a consumable resource by its name. Raises Refused if there is none."""
    resource = world.consumables.get(name)
    if resource is None:
        raise Refused(f"ConsumableResource {name} does not exist.")
    return resource


def put(world: World, resource: ConsumableResource) -> None:
    """Sets the next version of a consumable resource's record."""
    world.consumables[resource.name] = world.changes.documents[CONSUMABLE_RESOURCE, resource.name] = resource
