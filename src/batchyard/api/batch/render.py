"""Stored records in the Describe and List shapes of AWS Batch, which no other module knows (behaviour 3.1, 4.1, 6, 7).

Empty list members are present, empty scalars absent, as in AWS's answers.
"""

from __future__ import annotations

from collections.abc import Mapping

from batchyard.api.batch.definition_bodies import each_body
from batchyard.api.ecs.cluster_names import cluster_name
from batchyard.core.model import names
from batchyard.core.model.compute_resources import Platform
from batchyard.core.model.names import Account
from batchyard.core.model.node_addresses import address_of
from batchyard.core.model.records import (
    Attempt,
    ContainerLog,
    ContainerOutcome,
    Definition,
    Dependency,
    Environment,
    Job,
    JobSpec,
    Queue,
    RetryStrategy,
    SchedulingPolicy,
    Status,
    logs_of,
)
from batchyard.core.state import arrays
from batchyard.core.tasks.pod import name_of
from batchyard.store.queries import JobView
from batchyard.wire.messages import Document

# Members of a container that Describe operations return even when the request left them out (AWS Batch behaviour 6.4).
CONTAINER_LISTS = ("command", "volumes", "environment", "mountPoints", "ulimits", "resourceRequirements", "secrets")
POD_MEMBERS = ("containers", "initContainers")
POD_LISTS = ("imagePullSecrets", "initContainers", "volumes")
POD_CONTAINER_LISTS = ("args", "command", "env", "volumeMounts")
TASK_CONTAINER_LISTS = ("command", "dependsOn", "environment", "mountPoints", "secrets", "ulimits")
SERVICE_LINKED_ROLE = "role/aws-service-role/batch.amazonaws.com/AWSServiceRoleForBatch"
FAIR_SHARE_DEFAULTS: Document = {"shareDecaySeconds": 0, "computeReservation": 0, "shareDistribution": []}
NO_CLUSTERS: Mapping[str, Document] = {}
MAX_CONTAINER_REASON_CHARACTERS = 255  # API: ContainerDetail.reason


# -- environments and queues --


def environment_detail(environment: Environment, account: Account, host_vcpus: int) -> Document:
    """Returns ComputeEnvironmentDetail. `host_vcpus`: what this machine offers."""
    is_eks = "eksConfiguration" in environment.document
    detail: Document = {
        "computeEnvironmentName": environment.name,
        "computeEnvironmentArn": account.environment_arn(environment.name),
        "tags": environment.tags,
        "type": environment.type,
        "state": environment.state.value,
        "status": environment.status.value,
        "statusReason": environment.status_reason,
        "containerOrchestrationType": "EKS" if is_eks else "ECS",
        "uuid": environment.uuid,
    }
    if not is_eks:
        detail["ecsClusterArn"] = account.cluster_arn(cluster_name(account, environment.name))
    if environment.kind.is_managed:
        linked = f"arn:{account.partition}:iam::{account.account_id}:{SERVICE_LINKED_ROLE}"
        detail["serviceRole"] = linked
    elif "serviceRole" not in environment.document:
        detail["computeResources"] = _built_in_resources(host_vcpus)
    detail |= _given(environment.document)
    resources = detail.get("computeResources")
    if resources and environment.kind.has_instances:
        detail["computeResources"] = resources | {
            "desiredvCpus": max(environment.desired_vcpus, resources.get("desiredvCpus") or 0)
        }
    return detail


def _built_in_resources(vcpus: int) -> Document:
    """Returns the computeResources of the environment that the service made itself. UNMANAGED ones of callers, which
    need a serviceRole, have none.

    AWS's UNMANAGED environments have none either; but Metaflow and Snakemake read the type in them unconditionally,
    to distinguish EC2 from Fargate, and must find it in the default environment."""
    amounts = {"minvCpus": vcpus, "maxvCpus": vcpus, "desiredvCpus": vcpus}
    return {"type": "EC2", **amounts, "instanceTypes": [], "subnets": [], "securityGroupIds": []}


def _given(document: Document) -> Document:
    """Returns the members without empty texts, which mean an absent value."""
    return {member: value for member, value in document.items() if value != ""}


