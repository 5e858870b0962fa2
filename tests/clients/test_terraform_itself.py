"""Terraform with its AWS provider, where this machine has them: it makes everything, finds it as planned, changes it in
place, takes what is there into a new state, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.clients.calling import Clients
from tests.programs import output_of

CONFIGURATION = sorted((Path(__file__).parent / "terraform").glob("*.tf"))
PROVIDER = "*/hashicorp/aws"  # below whichever host it was mirrored from
MAJOR = 5  # of the provider's versions, the one that the configuration is written for
SECONDS = 300.0  # the provider pauses for half a minute when it makes, changes or removes a queue
NO_CHANGES = 0  # exit code of plan -detailed-exitcode; 2: there are some
SERVICES = (
    "BATCH",
    "CLOUDWATCH",
    "CLOUDWATCH_LOGS",
    "EVENTBRIDGE",
    "IAM",
    "SCHEDULER",
    "SECRETS_MANAGER",
    "SFN",
    "SNS",
    "SSM",
    "STS",
)
RED = ("-var", "shade=red", "-var", "most_vcpus=8")


class Terraform(NamedTuple):
    program: str
    mirror: Path  # where the provider lies, in the layout of a filesystem mirror
    address: str

    def __call__(self, directory: Path, *arguments: str, code: int = 0) -> str:
        """What it said; anything but `code` at its end fails."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        variables = {
            **kept,
            **{f"AWS_ENDPOINT_URL_{service}": self.address for service in SERVICES},
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "CHECKPOINT_DISABLE": "1",  # asks nobody for newer versions
            "HOME": str(directory),
            "TF_CLI_CONFIG_FILE": str(directory / "terraform.rc"),
            "TF_IN_AUTOMATION": "1",
        }
        words = [self.program, arguments[0], "-no-color", *arguments[1:]]
        return output_of(words, directory, variables, SECONDS, code=code)


def mirrors() -> Iterator[Path]:
    """Where a machine may keep providers: its plugin cache, what its Terraform configuration names, the directories
    that Terraform looks into by itself, and packages below /opt."""
    cache = os.environ.get("TF_PLUGIN_CACHE_DIR")
    if cache:
        yield Path(cache)
    home = Path.home()
    configuration = Path(os.environ.get("TF_CLI_CONFIG_FILE") or home / ".terraformrc")
    if configuration.is_file():
        named = re.findall(r'^\s*(?:plugin_cache_dir|path)\s*=\s*"([^"]+)"', configuration.read_text(), re.MULTILINE)
        yield from (Path(os.path.expandvars(path)).expanduser() for path in named)
    yield home / ".terraform.d" / "plugins"
    shared = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
    for root in (os.environ.get("XDG_DATA_HOME") or str(home / ".local/share"), *shared.split(":")):
        yield Path(root) / "terraform" / "plugins"
    yield from sorted(Path("/opt").glob("*"))


def mirror() -> Path | None:
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    wanted = f"{PROVIDER}/{MAJOR}.*/linux_{architecture}/terraform-provider-aws*"
    return next((path for path in mirrors() if any(path.glob(wanted))), None)


@pytest.fixture(scope="module")
def terraform(clients: Clients) -> Terraform:
    program = shutil.which("terraform")
    if program is None:
        pytest.skip("there is no terraform on this machine")
    found = mirror()
    if found is None:
        pytest.skip(f"there is no AWS provider {MAJOR}.x for Terraform on this machine (TF_PLUGIN_CACHE_DIR names one)")
    return Terraform(program, found, clients.server.address)


def directory(terraform: Terraform, path: Path) -> Path:
    """With the configuration, and everything that init makes."""
    path.mkdir()
    for file in CONFIGURATION:
        shutil.copy(file, path)
    (path / "terraform.rc").write_text(
        f'provider_installation {{\n  filesystem_mirror {{\n    path = "{terraform.mirror}"\n  }}\n}}\n'
    )
    terraform(path, "init", "-input=false")
    return path


