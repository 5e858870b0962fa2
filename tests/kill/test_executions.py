"""Executions of Step Functions while the server is killed at random moments: each job is submitted once, each call is
made once, and every execution ends right.

BATCHYARD_KILLS: how many deaths (`make kill KILLS=500`); BATCHYARD_KILL_SEED: the chances of an earlier run again.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from batchyard import failpoints
from tests.kill.chaos import Chaos
from tests.kill.traces import read_traces
from tests.kill.verdict import Verdict
from tests.kill.yard import DEFINITION, Yard
from tests.waiting import until

KILLS = 3  # unless told; each takes a start of the server
MAX_ITEMS = 4
ROLE = "arn:aws:iam::123456789012:role/pipeline"
PATIENCE_SECONDS = 120.0
RETRIED = ("ServiceUnavailableException", "TooManyRequestsException", "ServerException", "500", "503")

JOB = {
    "Type": "Task",
    "Resource": "arn:aws:states:::batch:submitJob.sync",
    "Parameters": {
        "JobName.$": "States.Format('{}-{}-{}', $$.Execution.Name, $.place, $$.State.RetryCount)",
        "JobQueue": "default",
        "JobDefinition": DEFINITION,
        "ContainerOverrides": {
            "Environment": [
                {"Name": "PLAN", "Value.$": "States.ArrayGetItem($.codes, $$.State.RetryCount)"},
                {"Name": "NAP", "Value.$": "$.nap"},
                {"Name": "AFTER", "Value": ""},
            ]
        },
    },
    "ResultSelector": {"name.$": "$.JobName", "code.$": "$.Container.ExitCode"},
    "Retry": [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 1, "MaxAttempts": 1}],
    "End": True,
}
# Jobs in a Map, a call that is no job (its revision counts how often it was made), and an execution that is waited for.
PIPELINE = {
    "StartAt": "Work",
    "States": {
        "Work": {
            "Type": "Map",
            "ItemsPath": "$.items",
            "ItemProcessor": {"StartAt": "Job", "States": {"Job": JOB}},
            "ResultPath": "$.jobs",
            "Next": "Register",
        },
        "Register": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:batch:registerJobDefinition",
            "Parameters": {
                "JobDefinitionName.$": "$$.Execution.Name",
                "Type": "container",
                "ContainerProperties": {
                    "Image": "host",
                    "Command": ["true"],
                    "ResourceRequirements": [{"Type": "VCPU", "Value": "1"}, {"Type": "MEMORY", "Value": "4"}],
                },
            },
            "ResultSelector": {"revision.$": "$.Revision"},
            "ResultPath": "$.registered",
            "Next": "Child",
        },
        "Child": {
            "Type": "Task",
            "Resource": "arn:aws:states:::states:startExecution.sync:2",
            "Parameters": {
                "StateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:child",
                "Input": {"parent.$": "$$.Execution.Name"},
            },
            "ResultSelector": {"output.$": "$.Output"},
            "ResultPath": "$.child",
            "End": True,
        },
    },
}
CHILD = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 1, "End": True}}}


ONE_JOB = [
    "ExecutionStarted",
    "TaskStateEntered",
    "TaskScheduled",
    "TaskStarted",
    "TaskSubmitted",
    "TaskSucceeded",
    "TaskStateExited",
    "ExecutionSucceeded",
]


def states_of(yard: Yard, *, tries: int) -> Any:
    return boto3.client(
        "stepfunctions", endpoint_url=yard.address, region_name="us-east-1",
        aws_access_key_id="any", aws_secret_access_key="any",
        config=Config(retries={"total_max_attempts": tries}, read_timeout=30, inject_host_prefix=False),
    )  # fmt: skip


class Starter:
    """Starts executions until it is stopped, each by its name until it is answered."""

    def __init__(self, yard: Yard, machine: str, seed: int) -> None:
        self._states, self._machine = states_of(yard, tries=1), machine
        self._chance = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.inputs: dict[str, dict[str, Any]] = {}  # by ARN
        self.errors: list[BaseException] = []

    def __enter__(self) -> Starter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), "a start never got its answer"
        assert not self.errors, self.errors

    def _run(self) -> None:
        number = 0
        try:
            while not self._stop.wait(self._chance.uniform(0, 0.3)):
                number += 1
                self._start(f"run-{number}")
        except BaseException as error:  # noqa: BLE001 - raised at the end of the block
            self.errors.append(error)

    def _start(self, name: str) -> None:
        items = [
            {
                "place": place,
                "codes": self._chance.choice((["0", "0"], ["0", "0"], ["7", "0"])),
                "nap": f"{self._chance.uniform(0, 0.4):.3f}",
            }
            for place in range(self._chance.randint(1, MAX_ITEMS))
        ]
        text = json.dumps({"items": items})

        def attempt() -> Any:
            try:
                return self._states.start_execution(stateMachineArn=self._machine, name=name, input=text)
            except BotoCoreError:
                return None
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code == "ExecutionAlreadyExists":  # an earlier try has started it, and it is over
                    return {"executionArn": f"{self._machine.replace('stateMachine', 'execution')}:{name}"}
                if code in RETRIED:
                    return None
                raise

        self.inputs[until(attempt, PATIENCE_SECONDS, "an answer to StartExecution")["executionArn"]] = {"items": items}


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    with Yard(tmp_path) as yard:
        yard.register()
        yield yard


def test_executions_end_right_and_repeat_nothing(yard: Yard, figures: list[str]) -> None:
    seed = int(os.environ.get("BATCHYARD_KILL_SEED") or random.randrange(1 << 32))
    wanted = int(os.environ.get("BATCHYARD_KILLS") or KILLS)
    verdict = Verdict(f"server killed under executions, BATCHYARD_KILL_SEED={seed}")
    print(verdict.title)
    chaos = Chaos(yard, verdict, seed)
    states = states_of(yard, tries=10)
    states.create_state_machine(name="child", definition=json.dumps(CHILD), roleArn=ROLE)
    machine = states.create_state_machine(name="pipeline", definition=json.dumps(PIPELINE), roleArn=ROLE)
    with Starter(yard, machine["stateMachineArn"], seed) as starter:
        until(lambda: starter.inputs or starter.errors, 30, "the first execution")
        while verdict.kills < wanted:
            chaos.server()
    faults = [fault for arn, given in starter.inputs.items() for fault in faults_of(states, arn, given)]
    faults += faults_of_jobs(yard, starter.inputs)
    yard.check_store()
    jobs = sum(len(given["items"]) for given in starter.inputs.values())
    figures.append(f"{verdict.title}: {verdict.kills} deaths, {len(starter.inputs)} executions, {jobs} items of Maps")
    assert not faults, "\n".join([verdict.title, *faults[:30]])
    assert len(starter.inputs) >= wanted


def faults_of(states: Any, arn: str, given: dict[str, Any]) -> Iterator[str]:
    """Yields what is wrong with one execution, once it has ended."""
    until(lambda: states.describe_execution(executionArn=arn)["status"] != "RUNNING", PATIENCE_SECONDS, arn)
    execution, name = states.describe_execution(executionArn=arn), arn.rpartition(":")[2]
    if execution["status"] != "SUCCEEDED":
        yield f"{name}: {execution['status']} {execution.get('error')} {execution.get('cause')}"
        return
    retries = [len([code for code in item["codes"][:1] if code != "0"]) for item in given["items"]]
    expected = given | {
        "jobs": [{"name": f"{name}-{place}-{retry}", "code": 0} for place, retry in enumerate(retries)],
        "registered": {"revision": 1},
        "child": {"output": {"parent": name}},
    }
    if json.loads(execution["output"]) != expected:
        yield f"{name}: {execution['output']}, expected {json.dumps(expected)}"
    pages = states.get_paginator("get_execution_history").paginate(executionArn=arn)
    events = [event for page in pages for event in page["events"]]
    if [event["id"] for event in events] != list(range(1, len(events) + 1)):
        yield f"{name}: ids of events are {[event['id'] for event in events]}"
    types = Counter(event["type"] for event in events)
    submitted = len(retries) + sum(retries)
    if (types["TaskSubmitted"], types["ExecutionSucceeded"]) != (submitted + 1, 1):
        yield f"{name}: {types}, {submitted} jobs were to be submitted"


def faults_of_jobs(yard: Yard, inputs: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yields jobs that were submitted twice or not at all, and attempts that ran twice."""
    wanted = Counter(
        f"{arn.rpartition(':')[2]}-{item['place']}-{retry}"
        for arn, given in inputs.items()
        for item in given["items"]
        for retry in range(1 if item["codes"][0] == "0" else 2)
    )
    asked: dict[str, Any] = {"jobQueue": "default", "filters": [{"name": "JOB_NAME", "values": ["run-*"]}]}
    found: Counter[str] = Counter()
    token: dict[str, Any] = {}
    while True:
        page = yard.call("ListJobs", asked | {"maxResults": 1000} | token)
        found.update(job["jobName"] for job in page["jobSummaryList"])
        if not page.get("nextToken"):
            break
        token = {"nextToken": page["nextToken"]}
    yield from (
        f"{name}: {found[name]} jobs, {wanted[name]} wanted" for name in wanted | found if found[name] != wanted[name]
    )
    for trace in read_traces(yard.traces).values():
        yield from trace.faults()


