"""SubmitJob, DescribeJobs, ListJobs, CancelJob, TerminateJob and their bulk forms."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from batchyard.api.batch import render
from batchyard.api.batch.definitions import active_definition
from batchyard.api.batch.rules.consumable_rules import check_consumables
from batchyard.api.batch.rules.definition_rules import check_priority, check_retry, check_timeout
from batchyard.api.batch.rules.override_rules import (
    check_node_overrides,
    check_overrides,
    check_pod_overrides,
    check_task_overrides,
)
from batchyard.api.checks import (
    JOB_NAME,
    SHARE_IDENTIFIER,
    check_no_nul,
    check_size,
    check_tags,
    has_duplicates,
    quoted,
    require,
)
from batchyard.api.context import Call, Context, Settings
from batchyard.core.model import commands
from batchyard.core.model.commands import SubmittedJob
from batchyard.core.model.names import JOB, JOB_QUEUE, resource_name, split_definition
from batchyard.core.model.records import Dependency
from batchyard.core.model.refusal import Refused
from batchyard.store.queries import JobView
from batchyard.wire.messages import Document

MAX_DESCRIBED_JOBS = 100  # API: DescribeJobsRequest
MAX_BULK_JOBS = 50  # API: CancelJobsRequest, TerminateJobsRequest
MAX_REASON_LENGTH = 1024  # API: CancelJobRequest
MAX_DEPENDENCIES = 20  # user guide: service_limits
MIN_ARRAY_SIZE = 2  # user guide: array_jobs

# Members of SubmitJob that change what would run, and that are not implemented yet: the core refuses them by name.
UNSUPPORTED: tuple[str, ...] = ()


async def submit_job(context: Context, call: Call, request: Document) -> Document:
    return submitted_document(context, await context.ask(await submission(context, call, request)))


def submitted_document(context: Context, submitted: SubmittedJob) -> Document:
    """Returns the answer to a submission."""
    return {
        "jobArn": context.account.job_arn(submitted.job_id),
        "jobName": submitted.name,
        "jobId": submitted.job_id,
    }


async def submission(context: Context, call: Call, request: Document) -> commands.SubmitJob:
    """Returns the command of a SubmitJob request, with the faults of its shape: AWS checks queue and definition
    first, and a request with several mistakes is refused for the first in AWS's order."""
    require(JOB_NAME.fullmatch(request["jobName"]), "Job name should match valid pattern")
    array_size = request.get("arrayProperties", {}).get("size")  # arrayProperties {} means no array, as clients send it
    depends_on = _dependencies(request.get("dependsOn", []))
    overrides = request.get("containerOverrides", {})
    definition, revision = split_definition(request["jobDefinition"])
    # Where there are too many, none is looked up: the request will be refused for their number.
    looked_up = depends_on if len(depends_on) <= MAX_DEPENDENCIES else ()
    named = sorted({dependency.job_id for dependency in looked_up if dependency.job_id})
    return commands.SubmitJob(
        job_id=context.new_uuid(),
        name=request["jobName"],
        queue=resource_name(request["jobQueue"], JOB_QUEUE),
        definition=definition,
        revision=revision,
        principal=call.principal,
        idempotency_key=_idempotency_key(call),
        request_digest=call.body_digest,
        array_size=array_size or 0,
        depends_on=depends_on,
        finished=await context.read(context.reader.finished_statuses, named) if named else {},
        finished_arrays=await _finished_arrays(context, looked_up),
        overrides=overrides,
        task_override=_task_override(request),
        pod_override=request.get("eksPropertiesOverride", {}),
        node_overrides=request.get("nodeOverrides", {}),
        parameters=request.get("parameters", {}),
        retry_strategy=request.get("retryStrategy"),
        timeout=request.get("timeout"),
        tags=request.get("tags", {}),
        deferred=_deferred_errors(context.settings, call, request, await _overridden(context, request)),
        propagate_tags=request.get("propagateTags"),
        share_identifier=request.get("shareIdentifier", ""),
        scheduling_priority=request.get("schedulingPriorityOverride"),
        consumables=request.get("consumableResourcePropertiesOverride", {}),
        unsupported=_unsupported(request),
        trace_parent=call.trace_parent,
    )


