"""Compute environments: what a change leaves alone, and when a deleted one is gone (AWS Batch behaviour 2.1)."""

from __future__ import annotations

import pytest

from batchyard.core.model import commands as c
from batchyard.core.model.records import State
from batchyard.core.model.refusal import Refused
from tests.core.driver import Driver


def test_an_update_of_the_state_leaves_the_document_alone() -> None:
    yard = Driver()
    yard.fleet("small", kind="FARGATE", most=1)
    before = yard.machine.world.environments["small"]
    yard.do(c.UpdateComputeEnvironment("small", "DISABLED"))
    after = yard.machine.world.environments["small"]
    assert (after.state, after.document, after.uuid) == (State.DISABLED, before.document, before.uuid)


def test_an_environment_goes_only_when_it_is_disabled_and_no_queue_uses_it() -> None:
    yard = Driver()
    yard.fleet("small", kind="FARGATE", most=1)
    with pytest.raises(Refused, match="must be DISABLED first"):
        yard.do(c.DeleteComputeEnvironment("small"))
    yard.do(c.UpdateComputeEnvironment("small", "DISABLED"))
    with pytest.raises(Refused, match="found existing JobQueue relationship"):
        yard.do(c.DeleteComputeEnvironment("small"))
    yard.do(c.UpdateJobQueue("small", "DISABLED"))
    yard.do(c.DeleteJobQueue("small"))
    yard.do(c.DeleteComputeEnvironment("small"))
    world = yard.machine.world
    assert "small" not in world.environments
    assert "small" not in world.environments.budgets
    with pytest.raises(Refused, match=r"ComputeEnvironment small does not exist\."):
        yard.do(c.UpdateComputeEnvironment("small", "ENABLED"))
