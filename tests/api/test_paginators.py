"""Every paginator that botocore has for an operation built here is walked in small pages, and gives what one large page
gives. Whoever builds an operation that has one adds a line to WALKS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from msgspec import Struct

from batchyard.api.cloudwatch.metric_data import LIST_PAGE
from batchyard.api.logs.filters import MAX_SUBSCRIPTIONS
from batchyard.api.operations import OPERATIONS
from batchyard.api.services import SERVICES
from batchyard.core.model.records import Instance
from batchyard.core.model.resources import Resources
from batchyard.engines.base import log_path
from batchyard.events.machine import MAX_TARGETS
from batchyard.iam.machine import MAX_VERSIONS
from tests.api import executions
from tests.api.service import START_MS, Service
from tests.api.training import make_quota_queue, make_quota_share, make_service_environment, make_service_queue
from tests.waiting import until

Document = dict[str, Any]
QUERY_SECONDS = 30.0
GROUP = "/aws/batch/job"
BUS = "arn:aws:events:us-east-1:123456789012:event-bus/default"
TARGET = "arn:aws:logs:us-east-1:123456789012:log-group:/events"
TRUST = (
    '{"Version":"2012-10-17","Statement":'
    '{"Effect":"Allow","Principal":{"Service":"batch.amazonaws.com"},"Action":"sts:AssumeRole"}}'
)
SCHEDULER_ROLE = "arn:aws:iam::123456789012:role/scheduler"
PERMISSIONS = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}'
MANY = 7  # of everything that is listed: pages of 1, 2, 3 and 5 all end in the middle

SEVERAL_TAGS = [{"Key": f"key-{number}", "Value": "x"} for number in range(MANY)]


class Walk(Struct, frozen=True):
    """How one paginator is walked: `prepare` makes what is listed, and returns the request. `sizes`: empty where pages
    have a size of their own. `has_rows`: a page has so many rows; else its walk is another test's."""

    prepare: Callable[[Service], Document]
    sizes: tuple[int, ...] = (1, 2, 3, 5)
    rows: int = MANY  # there are at least as many
    has_rows: bool = True


def nothing(service: Service) -> Document:
    return {}


def environments(service: Service) -> Document:
    for number in range(MANY):
        service.make_queue(f"queue-{number}", f"environment-{number}")
    return {}


def definitions(service: Service) -> Document:
    for number in range(MANY):
        service.register(f"definition-{number % 3}")
    return {}


def jobs(service: Service) -> Document:
    for number in range(MANY):
        service.submit(name=f"job-{number}")
    return {"jobQueue": "default", "filters": [{"name": "JOB_NAME", "values": ["job-*"]}]}


def policies(service: Service) -> Document:
    for number in range(MANY):
        service.call("CreateSchedulingPolicy", {"name": f"policy-{number}"})
    return {}


def consumable_resources(service: Service) -> Document:
    for number in range(MANY):
        service.call("CreateConsumableResource", {"consumableResourceName": f"licence-{number}"})
    return {}


def consumers(service: Service) -> Document:
    wanted = {"consumableResourceList": [{"consumableResource": "licence", "quantity": 1}]}
    for _ in range(MANY):
        service.submit(consumableResourcePropertiesOverride=wanted)
    return {"consumableResource": "licence"}


def service_environments(service: Service) -> Document:
    for number in range(MANY):
        make_service_environment(service, f"training-{number}")
    return {}


def service_jobs(service: Service) -> Document:
    make_service_queue(service)
    for number in range(MANY):
        request = {"jobName": f"job-{number}", "jobQueue": "training", "serviceJobType": "SAGEMAKER_TRAINING"}
        service.call("SubmitServiceJob", request | {"serviceRequestPayload": "{}"})
    return {"jobQueue": "training", "jobStatus": "RUNNABLE"}


def quota_shares(service: Service) -> Document:
    make_quota_queue(service)
    for number in range(MANY):
        make_quota_share(service, f"share-{number}")
    return {"jobQueue": "quota"}


