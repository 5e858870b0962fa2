"""A consumable resource as it is described."""

from __future__ import annotations

from batchyard.core.model.consumable_commands import ConsumableState
from batchyard.core.model.consumable_records import ConsumableResource, ConsumableType


def test_nothing_is_available_of_a_total_below_what_is_in_use() -> None:
    resource = ConsumableResource("licence", ConsumableType.REPLENISHABLE, 5, 1)
    assert [ConsumableState(resource, in_use).available for in_use in (0, 3, 5, 7)] == [5, 2, 0, 0]