async def _overridden(context: Context, request: Document) -> Document:
    """Returns the document of the definition that nodeOverrides or eksPropertiesOverride change; {}: there are no
    such overrides, or the definition has nothing for them. The machine checks the other overrides against the
    definition, which it has in memory."""
    if not (request.get("nodeOverrides") or request.get("eksPropertiesOverride")):
        return {}
    definition = await active_definition(context, request["jobDefinition"])
    return {} if definition is None else definition.document


def _deferred_errors(
    settings: Settings, call: Call, request: Document, overridden: Document
) -> tuple[commands.DeferredError, ...]:
    """Returns the first fault for each step of AWS's checks. `overridden`: the document of the definition that
    nodeOverrides or eksPropertiesOverride change."""
    nodes, pod = overridden.get("nodeProperties"), overridden.get("eksProperties")

    def at_size() -> None:
        check_size(call.size_bytes, settings.max_job_kib, "Job")
        size, most = request.get("arrayProperties", {}).get("size"), settings.max_array_size
        if size is not None and not MIN_ARRAY_SIZE <= size <= most:
            raise Refused(f"arrayProperties.size must be between {MIN_ARRAY_SIZE} and {most}, got {size}.")
        number = len(request.get("dependsOn", []))
        if number > MAX_DEPENDENCIES:
            raise Refused(f"Job cannot have more than {MAX_DEPENDENCIES} dependencies", is_bare=True)
        # Before the overrides of single jobs, since the machine looks at those only once it knows that it can run them.
        if pod is not None and request.get("eksPropertiesOverride"):
            check_pod_overrides(request["eksPropertiesOverride"], pod)
        if nodes is not None and request.get("nodeOverrides"):
            check_node_overrides(request["nodeOverrides"], nodes)
            require(
                not request.get("containerOverrides"),
                "containerOverrides can not be used with a multi-node parallel job: use nodeOverrides.",
            )

    def at_overrides() -> None:
        check_overrides(request.get("containerOverrides", {}))
        check_task_overrides(request.get("ecsPropertiesOverride", {}))
        check_consumables(request.get("consumableResourcePropertiesOverride"))
        check_no_nul(request.get("parameters", {}), "parameters")
        _check_share(request)

    def at_rules() -> None:
        check_retry(request.get("retryStrategy"))
        check_timeout(request.get("timeout"), settings.min_timeout_seconds)
        check_tags(request.get("tags", {}))

    checks = {
        commands.CheckStage.SIZE: at_size,
        commands.CheckStage.OVERRIDES: at_overrides,
        commands.CheckStage.RULES: at_rules,
    }
    found = ((stage, _refusal_of(check)) for stage, check in checks.items())
    return tuple(commands.DeferredError(stage, refusal.message, refusal.is_bare) for stage, refusal in found if refusal)


def _refusal_of(check: Callable[[], None]) -> Refused | None:
    try:
        check()
    except Refused as refusal:
        return refusal
    return None


async def _finished_arrays(context: Context, depends_on: tuple[Dependency, ...]) -> dict[str, commands.FinishedArray]:
    """Returns the arrays of N_TO_N dependencies that have ended, which the machine may have dropped."""
    wanted = sorted({dependency.job_id for dependency in depends_on if dependency.type == "N_TO_N"})
    views = await context.read(context.reader.jobs, wanted) if wanted else []
    return {
        view.job_id: commands.FinishedArray(view.job.array.size, view.job.array.failed)
        for view in views
        if view.job.array is not None and view.job.status.is_final
    }


def _idempotency_key(call: Call) -> str:
    """Returns the idempotency key: an SDK repeats its invocation id when it retries, and the same key means the same
    job. Without an id there is no key. Ids are separate for each caller, and for users that share an access key,
    which any user may use where no keys are configured."""
    return f"submitjob:{call.principal}:{call.caller}:{call.invocation_id}" if call.invocation_id else ""


def _dependencies(entries: list[Document]) -> tuple[Dependency, ...]:
    dependencies = []
    for entry in entries:
        job_id, kind = resource_name(entry.get("jobId", ""), JOB), entry.get("type", "")
        if not job_id and kind != "SEQUENTIAL":
            raise Refused(
                "dependsOn entries need a jobId; only one of type SEQUENTIAL, on an array job, may go without.",
                is_bare=True,
            )
        dependencies.append(Dependency(job_id, kind))
    return tuple(dependencies)