class Walk(NamedTuple):
    """What each step said, and what was there after it."""

    made: str
    first_job: str
    changed: str
    shades: set[str]  # after the change
    second_job: str
    imported: str
    left: list[str]


@pytest.fixture(scope="module")
def walk(clients: Clients, terraform: Terraform, tmp_path_factory: pytest.TempPathFactory) -> Walk:
    """The whole way once: what fails on it is an error of every test here."""
    folder = tmp_path_factory.mktemp("terraform")
    first = directory(terraform, folder / "first")
    made = terraform(first, "apply", "-auto-approve", "-input=false")
    first_job = job_says(clients)
    terraform(first, "plan", "-detailed-exitcode", "-input=false", code=NO_CHANGES)
    changed = terraform(first, "apply", "-auto-approve", "-input=false", *RED)
    shades, second_job = described(clients), job_says(clients)
    second = directory(terraform, folder / "second")
    (second / "imports.tf").write_text(imports(first))
    imported = terraform(second, "apply", "-auto-approve", "-input=false", *RED)
    terraform(second, "plan", "-detailed-exitcode", "-input=false", *RED, code=NO_CHANGES)
    terraform(second, "destroy", "-auto-approve", "-input=false", *RED)
    return Walk(made, first_job, changed, shades, second_job, imported, left(clients))


TEXT = "".join(file.read_text() for file in CONFIGURATION)
RESOURCES = re.findall(r'^resource "([a-z_]+)" "([a-z0-9_]+)"', TEXT, re.MULTILINE)
IMPORTED = len(RESOURCES)
ADDRESSES = [".".join(resource) for resource in RESOURCES]
# A secret's value is a new thing to the provider; these have nothing in them that changes.
SAME = (
    "aws_batch_job_queue.fair",
    "aws_batch_job_queue.fargate",
    "aws_batch_job_definition.fargate",
    "aws_batch_job_definition.several",
    "aws_cloudwatch_log_stream.own",
    "aws_iam_role_policy_attachment.of_aws",
    "aws_iam_role_policy_attachment.own",
)
REPLACED = "aws_secretsmanager_secret_version.db"


@pytest.mark.parametrize("address", ADDRESSES)
def test_it_makes(walk: Walk, address: str) -> None:
    assert f"{address}: Creation complete" in walk.made


@pytest.mark.parametrize("address", [one for one in ADDRESSES if one not in (*SAME, REPLACED)])
def test_it_changes_in_place(walk: Walk, address: str) -> None:
    assert f"{address}: Modifications complete" in walk.changed


@pytest.mark.parametrize("address", ADDRESSES)
def test_it_imports(walk: Walk, address: str) -> None:
    assert f"{address}: Import complete" in walk.imported


def test_all_of_it(walk: Walk) -> None:
    """And between these: no drift after it made them, and none after it took them into a new state."""
    assert f"Apply complete! Resources: {IMPORTED} added, 0 changed, 0 destroyed." in walk.made
    assert 'account = "123456789012"' in walk.made
    assert 'default_queue = "arn:aws:batch:us-east-1:123456789012:job-queue/default"' in walk.made
    assert re.search(r"Apply complete! Resources: 1 added, \d+ changed, 1 destroyed\.", walk.changed), walk.changed
    assert walk.shades == {"red"}
    found = re.search(rf"Resources: {IMPORTED} imported, 0 added, \d+ changed, 0 destroyed\.", walk.imported)
    assert found, walk.imported
    assert walk.left == []


def test_jobs_of_what_it_made_run(walk: Walk) -> None:
    assert walk.first_job == "blue: secret blue, token blue"
    assert walk.second_job == "red: secret red, token red"


