"""Consumable resources as they are stored."""

from __future__ import annotations

import msgspec

from batchyard.core.model.consumable_records import AppliedUpdate, ConsumableResource, ConsumableType


def test_a_record_comes_back_from_its_text() -> None:
    kept = ConsumableResource(
        "licence", ConsumableType.NON_REPLENISHABLE, 5, 1, {"a": "b"}, 3, (AppliedUpdate("token", 2),)
    )
    assert msgspec.json.decode(msgspec.json.encode(kept), type=ConsumableResource) == kept
