"""Merges what the nodes of a multi-node job run: nodeProperties of its definition with nodeOverrides (AWS Batch
behaviour 8.1, 8.2). Takes AWS documents that were checked for shape."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from batchyard.core.model.compute_resources import Platform
from batchyard.core.model.records import Ranges
from batchyard.core.tasks import ecs_task, pod, requirements, task_spec
from batchyard.core.tasks.ecs_task import Body
from batchyard.core.tasks.node_ranges import nodes_of_each, parse_target

Document = dict[str, Any]

NODES_PLATFORM = Platform.EC2  # multi-node jobs have no other


class RangeBody(Struct, frozen=True):
    """What the nodes of one range run, and the document of the range."""

    nodes: Ranges
    body: Body
    document: Document


def merge_range(node_range: Document, change: Document) -> Document:
    """Returns a node range with its override applied. Raises Refused where the override does not fit the range's
    body."""
    changed = dict(node_range)
    if change.get("containerOverrides"):
        requirements.written(change["containerOverrides"], NODES_PLATFORM)
        merged = task_spec.merge_container(node_range["container"], change["containerOverrides"])
        if "instanceType" in change["containerOverrides"]:
            merged["instanceType"] = change["containerOverrides"]["instanceType"]
        changed["container"] = requirements.settled(merged)
    tasks = change.get("ecsPropertiesOverride", {}).get("taskProperties", [])
    if tasks:
        changed["ecsProperties"] = {"taskProperties": [ecs_task.merge(node_range, {}, tasks[0]).task]}
    if change.get("eksPropertiesOverride"):
        changed["eksProperties"] = pod.merge(node_range["eksProperties"], change["eksPropertiesOverride"])
    if change.get("instanceTypes"):
        changed["instanceTypes"] = change["instanceTypes"]
    if change.get("consumableResourcePropertiesOverride"):
        changed["consumableResourceProperties"] = change["consumableResourcePropertiesOverride"]
    return changed


def merge_nodes(properties: Document, overrides: Document) -> Document:
    """Returns nodeProperties with nodeOverrides applied."""
    changes = {parse_target(one["targetNodes"]): one for one in overrides.get("nodePropertyOverrides", [])}
    ranges = [
        merge_range(node_range, changes.get(parse_target(node_range["targetNodes"]), {}))
        for node_range in properties["nodeRangeProperties"]
    ]
    return properties | {"numNodes": overrides.get("numNodes") or properties["numNodes"], "nodeRangeProperties": ranges}


def bodies_of(properties: Document) -> list[RangeBody]:
    """Returns what the nodes of each range run, without ranges of which other ranges have all nodes. `properties`:
    merged."""
    ranges = properties["nodeRangeProperties"]
    targets = [parse_target(one["targetNodes"]) for one in ranges]
    owned = nodes_of_each(targets, properties["numNodes"])
    found: list[RangeBody] = []
    for node_range, nodes in zip(ranges, owned, strict=True):
        if nodes:
            document = {"containerProperties": node_range["container"]} if "container" in node_range else node_range
            found.append(RangeBody(nodes, ecs_task.merge(document, {}, {}), node_range))
    return found
