"""Scheduling policies, and which of them a queue may have."""

from __future__ import annotations

from typing import Any

import pytest

from batchyard.core.model import commands as c
from batchyard.core.model.records import EnvironmentOrder
from batchyard.core.model.refusal import Refused
from tests.core.driver import ACCOUNT, Driver

FAIR: dict[str, Any] = {"fairsharePolicy": {"shareDecaySeconds": 60}}
QUOTA: dict[str, Any] = {"quotaSharePolicy": {}}
ORDER = (EnvironmentOrder(1, "local"),)


@pytest.fixture
def driver() -> Driver:
    """With the policies `fair`, `other` and `quota`, and the queue `shared` that has the first."""
    driver = Driver()
    for name, document in (("fair", FAIR), ("other", FAIR), ("quota", QUOTA)):
        driver.do(c.CreateSchedulingPolicy(name, document))
    driver.do(c.CreateJobQueue("shared", "ENABLED", 1, ORDER, policy("fair")))
    return driver


def policy(name: str) -> dict[str, str]:
    return {"schedulingPolicyArn": ACCOUNT.policy_arn(name)}


def test_a_policy_decides_as_soon_as_it_is_kept(driver: Driver) -> None:
    world = driver.machine.world
    share = world.queues.fair_share("shared")
    assert share is not None
    assert share.window_ms == 60_000
    driver.do(c.UpdateSchedulingPolicy("fair", {"fairsharePolicy": {"shareDecaySeconds": 7}}))
    changed = world.queues.fair_share("shared")
    assert changed is not None
    assert changed.window_ms == 7000
    assert world.queues.fair_share("default") is None


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (c.CreateSchedulingPolicy("fair", FAIR), "already exists"),
        (c.UpdateSchedulingPolicy("fair", QUOTA), "can not change"),
        (c.UpdateSchedulingPolicy("none", FAIR), "not found"),
        (c.DeleteSchedulingPolicy("fair"), "is used by job queue shared"),
        (c.CreateJobQueue("new", "ENABLED", 1, ORDER, policy("none")), "not found"),
        (c.CreateJobQueue("new", "ENABLED", 1, ORDER, policy("quota")), "Quota Management"),
        (c.UpdateJobQueue("default", document=policy("fair")), "was created without a scheduling policy"),
        (c.UpdateJobQueue("shared", document={"schedulingPolicyArn": ""}), "but not removed"),
    ],
)
def test_what_is_refused(driver: Driver, command: c.Command[Any], words: str) -> None:
    with pytest.raises(Refused, match=words):
        driver.do(command)


def test_a_policy_is_replaced_and_then_deleted(driver: Driver) -> None:
    driver.do(c.UpdateJobQueue("shared", document=policy("other")))
    driver.do(c.DeleteSchedulingPolicy("fair"))
    assert sorted(driver.machine.world.queues.policies) == ["other", "quota"]
    assert driver.kept.documents.keys() >= {("scheduling-policy", "other"), ("scheduling-policy", "quota")}
    assert ("scheduling-policy", "fair") not in driver.kept.documents
