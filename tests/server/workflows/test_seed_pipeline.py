"""The published pipeline (tests/examples) as printed: with real jobs, a real topic and a receiver of its messages."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests.server.running import Server
from tests.server.test_sns_delivered import Receiver
from tests.server.workflows.served import QUEUE, Served, receiving

PIPELINE = Path(__file__).parents[2] / "examples" / "state-machine-ml-pipeline.asl.json"
TOPIC = "arn:aws:sns:us-east-1:123456789012:pipeline-alerts"
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


def test_the_pipeline_succeeds_and_its_failing_run_tells_the_topic(tmp_path: Path) -> None:
    definition = PIPELINE.read_text()
    with receiving() as receiver, Server(tmp_path, "--vcpus", "8", "--memory", "8192") as server:
        served = Served(server)
        prepare(served, receiver)
        arn = served.start(served.create("pipeline", definition), {"date": "2026-01-01"})
        check_success(served, served.end_of(arn), served.history(arn))
        quickly = definition.replace('"IntervalSeconds": 30', '"IntervalSeconds": 1')
        assert quickly != definition
        arn = served.start(served.create("quickly", quickly), {"date": "never"})
        check_failure(served, served.end_of(arn), served.history(arn))
        message = json.loads(receiver.next("Notification"))["Message"]
        assert message.startswith("Pipeline failed: {Error=States.TaskFailed, Cause={")
        assert '"JobName":"ingest-data"' in message
        assert receiver.got.empty()


def prepare(served: Served, receiver: Receiver) -> None:
    """Makes what the pipeline names."""
    for name, revisions in (("data-ingest", 2), ("data-transform", 4), ("data-aggregate", 1)):
        for _ in range(revisions):
            served.register(name, 'test "$DATE" != never')
    sns = served.client("sns")
    assert sns.create_topic(Name="pipeline-alerts")["TopicArn"] == TOPIC
    sns.subscribe(TopicArn=TOPIC, Protocol="http", Endpoint=receiver.url)
    with urlopen(json.loads(receiver.next("SubscriptionConfirmation"))["SubscribeURL"]):
        pass


def check_success(served: Served, execution: dict[str, Any], events: list[dict[str, Any]]) -> None:
    assert execution["status"] == "SUCCEEDED", execution
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
    job = served.job(ingest["JobId"])
    assert (job["status"], job["jobDefinition"].rpartition(":")[2]) == ("SUCCEEDED", "2")


def check_failure(served: Served, execution: dict[str, Any], events: list[dict[str, Any]]) -> None:
    assert [event["type"] for event in events] == FAILURE
    assert (execution["status"], execution["error"]) == ("FAILED", "PipelineError")
    assert execution["cause"] == "One or more batch jobs failed"
    details = [event["taskFailedEventDetails"] for event in events if event["type"] == "TaskFailed"]
    causes = [json.loads(one["cause"]) for one in details]
    assert {one["error"] for one in details} == {"States.TaskFailed"}
    assert [cause["Attempts"][-1]["Container"]["ExitCode"] for cause in causes] == [1, 1, 1]
    ids = {cause["JobId"] for cause in causes}
    assert len(ids) == 3, "a retried state makes a new job"
    listed = served.batch.list_jobs(jobQueue=QUEUE, jobStatus="FAILED")["jobSummaryList"]
    assert {job["jobId"] for job in listed} == ids
    delays = [
        after["timestamp"] - before["timestamp"]
        for before, after in pairwise(events)
        if (before["type"], after["type"]) == ("TaskFailed", "TaskScheduled")
    ]
    assert [round(delay.total_seconds()) for delay in delays] == [1, 2]