def queue_detail(queue: Queue, account: Account) -> Document:
    """Returns JobQueueDetail; environments as ARNs, which Terraform compares."""
    detail: Document = {
        "jobQueueName": queue.name,
        "jobQueueArn": account.queue_arn(queue.name),
        "state": queue.state.value,
        "status": queue.status.value,
        "statusReason": queue.status_reason,
        "priority": queue.priority,
        "computeEnvironmentOrder": [
            {"order": entry.order, "computeEnvironment": account.environment_arn(entry.environment)}
            for entry in queue.environments
        ],
        "jobStateTimeLimitActions": [],
        "tags": queue.tags,
    }
    detail |= _given(queue.document)
    if "serviceEnvironmentOrder" in detail:
        detail["serviceEnvironmentOrder"] = [
            entry | {"serviceEnvironment": account.service_environment_arn(entry["serviceEnvironment"])}
            for entry in detail["serviceEnvironmentOrder"]
        ]
    return detail


def policy_detail(policy: SchedulingPolicy, account: Account) -> Document:
    """Returns SchedulingPolicyDetail. A fair share policy includes the defaults of omitted members, as AWS echoes
    it."""
    detail = {"name": policy.name, "arn": account.policy_arn(policy.name), "tags": policy.tags} | policy.document
    if "fairsharePolicy" in detail:
        detail["fairsharePolicy"] = FAIR_SHARE_DEFAULTS | detail["fairsharePolicy"]
    return detail


# -- definitions --


def definition_detail(definition: Definition, account: Account) -> Document:
    """Returns JobDefinition: the request as sent, with the defaults that AWS echoes."""
    document = definition.document
    is_eks = "eksProperties" in document or any(
        "eksProperties" in each for each in document.get("nodeProperties", {}).get("nodeRangeProperties", [])
    )
    detail = {
        "jobDefinitionName": definition.name,
        "jobDefinitionArn": account.definition_arn(definition.name, definition.revision),
        "revision": definition.revision,
        "status": definition.status,
        "parameters": {},
        "tags": definition.tags,
        "containerOrchestrationType": "EKS" if is_eks else "ECS",
    } | each_body(document, _with_lists, _task_with_lists, _pod_with_lists)
    if "retryStrategy" in document:
        strategy = document["retryStrategy"]
        rules = [rule | {"action": rule["action"].lower()} for rule in strategy.get("evaluateOnExit", [])]
        detail["retryStrategy"] = strategy | {"evaluateOnExit": rules}
    return detail


def _with_lists(container: Document) -> Document:
    return {member: [] for member in CONTAINER_LISTS} | container


def _task_with_lists(task: Document) -> Document:
    """EcsTaskProperties; Terraform takes these for what it did not plan."""
    empty: Document = {member: [] for member in TASK_CONTAINER_LISTS}
    containers = [empty | {"essential": True} | container for container in task["containers"]]
    return {"volumes": []} | task | {"containers": containers}


def _pod_with_lists(pod: Document) -> Document:
    """Returns EksPodProperties. Other members that were not given are not described (API:
    EksPodPropertiesDetail.dnsPolicy)."""
    empty: Document = {member: [] for member in POD_CONTAINER_LISTS}
    described: Document = {member: [] for member in POD_LISTS} | pod
    for member in POD_MEMBERS:
        described[member] = [empty | container for container in described.get(member, [])]
    return described


# -- jobs --


def spec_members(spec: JobSpec, account: Account) -> Document:
    """Returns the members of JobDetail that say what was submitted, which the children of an array have in common."""
    members: Document = {
        "jobQueue": account.queue_arn(spec.queue),
        "attempts": [],
        "retryStrategy": _retry_strategy(spec.retry),
        "dependsOn": [_dependency(dependency) for dependency in spec.depends_on],
        "parameters": spec.parameters,
        "container": _with_lists(spec.container),
        "propagateTags": spec.propagate_tags,
        "platformCapabilities": list(spec.platform_capabilities),
    }
    if spec.share_identifier:
        members["schedulingPriority"] = spec.scheduling_priority
    if spec.consumables:
        members["consumableResourceProperties"] = consumable_properties(spec, account)
    return members


