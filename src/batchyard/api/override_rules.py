"""The overrides of SubmitJob (AWS Batch behaviour 7.2, 8.2)."""

from __future__ import annotations

from typing import Any

from batchyard.api.checks import check_no_nul, has_duplicates, quoted, require
from batchyard.api.consumable_rules import check_consumables
from batchyard.api.container_rules import check_environment, check_requirements
from batchyard.api.node_rules import BODIES, NODES, Target, parse_target
from batchyard.api.task_rules import CONTAINERS

Document = dict[str, Any]

# What changes each kind of a node range's body (API: NodePropertyOverride).
OVERRIDE_OF = {
    "container": "containerOverrides",
    "ecsProperties": "ecsPropertiesOverride",
    "eksProperties": "eksPropertiesOverride",
}


def check_overrides(overrides: Document, called: str = "containerOverrides") -> None:
    """containerOverrides of a job or of a node range, or what ecsPropertiesOverride has for one container."""
    check_no_nul(overrides, called)
    require(all(overrides.get("command", [])), "Command field cannot have empty strings")
    check_environment(overrides.get("environment", []))
    check_requirements(overrides.get("resourceRequirements", []))
    for member in ("vcpus", "memory"):
        value = overrides.get(member)
        require(value is None or value >= 1, f"{called}.{member} must be at least 1, got {value}.")


def check_task_overrides(properties: Document) -> None:
    """ecsPropertiesOverride of a job. Which containers there are is the machine's to know."""
    member = "ecsPropertiesOverride.taskProperties"
    tasks = properties.get("taskProperties", [])
    require(len(tasks) <= 1, f"{member} must hold at most 1 task, got {len(tasks)}.")
    containers = tasks[0].get("containers", []) if tasks else []
    _, high = CONTAINERS
    require(len(containers) <= high, f"{member}[0] must hold at most {high} containers, got {len(containers)}.")
    require(not has_duplicates([entry.get("name", "") for entry in containers]), "Container names must be unique")
    for entry in containers:
        check_overrides(entry, f"{member}[0].containers")


def check_node_overrides(overrides: Document, properties: Document) -> None:
    """nodeOverrides of SubmitJob against the nodeProperties of its definition."""
    bodies = {parse_target(each["targetNodes"]): each for each in properties["nodeRangeProperties"]}
    count = overrides.get("numNodes")
    if count is not None:
        _check_count(count, properties, list(bodies))
    changes = overrides.get("nodePropertyOverrides", [])
    others = [change["targetNodes"] for change in changes if parse_target(change["targetNodes"]) not in bodies]
    require(
        not others,
        f"NodeOverride targets should match job definition. Non matching targets - {quoted(', '.join(others))}",
    )
    for change in changes:
        body = next(body for body in BODIES if body in bodies[parse_target(change["targetNodes"])])
        for kind, member in OVERRIDE_OF.items():
            require(
                kind == body or member not in change,
                f"{member} can not be used for the node range {change['targetNodes']}: "
                f"the job definition has {body} there.",
            )
        check_overrides(change.get("containerOverrides", {}))
        check_consumables(change.get("consumableResourcePropertiesOverride"))


def _check_count(count: int, properties: Document, targets: list[Target]) -> None:
    """numNodes may change only what an open range leaves open (API: NodeOverrides.numNodes)."""
    low, high = NODES
    require(low <= count <= high, f"Number of nodes must be between {low} and {high}.")
    require(properties["mainNode"] < count, "Main node index is out of range, must be less than numNodes.")
    starts = [target.first for target in targets if target.last is None]
    require(starts, "numNodes can only be overridden if a node range of the job definition is open, such as 1: or :.")
    require(
        max(starts) < count,
        f"numNodes must be greater than {max(starts)}, the first node of an open node range, got {count}.",
    )
