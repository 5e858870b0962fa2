"""The containers of a job definition, wherever its body has them (AWS Batch behaviour 6.2, 6.10, 8.1)."""

from __future__ import annotations

from collections.abc import Callable

from batchyard.wire.messages import Document

Change = Callable[[Document], Document]


def as_it_is(document: Document) -> Document:
    return document


def each_body(document: Document, container: Change, task: Change, pod: Change = as_it_is) -> Document:
    """Returns the definition with every containerProperties (a node range's too) mapped by `container`, every task
    of every ecsProperties by `task`, and the podProperties of every eksProperties by `pod`."""
    changed = _one_body(document, "containerProperties", container, task, pod)
    if "nodeProperties" in document:
        nodes = document["nodeProperties"]
        ranges = [_one_body(each, "container", container, task, pod) for each in nodes.get("nodeRangeProperties", [])]
        changed = changed | {"nodeProperties": nodes | {"nodeRangeProperties": ranges}}
    return changed


def _one_body(holder: Document, member: str, container: Change, task: Change, pod: Change) -> Document:
    if member in holder:
        return holder | {member: container(holder[member])}
    if "ecsProperties" in holder:
        properties = holder["ecsProperties"]
        tasks = [task(each) for each in properties.get("taskProperties", [])]
        return holder | {"ecsProperties": properties | {"taskProperties": tasks}}
    if "podProperties" in holder.get("eksProperties", {}):
        properties = holder["eksProperties"]
        return holder | {"eksProperties": properties | {"podProperties": pod(properties["podProperties"])}}
    return holder
