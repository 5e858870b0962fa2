"""A service with a pipeline that failed, jobs that run and wait, and an array, for the console to show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import boto3

from tests.browser.browser import Tab, chromium
from tests.server.running import Server
from tests.waiting import until

END_SECONDS = 60.0
HOSTILE = "<script>alert(1)</script>"
PRINTS_HOSTILE = f"printf '{HOSTILE}\\033]0;x\\007 \\033[31mred\\033[0m <img src=x onerror=alert(2)>\\n'; exit 1"


class Yard(NamedTuple):
    """A service with a pipeline that failed, jobs that run and wait, and an array."""

    server: Server
    batch: Any
    browser: Any
    ids: dict[str, str]

    def tab(self, **settings: Any) -> Tab:
        return Tab(self.browser, self.server.address, **settings)

    def submit(self, name: str, definition: str, **members: Any) -> str:
        request = {"jobName": name, "jobQueue": "default", "jobDefinition": definition, **members}
        return str(self.batch.submit_job(**request)["jobId"])

    def status(self, job_id: str) -> str:
        return str(self.batch.describe_jobs(jobs=[job_id])["jobs"][0]["status"])

    def wait(self, job_id: str, *statuses: str) -> None:
        until(lambda: self.status(job_id) in statuses, END_SECONDS, lambda: f"{job_id} to be {statuses}")


def register(batch: Any, name: str, script: str, vcpus: str = "1") -> None:
    asks = [{"type": "VCPU", "value": vcpus}, {"type": "MEMORY", "value": "64"}]
    properties = {"image": "busybox", "command": ["sh", "-c", script], "resourceRequirements": asks}
    batch.register_job_definition(jobDefinitionName=name, type="container", containerProperties=properties)


TRAINING = {
    "Type": "Task",
    "Resource": "arn:aws:states:::batch:submitJob.sync",
    "Parameters": {"JobName": "train", "JobQueue": "default", "JobDefinition": "long"},
}


def make_workflow(states: Any, training: dict[str, Any]) -> None:
    """A workflow with one execution that runs, by the state `training`, and one that failed."""
    checking = {"StartAt": "Check", "States": {"Check": {"Type": "Pass", "End": True}}}
    branches = [{"StartAt": "Train", "States": {"Train": training | {"End": True}}}, checking]
    members = {
        "Ready": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.ready", "BooleanEquals": True, "Next": "Both"}],
            "Default": "Not ready",
        },
        "Both": {"Type": "Parallel", "Branches": branches, "Next": "Report"},
        "Report": {"Type": "Wait", "Seconds": 1, "Next": "Ready"},
        "Not ready": {"Type": "Fail", "Error": "NotReady", "Cause": HOSTILE},
    }
    definition = json.dumps({"StartAt": "Ready", "States": members})
    role = "arn:aws:iam::123456789012:role/workflows"
    arn = states.create_state_machine(name="nightly", definition=definition, roleArn=role)["stateMachineArn"]
    states.publish_state_machine_version(stateMachineArn=arn)
    states.start_execution(stateMachineArn=arn, name="failing", input='{"ready": false}')
    states.start_execution(stateMachineArn=arn, name="running", input='{"ready": true}')


def client_of(server: Server, service: str) -> Any:
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
    return boto3.client(service, endpoint_url=server.address, region_name="us-east-1", **keys)


def make_schedule(scheduler: Any) -> None:
    target = {"Arn": "arn:aws:scheduler:::aws-sdk:batch:submitJob", "RoleArn": "arn:aws:iam::123456789012:role/r"}
    target["Input"] = json.dumps({"JobName": HOSTILE, "JobQueue": "default", "JobDefinition": "ok"})
    night = {"ScheduleExpression": "cron(0 3 * * ? *)", "ScheduleExpressionTimezone": "Europe/Berlin"}
    scheduler.create_schedule(Name="nightly", Target=target, FlexibleTimeWindow={"Mode": "OFF"}, **night)


def make_alarm(server: Server) -> None:
    """A topic with a subscription, a rule whose events it gets, and an alarm of it."""
    topic = client_of(server, "sns").create_topic(Name="failures")["TopicArn"]
    client_of(server, "sns").subscribe(TopicArn=topic, Protocol="https", Endpoint="https://example.com/hook")
    events = client_of(server, "events")
    events.put_rule(Name="ends", EventPattern='{"source":["aws.batch"],"detail":{"status":["NONE"]}}')
    events.put_targets(Rule="ends", Targets=[{"Id": "mail", "Arn": topic}])
    alarm: dict[str, Any] = {"AlarmName": HOSTILE, "Namespace": "AWS/Batch", "MetricName": "FailedJobCount"}
    alarm |= {"Dimensions": [{"Name": "JobQueue", "Value": "default"}], "Statistic": "Sum", "Period": 60}
    limits = {"EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold"}
    client_of(server, "cloudwatch").put_metric_alarm(**alarm, **limits, AlarmActions=[topic])


@contextmanager
def yard_without_jobs(directory: Path) -> Iterator[Yard]:
    with Server(directory, "--vcpus", "4") as server, chromium() as browser:
        yield Yard(server, client_of(server, "batch"), browser, {})


@contextmanager
def yard_with_jobs(directory: Path) -> Iterator[Yard]:
    with yard_without_jobs(directory) as made:
        batch = made.batch
        register(batch, "ok", "echo fine")
        register(batch, "bad", "echo 'bad row 4711'; exit 37")
        register(batch, "evil", PRINTS_HOSTILE)
        register(batch, "part", "if [ $AWS_BATCH_JOB_ARRAY_INDEX = 3 ]; then echo bad input; exit 9; fi")
        register(batch, "long", "i=0; while true; do i=$((i+1)); echo step $i; sleep 0.3; done")
        register(batch, "wide", "sleep 600", vcpus="64")
        made.ids["ok"] = made.submit("ingest", "ok", tags={"team": "a"})
        made.ids["bad"] = made.submit("clean", "bad", dependsOn=[{"jobId": made.ids["ok"]}])
        made.ids["evil"] = made.submit("evil", "evil", tags={HOSTILE: HOSTILE}, parameters={"p": HOSTILE})
        made.ids["array"] = made.submit("transform", "part", arrayProperties={"size": 8})
        for name in ("bad", "evil", "array"):
            made.wait(made.ids[name], "FAILED")
        made.ids["long"] = made.submit("train", "long")
        make_workflow(client_of(made.server, "stepfunctions"), TRAINING)
        make_schedule(client_of(made.server, "scheduler"))
        make_alarm(made.server)
        made.ids["wide"] = made.submit("huge", "wide")
        made.wait(made.ids["long"], "RUNNING")
        yield made
