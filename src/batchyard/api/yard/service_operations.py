"""GetService and Shutdown: the running service itself."""

from __future__ import annotations

from batchyard.api.context import Call, Context, ServiceControl
from batchyard.core.model.commands import TerminateAllRunning
from batchyard.core.model.resources import MILLI_PER_VCPU
from batchyard.core.questions.capacity import AskCapacity
from batchyard.wire.messages import Document

KILL_REASON = "Terminated by batchyard down --kill."


async def get_service(context: Context, call: Call, request: Document) -> Document:
    """What `batchyard doctor` and others show of a running service; memory in MiB."""
    capacity = await context.ask(AskCapacity())
    return {
        **await _control(context).describe(),
        "capacity": {
            "vcpus": capacity.total_milli_vcpus // MILLI_PER_VCPU,
            "memory": capacity.total_memory_mib,
            "gpus": capacity.total_gpus,
        },
        "free": {
            "vcpus": capacity.free_milli_vcpus // MILLI_PER_VCPU,
            "memory": capacity.free_memory_mib,
            "gpus": capacity.free_gpus,
        },
        "jobsRunning": capacity.jobs_running,
        "jobsWaiting": capacity.jobs_waiting,
    }


async def shutdown(context: Context, call: Call, request: Document) -> Document:
    """Answers when the terminations are committed; the service ends when their jobs have."""
    kill: bool = request.get("kill", False)
    terminated = await context.ask(TerminateAllRunning(KILL_REASON)) if kill else 0
    capacity = await context.ask(AskCapacity())
    _control(context).end(kill)
    return {"jobsRunning": capacity.jobs_running, "jobsTerminated": terminated}


def _control(context: Context) -> ServiceControl:
    assert context.control is not None, "no running service is behind this context"
    return context.control
