"""CreateJobQueue, UpdateJobQueue, DeleteJobQueue, DescribeJobQueues, GetJobQueueSnapshot."""

from __future__ import annotations

from batchyard.api.batch import render
from batchyard.api.batch.policies import POLICY_ARN
from batchyard.api.checks import check_between, has_duplicates, new_resource, require, without
from batchyard.api.context import Call, Context
from batchyard.api.pages import read_named
from batchyard.core.model import commands
from batchyard.core.model.names import COMPUTE_ENVIRONMENT, JOB_QUEUE, resource_name
from batchyard.core.model.reasons import ReasonCode
from batchyard.core.model.records import EnvironmentOrder
from batchyard.core.model.resources import MILLI_PER_VCPU
from batchyard.core.model.service_records import SAGEMAKER_TRAINING, takes_service_jobs
from batchyard.core.questions.queue_snapshot import AskQueueSnapshot
from batchyard.core.service_jobs.document_kinds import SERVICE_ENVIRONMENT
from batchyard.wire.messages import Document

# Members that are fields of a queue, or make one up; the others are its document.
FIELDS = ("jobQueueName", "jobQueue", "state", "priority", "computeEnvironmentOrder", "serviceEnvironmentOrder", "tags")
MAX_ENVIRONMENTS = 3  # user guide: service_limits
TIME_LIMIT_SECONDS_RANGE = (600, 86_400)  # API: JobStateTimeLimitAction
# The codes a time limit may watch for (AWS Batch behaviour 4.7).
TIME_LIMIT_REASONS = frozenset(
    {
        ReasonCode.INSUFFICIENT_CAPACITY,
        ReasonCode.MAX_RESOURCE,
        ReasonCode.JOB_RESOURCE_REQUIREMENT,
        "MISCONFIGURATION:EC2_INSTANCE_CONFIGURATION_UNSUPPORTED",  # no job waits for it here
    }
)
SERVICE_TIME_LIMIT_REASONS = frozenset(
    {
        ReasonCode.INSUFFICIENT_CAPACITY,
        "MISCONFIGURATION:SERVICE_ENVIRONMENT_MAX_RESOURCE",
        "MISCONFIGURATION:QUOTA_MANAGEMENT_LIMIT_EXCEEDED",
    }
)


async def create_job_queue(context: Context, call: Call, request: Document) -> Document:
    name, tags = new_resource(request, "jobQueueName", "Job Queue")
    is_service = _is_for_service_jobs(request)
    _check_queue(request, is_service)
    environments = _environment_order(request.get("computeEnvironmentOrder", []))
    require(is_service or environments, "At least 1 compute environment must be provided")
    await context.ask(
        commands.CreateJobQueue(
            name=name,
            state=request.get("state", "ENABLED"),
            priority=request["priority"],
            environments=environments,
            document=_document(request),
            tags=tags,
        )
    )
    return _named(context, name)


async def update_job_queue(context: Context, call: Call, request: Document) -> Document:
    name = resource_name(request["jobQueue"], JOB_QUEUE)
    _check_queue(request, await _takes_service_jobs(context, name))
    order = request.get("computeEnvironmentOrder")
    environments = None if order is None else _environment_order(order)
    require(environments is None or environments, "At least 1 compute environment must be provided")
    await context.ask(
        commands.UpdateJobQueue(
            name=name,
            state=request.get("state", ""),
            priority=request.get("priority"),
            environments=environments,
            document=_document(request),
        )
    )
    return _named(context, name)


async def delete_job_queue(context: Context, call: Call, request: Document) -> Document:
    await context.ask(commands.DeleteJobQueue(resource_name(request["jobQueue"], JOB_QUEUE)))
    return {}


async def describe_job_queues(context: Context, call: Call, request: Document) -> Document:
    """Unknown names are left out."""
    found, token = await read_named(context, request, "jobQueues", JOB_QUEUE, context.reader.queues)
    return {"jobQueues": [render.queue_detail(queue, context.account) for queue in found]} | token


async def get_job_queue_snapshot(context: Context, call: Call, request: Document) -> Document:
    name = resource_name(request["jobQueue"], JOB_QUEUE)
    found = await context.ask(AskQueueSnapshot(name))
    utilization: Document = {
        "totalCapacityUsage": [] if found.takes_service_jobs else _vcpus(found.used),
        "lastUpdatedAt": found.at_ms,
    }
    if found.active_shares:
        utilization["fairshareUtilization"] = {
            "activeShareCount": found.active_shares,
            "topCapacityUtilization": [
                {"shareIdentifier": share, "capacityUsage": _vcpus(used)} for share, used in found.used_by_share
            ],
        }
    arn = context.account.service_job_arn if found.takes_service_jobs else context.account.job_arn
    jobs = [{"jobArn": arn(job.job_id), "earliestTimeAtPosition": job.since_ms} for job in found.front]
    answer: Document = {
        "frontOfQueue": {"jobs": jobs, "lastUpdatedAt": found.at_ms},
        "queueUtilization": utilization,
    }
    if found.front_of_shares:
        shares = {
            share: [{"jobArn": arn(job.job_id), "earliestTimeAtPosition": job.since_ms}]
            for share, job in found.front_of_shares
        }
        answer["frontOfQuotaShares"] = {"quotaShares": shares, "lastUpdatedAt": found.at_ms}
    return answer


