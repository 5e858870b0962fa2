"""What placed attempts hold of consumable resources."""

from __future__ import annotations

import pytest

from batchyard.core.model.consumable_records import ConsumableRequirement, ConsumableResource, ConsumableType
from batchyard.core.state.consumable_table import Consumables

BOTH = (ConsumableRequirement("licence", 2), ConsumableRequirement("credit", 3))


def consumables() -> Consumables:
    made = Consumables()
    made["licence"] = ConsumableResource("licence", ConsumableType.REPLENISHABLE, 5, 1)
    made["credit"] = ConsumableResource("credit", ConsumableType.NON_REPLENISHABLE, 5, 1)
    return made


def test_one_kind_comes_back_and_the_other_does_not() -> None:
    made = consumables()
    made.hold(BOTH)
    assert [made.available(name) for name in ("licence", "credit")] == [3, 2]
    changed = made.release(BOTH)
    assert [made.available(name) for name in ("licence", "credit")] == [5, 2]
    assert [(one.name, one.consumed) for one in changed] == [("credit", 3)]
    assert made.held == {}


def test_what_may_become_free_is_the_total_of_what_comes_back() -> None:
    made = consumables()
    made.hold(BOTH)
    assert [made.may_become_free("licence", quantity) for quantity in (5, 6)] == [True, False]
    assert [made.may_become_free("credit", quantity) for quantity in (2, 3)] == [True, False]
    assert not made.may_become_free("unknown", 1)


def test_a_deleted_name_is_held_on_and_gives_nothing() -> None:
    made = consumables()
    made.hold(BOTH)
    del made["licence"]
    assert (made.available("licence"), made.in_use("licence")) == (0, 2)
    made["licence"] = ConsumableResource("licence", ConsumableType.REPLENISHABLE, 3, 9)
    assert made.available("licence") == 1, "the same name is the same resource"


def test_more_than_was_taken_is_never_given_back() -> None:
    made = consumables()
    made.hold((ConsumableRequirement("licence", 1),))
    with pytest.raises(AssertionError, match="more of licence is given back than was taken"):
        made.release((ConsumableRequirement("licence", 2),))