def ran(service: Service) -> list[str]:
    """Jobs that have ended, each with two lines in its log; their streams."""
    streams = []
    for _ in range(MANY):
        job_id = service.submit()
        service.start(job_id)
        stream = str(service.detail(job_id)["container"]["logStreamName"])
        path = log_path(service.context.logs_directory, stream.rpartition("/")[2])
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{service.now_ms + at}\tline {at}\n" for at in range(2)))
        service.end(job_id)
        streams.append(stream)
    return streams


def groups(service: Service) -> Document:
    for number in range(MANY):
        configuration = {"logDriver": "awslogs", "options": {"awslogs-group": f"/group/{number}"}}
        overrides = {"containerProperties": definition_with(logConfiguration=configuration)}
        service.submit(service.register(f"logging-{number}", **overrides))
    return {}


def definition_with(**members: Any) -> Document:
    requirements = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "512"}]
    return {"image": "busybox", "command": ["true"], "resourceRequirements": requirements} | members


def streams(service: Service) -> Document:
    ran(service)
    return {"logGroupName": GROUP}


def events(service: Service) -> Document:
    ran(service)
    return {"logGroupName": GROUP, "startTime": START_MS}


def tasks(service: Service) -> Document:
    ran(service)
    return {"cluster": cluster(service), "desiredStatus": "STOPPED"}


def cluster(service: Service) -> str:
    (found,) = service.batch.describe_compute_environments(computeEnvironments=["local"])["computeEnvironments"]
    return str(found["ecsClusterArn"])


def instances(service: Service) -> Document:
    for number in range(MANY + 5):
        service.machine.world.add_instance(
            Instance(f"i-{number:017x}", Resources(1000, 512), environment="local", instance_type="m5.large")
        )
    return {}


def networks(service: Service) -> Document:
    network = {"subnets": [f"subnet-{n}" for n in range(MANY)], "securityGroupIds": ["sg-0", "sg-1", "sg-2", "sg-3"]}
    for name, groups in (("a", network["securityGroupIds"]), ("b", ["sg-4", "sg-5", "sg-6"])):
        resources = network | {"type": "FARGATE", "maxvCpus": 4, "securityGroupIds": groups}
        request = {"computeEnvironmentName": name, "type": "MANAGED", "computeResources": resources}
        service.call("CreateComputeEnvironment", request)
    return {}


def instance_types(service: Service) -> Document:
    return {"Filters": [{"Name": "instance-type", "Values": ["m6i.*"]}]}


def container_instances(service: Service) -> Document:
    instances(service)
    return {"cluster": cluster(service)}


def secrets(service: Service) -> Document:
    for number in range(MANY):
        service.client("secretsmanager").create_secret(Name=f"secret-{number}", SecretString="x")
    return {}


def parameters(service: Service) -> Document:
    for number in range(MANY):
        service.client("ssm").put_parameter(Name=f"parameter-{number}", Value="x", Type="String")
    return {}


def roles(service: Service) -> Document:
    for number in range(MANY):
        service.client("iam").create_role(RoleName=f"role-{number}", AssumeRolePolicyDocument=TRUST)
    return {}


def role_policies(service: Service) -> Document:
    roles(service)
    for number in range(MANY):
        named = {"RoleName": "role-0", "PolicyName": f"policy-{number}"}
        service.client("iam").put_role_policy(**named, PolicyDocument=PERMISSIONS)
        arn = f"arn:aws:iam::aws:policy/policy-{number}"
        service.client("iam").attach_role_policy(RoleName="role-0", PolicyArn=arn)
    return {"RoleName": "role-0"}


def role_tags(service: Service) -> Document:
    roles(service)
    service.client("iam").tag_role(RoleName="role-0", Tags=SEVERAL_TAGS)
    return {"RoleName": "role-0"}


def managed_policies(service: Service) -> Document:
    for number in range(MANY):
        service.client("iam").create_policy(PolicyName=f"policy-{number}", PolicyDocument=PERMISSIONS)
    return {"Scope": "Local"}


