"""The ECS task metadata endpoint: finds the document that a job's program reads, by task id and path."""

from __future__ import annotations

from typing import Any

from batchyard.api.context import Context
from batchyard.api.ecs.cluster_names import cluster_name
from batchyard.core.model.node_addresses import address_of
from batchyard.observe.metadata import Task, metadata_document


async def metadata(context: Context, attempt_id: str, path: str, container: str = "") -> dict[str, Any] | None:
    """Returns the answer to GET `<the attempt's metadata URI><path>`; None for an unknown attempt, container or path
    (404).

    `attempt_id`: the attempt's task id, as the caller's token has proved it. `container`: the one that the URI
    belongs to; empty where the task has only one."""
    view = await context.read(context.reader.attempt, attempt_id)
    if view is None or view.attempt is None:
        return None
    spec, node, first = view.view.spec, view.view.node, view.attempt.first_address
    task = Task(
        account=context.account,
        cluster=cluster_name(context.account, view.attempt.environment),
        spec=spec,
        attempt=view.attempt,
        task_id=attempt_id,
        address="" if node is None or not first else address_of(first, node),
    )
    return metadata_document(path.rstrip("/"), task, container)
