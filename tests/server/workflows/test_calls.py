"""Calls of integrations: what they do, what they answer, and that both are one transaction."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from batchyard.core.model.refusal import Refused
from batchyard.core.questions.capacity import AskCapacity
from batchyard.loop import Busy
from batchyard.server.workflows import calls, carrier
from batchyard.server.workflows.carrier import shortened
from batchyard.store.queries import OutOfTime
from batchyard.workflows.commands import (
    SUBMIT,
    AbandonCall,
    CallAbandoned,
    ChildDescribed,
    DescribeChild,
    DescribeJob,
    JobDescribed,
    StopExecution,
)
from batchyard.workflows.resources import parse_resource
from tests.server.workflows.calling import EXECUTION_ARN, MACHINE_ARN, Yard

BATCH = "arn:aws:states:::batch:submitJob"
JOB: dict[str, Any] = {"JobName": "a", "JobQueue": "default", "JobDefinition": "sleeper"}
MANAGED = {"name": "MANAGED_BY_AWS", "value": "STARTED_BY_STEP_FUNCTIONS"}
PUBLISH, PUT_EVENTS = "arn:aws:states:::sns:publish", "arn:aws:states:::events:putEvents"
TOPIC = "arn:aws:sns:us-east-1:123456789012:alerts"


def test_a_job_is_submitted_in_the_transaction_that_has_its_answer(tmp_path: Path) -> None:
    async def scenario(yard: Yard) -> None:
        output = await yard.output(f"{BATCH}.sync", JOB)
        assert [commit for commit in yard.commits.jobs if commit[0]] == [([output["JobId"]], 1)]
        assert output["JobName"] == "a"
        assert output["SdkHttpMetadata"]["HttpStatusCode"] == 200

    with Yard(tmp_path) as yard:
        yard.run(scenario)
        (report,) = yard.executions.reports
        assert yard.service.detail(report.output["JobId"])["jobName"] == "a"


def test_a_job_whose_execution_does_not_wait_any_more_is_never_submitted(tmp_path: Path) -> None:
    """The execution is stopped in the batch of the submission, just before it."""

    async def scenario(yard: Yard) -> None:
        stopping = asyncio.create_task(yard.loop.ask(StopExecution(EXECUTION_ARN), lambda answer: CallAbandoned("s")))
        yard.executions.stops = {3}
        await asyncio.sleep(0)  # the stop is in the inbox
        yard.call(BATCH, JOB, 3)
        await stopping
        yard.carrier.carry_out([AbandonCall(key=f"{EXECUTION_ARN}/3", resource=parse_resource(BATCH), target="")])
        assert await yard.reported(2) == [CallAbandoned("s"), CallAbandoned(f"{EXECUTION_ARN}/3")]

    with Yard(tmp_path) as yard:
        yard.run(scenario)
        assert [commit for commit in yard.commits.jobs if commit[0]] == []


@pytest.mark.parametrize(("pattern", "added"), [("", []), (".sync", [MANAGED]), (".sync:2", [MANAGED])])
def test_a_job_that_is_waited_for_knows_it(tmp_path: Path, pattern: str, added: list[Any]) -> None:
    environment = [{"Name": "DATE", "Value": "2026-01-01"}]

    async def scenario(yard: Yard) -> None:
        await yard.output(f"{BATCH}{pattern}", JOB | {"ContainerOverrides": {"Environment": environment}})

    with Yard(tmp_path) as yard:
        yard.run(scenario)
        job = yard.service.detail(yard.executions.reports[0].output["JobId"])
        assert job["container"]["environment"] == [{"name": "DATE", "value": "2026-01-01"}, *added]


@pytest.mark.parametrize(("pattern", "stage"), [("", ""), (".sync", SUBMIT), (".waitForTaskToken", SUBMIT)])
def test_a_refusal_is_an_error_of_the_call(tmp_path: Path, pattern: str, stage: str) -> None:
    async def scenario(yard: Yard) -> None:
        answer = await yard.answer(f"{BATCH}{pattern}", JOB | {"JobDefinition": "none:4"})
        assert (answer.error, answer.stage) == ("Batch.ClientException", stage)
        assert str(answer.cause).startswith(
            "JobDefinition name none:4 does not exist or is not in ACTIVE status (Service: AWSBatch; Status Code: 400; "
            "Error Code: ClientException; Request ID: "
        )

    with Yard(tmp_path) as yard:
        yard.run(scenario)


@pytest.mark.parametrize("arn", ["arn:aws:states:::sqs:sendMessage", "arn:aws:lambda:us-east-1:1:function:f"])
def test_a_call_of_what_runs_elsewhere_fails_with_the_remedy(tmp_path: Path, arn: str) -> None:
    async def scenario(yard: Yard) -> None:
        answer = await yard.answer(arn, {"any": "thing"})
        assert answer.error == "States.TaskFailed"
        assert str(answer.cause).startswith(f"The resource provided {arn} is not recognized.")
        assert str(answer.cause).endswith("; use arn:aws:states:::batch:submitJob.sync or an activity.")

    with Yard(tmp_path) as yard:
        yard.run(scenario)


def test_a_call_waits_for_space_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "SPACE_SECONDS", 0.0)

    async def scenario(yard: Yard) -> None:
        yard.free_bytes = 0
        yard.call(BATCH, JOB)
        looked = yard.looked_ms
        while yard.looked_ms < looked + 20_000:
            await yard.loop.ask(AskCapacity())
        assert yard.executions.reports == []
        yard.free_bytes = 1 << 40
        await yard.reported()

    with Yard(tmp_path) as yard:
        yard.run(scenario)


def test_a_throttled_call_is_tried_again_and_gives_up_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    async def throttled(*_: Any) -> Any:
        nonlocal tries
        tries += 1
        raise Refused("Too Many Requests", "TooManyRequestsException")

    monkeypatch.setattr(calls, "FIRST_PAUSE_SECONDS", 0.0)

    async def scenario(yard: Yard) -> None:
        monkeypatch.setattr(calls.operations, "perform", throttled)
        answer = await yard.answer("arn:aws:states:::aws-sdk:batch:describeJobs", {"Jobs": ["a"]})
        assert answer.error == "Batch.BatchException"
        assert tries == calls.MAX_TRIES

    with Yard(tmp_path) as yard:
        yard.run(scenario)


def test_a_fault_of_ours_is_an_error_of_the_call_and_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def faulty(*_: Any) -> Any:
        raise LookupError("the story")

    async def scenario(yard: Yard) -> None:
        monkeypatch.setattr(calls.operations, "perform", faulty)
        answer = await yard.answer(BATCH, JOB)
        assert answer.error == "Batch.ServerException"
        assert "Status Code: 500" in str(answer.cause)

    with Yard(tmp_path) as yard:
        yard.run(scenario)
    assert "the story" in caplog.text


@pytest.mark.parametrize("arn", ["arn:aws:states:::aws-sdk:sfn:getActivityTask", "arn:aws:states:::http:invoke"])
def test_a_fault_outside_of_an_operation_fails_the_call_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, arn: str
) -> None:
    async def faulty(*_: Any) -> Any:
        raise LookupError("the story")

    async def scenario(yard: Yard) -> None:
        monkeypatch.setattr(calls.operations, "perform", faulty)
        monkeypatch.setattr(calls.HttpCalls, "invoke", faulty)
        connection = {"ConnectionArn": "arn:aws:events:us-east-1:123456789012:connection/a/b"}
        http = {"ApiEndpoint": "http://a", "Method": "GET", "Authentication": connection}
        answer = await yard.answer(arn, http if "http" in arn else {"ActivityArn": "a"})
        assert answer.error == "States.TaskFailed"

    with Yard(tmp_path) as yard:
        yard.run(scenario)
    assert "the story" in caplog.text


def test_a_call_that_waits_for_others_waits_for_room_in_the_inbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    activity = "arn:aws:states:us-east-1:123456789012:activity:a"
    monkeypatch.setattr(calls, "BUSY_SECONDS", 0.0)

    async def performed(context: Any, *_: Any) -> Any:
        await context.ask(AskCapacity())
        return {"taskToken": "t"}

    async def scenario(yard: Yard) -> None:
        monkeypatch.setattr(calls.operations, "perform", performed)
        ask, refusals = yard.loop.ask, [Busy(), Busy()]

        async def busy_at_first(command: Any, *more: Any, **named: Any) -> Any:
            if refusals:
                raise refusals.pop()
            return await ask(command, *more, **named)

        monkeypatch.setattr(yard.loop, "ask", busy_at_first)
        output = await yard.output("arn:aws:states:::aws-sdk:sfn:getActivityTask", {"ActivityArn": activity})
        assert (output, refusals) == ({"TaskToken": "t"}, [])

    with Yard(tmp_path) as yard:
        yard.run(scenario)


def test_jobs_are_described_although_queries_took_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrier, "READ_SECONDS", 0.0)
    failures: list[Exception] = [OutOfTime(), Refused("Too Many Requests", "TooManyRequestsException")]
    read = carrier.describe_jobs

    async def slow_at_first(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return await read(*arguments)

    async def scenario(yard: Yard) -> None:
        monkeypatch.setattr(carrier, "describe_jobs", slow_at_first)
        yard.carrier.carry_out([DescribeJob(execution_key=7, frame_id=1, event_id=3, job_id=job_id)])
        (report,) = await yard.reported()
        assert report.has_ended

    with Yard(tmp_path) as yard:
        job_id = yard.service.submit()
        yard.service.end(job_id)
        yard.run(scenario)


def test_a_message_is_published_in_the_transaction_that_has_its_answer(tmp_path: Path) -> None:
    async def scenario(yard: Yard) -> None:
        output = await yard.output(PUBLISH, {"TopicArn": TOPIC, "Message": {"a": 1}})
        assert sorted(output) == ["MessageId", "SdkHttpMetadata", "SdkResponseMetadata"]
        (deliveries,) = [commit for commit in yard.commits.jobs if commit[1]]
        assert deliveries == ([], 1)

    with Yard(tmp_path) as yard:
        sns = yard.service.client("sns")
        sns.create_topic(Name="alerts")
        yard.service.client("logs").create_log_group(logGroupName="x")
        sns.subscribe(TopicArn=TOPIC, Protocol="http", Endpoint="http://127.0.0.1:1/")
        yard.run(scenario)


def test_a_topic_that_is_not_there_is_the_error_of_the_sdk(tmp_path: Path) -> None:
    async def scenario(yard: Yard) -> None:
        answer = await yard.answer(PUBLISH, {"TopicArn": TOPIC, "Message": "m"})
        assert answer.error == "SNS.NotFoundException"
        assert str(answer.cause).startswith(
            "Topic does not exist (Service: AmazonSNS; Status Code: 404; Error Code: NotFound; Request ID: "
        )

    with Yard(tmp_path) as yard:
        yard.run(scenario)


def test_events_have_their_execution_among_their_resources(tmp_path: Path) -> None:
    entry = {"Source": "my.app", "DetailType": "done", "Detail": {"a": 1}, "Resources": ["r"]}

    async def scenario(yard: Yard) -> None:
        output = await yard.output(PUT_EVENTS, {"Entries": [entry]})
        assert output["FailedEntryCount"] == 0

    with Yard(tmp_path) as yard:
        events = yard.service.client("events")
        events.put_rule(Name="all", EventPattern='{"source":["my.app"]}')
        events.put_targets(Rule="all", Targets=[{"Id": "1", "Arn": "arn:aws:logs:us-east-1:123456789012:log-group:g"}])
        yard.run(scenario)
        (sending,) = yard.sent
        messages = yard.service.reader.messages(sending.sequences)
        event = json.loads(next(iter(messages.values())).body)
        assert (event["detail"], event["resources"]) == ({"a": 1}, ["r", MACHINE_ARN, EXECUTION_ARN])


def test_an_event_that_is_not_taken_fails_the_call(tmp_path: Path) -> None:
    entry = {"Source": "aws.batch", "DetailType": "done", "Detail": "{}"}

    async def scenario(yard: Yard) -> None:
        answer = await yard.answer(PUT_EVENTS, {"Entries": [entry]})
        assert answer.error == "EventBridge.FailedEntry"
        assert json.loads(str(answer.cause))["FailedEntryCount"] == 1

    with Yard(tmp_path) as yard:
        yard.run(scenario)


def test_operations_of_ours_answer_in_pascal_case_with_times_as_texts(tmp_path: Path) -> None:
    async def scenario(yard: Yard) -> None:
        output = await yard.output("arn:aws:states:::aws-sdk:batch:describeJobQueues", {"JobQueues": ["default"]})
        assert output["JobQueues"][0]["JobQueueName"] == "default"
        yard.executions.reports.clear()
        output = await yard.output("arn:aws:states:::aws-sdk:ssm:getParameter", {"Name": "p"})
        assert output["Parameter"]["Value"] == "v"
        assert output["Parameter"]["LastModifiedDate"] == "2023-11-14T22:13:20.000Z"

    with Yard(tmp_path) as yard:
        yard.service.client("ssm").put_parameter(Name="p", Value="v", Type="String")
        yard.run(scenario)


def test_what_is_not_known_here_fails_its_task(tmp_path: Path) -> None:
    async def scenario(yard: Yard) -> None:
        answer = await yard.answer("arn:aws:states:::lambda:invoke", {})
        assert answer.error == "States.TaskFailed"

    with Yard(tmp_path) as yard:
        yard.run(scenario)


def test_jobs_are_described_when_they_have_ended(tmp_path: Path) -> None:
    async def scenario(yard: Yard) -> None:
        asked = [
            DescribeJob(execution_key=7, frame_id=number, event_id=3, job_id=job_id)
            for number, job_id in enumerate([*ids, "00000000-0000-0000-0000-00000000dead"])
        ]
        yard.carrier.carry_out(asked)
        found = {report.frame_id: report for report in await yard.reported(4)}
        assert [(found[n].has_ended, found[n].is_succeeded) for n in range(4)] == [
            (True, True),
            (True, False),
            (False, False),
            (True, False),
        ]
        assert all(isinstance(report, JobDescribed) for report in found.values())
        assert found[0].output["Container"]["ExitCode"] == 0
        assert found[0].output["Tags"] == {"team": "x"}
        assert found[1].output["Status"] == "FAILED"
        assert found[1].output["Attempts"][0]["Container"]["ExitCode"] == 3
        assert found[3].output["StatusReason"] == "The job is not known any more: it was pruned."

    with Yard(tmp_path) as yard:
        ids = [yard.service.submit(tags={"team": "x"}) for _ in range(3)]
        yard.service.end(ids[0])
        yard.service.end(ids[1], exit_code=3)
        yard.run(scenario)


def test_a_job_that_an_execution_gives_up_is_terminated_in_the_transaction_that_says_so(tmp_path: Path) -> None:
    async def scenario(yard: Yard) -> None:
        for target in (job_id, "00000000-0000-0000-0000-00000000dead"):
            yard.carrier.carry_out([AbandonCall(key=target, resource=parse_resource(f"{BATCH}.sync"), target=target)])
        reports = await yard.reported(2)
        assert {report.key for report in reports} == {job_id, "00000000-0000-0000-0000-00000000dead"}

    with Yard(tmp_path) as yard:
        for _ in range(5):  # the last waits for room: the host has 4 vCPUs
            job_id = yard.service.submit()
        yard.run(scenario)
        job = yard.service.detail(job_id)
        assert (job["status"], job["statusReason"]) == ("FAILED", "Terminated by Step Functions")


def test_an_execution_that_its_parent_gives_up_is_stopped(tmp_path: Path) -> None:
    child = "arn:aws:states:us-east-1:123456789012:execution:child:c"

    async def scenario(yard: Yard) -> None:
        resource = parse_resource("arn:aws:states:::states:startExecution.sync:2")
        yard.carrier.carry_out([AbandonCall(key="k", resource=resource, target=child)])
        assert await yard.reported() == [CallAbandoned("k")]
        assert yard.executions.stopped == [child]

    with Yard(tmp_path) as yard:
        yard.run(scenario)


def test_an_execution_that_a_task_waits_for_is_described(tmp_path: Path) -> None:
    async def scenario(yard: Yard) -> None:
        yard.carrier.carry_out([DescribeChild(execution_key=7, frame_id=1, event_id=3, arn="x")])
        assert await yard.reported() == [ChildDescribed(execution_key=7, frame_id=1, event_id=3, execution=None)]

    with Yard(tmp_path) as yard:
        yard.run(scenario)


def test_the_detail_of_a_job_that_failed_fits_a_cause() -> None:
    attempts = [{"Container": {"ExitCode": number}, "StatusReason": "x" * 100} for number in range(10)]
    environment = [{"Name": "N" * 100, "Value": "V" * 900}] * 40
    small = {"JobId": "1", "Attempts": attempts, "Container": {"Environment": environment[:1]}}
    assert shortened(small) == small
    without_environment = shortened(small | {"Container": {"ExitCode": 9, "Environment": environment}})
    assert without_environment == small | {"Container": {"ExitCode": 9}}
    long = small | {"Container": {"Command": ["c" * 31_500]}}
    assert shortened(long)["Attempts"] == attempts[-1:]
    assert shortened(small | {"Tags": {"t": "x" * 40_000}}).keys() == {"JobId", "Attempts", "Container"}
