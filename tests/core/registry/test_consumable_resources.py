"""Consumable resources: created, updated once for each client token, deleted at any time (AWS Batch behaviour 2.6)."""

from __future__ import annotations

import pytest

from batchyard.core.model import consumable_commands as c
from batchyard.core.model.consumable_records import ConsumableType
from batchyard.core.model.refusal import Refused
from batchyard.core.registry.consumable_resources import MAX_TOKENS, TOKEN_KEPT_MS
from tests.core.driver import Driver


def yard_with(total: int = 5) -> Driver:
    yard = Driver()
    yard.do(c.CreateConsumableResource("licence", ConsumableType.REPLENISHABLE, total, {}))
    return yard


def total_after(yard: Driver, operation: str, quantity: int, token: str = "") -> int:
    return yard.do(c.UpdateConsumableResource("licence", operation, quantity, token)).resource.total


def test_the_total_is_set_added_to_and_taken_from() -> None:
    yard = yard_with()
    assert [total_after(yard, *step) for step in (("ADD", 3), ("REMOVE", 8), ("SET", 4), ("", 0))] == [8, 0, 4, 4]
    with pytest.raises(Refused, match="totalQuantity cannot be a negative number"):
        total_after(yard, "REMOVE", 5)


def test_an_update_with_the_same_token_is_applied_once_for_eight_hours_and_over_a_restart() -> None:
    yard = yard_with()
    assert [total_after(yard, "ADD", 1, "token") for _ in range(2)] == [6, 6]
    yard.crash()
    assert total_after(yard, "ADD", 1, "token") == 6
    yard.tick(TOKEN_KEPT_MS)
    assert total_after(yard, "ADD", 1, "token") == 7
    for operation, quantity in (("ADD", 2), ("REMOVE", 1)):
        with pytest.raises(Refused, match="The clientToken token was used for another update"):
            total_after(yard, operation, quantity, "token")
    assert total_after(yard, "", 0, "token") == 7, "no update is no other update"
    for number in range(MAX_TOKENS + 5):
        total_after(yard, "ADD", 0, f"other {number}")
    assert len(yard.machine.world.consumables["licence"].updates) == MAX_TOKENS


def test_names_are_unique_until_they_are_deleted() -> None:
    yard = yard_with()
    with pytest.raises(Refused, match="Object already exists"):
        yard.do(c.CreateConsumableResource("licence", ConsumableType.REPLENISHABLE, 1, {}))
    yard.do(c.DeleteConsumableResource("licence"))
    with pytest.raises(Refused, match=r"ConsumableResource licence does not exist\."):
        yard.do(c.DeleteConsumableResource("licence"))
    yard.do(c.CreateConsumableResource("licence", ConsumableType.NON_REPLENISHABLE, 1, {}))
    assert yard.machine.world.consumables["licence"].type is ConsumableType.NON_REPLENISHABLE