def policy_tags(service: Service) -> Document:
    made = service.client("iam").create_policy(PolicyName="p", PolicyDocument=PERMISSIONS, Tags=SEVERAL_TAGS)
    return {"PolicyArn": made["Policy"]["Arn"]}


def policy_versions(service: Service) -> Document:
    request = policy_tags(service)
    for _ in range(MAX_VERSIONS - 1):
        service.client("iam").create_policy_version(**request, PolicyDocument=PERMISSIONS)
    return request


def policy_roles(service: Service) -> Document:
    roles(service)
    arn = "arn:aws:iam::aws:policy/AmazonS3FullAccess"
    for number in range(MANY):
        service.client("iam").attach_role_policy(RoleName=f"role-{number}", PolicyArn=arn)
    return {"PolicyArn": arn}


def instance_profiles(service: Service) -> Document:
    iam = service.client("iam")
    iam.create_role(RoleName="role", AssumeRolePolicyDocument=TRUST)
    for number in range(MANY):
        iam.create_instance_profile(InstanceProfileName=f"profile-{number}", Tags=SEVERAL_TAGS)
        iam.add_role_to_instance_profile(InstanceProfileName=f"profile-{number}", RoleName="role")
    return {}


def rules(service: Service) -> Document:
    for number in range(MANY):
        client = service.client("events")
        client.put_rule(Name=f"rule-{number}", EventPattern='{"source":["x"]}')
        client.put_targets(
            Rule=f"rule-{number}",
            Targets=[{"Id": f"target-{target}", "Arn": TARGET} for target in range(MAX_TARGETS)],
        )
    return {}


def schedules(service: Service) -> Document:
    request = '{"JobName": "nightly", "JobQueue": "default", "JobDefinition": "definition"}'
    target = {"Arn": "arn:aws:scheduler:::aws-sdk:batch:submitJob", "RoleArn": SCHEDULER_ROLE, "Input": request}
    when = {"ScheduleExpression": "rate(1 hour)", "FlexibleTimeWindow": {"Mode": "OFF"}}
    for number in range(MANY):
        service.client("scheduler").create_schedule(Name=f"schedule-{number}", Target=target, **when)
    return {}


def schedule_groups(service: Service) -> Document:
    for number in range(MANY):
        service.client("scheduler").create_schedule_group(Name=f"group-{number}")
    return {}


def activities(service: Service) -> Document:
    for number in range(MANY):
        service.client("stepfunctions").create_activity(name=f"activity-{number}")
    return {}


def state_machines(service: Service) -> Document:
    for number in range(MANY):
        service.client("stepfunctions").create_state_machine(
            name=f"machine-{number}", definition=executions.DEFINITION, roleArn=executions.ROLE
        )
    return {}


def runs_of_workflows(service: Service) -> Document:
    executions.make_machine(service)
    executions.store(service, *(executions.execution(key, service) for key in range(1, MANY + 1)))
    return {"stateMachineArn": executions.MACHINE}


def history(service: Service) -> Document:
    executions.store(service, executions.execution(1, service), history=executions.passes(1, service, 99))
    return {"executionArn": f"{executions.PREFIX}execution:nightly:1"}


def map_runs(service: Service) -> Document:
    runs = [executions.map_run(number, service) for number in range(MANY)]
    executions.store(service, executions.execution(1, service), map_runs={run.arn: run for run in runs})
    return {"executionArn": f"{executions.PREFIX}execution:nightly:1"}


def metrics(service: Service) -> Document:
    data = [{"MetricName": f"metric-{number}", "Value": 1.0} for number in range(LIST_PAGE + MANY)]
    for start in range(0, len(data), 500):
        service.call("PutMetricData", {"Namespace": "App", "MetricData": data[start : start + 500]})
    return {}


def alarms(service: Service) -> Document:
    rule = {"EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold"}
    metric = {"Namespace": "App", "MetricName": "Load", "Statistic": "Sum", "Period": 60}
    for number in range(MANY):
        service.call("PutMetricAlarm", {"AlarmName": f"alarm-{number}"} | rule | metric)
    return {}


def alarm_history(service: Service) -> Document:
    alarms(service)
    return {"HistoryItemType": "ConfigurationUpdate"}


