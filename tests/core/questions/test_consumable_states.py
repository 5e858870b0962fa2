"""What is asked about consumable resources: by name, in pages, and the jobs that take them."""

from __future__ import annotations

from batchyard.core.model import consumable_commands as c
from batchyard.core.model.consumable_records import ConsumableType
from tests.core.driver import Driver


def yard_with(*names: str) -> Driver:
    yard = Driver()
    for name in names:
        yard.do(c.CreateConsumableResource(name, ConsumableType.REPLENISHABLE, 5, {}))
    return yard


def listed(yard: Driver, **members: str | bool) -> list[str]:
    found = yard.do(c.AskConsumableResources(limit=10, **members))  # type: ignore[arg-type]
    return [one.resource.name for one in found]


def test_resources_are_listed_by_name_and_by_its_beginning() -> None:
    yard = yard_with("b", "Abc", "abd")
    assert listed(yard) == ["Abc", "abd", "b"]
    assert listed(yard, prefix="ab") == ["Abc", "abd"]
    assert listed(yard, prefix="abc", is_prefix=False) == ["Abc"]
    assert listed(yard, after="Abc") == ["abd", "b"]


def test_the_unfinished_jobs_that_take_a_resource_come_oldest_first() -> None:
    yard = yard_with("licence", "other")
    wanted = {"consumableResourceList": [{"consumableResource": "licence", "quantity": 2}]}
    first, second, plain = yard.submit(consumables=wanted), yard.submit(consumables=wanted), yard.submit()
    found = yard.do(c.AskConsumableJobs("licence"))
    assert [(one.job_id, one.quantity) for one in found] == [(first, 2), (second, 2)]
    assert [one.job_id for one in yard.do(c.AskConsumableJobs("licence", found[0].key))] == [second]
    yard.exited(first)
    assert [one.job_id for one in yard.do(c.AskConsumableJobs("licence"))] == [second]
    assert yard.do(c.AskConsumableJobs("other")) == ()
    assert plain
