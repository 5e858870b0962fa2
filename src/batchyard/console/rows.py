"""Rows of lists of jobs, made of the summaries that the API gives."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

from batchyard.api.batch import render
from batchyard.console.site import Site
from batchyard.core.model.names import Account
from batchyard.store.queries import JobView
from batchyard.wire.messages import Document

_SUFFIX = re.compile(r"^[^:#]*")  # of an id, what is not the child's or node's number


class JobRow(Struct, frozen=True):
    """`summary`: JobSummary. `reason`: why it waits or ended, where that is known without asking."""

    summary: Document
    queue: str
    definition: str
    reason: str
    exit_code: int | None
    size: int
    nodes: int


async def names_of(site: Site, job_ids: Iterable[str]) -> dict[str, str]:
    """Returns what people call jobs, by id: the name, and of a child or node its number."""
    wanted = list(dict.fromkeys(job_ids))
    views = await site.context.read(site.context.reader.jobs, wanted) if wanted else []
    return {view.job_id: view.spec.name + _SUFFIX.sub("", view.job_id) for view in views}


def row_of(view: JobView, account: Account) -> JobRow:
    summary = render.job_summary(view, account)
    container = summary.get("container", {})
    # Why a job succeeded needs no words; those of AWS are of its container.
    reason = "" if summary["status"] == "SUCCEEDED" else container.get("reason") or summary.get("statusReason", "")
    size = summary.get("arrayProperties", {}).get("size", 0)
    return JobRow(
        summary,
        view.spec.queue,
        view.spec.definition,
        reason,
        container.get("exitCode"),
        size,
        view.spec.num_nodes if view.node is None else 0,
    )
