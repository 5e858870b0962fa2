"""Checks nodeProperties, the body of multi-node parallel jobs (AWS Batch behaviour 8.1)."""

from __future__ import annotations

from batchyard.api.batch.rules.consumable_rules import check_consumables
from batchyard.api.batch.rules.container_rules import check_container
from batchyard.api.batch.rules.pod_rules import check_pod, namespace_of
from batchyard.api.batch.rules.task_rules import check_task
from batchyard.api.checks import quoted, require
from batchyard.core.model.compute_resources import Platform
from batchyard.core.tasks.node_ranges import parse_target
from batchyard.wire.messages import Document

NODE_COUNT_RANGE = (1, 1000)  # user guide: mnp-node-groups
MAX_NODE_RANGES = 5
MAX_INSTANCE_TYPES = 1  # API: NodeRangeProperty.instanceTypes
BODIES = ("container", "ecsProperties", "eksProperties")


def check_nodes(properties: Document) -> None:
    """Checks one nodeProperties document. Ranges may nest and overlap; together they cover every node."""
    low, high = NODE_COUNT_RANGE
    count, ranges = properties["numNodes"], properties["nodeRangeProperties"]
    require(low <= count <= high, f"Number of nodes must be between {low} and {high}.")
    require(0 <= properties["mainNode"] < count, "Main node index is out of range, must be less than numNodes.")
    require(len(ranges) <= MAX_NODE_RANGES, f"Maximum allowed size of node range properties is {MAX_NODE_RANGES}")
    covered: set[int] = set()
    for node_range in ranges:
        covered |= _nodes_of(node_range["targetNodes"], count)
        _check_range(node_range)
    require(len(covered) == count, "Node Range Properties target nodes have missing ranges")
    _check_alike(ranges)


def _nodes_of(text: str, count: int) -> set[int]:
    target = parse_target(text)
    last = count - 1 if target.last is None else target.last
    require(
        max(target.first, last) < count,
        f"Node range error {quoted(text)}. Node range should be smaller than number of nodes",
    )
    require(target.first <= last, f"Node range error {quoted(text)}. The first node must not be behind the last.")
    return set(range(target.first, last + 1))


def _check_range(node_range: Document) -> None:
    target = node_range["targetNodes"]
    bodies = [body for body in BODIES if body in node_range]
    require(bodies, f"Must specify container for node range {target}")
    require(len(bodies) == 1, "NodeRangeProperties can not use both ecsProperties and container fields")
    types = node_range.get("instanceTypes", [])
    require(
        not types or "ecsProperties" in bodies,
        "Using instanceTypes with nodeRangeProperty is only allowed for ecsProperties jobs.",
    )
    require(
        len(types) <= MAX_INSTANCE_TYPES,
        f"instanceTypes of a node range must hold at most {MAX_INSTANCE_TYPES} entry, got {len(types)}.",
    )
    check_consumables(node_range.get("consumableResourceProperties"))
    if "container" in node_range:
        check_container(node_range["container"], Platform.EC2)
    elif "ecsProperties" in node_range:
        check_task(node_range["ecsProperties"], Platform.EC2)
    else:
        check_pod(node_range["eksProperties"])


def _check_alike(ranges: list[Document]) -> None:
    """Checks that all node ranges of a job agree in what they share (user guide: mnp-node-groups; API: EksMetadata)."""
    types = {_instance_type(node_range) for node_range in ranges} - {""}
    require(
        len(types) <= 1,
        f"All node ranges must use the same instance type, got {quoted(', '.join(sorted(types)))}.",
    )
    pods = [node_range["eksProperties"] for node_range in ranges if "eksProperties" in node_range]
    require(len(pods) in (0, len(ranges)), "Either all node ranges use eksProperties, or none does.")
    require(
        len({namespace_of(pod) for pod in pods}) <= 1,
        "The namespace of the pod's metadata must be the same in all node ranges.",
    )


def _instance_type(node_range: Document) -> str:
    types = node_range.get("instanceTypes") or [node_range.get("container", {}).get("instanceType", "")]
    return str(types[0])