# Resources that are imported by other words than their id.
IMPORT_IDS = {
    "aws_cloudwatch_event_target": "{event_bus_name}/{rule}/{target_id}",
    "aws_cloudwatch_log_metric_filter": "{log_group_name}:{name}",
    "aws_cloudwatch_log_stream": "{log_group_name}:{name}",
    "aws_cloudwatch_log_subscription_filter": "{log_group_name}|{name}",
    "aws_cloudwatch_query_definition": "arn:aws:logs:us-east-1:123456789012:query-definition:{query_definition_id}",
    "aws_iam_role_policy_attachment": "{role}/{policy_arn}",
}


def import_id(kind: str, attributes: dict[str, object]) -> str:
    return IMPORT_IDS.get(kind, "{id}").format(**attributes)


def imports(directory: Path) -> str:
    """An import block for each resource of that directory's state."""
    state = json.loads((directory / "terraform.tfstate").read_text())
    resources = [one for one in state["resources"] if one["mode"] == "managed"]
    assert len(resources) == IMPORTED
    blocks = []
    for one in resources:
        found = import_id(one["type"], one["instances"][0]["attributes"])
        blocks.append(f'import {{\n  to = {one["type"]}.{one["name"]}\n  id = "{found}"\n}}\n')
    return "\n".join(blocks)


def job_says(clients: Clients) -> str:
    """One job of the definition that was made, on the queue and the environment that were made."""
    job_id = clients.batch.submit_job(jobName="tfr", jobQueue="tfr-main", jobDefinition="tfr-container")["jobId"]
    job = clients.ended(job_id)
    assert job["status"] == "SUCCEEDED", job
    answer = clients.logs.get_log_events(
        logGroupName="/aws/batch/job", logStreamName=job["container"]["logStreamName"], startFromHead=True
    )
    return str(answer["events"][0]["message"])


def described(clients: Clients) -> set[str]:
    """The values of the tag Shade, after what else was to change has been looked at."""
    batch = clients.batch
    environments = batch.describe_compute_environments(computeEnvironments=["tfr-own", "tfr-ec2", "tfr-fargate"])
    found = environments["computeEnvironments"]
    assert sorted(one["computeResources"]["maxvCpus"] for one in found if one["type"] == "MANAGED") == [8, 8]
    (queue,) = batch.describe_job_queues(jobQueues=["tfr-main"])["jobQueues"]
    assert queue["priority"] == 8
    arns = [one["arn"] for one in batch.list_scheduling_policies()["schedulingPolicies"] if "tfr-" in one["arn"]]
    (policy,) = batch.describe_scheduling_policies(arns=arns)["schedulingPolicies"]
    assert policy["fairsharePolicy"]["shareDecaySeconds"] == 7200
    active = batch.describe_job_definitions(jobDefinitionName="tfr-container", status="ACTIVE")["jobDefinitions"]
    assert [one["revision"] for one in active] == [2]
    return (
        {one["tags"]["Shade"] for one in (*found, queue, policy, *active)}
        | shades_of_iam(clients)
        | shades_of_events(clients)
        | shades_of_logs(clients)
        | shades_of_alarms(clients)
        | shades_of_topics(clients)
        | shades_of_workflows(clients)
    )


def shades_of_iam(clients: Clients) -> set[str]:
    iam = clients.client("iam")
    (profile,) = iam.list_instance_profiles()["InstanceProfiles"]
    assert [one["RoleName"] for one in profile["Roles"]] == ["tfr-job"]
    role = iam.get_role(RoleName="tfr-job")["Role"]
    assert role["MaxSessionDuration"] == 7200
    arn = role["PermissionsBoundary"]["PermissionsBoundaryArn"]
    attached = iam.list_attached_role_policies(RoleName="tfr-job")["AttachedPolicies"]
    assert [one["PolicyName"] for one in attached] == ["tfr-read", "AmazonECSTaskExecutionRolePolicy"]
    version = iam.get_policy_version(
        PolicyArn=arn, VersionId=iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    )
    inline = iam.get_role_policy(RoleName="tfr-job", PolicyName="inline")["PolicyDocument"]
    resources = [inline["Statement"][0]["Resource"], version["PolicyVersion"]["Document"]["Statement"]["Resource"]]
    shades = {resource.removeprefix("arn:aws:s3:::").removesuffix("/*") for resource in resources}
    return shades | {tag["Value"] for tag in role["Tags"]}


