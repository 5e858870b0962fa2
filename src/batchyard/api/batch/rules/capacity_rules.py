"""The capacity limits of service environments and quota shares (AWS Batch behaviour 2.7)."""

from __future__ import annotations

import re

from batchyard.api.checks import has_duplicates, quoted, require
from batchyard.wire.messages import Document

MAX_LIMITS = 5  # user guide: create-quota-shares
NUM_INSTANCES = "NUM_INSTANCES"
INSTANCE_TYPE = re.compile(r"ml\.[a-z0-9-]{1,40}\.[a-z0-9-]{1,40}")  # as SageMaker names them: ml.p5.48xlarge


def check_share_limits(limits: list[Document]) -> None:
    """Refuses limits that a quota share can't have. They are of instance types."""
    check_capacity_limits(limits)
    require(
        all(limit["capacityUnit"] != NUM_INSTANCES for limit in limits),
        f"{NUM_INSTANCES} is unknown capacity unit of a quota share, which has limits of instance types: ml.g5.xlarge.",
    )


def check_capacity_limits(limits: list[Document]) -> None:
    """Refuses limits that AWS would not accept. Valid are either one limit of NUM_INSTANCES, or one limit for each
    of some instance types."""
    require(limits, "Capacitylimits are required.")
    require(len(limits) <= MAX_LIMITS, f"Number of capacity limits exceeds {MAX_LIMITS}.")
    units = [limit.get("capacityUnit", "") for limit in limits]
    for limit, unit in zip(limits, units, strict=True):
        require(limit.get("maxCapacity", 0) > 0, "Max capacity must be more than 0.")
        require(unit, "Capacity units must specify either number of instances OR instance type")
        require(
            unit == NUM_INSTANCES or INSTANCE_TYPE.fullmatch(unit),
            f"{quoted(unit)} is unknown capacity unit",
        )
    require(
        NUM_INSTANCES not in units or len(set(units)) == 1,
        "Capacity units must specify either number of instances OR instance type",
    )
    require(not has_duplicates(units), "Each capacity unit can have only one capacity limit.")
