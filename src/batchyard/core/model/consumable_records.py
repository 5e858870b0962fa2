"""Consumable resources: amounts beside vCPUs and memory that jobs take, such as licences (AWS Batch behaviour 2.6,
5.4)."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

MAX_QUANTITY = (1 << 63) - 1  # API: Long


class ConsumableType(StrEnum):
    """What becomes of an amount when the attempt that took it has ended (ResourceType of the API)."""

    REPLENISHABLE = "REPLENISHABLE"  # it is given back
    NON_REPLENISHABLE = "NON_REPLENISHABLE"  # it is gone


class ConsumableRequirement(Struct, frozen=True):
    """What one job, or each child of an array, takes while it is placed. `name`: of the resource."""

    name: str
    quantity: int


class AppliedUpdate(Struct, frozen=True):
    """An update that carried a client token. The same that comes again with its token changes nothing. `operation`:
    empty where an earlier version kept the token alone."""

    client_token: str
    at_ms: int
    operation: str = ""
    quantity: int = 0

    def is_same(self, operation: str, quantity: int) -> bool:
        return not self.operation or (self.operation, self.quantity) == (operation, quantity)


class ConsumableResource(Struct, frozen=True, omit_defaults=True):
    """A consumable resource. `consumed`: what ended attempts took of a NON_REPLENISHABLE one; `updates`: those of the
    last hours, the oldest first."""

    name: str
    type: ConsumableType
    total: int
    created_at_ms: int
    tags: dict[str, str] = {}
    consumed: int = 0
    updates: tuple[AppliedUpdate, ...] = ()
