"""CREATING, UPDATING and DELETING: how long environments and queues stay so, and what is refused meanwhile (AWS Batch
behaviour 2.1, 2.2, 3.2, 4.4). With settle_seconds 0 changes are done when they are answered."""

from __future__ import annotations

from typing import TypeVar

from msgspec.structs import replace

from batchyard.core.model.records import Environment, Health, Queue
from batchyard.core.model.refusal import Refused
from batchyard.core.state.world import World

ENVIRONMENT, QUEUE = "compute environment", "job queue"
IN_MOTION = (Health.CREATING, Health.UPDATING)  # they become VALID by themselves
WORDS = {
    Health.CREATING: "is being created",
    Health.UPDATING: "is being updated",
    Health.DELETING: "is being deleted",
}

Record = TypeVar("Record", Environment, Queue)


def kind_of(record: Environment | Queue) -> str:
    return ENVIRONMENT if isinstance(record, Environment) else QUEUE


def begin(world: World, record: Record, status: Health) -> Record:
    """Returns the record in its transient status; unchanged where changes take no time and it does not wait for its
    end."""
    settle_ms = int(world.limits.settle_seconds * 1000)
    if not settle_ms:
        return replace(record, status=status) if status is Health.DELETING else record
    kind, at_ms = kind_of(record), world.now_ms + settle_ms
    world.timetable.settling[kind, record.name] = at_ms
    return replace(record, status=status, status_reason=f"The {kind} {WORDS[status]}.", settles_at_ms=at_ms)


def check(record: Environment | Queue, verb: str) -> None:
    """Refuses an update or delete (`verb`) while an earlier change is under way, in AWS's words."""
    if record.status in IN_MOTION:
        kind = kind_of(record)
        raise Refused(
            f"Cannot {verb}, resource is being modified (the {kind} {record.name} is {record.status}; wait until it is "
            f"{Health.VALID})."
        )


def due(world: World, kind: str) -> list[str]:
    """Returns the names of those whose time is over, and ends their transient status."""
    found = sorted(
        name for (one, name), at_ms in world.timetable.settling.items() if one == kind and at_ms <= world.now_ms
    )
    for name in found:
        del world.timetable.settling[kind, name]
    return found


def restore(world: World) -> None:
    records: list[Environment | Queue] = [*world.environments.values(), *world.queues.values()]
    for record in records:
        if record.settles_at_ms:
            world.timetable.settling[kind_of(record), record.name] = record.settles_at_ms
