"""A multi-node job: its nodes side by side, and the one that failed first."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from batchyard.api.context import Context
from batchyard.console.job_logs import find_place, last_lines
from batchyard.console.rendering import render
from batchyard.console.site import Answer, PageRequest, Site
from batchyard.core.model import names
from batchyard.store.queries import JobView

MAX_NODES_SHOWN = 64  # with their last lines: a file each
SHOWN_LINES = 6


class NodeColumn(Struct, frozen=True):
    """`instance`: where it runs or ran; `lines`: its last output."""

    index: int
    job_id: str
    status: str
    is_main: bool
    instance: str
    exit_code: int | None
    reason: str
    lines: str
    ended_at_ms: int


async def show(site: Site, request: PageRequest, view: JobView, values: dict[str, Any]) -> Answer:
    nodes = await site.context.read(_nodes, site.context, view)
    failed = [node for node in nodes if node.status == "FAILED" and node.exit_code and node.ended_at_ms]
    first = min(failed, key=lambda node: node.ended_at_ms, default=None)
    return render(site, request, "gang.html", **values, nodes=nodes, first_failed=first)


def _nodes(context: Context, view: JobView) -> list[NodeColumn]:
    count = min(view.spec.num_nodes, MAX_NODES_SHOWN)
    found = context.reader.jobs([names.node_id(view.spec.job_id, index) for index in range(count)])
    return [_column(context, view, node) for node in found]


def _column(context: Context, view: JobView, node: JobView) -> NodeColumn:
    index = node.node
    assert index is not None, "a node of a multi-node job has an index"
    latest = view.job.attempt or (view.job.past[-1] if view.job.past else None)
    instance = latest.placements[index].instance_id if latest and index < len(latest.placements) else ""
    own = node.job.attempt or (node.job.past[-1] if node.job.past else None)
    place = find_place(node)
    return NodeColumn(
        index,
        node.job_id,
        node.job.status.value,
        index == view.spec.main_node,
        instance,
        own.exit_code if own else None,
        (own.reason or own.status_reason if own else "") or node.job.status_reason,
        last_lines(context, place, SHOWN_LINES) if place is not None else "",
        own.stopped_at_ms if own else 0,
    )
