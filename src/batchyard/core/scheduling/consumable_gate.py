"""What keeps a job waiting for consumable resources: it starts when all that it asks of them is free (AWS Batch
behaviour 5.4).

A job that lacks some is passed over: it is no head of its queue, and nothing else is reserved for it. But nothing of
what it lacks goes to jobs behind it in its queue, nor to jobs of queues of lower priority: many small jobs that want
the same do not keep a large one waiting for ever. One that asks for several has no claim on those that it does not
lack now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from batchyard.core.model.consumable_records import ConsumableRequirement
from batchyard.core.model.text import counted
from batchyard.core.state.runnable import Shape
from batchyard.core.state.world import World

MAX_HOLDERS_NAMED = 3  # of those that hold what a job lacks: enough to see whom to ask


class ConsumableGate(Struct):
    """What one pass knows of consumable resources. `promised`: what jobs will take that wait for an instance that is
    coming; `awaited`: names of what jobs of higher priority lack; `awaited_here`: of queues of the present priority."""

    promised: dict[str, int] = {}
    awaited: set[str] = set()
    awaited_here: set[str] = set()

    def lower_priority(self) -> None:
        """From here on queues have a lower priority than those before."""
        self.awaited |= self.awaited_here
        self.awaited_here.clear()

    def lets_pass(self, world: World, shape: Shape, awaited_in_queue: set[str]) -> bool:
        """Returns whether a job of this shape may start now as far as consumable resources go. `awaited_in_queue`:
        names of what jobs before it in its queue lack; grows by what this one lacks and may get: a job that asks for
        more than there will be holds up no other."""
        lacking = {
            one.name
            for one in shape.consumables
            if world.consumables.available(one.name) - self.promised.get(one.name, 0) < one.quantity
        }
        is_behind = any(one.name in self.awaited or one.name in awaited_in_queue for one in shape.consumables)
        for one in shape.consumables:
            if one.name in lacking and world.consumables.may_become_free(one.name, one.quantity):
                awaited_in_queue.add(one.name)
                self.awaited_here.add(one.name)
        return not lacking and not is_behind

    def promise(self, shape: Shape) -> None:
        """Counts what a job will take that waits for an instance that is coming."""
        for one in shape.consumables:
            self.promised[one.name] = self.promised.get(one.name, 0) + one.quantity


def startable(world: World, shape: Shape, promised: Mapping[str, int]) -> int:
    """Returns how many jobs of a shape that asks for consumable resources could start with what is free of those, and
    not promised."""
    return min(
        max(0, world.consumables.available(one.name) - promised.get(one.name, 0)) // one.quantity
        for one in shape.consumables
    )


def why_lacking(world: World, requirements: Iterable[ConsumableRequirement]) -> str:
    """Returns what a job lacks of consumable resources, with the numbers and who holds it; empty: nothing."""
    return " ".join(f"{text}." for one in requirements if (text := _why_lacking(world, one)))


def _why_lacking(world: World, asked: ConsumableRequirement) -> str:
    resource, available = world.consumables.get(asked.name), world.consumables.available(asked.name)
    if resource is None:
        return f"There is no consumable resource {asked.name}, of which it asks {asked.quantity}"
    if available >= asked.quantity:
        return ""
    text = f"It waits for {asked.quantity} of the consumable resource {asked.name}: {available} of {resource.total} are"
    holders = _holders(world, asked.name)
    text += f" free, {resource.consumed} were consumed" if resource.consumed else " free"
    if not holders:
        return f"{text}, and no job holds any"
    named = ", ".join(f"{job_id} ({quantity})" for job_id, quantity in holders[:MAX_HOLDERS_NAMED])
    more = f" and {counted(len(holders) - MAX_HOLDERS_NAMED, 'more job')}" if len(holders) > MAX_HOLDERS_NAMED else ""
    return f"{text}. It is held by {named}{more}"


def _holders(world: World, name: str) -> list[tuple[str, int]]:
    """Returns the job ids of placed attempts that hold a resource, and how much, the most first."""
    found = [
        (world.jobs.id_of(key), one.quantity)
        for key, job in sorted(world.jobs.items())
        if job.attempt is not None
        for one in world.jobs.spec_of(key).consumables
        if one.name == name
    ]
    return sorted(found, key=lambda holder: -holder[1])