def shades_of_events(clients: Clients) -> set[str]:
    events = clients.client("events")
    rules = {rule["Name"]: rule for rule in events.list_rules(NamePrefix="tfr-")["Rules"]}
    assert rules["tfr-nightly"]["ScheduleExpression"] == "cron(0 8 * * ? *)"
    (target,) = events.list_targets_by_rule(Rule="tfr-failed")["Targets"]
    assert target["RetryPolicy"] == {"MaximumRetryAttempts": 8, "MaximumEventAgeInSeconds": 480}
    (job,) = events.list_targets_by_rule(Rule="tfr-nightly")["Targets"]
    (hook,) = events.list_api_destinations()["ApiDestinations"]
    texts = [job["Input"], rules["tfr-failed"]["EventPattern"], hook["InvocationEndpoint"], hook["Name"]]
    assert ["red" in text for text in texts] == [True, True, True, False]
    return {job["BatchParameters"]["JobName"].removeprefix("tfr-nightly-")}


def shades_of_workflows(clients: Clients) -> set[str]:
    states = clients.client("stepfunctions")
    machines = {one["name"]: one["stateMachineArn"] for one in states.list_state_machines()["stateMachines"]}
    shown = states.describe_state_machine(stateMachineArn=machines["tfr-pipeline"])
    definition = json.loads(shown["definition"])
    assert definition["States"]["Ask"]["TimeoutSeconds"] == 480
    versions = states.list_state_machine_versions(stateMachineArn=machines["tfr-pipeline"])["stateMachineVersions"]
    assert [one["stateMachineVersionArn"].rpartition(":")[2] for one in versions] == ["2", "1"]
    (alias,) = states.list_state_machine_aliases(stateMachineArn=machines["tfr-pipeline"])["stateMachineAliases"]
    live = states.describe_state_machine_alias(stateMachineAliasArn=alias["stateMachineAliasArn"])
    assert [one["stateMachineVersionArn"] for one in live["routingConfiguration"]] == [
        versions[0]["stateMachineVersionArn"]
    ]
    tags = states.list_tags_for_resource(resourceArn=machines["tfr-pipeline"])["tags"]
    return {definition["Comment"], live["description"], *(tag["value"] for tag in tags)}


def shades_of_logs(clients: Clients) -> set[str]:
    logs = clients.logs
    (group,) = logs.describe_log_groups(logGroupNamePrefix="/tfr/")["logGroups"]
    assert group["retentionInDays"] == 14
    patterns = {one["filterName"]: one["filterPattern"] for one in logs.describe_metric_filters()["metricFilters"]}
    assert patterns == {"tfr-errors": "ERROR red", "tfr-sizes": "{ $.size > 8 }"}
    (subscription,) = logs.describe_subscription_filters(logGroupName="/tfr/events")["subscriptionFilters"]
    assert subscription["filterPattern"] == "{ $.shade = red }"
    (query,) = logs.describe_query_definitions(queryDefinitionNamePrefix="tfr/")["queryDefinitions"]
    assert query["queryString"].endswith("/red/")
    return {logs.list_tags_for_resource(resourceArn=group["logGroupArn"])["tags"]["Shade"]}


