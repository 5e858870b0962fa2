"""computeResources as the core reads them."""

import pytest

from batchyard.core.model.compute_resources import (
    ComputeResources,
    EnvironmentKind,
    Platform,
    Strategy,
    may_overshoot,
    read_compute_resources,
)


def test_members_are_read_with_their_defaults() -> None:
    least = read_compute_resources("MANAGED", {"computeResources": {"type": "EC2", "maxvCpus": 4}})
    assert least == ComputeResources(EnvironmentKind.EC2, Strategy.BEST_FIT, max_vcpus=4, bid_percentage=100)
    members = {
        "type": "SPOT",
        "allocationStrategy": "SPOT_CAPACITY_OPTIMIZED",
        "minvCpus": 1,
        "maxvCpus": 8,
        "desiredvCpus": 2,
        "instanceTypes": ["c5.large", "r5"],
        "bidPercentage": 60,
        "scalingPolicy": {"minScaleDownDelayMinutes": 20},
        "subnets": ["subnet-1"],
    }
    read = read_compute_resources("MANAGED", {"computeResources": members})
    assert (read.kind, read.strategy) == (EnvironmentKind.SPOT, Strategy.SPOT_CAPACITY_OPTIMIZED)
    assert (read.min_vcpus, read.max_vcpus, read.desired_vcpus) == (1, 8, 2)
    assert (read.instance_types, read.bid_percentage) == (("c5.large", "r5"), 60)
    assert read.scale_down_ms == 20 * 60_000


def test_an_unmanaged_environment_is_of_a_kind_of_its_own() -> None:
    assert read_compute_resources("UNMANAGED", {"computeResources": {"type": "EC2"}}).kind is EnvironmentKind.UNMANAGED


@pytest.mark.parametrize(
    ("kind", "has_instances", "is_budgeted", "is_spot", "platform"),
    [
        (EnvironmentKind.EC2, True, False, False, Platform.EC2),
        (EnvironmentKind.SPOT, True, False, True, Platform.EC2),
        (EnvironmentKind.FARGATE, False, True, False, Platform.FARGATE),
        (EnvironmentKind.FARGATE_SPOT, False, True, True, Platform.FARGATE),
        (EnvironmentKind.MANAGED_INSTANCES, False, True, False, Platform.MANAGED_INSTANCES),
        (EnvironmentKind.UNMANAGED, False, False, False, Platform.EC2),
    ],
)
def test_what_follows_from_the_kind(
    kind: EnvironmentKind, has_instances: bool, is_budgeted: bool, is_spot: bool, platform: Platform
) -> None:
    assert (kind.has_instances, kind.is_budgeted, kind.is_spot) == (has_instances, is_budgeted, is_spot)
    assert kind.platform is platform
    assert kind.is_fargate is (platform is Platform.FARGATE)


def test_only_best_fit_on_demand_keeps_below_max_vcpus() -> None:
    assert not may_overshoot(Strategy.BEST_FIT, is_spot=False)
    assert may_overshoot(Strategy.BEST_FIT, is_spot=True)
    assert may_overshoot(Strategy.BEST_FIT_PROGRESSIVE, is_spot=False)
