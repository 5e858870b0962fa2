"""Messages for targets outside: those that were given up, and how many are on their way."""

from __future__ import annotations

from batchyard.api.context import Call, Context
from batchyard.deliveries.machine import AskFailures, AskWaiting
from batchyard.wire.messages import Document


async def list_deliveries(context: Context, call: Call, request: Document) -> Document:
    """target, by its beginning -> failed, newest first; waiting, by target. A target is a rule's, by the rule's ARN and
    its id, or a subscription or schedule."""
    prefix = request.get("target", "")
    failed = await context.ask(AskFailures(prefix))
    waiting = await context.ask(AskWaiting())
    return {
        "failed": [
            {
                "target": one.lane,
                "token": one.token,
                "createdAt": one.created_at_ms,
                "failedAt": one.failed_at_ms,
                "retries": one.retries,
                "errorCode": one.error_code,
                "error": one.error,
                "condition": one.condition,
            }
            for one in failed
        ],
        "waiting": [{"target": lane, "count": count} for lane, count in waiting.items() if lane.startswith(prefix)],
    }