def shades_of_alarms(clients: Clients) -> set[str]:
    cloudwatch = clients.client("cloudwatch")
    found = cloudwatch.describe_alarms(AlarmNamePrefix="tfr-", AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    alarms = {one["AlarmName"]: one for one in found["MetricAlarms"]}
    assert {name: one.get("Threshold") for name, one in alarms.items()} == {
        "tfr-failures": 8.0,
        "tfr-rate": 84.0,
        "tfr-slow": 60000.0,
    }
    assert alarms["tfr-slow"]["ExtendedStatistic"] == "p90"
    (both,) = found["CompositeAlarms"]
    (tag,) = cloudwatch.list_tags_for_resource(ResourceARN=both["AlarmArn"])["Tags"]
    return {both["AlarmDescription"], tag["Value"]}


def shades_of_topics(clients: Clients) -> set[str]:
    sns = clients.client("sns")
    (topic,) = sns.list_topics()["Topics"]
    attributes = sns.get_topic_attributes(TopicArn=topic["TopicArn"])["Attributes"]
    assert json.loads(attributes["DeliveryPolicy"])["http"]["defaultHealthyRetryPolicy"]["numRetries"] == 8
    found = {one["Protocol"]: one for one in sns.list_subscriptions()["Subscriptions"]}
    assert found["email"]["Endpoint"] == "owner@example.com"
    assert [one["SubscriptionArn"] for one in found.values()] == ["PendingConfirmation"] * 2
    (tag,) = sns.list_tags_for_resource(ResourceArn=topic["TopicArn"])["Tags"]
    shade, _, word = attributes["DisplayName"].partition(" ")
    assert word == "alerts"
    return {shade, json.loads(attributes["Policy"])["Statement"][0]["Sid"], tag["Value"]}


def left(clients: Clients) -> list[str]:
    """Names of what is still there of all that was made."""
    batch = clients.batch
    names = [one["computeEnvironmentName"] for one in batch.describe_compute_environments()["computeEnvironments"]]
    names += [one["jobQueueName"] for one in batch.describe_job_queues()["jobQueues"]]
    names += [one["arn"] for one in batch.list_scheduling_policies()["schedulingPolicies"]]
    pages = batch.get_paginator("describe_job_definitions").paginate(status="ACTIVE")
    names += [one["jobDefinitionName"] for page in pages for one in page["jobDefinitions"]]
    for service, action, member in (
        ("secretsmanager", "list_secrets", "SecretList"),
        ("ssm", "describe_parameters", "Parameters"),
    ):
        answer = getattr(clients.client(service), action)()
        names += [one["Name"] for one in answer[member]]
    iam = clients.client("iam")
    names += [f"the role {one['RoleName']}, tfr" for one in iam.list_roles()["Roles"]]
    names += [one["PolicyName"] for one in iam.list_policies(Scope="Local")["Policies"]]
    names += [one["InstanceProfileName"] for one in iam.list_instance_profiles()["InstanceProfiles"]]
    events = clients.client("events")
    for bus in events.list_event_buses()["EventBuses"]:
        names += [bus["Name"], *(rule["Name"] for rule in events.list_rules(EventBusName=bus["Name"])["Rules"])]
    names += [one["Name"] for one in events.list_connections()["Connections"]]
    names += [one["Name"] for one in events.list_api_destinations()["ApiDestinations"]]
    scheduler = clients.client("scheduler")
    names += [one["Name"] for one in scheduler.list_schedules()["Schedules"]]
    names += [one["Name"] for one in scheduler.list_schedule_groups()["ScheduleGroups"]]
    names += [one["logGroupName"] for one in clients.logs.describe_log_groups()["logGroups"]]
    names += [one["name"] for one in clients.logs.describe_query_definitions()["queryDefinitions"]]
    names += [one["TopicArn"] for one in clients.client("sns").list_topics()["Topics"]]
    names += [one["TopicArn"] for one in clients.client("sns").list_subscriptions()["Subscriptions"]]
    states = clients.client("stepfunctions")
    names += [one["name"] for one in states.list_state_machines()["stateMachines"]]
    names += [one["name"] for one in states.list_activities()["activities"]]
    alarms = clients.client("cloudwatch").describe_alarms(AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    names += [one["AlarmName"] for kind in ("MetricAlarms", "CompositeAlarms") for one in alarms[kind]]
    return [name for name in names if "tfr" in name]
