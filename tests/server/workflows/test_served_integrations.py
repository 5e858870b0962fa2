"""What executions call and what starts executions, in a served product: one server for all tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.running import Server
from tests.server.workflows.served import QUEUE, SECONDS, Served, receiving, task
from tests.waiting import until

LOG_GROUP = "arn:aws:logs:us-east-1:123456789012:log-group:{}"
JOB: dict[str, Any] = {"JobName": "job", "JobQueue": QUEUE}
PASS = {"StartAt": "Pass", "States": {"Pass": {"Type": "Pass", "End": True}}}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory: Path = tmp_path_factory.mktemp("served")
    with Server(directory, "--vcpus", "8", "--memory", "8192") as server:
        made = Served(server)
        made.register("short", "true")
        made.register("long", "sleep 600")
        yield made


def test_a_job_that_has_the_token_ends_its_task_by_it(served: Served) -> None:
    environment = [{"Name": "TOKEN", "Value.$": "$$.Task.Token"}]
    overrides = {"ContainerOverrides": {"Environment": environment}}
    definition = task("batch:submitJob.waitForTaskToken", Parameters=JOB | {"JobDefinition": "long"} | overrides)
    arn = served.start(served.create("token", definition), {})
    job = served.job(served.submitted(arn))
    (token,) = [one["value"] for one in job["container"]["environment"] if one["name"] == "TOKEN"]
    served.states.send_task_success(taskToken=token, output='{"answer": 42}')
    execution = served.end_of(arn)
    assert (execution["status"], json.loads(execution["output"])) == ("SUCCEEDED", {"answer": 42})
    types = [event["type"] for event in served.history(arn)]
    assert types[2:6] == ["TaskScheduled", "TaskStarted", "TaskSubmitted", "TaskSucceeded"]
    served.batch.terminate_job(jobId=job["jobId"], reason="done")


@pytest.mark.parametrize("kind", ["stopped", "timed out"])
def test_an_execution_that_ends_early_terminates_its_job(served: Served, kind: str) -> None:
    limit = {"TimeoutSeconds": 1} if kind == "timed out" else {}
    definition = task("batch:submitJob.sync", Parameters=JOB | {"JobDefinition": "long"}, **limit)
    arn = served.start(served.create(f"early-{len(limit)}", definition), {})
    job_id = served.submitted(arn)
    if kind == "stopped":
        served.states.stop_execution(executionArn=arn)
    assert served.end_of(arn)["status"] == ("ABORTED" if kind == "stopped" else "FAILED")
    until(lambda: served.job(job_id)["status"] == "FAILED", SECONDS, "the end of the job")
    assert served.job(job_id)["statusReason"] == "Terminated by Step Functions"


def test_a_failing_branch_terminates_the_jobs_of_the_others(served: Served) -> None:
    job = task("batch:submitJob.sync", Parameters=JOB | {"JobDefinition": "long"})
    wait = {"Type": "Wait", "Seconds": 1, "Next": "Fail"}
    failing = {"StartAt": "Wait", "States": {"Wait": wait, "Fail": {"Type": "Fail", "Error": "Enough"}}}
    both = {"Type": "Parallel", "Branches": [job, failing], "End": True}
    arn = served.start(served.create("siblings", {"StartAt": "Both", "States": {"Both": both}}), {})
    job_id = served.submitted(arn)
    assert served.end_of(arn)["error"] == "Enough"
    until(lambda: served.job(job_id)["status"] == "FAILED", SECONDS, "the end of the job")
    assert served.job(job_id)["statusReason"] == "Terminated by Step Functions"


def test_an_execution_that_is_stopped_stops_the_execution_that_it_waits_for(served: Served) -> None:
    child = served.create("child", task("batch:submitJob.sync", Parameters=JOB | {"JobDefinition": "long"}))
    parameters = {"StateMachineArn": child, "Input": {"from": "parent"}}
    arn = served.start(served.create("parent", task("states:startExecution.sync:2", Parameters=parameters)), {})

    def children() -> Any:
        return served.states.list_executions(stateMachineArn=child)["executions"]

    (begun,) = until(children, SECONDS, "the child")
    job_id = served.submitted(begun["executionArn"])
    served.states.stop_execution(executionArn=arn)
    ended = served.end_of(begun["executionArn"])
    assert (ended["status"], ended["input"]) == ("ABORTED", '{"from":"parent"}')
    until(lambda: served.job(job_id)["status"] == "FAILED", SECONDS, "the end of the job")


def test_a_job_that_cannot_be_submitted_is_task_submit_failed(served: Served) -> None:
    arn = served.start(
        served.create("none", task("batch:submitJob.sync", Parameters=JOB | {"JobDefinition": "none"})), {}
    )
    assert served.end_of(arn)["error"] == "Batch.ClientException"
    (failed,) = [event for event in served.history(arn) if event["type"] == "TaskSubmitFailed"]
    details = failed["taskSubmitFailedEventDetails"]
    assert (details["resourceType"], details["resource"]) == ("batch", "submitJob.sync")


def test_arguments_are_checked_before_anything_is_scheduled(served: Served) -> None:
    parameters = JOB | {"JobDefinition": "short", "Parameters": {"Key2.$": "$.number"}}
    arn = served.start(served.create("arguments", task("batch:submitJob", Parameters=parameters)), {"number": 5})
    execution = served.end_of(arn)
    assert execution["error"] == "States.Runtime"
    assert execution["cause"] == (
        "An error occurred while executing the state 'Call' (entered at the event id #2). The Parameters "
        '\'{"JobName":"job","JobQueue":"default-queue","JobDefinition":"short","Parameters":{"Key2":5}}\' could not be '
        "used to start the Task: [The value for the field 'Key2' must be a STRING]"
    )
    assert [event["type"] for event in served.history(arn)] == [
        "ExecutionStarted",
        "TaskStateEntered",
        "ExecutionFailed",
    ]


def test_what_nothing_here_runs_is_refused_when_the_machine_is_created(served: Served) -> None:
    with pytest.raises(served.states.exceptions.InvalidDefinition) as caught:
        served.create("lambda", task("lambda:invoke", Parameters={"FunctionName": "f"}))
    assert "Batchyard runs no lambda; use arn:aws:states:::batch:submitJob.sync or an activity." in str(caught.value)
    with pytest.raises(served.states.exceptions.InvalidDefinition, match='it is spelt "JobName"'):
        served.create(
            "case", task("batch:submitJob", Parameters={"jobName": "a", "JobQueue": "q", "JobDefinition": "d"})
        )


def test_jobs_are_waited_for_by_their_events(served: Served) -> None:
    """A rule on the jobs of a queue starts an execution of a state machine with what it picks of the event."""
    machine = served.create("follows", PASS)
    events = served.client("events")
    pattern = {"source": ["aws.batch"], "detail": {"status": ["SUCCEEDED"], "jobName": ["followed"]}}
    events.put_rule(Name="followed", EventPattern=json.dumps(pattern))
    target = {"Id": "1", "Arn": machine, "RoleArn": "arn:aws:iam::123456789012:role/r", "InputPath": "$.detail.jobName"}
    assert events.put_targets(Rule="followed", Targets=[target])["FailedEntryCount"] == 0
    served.batch.submit_job(jobName="followed", jobQueue=QUEUE, jobDefinition="short")

    def executions() -> Any:
        return served.states.list_executions(stateMachineArn=machine)["executions"]

    (execution,) = until(executions, SECONDS, "an execution")
    assert served.end_of(execution["executionArn"])["input"] == '"followed"'


def test_executions_are_logged_and_are_events_themselves(served: Served) -> None:
    events = served.client("events")
    events.put_rule(Name="executions", EventPattern='{"source":["aws.states"],"detail":{"name":["watched"]}}')
    events.put_targets(Rule="executions", Targets=[{"Id": "1", "Arn": LOG_GROUP.format("/aws/events/executions")}])
    served.client("logs").create_log_group(logGroupName="/aws/vendedlogs/states/watched")
    destination = {"cloudWatchLogsLogGroup": {"logGroupArn": LOG_GROUP.format("/aws/vendedlogs/states/watched:*")}}
    logging = {"level": "ALL", "includeExecutionData": True, "destinations": [destination]}
    machine = served.create("watched", PASS, loggingConfiguration=logging)
    arn = served.states.start_execution(stateMachineArn=machine, name="watched", input='{"a":1}')["executionArn"]
    lines = until(lambda: len(found := served.log("/aws/vendedlogs/states/watched")) == 4 and found, SECONDS, "lines")
    logged = [json.loads(line) for line in lines]
    assert [(one["id"], one["type"]) for one in logged] == [
        ("1", "ExecutionStarted"),
        ("2", "PassStateEntered"),
        ("3", "PassStateExited"),
        ("4", "ExecutionSucceeded"),
    ]
    assert {one["execution_arn"] for one in logged} == {arn}
    assert logged[0]["details"]["input"] == '{"a":1}'
    changes = until(lambda: len(found := served.log("/aws/events/executions")) == 2 and found, SECONDS, "events")
    assert [json.loads(line)["detail"]["status"] for line in changes] == ["RUNNING", "SUCCEEDED"]


def test_a_request_goes_to_an_endpoint_with_what_its_connection_adds(served: Served) -> None:
    with receiving() as receiver:
        connection = served.client("events").create_connection(
            Name="hook",
            AuthorizationType="API_KEY",
            AuthParameters={"ApiKeyAuthParameters": {"ApiKeyName": "x-amz-sns-message-type", "ApiKeyValue": "k"}},
        )["ConnectionArn"]
        parameters = {
            "ApiEndpoint": receiver.url,
            "Method": "POST",
            "Authentication": {"ConnectionArn": connection},
            "RequestBody.$": "$",
        }
        definition = task("http:invoke", Parameters=parameters, ResultSelector={"status.$": "$.StatusCode"})
        arn = served.start(served.create("http", definition), {"a": 1})
        assert served.end_of(arn)["output"] == '{"status":200}'
        assert receiver.next("k") == b'{"a":1}'