def job_detail(
    view: JobView, account: Account, clusters: Mapping[str, Document] = NO_CLUSTERS, common: Document | None = None
) -> Document:
    """Returns JobDetail. An array's parent has neither attempts nor a timeout, a child no tags. `clusters`: the
    EksConfiguration of environments, by name; `common`: spec_members(), where the caller has them."""
    spec, job = view.spec, view.job
    common = spec_members(spec, account) if common is None else common
    detail = _job_head(view, account) | common
    detail |= _run_detail(view, account, common["container"])
    detail |= {
        "attempts": [_attempt_detail(view, attempt, account) for attempt in job.past],
        "tags": view.tags,
        "eksAttempts": [_pod_attempt(view, attempt, account, clusters) for attempt in job.past] if spec.pod else [],
        "isCancelled": job.is_cancelled,
        "isTerminated": job.is_terminated,
    }
    if spec.timeout_seconds and job.array is None:
        detail["timeout"] = {"attemptDurationSeconds": spec.timeout_seconds}
    if view.node is not None:
        detail["nodeDetails"] = {"nodeIndex": view.node, "isMainNode": view.node == spec.main_node}
    return detail


def consumable_properties(spec: JobSpec, account: Account) -> Document:
    """ConsumableResourceProperties of a job: each resource by its ARN."""
    return {
        "consumableResourceList": [
            {"consumableResource": account.consumable_resource_arn(one.name), "quantity": one.quantity}
            for one in spec.consumables
        ]
    }


def consumable_job(view: JobView, name: str, account: Account) -> Document:
    """ListJobsByConsumableResourceSummary. `name`: of the resource."""
    head = _job_head(view, account)
    moved = {"jobDefinition": "jobDefinitionArn", "status": "jobStatus"}
    kept = ("jobArn", "jobName", "shareIdentifier", "statusReason", "startedAt", "createdAt", *moved)
    summary = {moved.get(member, member): head[member] for member in kept if member in head}
    quantity = sum(one.quantity for one in view.spec.consumables if one.name == name)
    return summary | {
        "jobQueueArn": account.queue_arn(view.spec.queue),
        "quantity": quantity,
        "consumableResourceProperties": consumable_properties(view.spec, account),
    }


def job_summary(view: JobView, account: Account) -> Document:
    """Returns JobSummary."""
    job = view.job
    summary = _job_head(view, account)
    if view.spec.num_nodes:
        own = {} if view.node is None else {"nodeIndex": view.node, "isMainNode": view.node == view.spec.main_node}
        summary["nodeProperties"] = {"numNodes": view.spec.num_nodes, **own}
    latest = _latest_attempt(job)
    if latest is not None and (outcome := _outcome(latest)):
        summary["container"] = outcome
    if job.is_cancelled:
        summary["isCancelled"] = True
    if job.is_terminated:
        summary["isTerminated"] = True
    return summary


def _job_head(view: JobView, account: Account) -> Document:
    """Returns the members that detail and summary have in common."""
    spec, job = view.spec, view.job
    name, _, revision = spec.definition.rpartition(":")
    job_id = view.job_id
    head: Document = {
        "jobArn": account.job_arn(job_id),
        "jobId": job_id,
        "jobName": spec.name,
        "jobDefinition": account.definition_arn(name, int(revision)),
        "status": job.status.value,
        "createdAt": job.created_at_ms,
    }
    if spec.share_identifier:
        head["shareIdentifier"] = spec.share_identifier
    if job.status_reason:
        head["statusReason"] = job.status_reason
    last = job.attempt or (job.past[-1] if job.past else None)  # one that never started hides when another started
    if last is not None and last.started_at_ms:
        head["startedAt"] = last.started_at_ms
    if job.stopped_at_ms:
        head["stoppedAt"] = job.stopped_at_ms
    if view.index is not None:
        head["arrayProperties"] = {"index": view.index}
    elif job.array is not None:
        counts = arrays.status_summary(spec, job)
        head["arrayProperties"] = {
            "size": job.array.size,
            "statusSummary": {status.value: counts[status] for status in Status},
            "statusSummaryLastUpdatedAt": job.array.updated_at_ms or job.created_at_ms,
        }
    return head