def metric_data(service: Service) -> Document:
    service.call("PutMetricData", {"Namespace": "App", "MetricData": [{"MetricName": "Load", "Value": 1.0}]})
    stat = {"Metric": {"Namespace": "App", "MetricName": "Load"}, "Period": 60, "Stat": "Sum"}
    queries = [{"Id": f"m{number}", "MetricStat": stat} for number in range(MANY)]
    return {"MetricDataQueries": queries, "StartTime": START_MS / 1000 - 60, "EndTime": START_MS / 1000 + 60}


def filters(service: Service) -> Document:
    logs = service.client("logs")
    logs.create_log_group(logGroupName="/filtered")
    named = {"logGroupName": "/filtered", "filterPattern": "ERROR"}
    for number in range(MANY):
        counted = {"metricName": "Errors", "metricNamespace": "own", "metricValue": "1"}
        logs.put_metric_filter(**named, filterName=f"metric-{number}", metricTransformations=[counted])
    for number in range(MAX_SUBSCRIPTIONS):
        logs.put_subscription_filter(**named, filterName=f"subscription-{number}", destinationArn=BUS)
    return {"logGroupName": "/filtered"}


def log_queries(service: Service) -> Document:
    logs = service.client("logs")
    logs.create_log_group(logGroupName="/asked")
    for number in range(MANY):
        asked = {"startTime": number, "endTime": number + 1, "queryString": "fields @message"}
        logs.start_query(logGroupName="/asked", **asked)
    until(
        lambda: {one["status"] for one in logs.describe_queries()["queries"]} == {"Complete"},
        QUERY_SECONDS,
        "the queries",
    )
    return {"logGroupName": "/asked"}


WALKS: dict[tuple[str, str], Walk] = {
    ("batch", "DescribeComputeEnvironments"): Walk(environments),
    ("batch", "DescribeJobQueues"): Walk(environments),
    ("batch", "DescribeJobDefinitions"): Walk(definitions),
    ("batch", "ListJobs"): Walk(jobs),
    ("batch", "ListSchedulingPolicies"): Walk(policies),
    ("batch", "ListConsumableResources"): Walk(consumable_resources),
    ("batch", "ListJobsByConsumableResource"): Walk(consumers),
    ("batch", "DescribeServiceEnvironments"): Walk(service_environments),
    ("batch", "ListServiceJobs"): Walk(service_jobs),
    ("batch", "ListQuotaShares"): Walk(quota_shares),
    ("logs", "DescribeLogGroups"): Walk(groups),
    ("logs", "DescribeLogStreams"): Walk(streams),
    ("logs", "FilterLogEvents"): Walk(events),
    ("logs", "DescribeMetricFilters"): Walk(filters),
    ("logs", "DescribeSubscriptionFilters"): Walk(filters, sizes=(1,), rows=MAX_SUBSCRIPTIONS),
    ("logs", "DescribeQueries"): Walk(log_queries),
    ("ecs", "ListTasks"): Walk(tasks),
    ("ecs", "ListContainerInstances"): Walk(container_instances),
    ("ecs", "ListClusters"): Walk(environments),
    ("ec2", "DescribeInstances"): Walk(instances, sizes=(5, 6)),  # EC2 takes no smaller pages
    ("ec2", "DescribeInstanceTypes"): Walk(instance_types, sizes=(5, 6)),
    ("ec2", "DescribeSecurityGroups"): Walk(networks, sizes=(5, 6)),
    ("ec2", "DescribeSubnets"): Walk(networks, sizes=(5, 6)),
    ("monitoring", "DescribeAlarmHistory"): Walk(alarm_history),
    ("monitoring", "DescribeAlarms"): Walk(alarms),
    ("monitoring", "GetMetricData"): Walk(metric_data, has_rows=False),
    ("monitoring", "ListMetrics"): Walk(metrics, sizes=(), has_rows=False),
    ("secretsmanager", "ListSecrets"): Walk(secrets),
    ("ssm", "DescribeParameters"): Walk(parameters),
    ("events", "ListRules"): Walk(rules),
    ("events", "ListRuleNamesByTarget"): Walk(lambda service: rules(service) | {"TargetArn": TARGET}),
    ("events", "ListTargetsByRule"): Walk(
        lambda service: rules(service) | {"Rule": "rule-0"}, sizes=(1, 2, 3), rows=MAX_TARGETS
    ),
    ("scheduler", "ListSchedules"): Walk(schedules),
    ("scheduler", "ListScheduleGroups"): Walk(schedule_groups),
    ("states", "ListActivities"): Walk(activities),
    ("states", "ListStateMachines"): Walk(state_machines),
    ("states", "ListExecutions"): Walk(runs_of_workflows),
    ("states", "GetExecutionHistory"): Walk(history, sizes=(7, 50, 51)),
    ("states", "ListMapRuns"): Walk(map_runs),
    # Pages of SNS have 100 rows; test_sns walks them.
    ("sns", "ListTopics"): Walk(nothing, sizes=(), has_rows=False),
    ("sns", "ListSubscriptions"): Walk(nothing, sizes=(), has_rows=False),
    ("sns", "ListSubscriptionsByTopic"): Walk(nothing, sizes=(), has_rows=False),
    ("iam", "ListRoles"): Walk(roles),
    ("iam", "ListRolePolicies"): Walk(role_policies),
    ("iam", "ListAttachedRolePolicies"): Walk(role_policies),
    ("iam", "ListRoleTags"): Walk(role_tags),
    ("iam", "ListPolicies"): Walk(managed_policies),
    ("iam", "ListPolicyTags"): Walk(policy_tags),
    ("iam", "ListPolicyVersions"): Walk(policy_versions, sizes=(1, 2, 3), rows=MAX_VERSIONS),
    ("iam", "ListEntitiesForPolicy"): Walk(policy_roles),
    ("iam", "ListInstanceProfiles"): Walk(instance_profiles),
    ("iam", "ListInstanceProfileTags"): Walk(
        lambda service: instance_profiles(service) | {"InstanceProfileName": "profile-0"}
    ),
    ("iam", "ListInstanceProfilesForRole"): Walk(lambda service: instance_profiles(service) | {"RoleName": "role"}),
}
BUILT = [key for key in WALKS if key in OPERATIONS]


