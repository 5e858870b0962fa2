"""The ECS task metadata endpoint: from a task id and a path to the document that a job's program reads."""

from __future__ import annotations

from typing import Any

from batchyard.api.context import Context
from batchyard.api.render import cluster_name, log_prefix
from batchyard.core import names
from batchyard.observe.metadata import metadata_document


async def metadata(context: Context, attempt_id: str, path: str) -> dict[str, Any] | None:
    """The answer to GET `<the attempt's metadata URI><path>`; None for an unknown attempt or path (404).

    `attempt_id`: the attempt's task id, as the caller's token has proved it."""
    view = await context.read(context.reader.attempt, attempt_id)
    if view is None or view.attempt is None:
        return None
    spec = view.view.spec
    return metadata_document(
        path.rstrip("/"),
        account=context.account,
        cluster=cluster_name(context.account, view.attempt.environment),
        spec=spec,
        attempt=view.attempt,
        task_id=attempt_id,
        log_stream=names.log_stream(log_prefix(spec), attempt_id),
    )