def _latest_attempt(job: Job) -> Attempt | None:
    """Returns the attempt that the job shows: the placed one, or the last one of a final job; none for a waiting
    job."""
    if job.attempt is not None:
        return job.attempt
    return job.past[-1] if job.past and job.status.is_final else None


def _run_detail(view: JobView, account: Account, plain: Document) -> Document:
    """Returns what the job runs: `container`, which is empty where `ecsProperties` has everything. Of a pod it has
    where it runs, the log stream of its first container and how it ended, which AWS does not show. `plain`: the
    container of a job that has just one, without what became of it."""
    latest = _latest_attempt(view.job)
    if view.spec.num_nodes and view.node is None:
        # Exit data and log stream are the main node's (AWS Batch behaviour 8.4); what it runs is in nodeProperties.
        facts = {} if latest is None or view.spec.ecs_task else _run_facts(view, latest, account)
        return {"container": facts, "nodeProperties": _node_properties(view.spec)}
    if view.spec.pod:
        container: Document = {} if latest is None else _run_facts(view, latest, account)
        if view.node is not None:
            container = container | {"networkInterfaces": _interfaces(view, latest)}
        return {"container": container, "eksProperties": {"podProperties": _pod_detail(view, latest)}}
    if view.spec.ecs_task:
        return {"container": {}, "ecsProperties": {"taskProperties": [_task_detail(view, latest, account)]}}
    container = plain | {"networkInterfaces": _interfaces(view, latest)}
    return {"container": container if latest is None else container | _run_facts(view, latest, account)}


def _node_properties(spec: JobSpec) -> Document:
    """Returns NodeProperties with the lists that AWS returns for every container."""
    described = each_body({"nodeProperties": spec.node_properties}, _with_lists, _task_with_lists, _pod_with_lists)
    properties: Document = described["nodeProperties"]
    return properties


def _interfaces(view: JobView, attempt: Attempt | None) -> list[Document]:
    """Returns the network interfaces of a node, which a plain job does not have: it is on its host's."""
    if view.node is None or attempt is None or not attempt.first_address:
        return []
    address = address_of(attempt.first_address, view.node)
    return [{"attachmentId": names.container_uuid(view.task_id(attempt.number)), "privateIpv4Address": address}]


def _task_detail(view: JobView, latest: Attempt | None, account: Account) -> Document:
    """Returns EcsTaskDetails."""
    task = _task_with_lists(view.spec.ecs_task)
    places = {} if latest is None else _places(view, latest, account)
    containers: list[Document] = []
    for container, log in zip(task["containers"], logs_of(view.spec), strict=True):
        facts = {} if latest is None else _container_facts(view, latest, log)
        containers.append(container | facts | {"networkInterfaces": _interfaces(view, latest)})
    return task | {"containers": containers} | places


def _pod_detail(view: JobView, latest: Attempt | None) -> Document:
    """Returns EksPodPropertiesDetail."""
    pod = _pod_with_lists(view.spec.pod)
    if latest is None:
        return pod
    ended = {one.name: _outcome(one) for one in latest.containers}
    for member in POD_MEMBERS:
        pod[member] = [container | ended.get(name_of(container), {}) for container in pod[member]]
    return pod | _pod_place(view, latest)


def _pod_attempt(view: JobView, attempt: Attempt, account: Account, clusters: Mapping[str, Document]) -> Document:
    """Returns EksAttemptDetail. An environment without a cluster has the name of the one that ECS shows for it."""
    pod, cluster = view.spec.pod, clusters.get(attempt.environment, {})
    ended = {one.name: {"name": one.name} | _outcome(one) for one in attempt.containers}
    detail: Document = {
        member: [ended.get(name_of(one), {"name": name_of(one)}) for one in pod.get(member, [])]
        for member in POD_MEMBERS
    }
    own = account.arn("eks", f"cluster/{cluster_name(account, attempt.environment)}")
    detail |= _pod_place(view, attempt) | {"eksClusterArn": cluster.get("eksClusterArn", own)}
    namespace = pod.get("metadata", {}).get("namespace") or cluster.get("kubernetesNamespace")
    if namespace:
        detail["podNamespace"] = namespace
    return detail | _attempt_times(attempt)


