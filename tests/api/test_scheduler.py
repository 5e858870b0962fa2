"""EventBridge Scheduler as boto3 sees it: schedules, groups, tags, and what fires (observability spec 7.3)."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from batchyard.server.deliveries.own_operations import OperationChannel
from batchyard.server.deliveries.sender import ARRIVED
from batchyard.server.http.disk_guard import FreeSpace
from batchyard.wire.messages import WireError
from batchyard.wire.model import load_service_model
from batchyard.wire.router import Router
from tests.api.service import START_MS, Service

HEAD = "arn:aws:scheduler:us-east-1:123456789012:"
ROLE = "arn:aws:iam::123456789012:role/scheduler"
SUBMIT = "arn:aws:scheduler:::aws-sdk:batch:submitJob"
REQUEST = '{"JobName": "nightly", "JobQueue": "default", "JobDefinition": "work"}'
TARGET = {"Arn": SUBMIT, "RoleArn": ROLE, "Input": REQUEST}
WINDOW = {"Mode": "OFF"}
HOUR_MS = 3_600_000


@pytest.fixture
def scheduler(service: Service) -> Any:
    return service.client("scheduler")


def create(scheduler: Any, name: str = "nightly", **members: Any) -> Any:
    given = {"ScheduleExpression": "cron(0 2 * * ? *)", "Target": TARGET, "FlexibleTimeWindow": WINDOW}
    return scheduler.create_schedule(Name=name, **(given | members))


def refused(scheduler: Any, operation: str, **members: Any) -> tuple[str, str, int]:
    """Returns code, text and status of a refusal."""
    with pytest.raises(ClientError) as caught:
        create(scheduler, **members) if operation == "create" else getattr(scheduler, operation)(**members)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_a_schedule_lives(scheduler: Any) -> None:
    assert create(scheduler)["ScheduleArn"] == f"{HEAD}schedule/default/nightly"
    found = scheduler.get_schedule(Name="nightly")
    del found["ResponseMetadata"]
    made = datetime.fromtimestamp(START_MS / 1000, UTC)
    assert found == {
        "Arn": f"{HEAD}schedule/default/nightly",
        "Name": "nightly",
        "GroupName": "default",
        "State": "ENABLED",
        "CreationDate": made,
        "LastModificationDate": made,
        "ScheduleExpression": "cron(0 2 * * ? *)",
        "ScheduleExpressionTimezone": "UTC",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": TARGET | {"RetryPolicy": {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185}},
        "ActionAfterCompletion": "NONE",
    }
    start, end = datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
    scheduler.update_schedule(
        Name="nightly",
        ScheduleExpression="rate(1 hour)",
        ScheduleExpressionTimezone="Europe/Berlin",
        FlexibleTimeWindow={"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15},
        Target=TARGET,
        Description="d",
        State="DISABLED",
        StartDate=start,
        EndDate=end,
        ActionAfterCompletion="DELETE",
    )
    found = scheduler.get_schedule(Name="nightly")
    assert (found["StartDate"], found["EndDate"], found["Description"]) == (start, end, "d")
    assert found["FlexibleTimeWindow"] == {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15}
    assert (found["ScheduleExpressionTimezone"], found["State"]) == ("Europe/Berlin", "DISABLED")
    scheduler.delete_schedule(Name="nightly")
    missing = ("ResourceNotFoundException", "Schedule nightly does not exist.", 404)
    assert refused(scheduler, "get_schedule", Name="nightly") == missing
    assert refused(scheduler, "delete_schedule", Name="nightly") == missing


def test_a_group_lives_with_its_schedules(scheduler: Any) -> None:
    tags = [{"Key": "team", "Value": "a"}]
    arn = scheduler.create_schedule_group(Name="reports", Tags=tags, ClientToken="t")["ScheduleGroupArn"]
    assert arn == f"{HEAD}schedule-group/reports"
    assert scheduler.create_schedule_group(Name="reports", ClientToken="t")["ScheduleGroupArn"] == arn
    assert refused(scheduler, "create_schedule_group", Name="reports")[::2] == ("ConflictException", 409)
    create(scheduler, GroupName="reports")
    assert [group["Name"] for group in scheduler.list_schedule_groups()["ScheduleGroups"]] == ["default", "reports"]
    assert scheduler.get_schedule_group(Name="reports")["State"] == "ACTIVE"
    scheduler.tag_resource(ResourceArn=arn, Tags=[{"Key": "more", "Value": "b"}])
    scheduler.untag_resource(ResourceArn=arn, TagKeys=["team"])
    assert scheduler.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "more", "Value": "b"}]
    foreign = arn.replace("123456789012", "210987654321")
    assert refused(scheduler, "tag_resource", ResourceArn=foreign, Tags=tags)[::2] == ("ResourceNotFoundException", 404)
    scheduler.delete_schedule_group(Name="reports")
    assert scheduler.list_schedules()["Schedules"] == []
    missing = ("ResourceNotFoundException", "Schedule group reports does not exist.", 404)
    assert refused(scheduler, "get_schedule_group", Name="reports") == missing
    assert refused(scheduler, "create", GroupName="reports") == missing


def test_lists(scheduler: Any) -> None:
    scheduler.create_schedule_group(Name="reports")
    create(scheduler, "b", GroupName="reports")
    create(scheduler, "a")
    create(scheduler, "ab", State="DISABLED")
    first = scheduler.list_schedules(MaxResults=2)
    assert [one["Name"] for one in first["Schedules"]] == ["a", "ab"]
    assert first["Schedules"][0]["Target"] == {"Arn": SUBMIT}
    rest = scheduler.list_schedules(MaxResults=2, NextToken=first["NextToken"])
    assert [one["Name"] for one in rest["Schedules"]] == ["b"]
    for members, names in (
        ({"GroupName": "reports"}, ["b"]),
        ({"NamePrefix": "a"}, ["a", "ab"]),
        ({"State": "DISABLED"}, ["ab"]),
    ):
        assert [one["Name"] for one in scheduler.list_schedules(**members)["Schedules"]] == names


def test_a_request_that_is_repeated_makes_one_schedule(scheduler: Any) -> None:
    assert create(scheduler, ClientToken="t")["ScheduleArn"] == create(scheduler, ClientToken="t")["ScheduleArn"]
    assert refused(scheduler, "create") == ("ConflictException", "Schedule nightly already exists.", 409)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"ScheduleExpression": "cron(0 1 * * * *)"}, "Invalid Schedule Expression cron(0 1 * * * *)."),
        ({"ScheduleExpression": "at(2026-12-01T02:00:00Z)"}, "Invalid Schedule Expression at(2026-12-01T02:00:00Z)."),
        ({"ScheduleExpressionTimezone": "Europe/Nowhere"}, "Europe/Nowhere"),
        ({"ScheduleExpressionTimezone": "../../etc/passwd"}, "Invalid Schedule Expression Timezone"),
        ({"name": "a b"}, "at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern"),
        ({"name": "a" * 65}, "failed to satisfy constraint: Member must have length less than or equal to 64"),
        ({"State": "ON"}, "at 'state' failed to satisfy constraint: Member must satisfy enum value set"),
        ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}}, "MaximumWindowInMinutes must be provided"),
        ({"FlexibleTimeWindow": {"Mode": "OFF", "MaximumWindowInMinutes": 5}}, "must not be provided"),
        ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 1441}}, "less than or equal to 1440"),
        ({"StartDate": datetime(2027, 1, 2), "EndDate": datetime(2027, 1, 1)}, "must be before the EndDate"),
        ({"EndDate": datetime(2999, 1, 1)}, "EndDate must be a time from 1970 to 2200."),
        ({"Target": TARGET | {"EventBridgeParameters": {"Source": "a", "DetailType": "b"}}}, "are for an event bus"),
        ({"KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/x"}, "KmsKeyArn is not built"),
        ({"Target": TARGET | {"RoleArn": "role"}}, "at 'target.roleArn'"),
        ({"Target": TARGET | {"RetryPolicy": {"MaximumRetryAttempts": 186}}}, "less than or equal to 185"),
        ({"Target": TARGET | {"RetryPolicy": {"MaximumEventAgeInSeconds": 86_401}}}, "less than or equal to 86400"),
        ({"Target": TARGET | {"SqsParameters": {"MessageGroupId": "a"}}}, "Target.SqsParameters is not built"),
        ({"Target": TARGET | {"Input": "text"}}, "as a JSON object"),
        ({"Target": TARGET | {"Arn": "arn:aws:lambda:us-east-1:123456789012:function:f"}}, "no target that is served"),
        ({"Target": TARGET | {"Arn": "arn:aws:scheduler:::aws-sdk:ec2:stopInstances"}}, "no operation that"),
        ({"Target": TARGET | {"DeadLetterConfig": {"Arn": "arn:aws:sqs:us-east-1:123456789012:q"}}}, "a log group"),
    ],
)
def test_refusals(scheduler: Any, members: dict[str, Any], words: str) -> None:
    code, text, status = refused(scheduler, "create", **members)
    assert (code, status) == ("ValidationException", 400)
    assert words in text


def test_a_schedule_submits_a_job_when_its_time_has_come(service: Service, scheduler: Any) -> None:
    create(scheduler, ScheduleExpression="rate(1 hour)")
    service.tick(HOUR_MS - 1)
    assert service.messages == []
    service.tick(1)
    (message,) = service.messages
    assert (message.target, message.body) == ({"service": "batch", "operation": "SubmitJob"}, REQUEST)
    service.tick(3 * HOUR_MS)
    assert len(service.messages) == 2, "missed times are made up once"
    scheduler.delete_schedule(Name="nightly")
    service.tick(3 * HOUR_MS)
    assert len(service.messages) == 2


def test_topics_and_buses_are_targets(service: Service, scheduler: Any) -> None:
    topic = service.client("sns").create_topic(Name="jobs")["TopicArn"]
    service.client("sns").subscribe(TopicArn=topic, Protocol="http", Endpoint="http://hooks.example/")
    service.client("sns").confirm_subscription(TopicArn=topic, Token=service.messages.pop().target["token"])
    events = service.client("events")
    events.put_rule(Name="mine", EventPattern='{"source": ["mine"], "detail": {"a": [1]}}')
    group = "arn:aws:logs:us-east-1:123456789012:log-group:/events"
    events.put_targets(Rule="mine", Targets=[{"Id": "log", "Arn": group}])
    bus = "arn:aws:events:us-east-1:123456789012:event-bus/default"
    of_bus = {"Arn": bus, "EventBridgeParameters": {"Source": "mine", "DetailType": "tick"}, "Input": '{"a": 1}'}
    create(scheduler, "topic", ScheduleExpression="rate(1 hour)", Target=TARGET | {"Arn": topic, "Input": "wake up"})
    create(scheduler, "bus", ScheduleExpression="rate(1 hour)", Target={"RoleArn": ROLE} | of_bus)
    service.tick(HOUR_MS)
    assert sorted(message.channel for message in service.messages) == ["logs", "sns"]
    assert "wake up" in [message.body for message in service.messages]


def test_a_one_time_schedule_may_delete_itself(service: Service, scheduler: Any) -> None:
    at = datetime.fromtimestamp(START_MS / 1000 + 60, UTC).strftime("at(%Y-%m-%dT%H:%M:%S)")
    create(scheduler, ScheduleExpression=at, ActionAfterCompletion="DELETE")
    create(scheduler, "past", ScheduleExpression="at(2022-12-31T23:59:59)")
    service.tick(61_000)
    assert len(service.messages) == 1
    assert [one["Name"] for one in scheduler.list_schedules()["Schedules"]] == ["past"]


def test_a_nights_job_is_submitted(service: Service, scheduler: Any) -> None:
    """Through the channel that performs what a schedule calls."""
    create(scheduler, Target=TARGET | {"Input": REQUEST.replace("work", "sleeper")})
    service.tick(24 * HOUR_MS)
    (message,) = service.messages
    channel = OperationChannel(service.context, FreeSpace(lambda: 1 << 40, 1, lambda: 0))
    assert asyncio.run(channel.send(message)) == ARRIVED
    found = service.batch.list_jobs(jobQueue="default", filters=[{"name": "JOB_NAME", "values": ["nightly"]}])
    assert len(found["jobSummaryList"]) == 1


def test_an_error_has_its_text_where_sdks_read_it() -> None:
    """SDKs that are made of the models read `Message` of this service, and `message` of AWS Batch."""
    operations = Router([load_service_model("scheduler"), load_service_model("batch")]).operations
    for operation, member in (("scheduler", "GetSchedule"), "Message"), (("batch", "DescribeJobs"), "message"):
        response = operations[operation].refuse(WireError("ValidationException", "why"), "r1")
        assert json.loads(response.body) == {member: "why", "__type": "ValidationException"}
