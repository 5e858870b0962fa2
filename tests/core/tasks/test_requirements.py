"""What a container and a task may ask for, on each platform."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from batchyard.core.model.compute_resources import Platform
from batchyard.core.model.refusal import Refused
from batchyard.core.tasks import requirements


def entries(**amounts: str) -> list[dict[str, str]]:
    return [{"type": kind, "value": value} for kind, value in amounts.items()]


def amounts(**values: str) -> dict[str, Decimal]:
    return {kind: Decimal(value) for kind, value in values.items()}


def test_amounts_by_type() -> None:
    assert requirements.listed(entries(VCPU="0.25", MEMORY="512", GPU="1")) == amounts(
        VCPU="0.25", MEMORY="512", GPU="1"
    )


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        ([*entries(VCPU="1"), *entries(VCPU="2")], "Cannot provide duplicates"),
        (entries(VCPU="one"), "Value one for type VCPU"),
        (entries(MEMORY="1234567890"), "provide a numeric value"),
        (entries(GPU="0"), "GPU must be at least 1, got 0."),
        (entries(GPU="1.5"), "Value 1.5 for type GPU"),
    ],
)
def test_amounts_that_are_none(listed: list[dict[str, str]], words: str) -> None:
    with pytest.raises(Refused, match=words):
        requirements.listed(listed)


def test_old_members_count_alone_and_on_ec2_only() -> None:
    assert requirements.written({"vcpus": 2, "memory": 100}, Platform.EC2) == amounts(VCPU="2", MEMORY="100")
    with pytest.raises(Refused, match="Cannot use both"):
        requirements.written({"vcpus": 2, "resourceRequirements": entries(MEMORY="1")}, Platform.EC2)
    with pytest.raises(Refused, match="not applicable for Fargate"):
        requirements.written({"vcpus": 2, "memory": 100}, Platform.FARGATE)


def test_after_overrides_the_list_wins_and_the_rest_stays() -> None:
    container = {"vcpus": 2, "memory": 100, "resourceRequirements": entries(MEMORY="7")}
    assert requirements.merged(container) == amounts(VCPU="2", MEMORY="7")
    plain: dict[str, Any] = {"vcpus": 2, "memory": 100}
    assert requirements.settled(plain) == plain
    settled = requirements.settled({"vcpus": 2, "image": "i", "resourceRequirements": entries(MEMORY="7")})
    assert settled == {"image": "i", "resourceRequirements": entries(MEMORY="7", VCPU="2")}


@pytest.mark.parametrize(
    ("asked", "platform", "words"),
    [
        (amounts(MEMORY="64"), Platform.EC2, "vCPU is required."),
        (amounts(VCPU="1"), Platform.EC2, "Memory is required."),
        (amounts(VCPU="0.5", MEMORY="64"), Platform.EC2, "vCPU must be at least 1, got 0.5."),
        (amounts(VCPU="1.5", MEMORY="64"), Platform.EC2, "vCPU must be a whole number, got 1.5."),
        (amounts(VCPU="1", MEMORY="3"), Platform.EC2, "Memory must be at least 4 Mib, got 3 Mib."),
        (amounts(VCPU="1", MEMORY="2048", GPU="1"), Platform.FARGATE, "GPU is not applicable for Fargate."),
    ],
)
def test_a_container_that_asks_for_what_there_is_not(asked: dict[str, Decimal], platform: Platform, words: str) -> None:
    with pytest.raises(Refused, match=words):
        requirements.check_container(asked, platform)


def test_on_fargate_the_pair_is_the_whole_task_s() -> None:
    quarter, half = (Decimal("0.25"), Decimal(1024)), (Decimal("0.5"), Decimal(1024))
    assert requirements.check_container(amounts(VCPU="0.25", MEMORY="1024"), Platform.FARGATE) == quarter
    assert requirements.check_task([quarter, quarter], Platform.FARGATE) == Decimal("0.5")
    with pytest.raises(Refused, match=r"\(0\.75 vCPU, 2048 MiB\) not valid"):
        requirements.check_task([quarter, half], Platform.FARGATE)
    assert requirements.check_task([quarter, half], Platform.EC2) == Decimal("0.75")


def test_windows_needs_a_whole_vcpu() -> None:
    requirements.check_windows(Decimal("0.5"), "LINUX")
    requirements.check_windows(Decimal(1), requirements.WINDOWS_FAMILIES[0])
    with pytest.raises(Refused, match="at least 1 for Windows"):
        requirements.check_windows(Decimal("0.5"), requirements.WINDOWS_FAMILIES[0])


def test_overrides_are_held_to_the_rules_of_registration() -> None:
    container = {"resourceRequirements": entries(VCPU="1", MEMORY="2048")}
    requirements.check_overridden([], [container], Platform.FARGATE, {})
    with pytest.raises(Refused, match="Fargate resource requirements"):
        requirements.check_overridden(
            [], [{"resourceRequirements": entries(VCPU="1", MEMORY="1024")}], Platform.FARGATE, {}
        )
    with pytest.raises(Refused, match="Value x for type VCPU"):
        requirements.check_overridden([{"resourceRequirements": entries(VCPU="x")}], [container], Platform.FARGATE, {})