def _pod_place(view: JobView, attempt: Attempt) -> Document:
    """Returns the members that name an attempt's pod and where it runs."""
    task_id = view.task_id(attempt.number)
    return {"podName": names.pod_name(task_id), "nodeName": attempt.main.instance_id}


def _attempt_detail(view: JobView, attempt: Attempt, account: Account) -> Document:
    detail: Document
    interfaces = {"networkInterfaces": _interfaces(view, attempt)}
    if view.spec.ecs_task:
        containers: list[Document] = [
            {"name": log.container} | _container_facts(view, attempt, log) | interfaces for log in logs_of(view.spec)
        ]
        task = _places(view, attempt, account) | {"containers": containers}
        detail = {"container": {}, "taskProperties": [task]}
    else:
        detail = {"container": _run_facts(view, attempt, account) | interfaces}
    return detail | _attempt_times(attempt)


def _attempt_times(attempt: Attempt) -> Document:
    """Returns when an attempt ran, and why it ended."""
    detail: Document = {}
    if attempt.started_at_ms:
        detail["startedAt"] = attempt.started_at_ms
    if attempt.stopped_at_ms:
        detail["stoppedAt"] = attempt.stopped_at_ms
    if attempt.status_reason:
        detail["statusReason"] = attempt.status_reason
    return detail


def _run_facts(view: JobView, attempt: Attempt, account: Account) -> Document:
    """Returns where an attempt runs (from STARTING), its log stream (from RUNNING), and how it ended."""
    log = logs_of(view.spec)[0]
    return _places(view, attempt, account) | _outcome(attempt) | _stream(view, attempt, log)


def _places(view: JobView, attempt: Attempt, account: Account) -> Document:
    """Returns the members that name the instance; on Fargate there is none."""
    cluster = cluster_name(account, attempt.environment)
    task_id = view.task_id(attempt.number)
    task = {"taskArn": account.task_arn(cluster, task_id)}
    if Platform.FARGATE in view.spec.platform_capabilities:
        return task
    return {"containerInstanceArn": account.container_instance_arn(cluster, attempt.main.instance_id)} | task


def _container_facts(view: JobView, attempt: Attempt, log: ContainerLog) -> Document:
    """Returns the members of an attempt for one container of ecsProperties."""
    ended = next((one for one in attempt.containers if one.name == log.container), None)
    return ({} if ended is None else _outcome(ended)) | _stream(view, attempt, log)


def _stream(view: JobView, attempt: Attempt, log: ContainerLog) -> Document:
    if not attempt.started_at_ms:
        return {}
    return {"logStreamName": stream_name(log, view.task_id(attempt.number))}


def _outcome(ended: Attempt | ContainerOutcome) -> Document:
    outcome: Document = {}
    if ended.exit_code is not None:
        outcome["exitCode"] = ended.exit_code
    if ended.reason:
        outcome["reason"] = ended.reason[:MAX_CONTAINER_REASON_CHARACTERS]
    return outcome


def stream_name(log: ContainerLog, task_id: str) -> str:
    return names.log_stream(log.prefix, task_id, log.container)


def _retry_strategy(strategy: RetryStrategy) -> Document:
    """Returns a job's retry strategy. Actions are accepted in any case, and returned in lower case: Terraform
    compares them."""
    members = {"onStatusReason": "on_status_reason", "onReason": "on_reason", "onExitCode": "on_exit_code"}
    rules = []
    for rule in strategy.rules:
        conditions = {member: getattr(rule, field) for member, field in members.items() if getattr(rule, field)}
        rules.append(conditions | {"action": rule.action.lower()})
    return {"attempts": strategy.attempts, "evaluateOnExit": rules}


def _dependency(dependency: Dependency) -> Document:
    document = {}
    if dependency.job_id:
        document["jobId"] = dependency.job_id
    if dependency.type:
        document["type"] = dependency.type
    return document