def with_paginator() -> set[tuple[str, str]]:
    """The operations built here for which botocore has a paginator."""
    session = boto3.Session("a", "b", region_name="us-east-1")
    found = set()
    for service in sorted({service for service, _ in OPERATIONS} - {"yard"}):
        pages = session._session.get_paginator_model(SERVICES[service].sdk_name or service)._paginator_config
        found |= {(service, name) for name in pages if (service, name) in OPERATIONS}
    return found


def test_every_paginator_is_walked() -> None:
    assert with_paginator() == set(BUILT)


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    made.make_queue()
    made.register()
    yield made
    made.close()


def snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def rows(paginator: Any, pages: list[Document]) -> dict[str, list[Any]]:
    """What each of the paginator's results has in all pages together."""
    keys = [each.expression for each in paginator.result_keys]
    return {key: [row for page in pages for row in page.get(key, [])] for key in keys}


@pytest.mark.parametrize("key", [key for key in BUILT if WALKS[key].has_rows], ids=".".join)
def test_small_pages_are_the_whole_list(yard: Service, key: tuple[str, str]) -> None:
    service, name = key
    walk = WALKS[key]
    request = walk.prepare(yard)
    client = yard.client(SERVICES[service].sdk_name or service)
    whole = rows(client.get_paginator(snake(name)), [getattr(client, snake(name))(**request)])
    assert max(len(each) for each in whole.values()) >= walk.rows
    for size in walk.sizes:
        paginator = client.get_paginator(snake(name))
        pages = list(paginator.paginate(**request, PaginationConfig={"PageSize": size}))
        assert rows(paginator, pages) == whole, f"pages of {size}"
        assert len(pages) > 1
        assert all(len(each) <= size for page in pages for each in rows(paginator, [page]).values())
