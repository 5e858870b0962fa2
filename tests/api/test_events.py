"""EventBridge as boto3 sees it: buses, rules, targets, tags, events (observability spec 3 to 5)."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.api.service import Service

HEAD = "arn:aws:events:us-east-1:123456789012:"
GROUP = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/events/failed"
PATTERN = '{"source": ["mine"], "detail": {"status": ["FAILED"]}}'
ENTRY = {"Source": "mine", "DetailType": "Test", "Detail": '{"status": "FAILED"}'}


@pytest.fixture
def events(service: Service) -> Any:
    return service.client("events")


def refused(caught: pytest.ExceptionInfo[ClientError]) -> tuple[str, str]:
    error = caught.value.response["Error"]
    return error["Code"], error["Message"].splitlines()[0]


def test_a_bus_lives(events: Any) -> None:
    made = events.create_event_bus(Name="team", Description="ours", Tags=[{"Key": "a", "Value": "b"}])
    assert (made["EventBusArn"], made["Description"]) == (f"{HEAD}event-bus/team", "ours")
    found = events.describe_event_bus(Name=f"{HEAD}event-bus/team")
    assert (found["Name"], found["Arn"], found["Description"]) == ("team", f"{HEAD}event-bus/team", "ours")
    assert isinstance(found["CreationTime"], datetime)
    assert [bus["Name"] for bus in events.list_event_buses()["EventBuses"]] == ["default", "team"]
    assert [bus["Name"] for bus in events.list_event_buses(NamePrefix="te")["EventBuses"]] == ["team"]
    events.update_event_bus(Name="team", Description="theirs")
    assert events.describe_event_bus(Name="team")["Description"] == "theirs"
    assert events.list_tags_for_resource(ResourceARN=f"{HEAD}event-bus/team")["Tags"] == [{"Key": "a", "Value": "b"}]
    events.delete_event_bus(Name="team")
    events.delete_event_bus(Name="team")
    with pytest.raises(ClientError) as caught:
        events.describe_event_bus(Name="team")
    assert refused(caught) == ("ResourceNotFoundException", "Event bus team does not exist.")


def test_a_rule_lives(events: Any) -> None:
    put = events.put_rule(Name="failed", EventPattern=PATTERN, Description="d", RoleArn="arn:aws:iam::1:role/r")
    assert put["RuleArn"] == f"{HEAD}rule/failed"
    found = events.describe_rule(Name="failed")
    del found["ResponseMetadata"]
    assert found == {
        "Name": "failed",
        "Arn": f"{HEAD}rule/failed",
        "EventPattern": PATTERN,
        "State": "ENABLED",
        "Description": "d",
        "RoleArn": "arn:aws:iam::1:role/r",
        "EventBusName": "default",
        "CreatedBy": "123456789012",
    }
    events.disable_rule(Name="failed")
    assert events.list_rules(NamePrefix="fa")["Rules"][0]["State"] == "DISABLED"
    events.enable_rule(Name="failed")
    assert events.describe_rule(Name="failed")["State"] == "ENABLED"
    assert events.list_rules(NamePrefix="x")["Rules"] == []
    events.delete_rule(Name="failed")
    events.delete_rule(Name="failed")
    assert events.list_rules()["Rules"] == []


def test_rules_come_in_pages(events: Any) -> None:
    for number in range(5):
        events.put_rule(Name=f"r{number}", EventPattern=PATTERN)
    first = events.list_rules(Limit=3)
    assert [rule["Name"] for rule in first["Rules"]] == ["r0", "r1", "r2"]
    rest = events.list_rules(Limit=3, NextToken=first["NextToken"])
    assert [rule["Name"] for rule in rest["Rules"]] == ["r3", "r4"]
    assert "NextToken" not in rest


def test_one_input_that_cannot_be_made_fails_all_targets(events: Any) -> None:
    events.put_rule(Name="failed", EventPattern=PATTERN)
    good = {"Id": "good", "Arn": GROUP}
    both = {"Id": "bad", "Arn": GROUP, "Input": "{}", "InputPath": "$.detail"}
    strange = {"Id": "bad", "Arn": GROUP, "InputTransformer": {"InputPathsMap": {"a": "$.a"}, "InputTemplate": '"<b>"'}}
    for bad, text in (
        (both, "Only one of Input, InputPath, or InputTransformer must be provided for target bad."),
        (strange, "InputTemplate for target bad contains invalid placeholder b."),
    ):
        with pytest.raises(ClientError) as caught:
            events.put_targets(Rule="failed", Targets=[good, bad])
        assert caught.value.response["Error"] == {"Code": "ValidationException", "Message": text}
    assert events.list_targets_by_rule(Rule="failed")["Targets"] == []


def test_targets_come_back_as_they_were_put(events: Any) -> None:
    events.put_rule(Name="failed", EventPattern=PATTERN)
    target = {
        "Id": "log",
        "Arn": GROUP,
        "InputTransformer": {"InputPathsMap": {"s": "$.detail.status"}, "InputTemplate": '"it is <s>"'},
        "RetryPolicy": {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 3600},
    }
    lambda_target = {"Id": "no", "Arn": "arn:aws:lambda:us-east-1:123456789012:function:f"}
    answer = events.put_targets(Rule="failed", Targets=[target, lambda_target])
    assert answer["FailedEntryCount"] == 1
    assert answer["FailedEntries"][0]["TargetId"] == "no"
    assert events.list_targets_by_rule(Rule="failed")["Targets"] == [target]
    assert events.list_rule_names_by_target(TargetArn=GROUP)["RuleNames"] == ["failed"]
    assert events.list_rule_names_by_target(TargetArn="arn:aws:sns:us-east-1:1:x")["RuleNames"] == []
    assert events.remove_targets(Rule="failed", Ids=["log", "absent"])["FailedEntryCount"] == 0
    assert events.list_targets_by_rule(Rule="failed")["Targets"] == []


def test_an_event_reaches_the_target_of_a_rule(service: Service, events: Any) -> None:
    events.put_rule(Name="failed", EventPattern=PATTERN)
    events.put_targets(Rule="failed", Targets=[{"Id": "log", "Arn": GROUP}])
    at = datetime(2026, 11, 27, 10, 36, tzinfo=UTC)
    answer = events.put_events(Entries=[{**ENTRY, "Time": at, "Resources": ["arn:a"]}, {**ENTRY, "Source": "other"}])
    assert answer["FailedEntryCount"] == 0
    (message,) = service.messages
    assert list(json.loads(message.body).items()) == [
        ("version", "0"),
        ("id", answer["Entries"][0]["EventId"]),
        ("detail-type", "Test"),
        ("source", "mine"),
        ("account", "123456789012"),
        ("time", "2026-11-27T10:36:00Z"),
        ("region", "us-east-1"),
        ("resources", ["arn:a"]),
        ("detail", {"status": "FAILED"}),
    ]


def test_entries_fail_alone(events: Any) -> None:
    bad = [
        {"DetailType": "Test", "Detail": "{}"},
        {**ENTRY, "Detail": "["},
        {**ENTRY, "Detail": "[1]"},
        {**ENTRY, "Source": "aws.batch"},
        ENTRY,
    ]
    answer = events.put_events(Entries=bad)
    assert answer["FailedEntryCount"] == 4
    assert [entry.get("ErrorCode") for entry in answer["Entries"]] == [
        "InvalidArgument",
        "MalformedDetail",
        "MalformedDetail",
        "NotAuthorizedForSourceException",
        None,
    ]
    assert answer["Entries"][0]["ErrorMessage"] == (
        "Parameter Source is not valid. Reason: Source is a required argument."
    )
    assert uuid.UUID(answer["Entries"][4]["EventId"])


def test_an_unknown_bus_takes_events_and_drops_them(service: Service, events: Any) -> None:
    answer = events.put_events(Entries=[{**ENTRY, "EventBusName": "nowhere"}])
    assert (answer["FailedEntryCount"], service.messages) == (0, [])


def test_a_pattern_can_be_tried(events: Any) -> None:
    event = {"id": "1", "account": "1", "source": "mine", "time": "t", "region": "r", "detail-type": "d"}
    wanted = {**event, "detail": {"status": "FAILED"}}
    assert events.test_event_pattern(EventPattern=PATTERN, Event=json.dumps(wanted))["Result"]
    assert not events.test_event_pattern(EventPattern=PATTERN, Event=json.dumps(event))["Result"]
    with pytest.raises(ClientError) as caught:
        events.test_event_pattern(EventPattern=PATTERN, Event="[]")
    assert refused(caught) == ("ValidationException", "Parameter Event is not valid.")


def test_tags_of_a_rule(events: Any) -> None:
    arn = events.put_rule(Name="failed", EventPattern=PATTERN, Tags=[{"Key": "a", "Value": "1"}])["RuleArn"]
    events.tag_resource(ResourceARN=arn, Tags=[{"Key": "b", "Value": "2"}])
    events.untag_resource(ResourceARN=arn, TagKeys=["a", "absent"])
    assert events.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "b", "Value": "2"}]


@pytest.mark.parametrize(
    ("operation", "request_", "code", "words"),
    [
        (
            "put_rule",
            {"Name": "r"},
            "ValidationException",
            "Parameter(s) EventPattern or ScheduleExpression must be specified.",
        ),
        (
            "put_rule",
            {"Name": "r", "EventPattern": "{}"},
            "InvalidEventPatternException",
            "Event pattern is not valid. Reason: Empty objects are not allowed",
        ),
        ("describe_rule", {"Name": "x"}, "ResourceNotFoundException", "Rule x does not exist on EventBus default."),
        ("list_rules", {"EventBusName": "x"}, "ResourceNotFoundException", "Event bus x does not exist."),
        (
            "create_event_bus",
            {"Name": "default"},
            "ResourceAlreadyExistsException",
            "Event bus default already exists.",
        ),
        ("delete_event_bus", {"Name": "default"}, "ValidationException", "Cannot delete event bus default."),
        (
            "list_tags_for_resource",
            {"ResourceARN": f"{HEAD}rule/x"},
            "ResourceNotFoundException",
            "Rule x does not exist on EventBus default.",
        ),
        (
            "put_targets",
            {"Rule": "r", "Targets": [{"Id": str(number), "Arn": GROUP} for number in range(6)]},
            "LimitExceededException",
            "The requested resource exceeds the maximum number allowed.",
        ),
    ],
)
def test_refusals_have_aws_codes_and_words(
    events: Any, operation: str, request_: dict[str, Any], code: str, words: str
) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(events, operation)(**request_)
    assert refused(caught) == (code, words)
