"""Prices of instances per hour, in micro-dollars so that sums are exact: the owner's prices, else nominal ones."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from batchyard.core.capacity.catalogue import InstanceType
from batchyard.core.model.records import Instance, Market
from batchyard.core.model.resources import MILLI_PER_VCPU

MICRO_PER_DOLLAR = 1_000_000

# A nominal price is no real one: it only gives types an order that grows with what they have. The shares are near to
# what public clouds ask, so that the order is the usual one: compute types first, then general ones, then memory, then
# GPUs.
NOMINAL_VCPU_MICRO_DOLLARS = 37_000
NOMINAL_MIB_MICRO_DOLLARS = 3
NOMINAL_GPU_MICRO_DOLLARS = 500_000


class Prices(Struct, frozen=True):
    """The owner's prices by instance type, in micro-dollars per hour; a type that is missing has no price of its
    own."""

    on_demand: Mapping[str, int] = {}
    spot: Mapping[str, int] = {}

    def on_demand_of(self, kind: InstanceType) -> int:
        """Returns micro-dollars per hour; nominal where the owner gave none."""
        return self.on_demand.get(kind.name) or nominal(kind)

    def spot_of(self, kind: InstanceType) -> int | None:
        """Returns micro-dollars per hour; None where the owner gave none."""
        return self.spot.get(kind.name)

    def price_of(self, instance: Instance) -> int:
        """Returns the owner's price of an hour, in micro-dollars: of Spot the Spot price, where there is one. 0: there
        is none."""
        price = self.on_demand.get(instance.instance_type, 0)
        return self.spot.get(instance.instance_type, price) if instance.market is Market.SPOT else price

    def ranking_price(self, kind: InstanceType, *, is_spot: bool) -> int:
        """Returns the price by which types are compared: on Spot the Spot price, where there is one."""
        spot = self.spot_of(kind) if is_spot else None
        return self.on_demand_of(kind) if spot is None else spot

    def is_within_bid(self, kind: InstanceType, bid_percentage: int) -> bool:
        """Whether a SPOT environment may use the type: while its Spot price is at most that percentage of its on-demand
        price (AWS Batch behaviour 3.3). Without a known Spot price no type is refused."""
        spot = self.spot_of(kind)
        return spot is None or spot * 100 <= self.on_demand_of(kind) * bid_percentage


def nominal(kind: InstanceType) -> int:
    """Returns micro-dollars per hour, in proportion to the type's resources."""
    return (
        kind.milli_vcpus * NOMINAL_VCPU_MICRO_DOLLARS // MILLI_PER_VCPU
        + kind.memory_mib * NOMINAL_MIB_MICRO_DOLLARS
        + kind.gpus * NOMINAL_GPU_MICRO_DOLLARS
    )


def format_dollars(micro_dollars: int) -> str:
    """Formats `85000` as `$0.085`."""
    text = f"{micro_dollars / MICRO_PER_DOLLAR:.6f}".rstrip("0")
    whole, _, rest = text.partition(".")
    return f"${whole}.{rest:0<2}"