def _task_override(request: Document) -> Document:
    """Returns the one entry of ecsPropertiesOverride. Without containers it changes nothing."""
    tasks = request.get("ecsPropertiesOverride", {}).get("taskProperties", [])
    return dict(tasks[0]) if tasks and tasks[0].get("containers") else {}


def _check_share(request: Document) -> None:
    share = request.get("shareIdentifier")
    require(share is None or SHARE_IDENTIFIER.fullmatch(share), "ShareIdentifier name should match a valid pattern.")
    check_priority(request.get("schedulingPriorityOverride"))


def _unsupported(request: Document) -> tuple[str, ...]:
    found = [member for member in UNSUPPORTED if request.get(member)]
    if request.get("containerOverrides", {}).get("instanceType"):
        found.append("containerOverrides.instanceType")
    return tuple(found)


async def describe_jobs(context: Context, call: Call, request: Document) -> Document:
    """Ids, ARNs and children's ids; unknown ones are left out."""
    asked = request["jobs"]
    # Both blanks are AWS's.
    require(len(asked) <= MAX_DESCRIBED_JOBS, f"Maximum number of jobs supported is  {MAX_DESCRIBED_JOBS}")
    views = await context.read(context.reader.jobs, asked)
    clusters = await _clusters(context, views)
    return {"jobs": [render.job_detail(view, context.account, clusters) for view in views]}


async def _clusters(context: Context, views: Sequence[JobView]) -> dict[str, Document]:
    """Returns the EksConfiguration of the environments in which the pods among the jobs ran, by name."""
    names = sorted({attempt.environment for view in views if view.spec.pod for attempt in view.job.past})
    if not names:
        return {}
    found, _ = await context.read(context.reader.environments, names, len(names))
    return {one.name: one.document["eksConfiguration"] for one in found if "eksConfiguration" in one.document}


async def cancel_job(context: Context, call: Call, request: Document) -> Document:
    await context.ask(stop_command(commands.CancelJob, request))
    return {}


async def terminate_job(context: Context, call: Call, request: Document) -> Document:
    await context.ask(stop_command(commands.TerminateJob, request))
    return {}


async def cancel_jobs(context: Context, call: Call, request: Document) -> Document:
    return await stop_each(context, commands.CancelJob, request)


async def terminate_jobs(context: Context, call: Call, request: Document) -> Document:
    return await stop_each(context, commands.TerminateJob, request)


Stop = Callable[[str, str], commands.Command[object]]


def stop_command(command: Stop, request: Document, kind: str = JOB) -> commands.Command[object]:
    """Returns the command for a request with jobId and reason. `kind`: of the job's ARN."""
    require(request["jobId"], "'jobId' is a required field (cannot be an empty string)")
    check_reason(request["reason"])
    return command(resource_name(request["jobId"], kind), request["reason"])


async def stop_each(context: Context, command: Stop, request: Document, kind: str = JOB) -> Document:
    """Stops jobs one by one: the refusal of one does not affect the others. Unknown ids count as done, as on AWS."""
    asked = request["jobs"]
    require(asked, "'jobs' is a required field (cannot be an empty list)")
    require(len(asked) <= MAX_BULK_JOBS, f"jobs must hold at most {MAX_BULK_JOBS} job ids, got {len(asked)}.")
    require(not has_duplicates(asked), "jobs must not name a job twice.")
    check_reason(request["reason"])
    successful, errors = [], []
    for job in asked:
        try:
            await context.ask(stop_command(command, {"jobId": job, "reason": request["reason"]}, kind))
        except Refused as refusal:
            errors.append({"job": job, "code": refusal.code, "message": refusal.message})
        else:
            successful.append(job)
    return {"successful": successful, "errors": errors}


def check_reason(reason: str) -> None:
    require(reason, "'reason' is a required field (cannot be an empty string)")
    require(
        len(reason) <= MAX_REASON_LENGTH,
        f"reason must have at most {MAX_REASON_LENGTH} characters, got {len(reason)}: {quoted(reason)}",
    )