def test_a_death_around_the_commit_of_a_submission_submits_one_job(tmp_path: Path) -> None:
    """The job, and the step of its execution: neither is on disk, or both are."""
    yard = Yard(tmp_path)
    points = ("before-commit", "after-commit-before-answer")
    armed = ";".join(f"{point}[submitted]=crash@1" for point in points)
    yard.variables = {failpoints.VARIABLE: armed, failpoints.HITS_VARIABLE: str(tmp_path / "hits")}
    definition = json.dumps({"StartAt": "Job", "States": {"Job": JOB}})
    item = {"place": 0, "codes": ["0"], "nap": "0"}
    with yard:
        yard.register()
        states = states_of(yard, tries=10)
        machine = states.create_state_machine(name="one", definition=definition, roleArn=ROLE)["stateMachineArn"]
        arn = f"{machine.replace('stateMachine', 'execution')}:run-1"
        with contextlib.suppress(BotoCoreError):  # its answer may come too late
            states_of(yard, tries=1).start_execution(stateMachineArn=machine, name="run-1", input=json.dumps(item))
        for _ in points:
            yard.wait_for_death()
            yard.check_store()
            yard.launch()
        yard.wait_until_served()
        assert [line.split("\t")[0] for line in (tmp_path / "hits").read_text().splitlines()] == list(points)
        until(lambda: states.describe_execution(executionArn=arn)["status"] == "SUCCEEDED", 60, "the end")
        assert list(faults_of_jobs(yard, {arn: {"items": [item]}})) == []
        events = states.get_execution_history(executionArn=arn)["events"]
        assert [event["type"] for event in events] == ONE_JOB, "nothing of the crash is in the history"
