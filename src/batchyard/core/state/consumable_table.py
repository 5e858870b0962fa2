"""The consumable resources in memory, and what placed attempts hold of each."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from batchyard.core.model.consumable_records import ConsumableRequirement, ConsumableResource, ConsumableType


class Consumables(dict[str, ConsumableResource]):
    """Records by name. `held` counts by name too, for deleted ones as well: a name that is made again is the same
    resource for those that hold it or wait for it."""

    __slots__ = ("held",)

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[str, int] = {}

    def in_use(self, name: str) -> int:
        """Returns what placed attempts hold of a resource, and ended ones consumed."""
        resource = self.get(name)
        return self.held.get(name, 0) + (resource.consumed if resource is not None else 0)

    def available(self, name: str) -> int:
        """Returns what jobs may take of a resource now; nothing of one that does not exist."""
        resource = self.get(name)
        return 0 if resource is None else max(0, resource.total - self.in_use(name))

    def may_become_free(self, name: str, quantity: int) -> bool:
        """Returns whether so much is free once all that is held has come back, unless the total is changed."""
        resource = self.get(name)
        if resource is None or resource.type is ConsumableType.NON_REPLENISHABLE:
            return self.available(name) >= quantity
        return resource.total >= quantity

    def hold(self, requirements: Iterable[ConsumableRequirement]) -> None:
        """Counts what an attempt takes that is placed now, or was before a restart."""
        for one in requirements:
            self.held[one.name] = self.held.get(one.name, 0) + one.quantity

    def release(self, requirements: Iterable[ConsumableRequirement]) -> list[ConsumableResource]:
        """Counts what an attempt gives back at its end. Returns the records that change by it: those of which nothing
        comes back."""
        changed = []
        for one in requirements:
            left = self.held[one.name] - one.quantity
            assert left >= 0, f"more of {one.name} is given back than was taken"
            if left:
                self.held[one.name] = left
            else:
                del self.held[one.name]
            resource = self.get(one.name)
            if resource is not None and resource.type is ConsumableType.NON_REPLENISHABLE:
                resource = self[one.name] = replace(resource, consumed=resource.consumed + one.quantity)
                changed.append(resource)
        return changed
