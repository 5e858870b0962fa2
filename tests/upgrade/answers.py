"""What a server answers about everything that it knows, in a form that two servers can be compared by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.upgrade.earlier import Work

ARRAYS = {"array": 4, "partly": 3, "in-order": 3}
STATUSES = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED")
QUEUES = ("default", "cloud", "shares", "closed")
# Left out of every answer: of the call itself, not of what it asks about.
OF_THE_CALL = ("ResponseMetadata", "nextToken")
# Of GetJobQueueSnapshot: when it was made; and since when this server saw a job at the front, which is not stored: any
# restart counts it anew. Of DescribeLogGroups: what the sweep counted last, which earlier servers did not.
OF_THE_SERVER = ("lastUpdatedAt", "earliestTimeAtPosition", "storedBytes")

ABSENT = "(absent)"


def everything(work: Work) -> dict[str, Any]:
    """Answers by the question."""
    children = [f"{name}:{index}" for name, size in ARRAYS.items() for index in range(size)]
    found = {f"DescribeJobs {name}": work.describe(name) for name in [*work.ids, *children]}
    found |= _batch(work) | _secrets(work) | _tasks(work) | _logs(work)
    return {question: _comparable(answer) for question, answer in found.items()}


def differences(before: Any, after: Any, at: str = "") -> Iterator[str]:
    """One line for each place where they differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted({*before, *after}):
            yield from differences(before.get(name, ABSENT), after.get(name, ABSENT), f"{at} > {name}" if at else name)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from differences(one, other, f"{at}[{index}]")
    elif before != after:
        yield f"{at}: was {before!r}, is {after!r}"


def _comparable(answer: Any) -> Any:
    if isinstance(answer, dict):
        left_out = (*OF_THE_CALL, *OF_THE_SERVER)
        return {name: _comparable(value) for name, value in answer.items() if name not in left_out}
    if isinstance(answer, list):
        return [_comparable(value) for value in answer]
    return answer


def _batch(work: Work) -> dict[str, Any]:
    batch = work.batch
    found: dict[str, Any] = {
        "DescribeComputeEnvironments": batch.describe_compute_environments(),
        "DescribeJobQueues": batch.describe_job_queues(),
        "DescribeJobDefinitions": batch.describe_job_definitions(),
        "ListSchedulingPolicies": batch.list_scheduling_policies(),
    }
    arns = [one["arn"] for one in found["ListSchedulingPolicies"]["schedulingPolicies"]]
    found["DescribeSchedulingPolicies"] = batch.describe_scheduling_policies(arns=arns)
    for queue in QUEUES:
        found[f"GetJobQueueSnapshot {queue}"] = batch.get_job_queue_snapshot(jobQueue=queue)
        for status in STATUSES:
            found[f"ListJobs {queue} {status}"] = batch.list_jobs(jobQueue=queue, jobStatus=status)
    for name in ARRAYS:
        for status in STATUSES:
            found[f"ListJobs {name} {status}"] = batch.list_jobs(arrayJobId=work.ids[name], jobStatus=status)
    tagged = batch.describe_jobs(jobs=[work.ids["running"]])["jobs"][0]["jobArn"]
    found["ListTagsForResource"] = batch.list_tags_for_resource(resourceArn=tagged)
    return found


def _secrets(work: Work) -> dict[str, Any]:
    secrets, parameters = work.secrets, work.parameters
    names = ["/prod/token", "/prod/plain"]
    return {
        "ListSecrets": secrets.list_secrets(),
        "DescribeSecret": secrets.describe_secret(SecretId="prod/gone"),
        "GetSecretValue": secrets.get_secret_value(SecretId="prod/db"),
        "GetSecretValue, current": secrets.get_secret_value(SecretId="prod/old"),
        "GetSecretValue, previous": secrets.get_secret_value(SecretId="prod/old", VersionStage="AWSPREVIOUS"),
        "DescribeParameters": parameters.describe_parameters(),
        "GetParameters": parameters.get_parameters(Names=names, WithDecryption=True),
    }


def _tasks(work: Work) -> dict[str, Any]:
    ecs, ec2 = work.client("ecs"), work.client("ec2")
    clusters = sorted(ecs.list_clusters()["clusterArns"])
    found: dict[str, Any] = {
        "DescribeClusters": ecs.describe_clusters(clusters=clusters),
        "DescribeInstances": ec2.describe_instances(),
    }
    for cluster in clusters:
        instances = ecs.list_container_instances(cluster=cluster)["containerInstanceArns"]
        tasks = ecs.list_tasks(cluster=cluster)["taskArns"]
        name = cluster.rpartition("/")[2]
        found[f"ListContainerInstances {name}"] = instances
        found[f"ListTasks {name}"] = tasks
        if instances:
            described = ecs.describe_container_instances(cluster=cluster, containerInstances=instances)
            found[f"DescribeContainerInstances {name}"] = described
        if tasks:
            found[f"DescribeTasks {name}"] = ecs.describe_tasks(cluster=cluster, tasks=tasks)
    return found


def _logs(work: Work) -> dict[str, Any]:
    logs = work.client("logs")
    found: dict[str, Any] = {"DescribeLogGroups": logs.describe_log_groups()}
    # Where a minute ends meanwhile, its performance log events are there afterwards, and their groups.
    groups = found["DescribeLogGroups"]["logGroups"]
    groups[:] = [group for group in groups if not group["logGroupName"].startswith("/aws/ecs/containerinsights/")]
    for group in found["DescribeLogGroups"]["logGroups"]:
        name = group["logGroupName"]
        found[f"DescribeLogStreams {name}"] = streams = logs.describe_log_streams(logGroupName=name)
        for stream in streams["logStreams"]:
            found[f"GetLogEvents {stream['logStreamName']}"] = logs.get_log_events(
                logGroupName=name, logStreamName=stream["logStreamName"], startFromHead=True
            )["events"]
    return found
