"""Consumable resources as they are stored."""

from __future__ import annotations

import msgspec

from batchyard.core.model.consumable_records import AppliedUpdate, ConsumableResource, ConsumableType


def test_a_record_comes_back_from_its_text() -> None:
    kept = ConsumableResource(
        "licence", ConsumableType.NON_REPLENISHABLE, 5, 1, {"a": "b"}, 3, (AppliedUpdate("token", 2),)
    )
    assert msgspec.json.decode(msgspec.json.encode(kept), type=ConsumableResource) == kept


def test_an_update_is_the_same_with_its_operation_and_quantity_where_they_are_known() -> None:
    kept = AppliedUpdate("token", 2, "ADD", 1)
    assert [kept.is_same(*other) for other in (("ADD", 1), ("ADD", 2), ("SET", 1))] == [True, False, False]
    earlier = msgspec.json.decode(b'{"client_token": "token", "at_ms": 2}', type=AppliedUpdate)
    assert earlier.is_same("SET", 7)
