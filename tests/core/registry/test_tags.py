"""Tags: merged, removed, and limited in number, whatever they are on (AWS Batch behaviour 2.8)."""

from __future__ import annotations

import pytest

from batchyard.core.model import commands as c
from batchyard.core.model.refusal import Refused
from batchyard.core.registry.tags import MAX_TAGS
from tests.core.driver import Driver


def tags_of(yard: Driver, kind: str) -> dict[str, str]:
    world = yard.machine.world
    return world.queues["default"].tags if kind == "job-queue" else world.environments["local"].tags


@pytest.mark.parametrize(("kind", "name"), [("job-queue", "default"), ("compute-environment", "local")])
def test_tags_are_merged_and_removed_by_key(kind: str, name: str) -> None:
    yard = Driver()
    yard.do(c.TagResource(kind, name, {"a": "1", "b": "2"}))
    yard.do(c.TagResource(kind, name, {"b": "3"}))
    assert tags_of(yard, kind) == {"a": "1", "b": "3"}
    yard.do(c.UntagResource(kind, name, ("a", "unknown")))
    assert tags_of(yard, kind) == {"b": "3"}


def test_the_number_of_tags_is_limited_after_the_merge() -> None:
    yard = Driver()
    yard.do(c.TagResource("job-queue", "default", {f"k{n}": "" for n in range(MAX_TAGS)}))
    yard.do(c.TagResource("job-queue", "default", {"k0": "again"}))
    with pytest.raises(Refused, match=f"at most {MAX_TAGS} tags; with these it would have {MAX_TAGS + 1}"):
        yard.do(c.TagResource("job-queue", "default", {"one more": ""}))
