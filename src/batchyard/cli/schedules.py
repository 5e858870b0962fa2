"""Schedules of EventBridge Scheduler: listed, and made for jobs."""

from __future__ import annotations

import json
from typing import NamedTuple

from batchyard.cli.client import SCHEDULER, Client, ClientError, Document, ServiceError
from batchyard.cli.formats import table
from batchyard.cli.terminal_output import print_json, say, tell

HEADINGS = ("NAME", "GROUP", "STATE", "WHEN", "ZONE", "DOES")
SUBMIT = "arn:aws:scheduler:::aws-sdk:batch:submitJob"
ROLE_NAME = "role/scheduler"  # AWS requires a role; none is needed here
DEFAULT_ACCOUNT = "123456789012"


class ScheduledJob(NamedTuple):
    """What `batchyard schedule add` makes. `parameters`: NAME=VALUE."""

    name: str
    expression: str
    zone: str
    queue: str
    definition: str
    parameters: tuple[str, ...]


def show_schedules(client: Client, *, as_json: bool) -> int:
    """Prints all schedules, by group and name."""
    found = [
        client.call("GetSchedule", {"Name": one["Name"], "GroupName": one["GroupName"]}, SCHEDULER)
        for one in _summaries(client)
    ]
    if as_json:
        print_json({"Schedules": found})
        return 0
    if not found:
        tell("There is no schedule: batchyard schedule add NAME WHEN --definition DEFINITION makes one.")
        return 0
    rows = [
        (
            one["Name"],
            one["GroupName"],
            one["State"],
            one["ScheduleExpression"],
            one["ScheduleExpressionTimezone"],
            what_it_does(one["Target"]),
        )
        for one in found
    ]
    say(table(HEADINGS, rows))
    return 0


def what_it_does(target: Document) -> str:
    """Returns a target in a few words: the operation and what it is for, or the topic or bus."""
    arn: str = target["Arn"]
    if ":aws-sdk:" not in arn:
        return arn.split(":", 5)[-1]
    operation = arn.rpartition(":")[2]
    try:
        request = json.loads(target.get("Input", "{}"))
    except ValueError:
        return operation
    about = [str(request[name]) for name in ("JobName", "jobName", "JobQueue", "jobQueue") if name in request]
    return " ".join([operation, *about])


def add_schedule(client: Client, job: ScheduledJob, *, as_json: bool) -> int:
    """Makes a schedule that submits a job, or replaces the one of this name. A queue or definition that is not there is
    refused now, and not in the night."""
    _check(client, job)
    request = {"JobName": job.name, "JobQueue": job.queue, "JobDefinition": job.definition}
    parameters = dict(_assignment(text) for text in job.parameters)
    target = {
        "Arn": SUBMIT,
        "RoleArn": f"arn:aws:iam::{DEFAULT_ACCOUNT}:{ROLE_NAME}",
        "Input": json.dumps(request | ({"Parameters": parameters} if parameters else {})),
    }
    settings: Document = {
        "Name": job.name,
        "ScheduleExpression": job.expression,
        "ScheduleExpressionTimezone": job.zone,
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": target,
    }
    try:
        answer = client.call("UpdateSchedule", settings, SCHEDULER)
    except ServiceError as error:
        if error.code != "ResourceNotFoundException":
            raise
        answer = client.call("CreateSchedule", settings, SCHEDULER)
    if as_json:
        print_json(answer)
    else:
        say(f"Schedule {job.name}: {job.definition} is submitted to {job.queue}, {job.expression} in {job.zone}.")
    return 0


def remove_schedule(client: Client, name: str) -> int:
    client.call("DeleteSchedule", {"Name": name}, SCHEDULER)
    say(f"Schedule {name} is removed.")
    return 0


def _summaries(client: Client) -> list[Document]:
    found: list[Document] = []
    request: Document = {}
    while True:
        answer = client.call("ListSchedules", request, SCHEDULER)
        found += answer["Schedules"]
        if "NextToken" not in answer:
            return found
        request = {"NextToken": answer["NextToken"]}


def _check(client: Client, job: ScheduledJob) -> None:
    if not client.call("DescribeJobQueues", {"jobQueues": [job.queue]})["jobQueues"]:
        raise ClientError(f"There is no queue {job.queue}: `batchyard queues` lists those there are.")
    has_revision = ":" in job.definition
    named: Document = {"jobDefinitions": [job.definition]} if has_revision else {"jobDefinitionName": job.definition}
    found = client.call("DescribeJobDefinitions", named | {"status": "ACTIVE"})["jobDefinitions"]
    if not found:
        raise ClientError(f"There is no active job definition {job.definition}.")


def _assignment(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found or not name:
        raise ClientError(f"--parameter must be NAME=VALUE, not {text!r}.")
    return name, value
