"""SubmitServiceJob, DescribeServiceJob, UpdateServiceJob, TerminateServiceJob, TerminateServiceJobs (AWS Batch
behaviour 2.7, 5.5)."""

from __future__ import annotations

import msgspec

from batchyard.api.batch.jobs import stop_command, stop_each
from batchyard.api.batch.rules.definition_rules import (
    MAX_EXIT_RULES,
    MAX_PATTERN_LENGTH,
    RETRY_ATTEMPTS_RANGE,
    check_priority,
)
from batchyard.api.checks import (
    JOB_NAME,
    KIB,
    SHARE_IDENTIFIER,
    check_between,
    check_size,
    check_tags,
    client_token_of,
    require,
)
from batchyard.api.context import Call, Context
from batchyard.core.model import service_commands
from batchyard.core.model.names import JOB_QUEUE, Account, resource_name
from batchyard.core.model.refusal import Refused
from batchyard.core.model.service_records import ServiceJob
from batchyard.core.service_jobs.document_kinds import SERVICE_JOB
from batchyard.wire.messages import Document

MAX_PAYLOAD_KIB = 10  # user guide: service_limits
DESCRIBED = ("serviceRequestPayload", "retryStrategy", "timeoutConfig", "preemptionConfiguration")
UNLIMITED_PREEMPTIONS = -1


async def submit_service_job(context: Context, call: Call, request: Document) -> Document:
    _check_submission(context, call, request)
    job = await context.ask(
        service_commands.SubmitServiceJob(
            job_id=context.new_uuid(),
            name=request["jobName"],
            queue=resource_name(request["jobQueue"], JOB_QUEUE),
            type=request["serviceJobType"],
            document={member: request[member] for member in DESCRIBED if member in request},
            tags=request.get("tags", {}),
            share_identifier=request.get("shareIdentifier", ""),
            quota_share=request.get("quotaShareName", ""),
            scheduling_priority=request.get("schedulingPriority"),
            client_token=client_token_of(request),
            request_key=_request_key(call),
        )
    )
    return _named(context, job)


def _request_key(call: Call) -> str:
    """The same for every attempt of an SDK at one request, and for no other; empty where it does not say."""
    if not call.invocation_id:
        return ""
    return f"{call.principal}:{call.caller}:{call.invocation_id}:{call.body_digest}"


def _check_submission(context: Context, call: Call, request: Document) -> None:
    require(JOB_NAME.fullmatch(request["jobName"]), "Job name should match valid pattern")
    check_size(call.size_bytes, context.settings.max_job_kib, "Job")
    _check_payload(request["serviceRequestPayload"])
    share = request.get("shareIdentifier")
    require(share is None or SHARE_IDENTIFIER.fullmatch(share), "ShareIdentifier name should match a valid pattern.")
    check_priority(request.get("schedulingPriority"))
    _check_retry(request.get("retryStrategy"))
    seconds = request.get("timeoutConfig", {}).get("attemptDurationSeconds")
    least = context.settings.min_timeout_seconds
    require(
        seconds is None or seconds >= least,
        f"timeoutConfig.attemptDurationSeconds must be at least {least} seconds, got {seconds}.",
    )
    retries = request.get("preemptionConfiguration", {}).get("preemptionRetriesBeforeTermination")
    require(
        retries is None or retries >= UNLIMITED_PREEMPTIONS,
        f"preemptionRetriesBeforeTermination must be at least {UNLIMITED_PREEMPTIONS}, got {retries}.",
    )
    check_tags(request.get("tags", {}))


def _check_payload(payload: str) -> None:
    size_bytes = len(payload.encode())
    require(
        size_bytes <= MAX_PAYLOAD_KIB * KIB,
        f"serviceRequestPayload must have at most {MAX_PAYLOAD_KIB} KiB, got {size_bytes} bytes.",
    )
    try:
        is_object = isinstance(msgspec.json.decode(payload), dict)
    except (msgspec.DecodeError, RecursionError):
        is_object = False
    require(is_object, "serviceRequestPayload must be the JSON object of a CreateTrainingJob request.")


def _check_retry(strategy: Document | None) -> None:
    """ServiceJobRetryStrategy: its patterns may hold any printable character."""
    if strategy is None:
        return
    check_between(strategy["attempts"], *RETRY_ATTEMPTS_RANGE, "RetryAttempts")
    rules = strategy.get("evaluateOnExit", [])
    require(len(rules) <= MAX_EXIT_RULES, f"Up to {MAX_EXIT_RULES} evaluateOnExit condition can be specified.")
    for rule in rules:
        pattern = rule.get("onStatusReason", "")
        require(rule.get("action") and pattern, "EvaluateOnExit must contain action and onStatusReason.")
        require(
            len(pattern) <= MAX_PATTERN_LENGTH,
            f"Evaluate on exit condition cannot exceed {MAX_PATTERN_LENGTH} characters.",
        )
        require(pattern.isprintable(), "Evaluate on exit condition contains restricted characters.")


async def describe_service_job(context: Context, call: Call, request: Document) -> Document:
    job_id = _job_id(request)
    found, _ = await context.read(context.reader.documents, SERVICE_JOB, [job_id])
    if not found:
        raise Refused(f"The service job {job_id} does not exist.")
    return _detail(found[0], context.account)


async def update_service_job(context: Context, call: Call, request: Document) -> Document:
    check_priority(request["schedulingPriority"])
    job_id = _job_id(request)
    job = await context.ask(service_commands.UpdateServiceJob(job_id, request["schedulingPriority"]))
    return _named(context, job)


async def terminate_service_job(context: Context, call: Call, request: Document) -> Document:
    await context.ask(stop_command(service_commands.TerminateServiceJob, request, SERVICE_JOB))
    return {}


async def terminate_service_jobs(context: Context, call: Call, request: Document) -> Document:
    return await stop_each(context, service_commands.TerminateServiceJob, request, SERVICE_JOB)


def _job_id(request: Document) -> str:
    require(request["jobId"], "'jobId' is a required field (cannot be an empty string)")
    return resource_name(request["jobId"], SERVICE_JOB)


def _named(context: Context, job: ServiceJob) -> Document:
    return {"jobArn": context.account.service_job_arn(job.job_id), "jobName": job.name, "jobId": job.job_id}


def _detail(job: ServiceJob, account: Account) -> Document:
    """DescribeServiceJobResponse. No attempt ever begins."""
    detail: Document = (
        summary(job, account)
        | job.document
        | {"jobQueue": account.queue_arn(job.queue), "attempts": [], "isTerminated": bool(job.stopped_at_ms)}
        | {"tags": job.tags}
    )
    if job.scheduling_priority is not None:
        detail["schedulingPriority"] = job.scheduling_priority
    return detail


def summary(job: ServiceJob, account: Account) -> Document:
    """ServiceJobSummary."""
    found: Document = {
        "jobArn": account.service_job_arn(job.job_id),
        "jobId": job.job_id,
        "jobName": job.name,
        "serviceJobType": job.type,
        "status": job.status.value,
        "statusReason": job.status_reason,
        "createdAt": job.created_at_ms,
    }
    if job.share_identifier:
        found["shareIdentifier"] = job.share_identifier
    if job.quota_share:
        found["quotaShareName"] = job.quota_share
    if job.stopped_at_ms:
        found |= {"stoppedAt": job.stopped_at_ms, "isTerminated": True}
    return found
