"""Every operation that is built: (service, operation) -> its function. The dispatcher answers for the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache, partial
from typing import Any

from batchyard.api import page_tokens
from batchyard.api.batch import definitions, environments, job_lists, jobs, policies, queues, tags
from batchyard.api.bounds import length_check
from batchyard.api.checks import Check, check_names_alone, enum_check
from batchyard.api.context import Call, Context
from batchyard.api.ec2 import instance_types, instances, network
from batchyard.api.ecs import tasks
from batchyard.api.logs import log_operations
from batchyard.api.readers import CALLER
from batchyard.api.secretsmanager import secrets
from batchyard.api.ssm import parameters
from batchyard.api.sts import caller_identity
from batchyard.api.yard import explain, overview, run_job, usage
from batchyard.core.model.refusal import Refused
from batchyard.store.queries import OutOfTime
from batchyard.wire.model import load_service_model

Document = dict[str, Any]
Handler = Callable[[Context, Call, Document], Awaitable[Document]]
BoundHandler = Callable[[Call, Document], Awaitable[Document]]

LONGEST_REFUSAL = 4000  # characters: more than any sentence of ours about names of the length that names have
# The member that stands instead of pages.
LISTED_BY_NAMES = {
    "DescribeComputeEnvironments": "computeEnvironments",
    "DescribeJobQueues": "jobQueues",
    "DescribeJobDefinitions": "jobDefinitions",
}
# What each service calls a request that asks too much; the others say ClientException.
INVALID_CODES = {
    "logs": "InvalidParameterException",
    "ecs": "InvalidParameterException",
    "ec2": "InvalidParameterValue",
    "secretsmanager": "InvalidParameterException",
    "ssm": "ValidationException",
    "sts": "ValidationError",
}

OPERATIONS: dict[tuple[str, str], Handler] = {
    ("batch", "CreateComputeEnvironment"): environments.create_compute_environment,
    ("batch", "UpdateComputeEnvironment"): environments.update_compute_environment,
    ("batch", "DeleteComputeEnvironment"): environments.delete_compute_environment,
    ("batch", "DescribeComputeEnvironments"): environments.describe_compute_environments,
    ("batch", "CreateJobQueue"): queues.create_job_queue,
    ("batch", "UpdateJobQueue"): queues.update_job_queue,
    ("batch", "DeleteJobQueue"): queues.delete_job_queue,
    ("batch", "DescribeJobQueues"): queues.describe_job_queues,
    ("batch", "GetJobQueueSnapshot"): queues.get_job_queue_snapshot,
    ("batch", "CreateSchedulingPolicy"): policies.create_scheduling_policy,
    ("batch", "UpdateSchedulingPolicy"): policies.update_scheduling_policy,
    ("batch", "DeleteSchedulingPolicy"): policies.delete_scheduling_policy,
    ("batch", "DescribeSchedulingPolicies"): policies.describe_scheduling_policies,
    ("batch", "ListSchedulingPolicies"): policies.list_scheduling_policies,
    ("batch", "RegisterJobDefinition"): definitions.register_job_definition,
    ("batch", "DeregisterJobDefinition"): definitions.deregister_job_definition,
    ("batch", "DescribeJobDefinitions"): definitions.describe_job_definitions,
    ("batch", "SubmitJob"): jobs.submit_job,
    ("batch", "DescribeJobs"): jobs.describe_jobs,
    ("batch", "ListJobs"): job_lists.list_jobs,
    ("batch", "CancelJob"): jobs.cancel_job,
    ("batch", "TerminateJob"): jobs.terminate_job,
    ("batch", "CancelJobs"): jobs.cancel_jobs,
    ("batch", "TerminateJobs"): jobs.terminate_jobs,
    ("batch", "TagResource"): tags.tag_resource,
    ("batch", "UntagResource"): tags.untag_resource,
    ("batch", "ListTagsForResource"): tags.list_tags_for_resource,
    ("logs", "DescribeLogGroups"): log_operations.describe_log_groups,
    ("logs", "DescribeLogStreams"): log_operations.describe_log_streams,
    ("logs", "GetLogEvents"): log_operations.get_log_events,
    ("logs", "FilterLogEvents"): log_operations.filter_log_events,
    ("ecs", "DescribeTasks"): tasks.describe_tasks,
    ("ecs", "ListTasks"): tasks.list_tasks,
    ("ecs", "DescribeContainerInstances"): tasks.describe_container_instances,
    ("ecs", "ListContainerInstances"): tasks.list_container_instances,
    ("ecs", "DescribeClusters"): tasks.describe_clusters,
    ("ecs", "ListClusters"): tasks.list_clusters,
    ("ec2", "DescribeInstances"): instances.describe_instances,
    ("ec2", "DescribeInstanceTypes"): instance_types.describe_instance_types,
    ("ec2", "DescribeRegions"): network.describe_regions,
    ("ec2", "DescribeSecurityGroups"): network.describe_security_groups,
    ("ec2", "DescribeSubnets"): network.describe_subnets,
    ("sts", "GetCallerIdentity"): caller_identity.get_caller_identity,
    ("secretsmanager", "CreateSecret"): secrets.create_secret,
    ("secretsmanager", "PutSecretValue"): secrets.put_secret_value,
    ("secretsmanager", "GetSecretValue"): secrets.get_secret_value,
    ("secretsmanager", "DescribeSecret"): secrets.describe_secret,
    ("secretsmanager", "ListSecrets"): secrets.list_secrets,
    ("secretsmanager", "UpdateSecret"): secrets.update_secret,
    ("secretsmanager", "DeleteSecret"): secrets.delete_secret,
    ("secretsmanager", "RestoreSecret"): secrets.restore_secret,
    ("secretsmanager", "GetResourcePolicy"): secrets.get_resource_policy,
    ("secretsmanager", "TagResource"): secrets.tag_resource,
    ("secretsmanager", "UntagResource"): secrets.untag_resource,
    ("ssm", "PutParameter"): parameters.put_parameter,
    ("ssm", "GetParameter"): parameters.get_parameter,
    ("ssm", "GetParameters"): parameters.get_parameters,
    ("ssm", "DescribeParameters"): parameters.describe_parameters,
    ("ssm", "DeleteParameter"): parameters.delete_parameter,
    ("ssm", "ListTagsForResource"): parameters.list_tags_for_resource,
    ("ssm", "AddTagsToResource"): parameters.add_tags_to_resource,
    ("ssm", "RemoveTagsFromResource"): parameters.remove_tags_from_resource,
    ("yard", "ExplainJob"): explain.explain_job,
    ("yard", "ListAttempts"): usage.list_attempts,
    ("yard", "InterruptInstance"): overview.interrupt_instance,
    ("yard", "ListEnvironments"): overview.list_environments,
    ("yard", "ListInstances"): overview.list_instances,
    ("yard", "ListQueues"): overview.list_queues,
    ("yard", "RunJob"): run_job.run_job,
}


def bind(context: Context) -> dict[tuple[str, str], BoundHandler]:
    """The operations of one service, ready to be called."""
    return {key: partial(perform, context, *key) for key in OPERATIONS}


async def perform(context: Context, service: str, operation: str, call: Call, request: Document) -> Document:
    """One request. Values outside the model's enums or bounds, and page tokens that were given for another request,
    are refused before the operation sees them."""
    CALLER.set(call.caller)
    try:
        check = _checks(service).get(operation)
        if check is not None:
            check(request, "")
        member = page_tokens.token_members(service).get(operation)
        if member is None:
            return await OPERATIONS[service, operation](context, call, request)
        return await _page(context, service, operation, member, call, request)
    except OutOfTime as error:
        raise Refused(str(error), INVALID_CODES.get(service, "ClientException")) from error
    except Refused as refusal:
        if len(refusal.message) <= LONGEST_REFUSAL:
            raise
        raise Refused(shortened(refusal.message), refusal.code) from refusal


async def _page(context: Context, service: str, operation: str, member: str, call: Call, request: Document) -> Document:
    """`member`: what the page token is called, which the operation sees as it gave it."""
    asked, token = request, request.get(member)
    if token:
        if operation in LISTED_BY_NAMES:
            check_names_alone(request, LISTED_BY_NAMES[operation])  # before the token is looked at, as on AWS
        asked = request | {member: page_tokens.unseal(context.page_key, service, operation, request, token)}
    answer = await OPERATIONS[service, operation](context, call, asked)
    if answer.get(member):
        answer |= {member: page_tokens.seal(context.page_key, service, operation, request, answer[member])}
    return answer


def shortened(message: str) -> str:
    """A refusal that repeats too much of what its caller sent: its beginning and its end."""
    return f"{message[: LONGEST_REFUSAL // 2]}...{message[-LONGEST_REFUSAL // 4 :]}"


@lru_cache
def _checks(service: str) -> dict[str, Check]:
    """By operation; made once, when the first request comes. What has other values than the model's enums is refused
    for AWS Batch and us; other services do it in words of their own, and refuse by the model what is too long."""
    operations = load_service_model(service).operations
    code = INVALID_CODES.get(service, "ClientException")
    checks = {
        name: enum_check(operations[name].input)
        if service in ("batch", "yard")
        else length_check(operations[name].input, code)
        for key, name in OPERATIONS
        if key == service
    }
    return {name: check for name, check in checks.items() if check is not None}
