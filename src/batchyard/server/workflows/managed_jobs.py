"""The environment variable by which a job knows that Step Functions waits for it (step functions spec 14)."""

from __future__ import annotations

from typing import Any

from batchyard.core.model.refusal import Refused
from batchyard.core.tasks.node_ranges import parse_target
from batchyard.wire.messages import Document

MANAGED = {"name": "MANAGED_BY_AWS", "value": "STARTED_BY_STEP_FUNCTIONS"}


def with_managed_environment(request: Document, definition: Document) -> Document:
    """Returns a SubmitJob request that adds the variable to every container of its job definition. Pods get none."""
    if "nodeProperties" in definition:
        return request | {"nodeOverrides": _node_overrides(request.get("nodeOverrides", {}), definition)}
    return request | _overrides(request, definition)


def _overrides(change: Document, body: Document) -> Document:
    """Returns the member of a request, or of the change of a node range, that adds the variable to a body."""
    if "eksProperties" in body:
        return {}
    if "ecsProperties" not in body:
        return {"containerOverrides": _container(change.get("containerOverrides", {}))}
    containers = [one for task in body["ecsProperties"]["taskProperties"] for one in task.get("containers", [])]
    tasks = change.get("ecsPropertiesOverride", {}).get("taskProperties") or [{}]
    asked = {one.get("name", ""): one for one in tasks[0].get("containers", [])}
    changed = [_container(asked.pop(one["name"], {"name": one["name"]})) for one in containers]
    task = tasks[0] | {"containers": [*changed, *asked.values()]}  # those of other names are refused with AWS's text
    return {"ecsPropertiesOverride": {"taskProperties": [task, *tasks[1:]]}}


def _container(overrides: Document) -> Document:
    environment: list[Any] = overrides.get("environment", [])
    others = [one for one in environment if one.get("name") != MANAGED["name"]]
    return overrides | {"environment": [*others, MANAGED]}


def _node_overrides(overrides: Document, definition: Document) -> Document:
    asked = list(overrides.get("nodePropertyOverrides", []))
    places = {_target(one): place for place, one in enumerate(asked)}
    for node_range in definition["nodeProperties"]["nodeRangeProperties"]:
        place = places.get(_target(node_range))
        change = asked[place] if place is not None else {"targetNodes": node_range["targetNodes"]}
        added = _overrides(change, node_range)
        if not added:
            continue
        if place is None:
            asked.append(change | added)
        else:
            asked[place] = change | added
    return overrides | {"nodePropertyOverrides": asked}


def _target(one: Document) -> Any:
    """Returns which nodes a range is for; of a text that is refused later, the text."""
    try:
        return parse_target(one["targetNodes"])
    except Refused:
        return one.get("targetNodes")
