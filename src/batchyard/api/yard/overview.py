"""ListEnvironments, ListQueues, ListInstances and InterruptInstance, behind `batchyard envs`, `queues`, `instances` and
`interrupt`: capacity, who waits for it, and what the scaler will do next. Amounts of vCPUs are numbers of vCPUs, memory
is MiB, times are milliseconds since the epoch."""

from __future__ import annotations

from batchyard.api.checks import quoted, require
from batchyard.api.context import Call, Context
from batchyard.api.yard.amounts import amounts
from batchyard.core.model.gpus import Gpu, gpus_named
from batchyard.core.model.names import resource_name
from batchyard.core.model.resources import MILLI_PER_VCPU
from batchyard.core.questions.overview import (
    AskOverview,
    Demand,
    EnvironmentView,
    InstanceView,
    InterruptInstance,
    Overview,
    QueueView,
    Step,
)
from batchyard.core.state.document_kinds import SCHEDULING_POLICY
from batchyard.wire.messages import Document

DEFAULT_NOTICE_SECONDS = 2.0  # AWS gives two minutes; on one machine nothing has to be moved elsewhere
MAX_NOTICE_SECONDS = 24 * 3600.0  # a day: longer notices are typing mistakes


async def list_environments(context: Context, call: Call, request: Document) -> Document:
    """Compute environments by name, with what their jobs can use and what the scaler does next."""
    found = await _ask(context)
    return {"environments": [_environment(view) for view in found.environments]}


async def list_queues(context: Context, call: Call, request: Document) -> Document:
    """Job queues by name, with who waits and the job that finds no room."""
    found = await _ask(context)
    return {"queues": [_queue(view) for view in found.queues]}


async def list_instances(context: Context, call: Call, request: Document) -> Document:
    """This machine, then the instances of MANAGED environments."""
    found = await _ask(context)
    return {"instances": [_instance(view, context.gpus) for view in found.instances]}


async def interrupt_instance(context: Context, call: Call, request: Document) -> Document:
    """Takes an instance of a MANAGED environment away as a Spot interruption does. Answers with it as it is then."""
    instance_id = request["instanceId"]
    notice_seconds = float(request.get("noticeSeconds", DEFAULT_NOTICE_SECONDS))
    require(
        0 <= notice_seconds <= MAX_NOTICE_SECONDS,
        f"noticeSeconds must be from 0 to {MAX_NOTICE_SECONDS:g}, got {quoted(notice_seconds)}.",
    )
    view = await context.ask(InterruptInstance(instance_id, notice_seconds))
    return {"instance": _instance(view, context.gpus)}


async def _ask(context: Context) -> Overview:
    return await context.ask(AskOverview())


def _environment(view: EnvironmentView) -> Document:
    environment = view.environment
    document = {
        "computeEnvironment": environment.name,
        "kind": view.kind.value,
        "state": environment.state.value,
        "status": environment.status.value,
        "statusReason": environment.status_reason,
        "engine": environment.engine,
        "jobQueues": list(view.queues),
        "instances": view.instances,
        "capacity": amounts(view.total),
        "free": amounts(view.free),
        "jobsRunning": view.jobs_count,
        "demand": _demand(view.demand),
        "next": _step(view.step),
    }
    if view.strategy:
        document["allocationStrategy"] = view.strategy
        document["minvCpus"] = view.min_milli_vcpus // MILLI_PER_VCPU
        document["desiredvCpus"] = view.desired_milli_vcpus // MILLI_PER_VCPU
    if environment.kind.is_managed:
        document["maxvCpus"] = view.max_milli_vcpus // MILLI_PER_VCPU
    return document


def _queue(view: QueueView) -> Document:
    queue = view.queue
    document = {
        "jobQueue": queue.name,
        "state": queue.state.value,
        "status": queue.status.value,
        "statusReason": queue.status_reason,
        "priority": queue.priority,
        "computeEnvironments": [order.environment for order in queue.environments],
        "jobsRunning": view.jobs_count,
        "demand": _demand(view.demand),
        "jobsNeverRunnable": view.stuck_count,
        "blockedCount": view.blocked_count,
    }
    if queue.document.get("schedulingPolicyArn"):
        document["schedulingPolicy"] = resource_name(queue.document["schedulingPolicyArn"], SCHEDULING_POLICY)
    if view.blocked_job:
        document |= {"blockedJob": view.blocked_job, "blockedSince": view.blocked_since_ms}
        if view.blocked_reason:
            document["blockedReason"] = view.blocked_reason
    return document


def _instance(view: InstanceView, gpus: tuple[Gpu, ...]) -> Document:
    instance = view.instance
    document: Document = {
        "instanceId": instance.instance_id,
        "instanceType": instance.instance_type,
        "computeEnvironment": ",".join(view.environments),
        "market": instance.market.value,
        "state": instance.state.value,
        "capacity": amounts(instance.resources),
        "free": amounts(view.free),
        "gpuIds": list(instance.gpu_ids),
        "jobs": list(view.jobs),
        "jobsCount": view.jobs_count,
        "next": _step(view.step),
    }
    if view.is_host or view.host_name:  # it is of no type, and has no price by the hour
        del document["instanceType"], document["market"]
    if view.host_name:
        document["hostName"] = view.host_name
    elif gpus and instance.gpu_ids:
        document["gpus"] = [_gpu(gpu) for gpu in gpus_named(gpus, instance.gpu_ids)]
    times = {
        "launchedAt": instance.launched_at_ms,
        "readyAt": instance.ready_at_ms,
        "idleSince": view.idle_since_ms,
        "endsAt": instance.ends_at_ms,
    }
    return document | {member: at_ms for member, at_ms in times.items() if at_ms}


def _gpu(gpu: Gpu) -> Document:
    """Returns a GPU; what is not known of it is left out."""
    known = {"vendor": gpu.vendor, "uuid": gpu.uuid, "model": gpu.model, "memory": gpu.memory_mib}
    return {"deviceId": gpu.device_id} | {member: value for member, value in known.items() if value}


def _demand(demand: Demand) -> Document:
    return {"jobs": demand.jobs, "resources": amounts(demand.resources)}


def _step(step: Step) -> Document:
    document: Document = {"action": step.next.value, "text": step.text}
    return document | ({"at": step.at_ms} if step.at_ms else {})
