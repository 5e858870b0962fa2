"""Checks consumableResourceProperties (AWS Batch behaviour 5.4)."""

from __future__ import annotations

from batchyard.api.checks import check_name, has_duplicates, quoted, require
from batchyard.core.model.names import resource_name
from batchyard.wire.messages import Document

MAX_CONSUMABLES = 5  # of one job; user guide: resource-aware-scheduling


def check_consumables(properties: Document | None) -> None:
    """Checks consumable resources: of a definition, node range or submission. A name and its ARN are the same one."""
    entries = (properties or {}).get("consumableResourceList", [])
    require(
        len(entries) <= MAX_CONSUMABLES,
        f"Each ConsumableResourceProperty can have at most {MAX_CONSUMABLES} consumableResources",
    )
    names = [resource_name(entry.get("consumableResource", ""), "consumable-resource") for entry in entries]
    require(all(names), "consumableResource is required.")
    require(not has_duplicates(names), "Cannot have duplicate consumableResource in consumableResourceProperties")
    for name, entry in zip(names, entries, strict=True):
        check_name(name, "ConsumableResource")  # no resource could ever be created with another
        quantity = entry.get("quantity")
        require(quantity is not None, f"The quantity of the consumableResource {quoted(name)} is required.")
        require(quantity >= 1, f"The quantity of the consumableResource {quoted(name)} must be at least 1.")
