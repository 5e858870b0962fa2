"""A compute environment's computeResources, parsed once from its document."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct

FULL_BID_PERCENTAGE = 100  # bidPercentage's default: any Spot price up to the on-demand one (API: ComputeResource)
MILLISECONDS_PER_MINUTE = 60_000
MANAGED = "MANAGED"  # API: CEType; the other one is UNMANAGED


class Platform(StrEnum):
    """The platform of a job's container (API: PlatformCapability)."""

    EC2 = "EC2"
    FARGATE = "FARGATE"
    MANAGED_INSTANCES = "MANAGED_INSTANCES"


class EnvironmentKind(StrEnum):
    """What the jobs of an environment run on: computeResources.type (API: CRType), or UNMANAGED; REGISTERED is an
    UNMANAGED one that hosts join, where the jobs run on those."""

    EC2 = "EC2"
    SPOT = "SPOT"
    FARGATE = "FARGATE"
    FARGATE_SPOT = "FARGATE_SPOT"
    MANAGED_INSTANCES = "ECS_MANAGED_INSTANCES"
    UNMANAGED = "UNMANAGED"
    REGISTERED = "REGISTERED"

    @property
    def is_managed(self) -> bool:
        return self is not _UNMANAGED and self is not _REGISTERED

    @property
    def has_instances(self) -> bool:
        """Whether it has instances of its own. UNMANAGED environments use this host as it is; on Fargate, and
        where ECS owns the instances, each job reserves its own share of the host."""
        return self in _WITH_INSTANCES or self is _REGISTERED

    @property
    def launches_instances(self) -> bool:
        """Whether it launches them itself, by demand."""
        return self in _WITH_INSTANCES

    @property
    def is_fargate(self) -> bool:
        return self in _ON_FARGATE

    @property
    def is_spot(self) -> bool:
        return self in _ON_SPOT

    @property
    def is_budgeted(self) -> bool:
        """Whether each of its jobs reserves its own share of this host, up to maxvCpus."""
        return self.is_managed and not self.has_instances

    @property
    def platform(self) -> Platform:
        if self is EnvironmentKind.MANAGED_INSTANCES:
            return Platform.MANAGED_INSTANCES
        return Platform.FARGATE if self.is_fargate else Platform.EC2


# Looked up once here: an enum look-up costs more than the comparison, and the scheduler does this at each step.
_UNMANAGED = EnvironmentKind.UNMANAGED
_REGISTERED = EnvironmentKind.REGISTERED
_WITH_INSTANCES = (EnvironmentKind.EC2, EnvironmentKind.SPOT)
_ON_FARGATE = (EnvironmentKind.FARGATE, EnvironmentKind.FARGATE_SPOT)
_ON_SPOT = (EnvironmentKind.SPOT, EnvironmentKind.FARGATE_SPOT)


class Strategy(StrEnum):
    """An allocation strategy (API: CRAllocationStrategy)."""

    BEST_FIT = "BEST_FIT"
    BEST_FIT_PROGRESSIVE = "BEST_FIT_PROGRESSIVE"
    BEST_FIT_PROGRESSIVE_ORDERED = "BEST_FIT_PROGRESSIVE_ORDERED"
    SPOT_CAPACITY_OPTIMIZED = "SPOT_CAPACITY_OPTIMIZED"
    SPOT_PRICE_CAPACITY_OPTIMIZED = "SPOT_PRICE_CAPACITY_OPTIMIZED"
    SPOT_CAPACITY_OPTIMIZED_PRIORITIZED = "SPOT_CAPACITY_OPTIMIZED_PRIORITIZED"


DEFAULT_STRATEGY = Strategy.BEST_FIT
SPOT_STRATEGIES = (
    Strategy.SPOT_CAPACITY_OPTIMIZED,
    Strategy.SPOT_PRICE_CAPACITY_OPTIMIZED,
    Strategy.SPOT_CAPACITY_OPTIMIZED_PRIORITIZED,
)
ORDERED_STRATEGIES = (Strategy.BEST_FIT_PROGRESSIVE_ORDERED, Strategy.SPOT_CAPACITY_OPTIMIZED_PRIORITIZED)


class ComputeResources(Struct, frozen=True):
    """The members of computeResources that the core decides by, with their defaults. vCPUs are whole ones."""

    kind: EnvironmentKind
    strategy: Strategy = DEFAULT_STRATEGY
    min_vcpus: int = 0
    max_vcpus: int = 0
    desired_vcpus: int = 0
    instance_types: tuple[str, ...] = ()  # names, families and bundles, as listed
    bid_percentage: int = FULL_BID_PERCENTAGE
    scale_down_ms: int = 0  # scalingPolicy.minScaleDownDelayMinutes; 0: not given


def parse_compute_resources(members: Mapping[str, Any]) -> ComputeResources:
    """Parses computeResources. `members`: the document of a MANAGED environment, checked for shape."""
    minutes = (members.get("scalingPolicy") or {}).get("minScaleDownDelayMinutes") or 0
    return ComputeResources(
        kind=EnvironmentKind(members.get("type", EnvironmentKind.EC2)),
        strategy=Strategy(members.get("allocationStrategy") or DEFAULT_STRATEGY),
        min_vcpus=members.get("minvCpus") or 0,
        max_vcpus=members.get("maxvCpus") or 0,
        desired_vcpus=members.get("desiredvCpus") or 0,
        instance_types=tuple(members.get("instanceTypes", ())),
        bid_percentage=members.get("bidPercentage", FULL_BID_PERCENTAGE),
        scale_down_ms=minutes * MILLISECONDS_PER_MINUTE,
    )


def read_compute_resources(type_: str, document: Mapping[str, Any]) -> ComputeResources:
    """Parses a compute environment's document. `type_`: MANAGED or UNMANAGED; the latter has no computeResources."""
    if type_ != MANAGED:
        return ComputeResources(EnvironmentKind.UNMANAGED)
    return parse_compute_resources(document.get("computeResources", {}))


def may_overshoot(strategy: Strategy, *, is_spot: bool) -> bool:
    """Whether maxvCpus may be passed, by at most one instance: not by BEST_FIT on On-Demand (AWS Batch behaviour
    3.4)."""
    return is_spot or strategy is not Strategy.BEST_FIT