def _vcpus(milli_vcpus: int) -> list[Document]:
    return [{"capacityUnit": "VCPU", "quantity": milli_vcpus / MILLI_PER_VCPU}]


def _named(context: Context, name: str) -> Document:
    return {"jobQueueName": name, "jobQueueArn": context.account.queue_arn(name)}


def _environment_order(entries: list[Document]) -> tuple[EnvironmentOrder, ...]:
    """Returns computeEnvironmentOrder as the core keeps it: by name, in ascending order."""
    require(len(entries) <= MAX_ENVIRONMENTS, f"Only {MAX_ENVIRONMENTS} environments are allowed in job queue request.")
    order = [
        EnvironmentOrder(entry["order"], resource_name(entry["computeEnvironment"], COMPUTE_ENVIRONMENT))
        for entry in entries
    ]
    require(not has_duplicates(entry.order for entry in order), "Duplicate ComputeEnvironment order values.")
    require(
        not has_duplicates(entry.environment for entry in order), "Duplicate ComputeEnvironments within order list."
    )
    return tuple(sorted(order, key=lambda entry: entry.order))


def _is_for_service_jobs(request: Document) -> bool:
    """Whether a new queue is for service jobs; checks that the members which imply it agree."""
    order, kind = request.get("serviceEnvironmentOrder"), request.get("jobQueueType")
    require(
        order or kind != SAGEMAKER_TRAINING,
        "Job queues of type SAGEMAKER_TRAINING must have serviceEnvironmentOrder.",
    )
    require(
        not order or kind in (None, SAGEMAKER_TRAINING),
        f"The jobQueueType provided is {kind}, which is incompatible with the provided serviceEnvironmentOrder.",
    )
    return bool(order)


async def _takes_service_jobs(context: Context, queue: str) -> bool:
    """Whether the queue of this name is for service jobs; one that does not exist is refused by the machine."""
    found, _ = await context.read(context.reader.queues, [queue])
    return bool(found) and takes_service_jobs(found[0].document)


def _document(request: Document) -> Document:
    """Returns what is kept of a request besides the fields of a queue; service environments by name."""
    document = without(request, *FIELDS)
    order = request.get("serviceEnvironmentOrder")
    if not order:
        return document
    named = [
        {"order": entry["order"], "serviceEnvironment": resource_name(entry["serviceEnvironment"], SERVICE_ENVIRONMENT)}
        for entry in order
    ]
    return document | {"serviceEnvironmentOrder": named, "jobQueueType": SAGEMAKER_TRAINING}


def _check_queue(request: Document, is_service: bool) -> None:
    """Checks what creation and update have in common, except the compute environments."""
    policy = request.get("schedulingPolicyArn")
    require(not policy or POLICY_ARN.fullmatch(policy), "Only scheduling policy Arn can be allowed.")
    order = request.get("serviceEnvironmentOrder")
    require(
        order is None or order or not is_service,
        "Job queues of type SAGEMAKER_TRAINING must have serviceEnvironmentOrder.",
    )
    if order:
        require(
            not request.get("computeEnvironmentOrder"),
            "Only one of computeEnvironmentOrder and serviceEnvironmentOrder can be provided.",
        )
        require(len(order) == 1, "Job queue can only have 1 service environment.")
    _check_time_limits(request.get("jobStateTimeLimitActions", []), is_service)


def _check_time_limits(actions: list[Document], is_service: bool) -> None:
    reasons = [action["reason"] for action in actions]
    only = "TERMINATE" if is_service else "CANCEL"
    known = SERVICE_TIME_LIMIT_REASONS if is_service else TIME_LIMIT_REASONS
    for action in actions:
        require(action["action"] == only, f"Invalid job action. Valid job actions: [{only}]")
        require(action["reason"] in known, "Invalid job reason")
        check_between(action["maxTimeSeconds"], *TIME_LIMIT_SECONDS_RANGE, "jobStateTimeLimitActions.maxTimeSeconds")
    require(not has_duplicates(reasons), "Duplicate job state limit actions are not allowed.")
