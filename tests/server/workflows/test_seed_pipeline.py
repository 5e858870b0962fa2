"""The published pipeline (tests/examples) as printed: with real jobs, a real topic and a receiver of its messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import urlopen

import boto3
import pytest
from botocore.config import Config

from tests.server.running import Server
from tests.server.test_sns_delivered import Receiver
from tests.waiting import until

PIPELINE = Path(__file__).parents[2] / "examples" / "state-machine-ml-pipeline.asl.json"
ROLE = "arn:aws:iam::123456789012:role/pipeline"
TOPIC = "arn:aws:sns:us-east-1:123456789012:pipeline-alerts"
SECONDS = 90.0
TASK = ["TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskSubmitted", "TaskSucceeded", "TaskStateExited"]
SUCCESS = ["ExecutionStarted", *TASK * 3, "SucceedStateEntered", "SucceedStateExited", "ExecutionSucceeded"]
ATTEMPT = ["TaskScheduled", "TaskStarted", "TaskSubmitted", "TaskFailed"]
FAILURE = [
    "ExecutionStarted",
    "TaskStateEntered",
    *ATTEMPT * 3,
    "TaskStateExited",
    "TaskStateEntered",
    "TaskScheduled",
    "TaskStarted",
    "TaskSucceeded",
    "TaskStateExited",
    "FailStateEntered",
    "ExecutionFailed",
]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    thread = Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


class Yard:
    """A server with what the pipeline names."""

    def __init__(self, server: Server, receiver: Receiver) -> None:
        self.server = server
        self.states, self.batch, sns = (self._client(name) for name in ("stepfunctions", "batch", "sns"))
        self.batch.create_job_queue(
            jobQueueName="default-queue",
            priority=1,
            computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "local"}],
        )
        for name, revisions in (("data-ingest", 2), ("data-transform", 4), ("data-aggregate", 1)):
            for _ in range(revisions):
                self.batch.register_job_definition(
                    jobDefinitionName=name,
                    type="container",
                    containerProperties={
                        "image": "host",
                        "command": ["/bin/sh", "-c", 'echo "$MANAGED_BY_AWS"; test "$DATE" != never'],
                        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "4"}],
                    },
                )
        assert sns.create_topic(Name="pipeline-alerts")["TopicArn"] == TOPIC
        sns.subscribe(TopicArn=TOPIC, Protocol="http", Endpoint=receiver.url)
        with urlopen(json.loads(receiver.next("SubscriptionConfirmation"))["SubscribeURL"]):
            pass

    def _client(self, name: str) -> Any:
        config = Config(inject_host_prefix=False)
        return boto3.client(
            name,
            "us-east-1",
            endpoint_url=self.server.address,
            aws_access_key_id="a",
            aws_secret_access_key="b",
            config=config,
        )

    def run(self, definition: str, date: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The execution at its end, and its history."""
        machine = self.states.create_state_machine(name=f"pipeline-{date}", definition=definition, roleArn=ROLE)
        started = self.states.start_execution(
            stateMachineArn=machine["stateMachineArn"], input=json.dumps({"date": date})
        )
        arn = started["executionArn"]

        def ended() -> Any:
            found = self.states.describe_execution(executionArn=arn)
            return found if found["status"] != "RUNNING" else None

        execution = until(ended, SECONDS, "the end of the pipeline")
        return execution, self.states.get_execution_history(executionArn=arn, maxResults=1000)["events"]


def test_the_pipeline_succeeds_and_its_failing_run_tells_the_topic(tmp_path: Path, receiver: Receiver) -> None:
    definition = PIPELINE.read_text()
    with Server(tmp_path, "--vcpus", "8", "--memory", "8192") as server:
        yard = Yard(server, receiver)
        execution, events = yard.run(definition, "2026-01-01")
        assert execution["status"] == "SUCCEEDED", execution
        check_success(yard, execution, events)
        quickly = definition.replace('"IntervalSeconds": 30', '"IntervalSeconds": 1')
        assert quickly != definition
        execution, events = yard.run(quickly, "never")
        check_failure(yard, execution, events)
        message = json.loads(receiver.next("Notification"))["Message"]
        assert message.startswith("Pipeline failed: {Error=States.TaskFailed, Cause={")
        assert '"JobName":"ingest-data"' in message
        assert receiver.got.empty()


def check_success(yard: Yard, execution: dict[str, Any], events: list[dict[str, Any]]) -> None:
    assert [event["type"] for event in events] == SUCCESS
    parameters = json.loads(events[2]["taskScheduledEventDetails"]["parameters"])
    assert parameters["ContainerOverrides"] == {"Environment": [{"Name": "DATE", "Value": "2026-01-01"}]}
    output = json.loads(execution["output"])
    assert list(output) == ["date", "ingestResult", "transformResult", "aggregateResult"]
    array = output["transformResult"]["ArrayProperties"]
    assert (array["Size"], array["StatusSummary"]["SUCCEEDED"]) == (100, 100)
    ingest = output["ingestResult"]
    assert {"Name": "MANAGED_BY_AWS", "Value": "STARTED_BY_STEP_FUNCTIONS"} in ingest["Container"]["Environment"]
    submitted = json.loads(events[4]["taskSubmittedEventDetails"]["output"])
    assert (submitted["JobId"], submitted["SdkHttpMetadata"]["HttpStatusCode"]) == (ingest["JobId"], 200)
    (job,) = yard.batch.describe_jobs(jobs=[ingest["JobId"]])["jobs"]
    assert (job["status"], job["jobDefinition"].rpartition(":")[2]) == ("SUCCEEDED", "2")


def check_failure(yard: Yard, execution: dict[str, Any], events: list[dict[str, Any]]) -> None:
    assert [event["type"] for event in events] == FAILURE
    assert (execution["status"], execution["error"]) == ("FAILED", "PipelineError")
    assert execution["cause"] == "One or more batch jobs failed"
    details = [event["taskFailedEventDetails"] for event in events if event["type"] == "TaskFailed"]
    causes = [json.loads(one["cause"]) for one in details]
    assert {one["error"] for one in details} == {"States.TaskFailed"}
    assert [cause["Attempts"][-1]["Container"]["ExitCode"] for cause in causes] == [1, 1, 1]
    ids = {cause["JobId"] for cause in causes}
    assert len(ids) == 3, "a retried state makes a new job"
    listed = yard.batch.list_jobs(jobQueue="default-queue", jobStatus="FAILED")["jobSummaryList"]
    assert {job["jobId"] for job in listed} == ids
    delays = [
        after["timestamp"] - before["timestamp"]
        for before, after in pairwise(events)
        if (before["type"], after["type"]) == ("TaskFailed", "TaskScheduled")
    ]
    assert [round(delay.total_seconds()) for delay in delays] == [1, 2]
