"""State machines, versions, aliases and activities as boto3 sees them (step functions spec 1-3, 6, 15)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from batchyard.api.context import Settings
from tests.api.service import Service

ROLE = "arn:aws:iam::123456789012:role/workflows"
PREFIX = "arn:aws:states:us-east-1:123456789012:"
ARN = f"{PREFIX}stateMachine:nightly"
AT_MOST = "Member must have value less than or equal to"
LISTED = f"RoutingConfigurationListItem(stateMachineVersionArn={ARN}:1, weight={{}})".format

CHILDREN = {
    "ProcessorConfig": {"Mode": "DISTRIBUTED"},
    "StartAt": "B",
    "States": {"B": {"Type": "Pass", "End": True}},
}
READS = {"Type": "Map", "ItemReader": {"Resource": "arn:aws:states:::s3:getObject"}, "ItemProcessor": CHILDREN}
READER = json.dumps({"StartAt": "A", "States": {"A": READS | {"End": True}}})


def definition(comment: str = "") -> str:
    return json.dumps({"Comment": comment, "StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}})


@pytest.fixture
def states(service: Service) -> Any:
    return service.client("stepfunctions")


def create(states: Any, name: str = "nightly", comment: str = "", **members: Any) -> dict[str, Any]:
    made: dict[str, Any] = states.create_state_machine(
        name=name, definition=definition(comment), roleArn=ROLE, **members
    )
    return made


def refusal(call: Callable[..., Any], **members: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    error = caught.value.response["Error"]
    assert caught.value.response["message"] == error["Message"]  # type: ignore[typeddict-item]
    return error["Code"], error["Message"]


def test_a_state_machine_is_described_as_it_was_created(service: Service, states: Any) -> None:
    made = create(states, tags=[{"key": "team", "value": "data"}], type="EXPRESS")
    assert made["stateMachineArn"] == ARN
    shown = states.describe_state_machine(stateMachineArn=ARN)
    del shown["ResponseMetadata"]
    assert shown == {
        "stateMachineArn": ARN,
        "name": "nightly",
        "status": "ACTIVE",
        "definition": definition(),
        "roleArn": ROLE,
        "type": "EXPRESS",
        "creationDate": made["creationDate"],
        "loggingConfiguration": {"level": "OFF", "includeExecutionData": False},
        "tracingConfiguration": {"enabled": False},
        "encryptionConfiguration": {"type": "AWS_OWNED_KEY"},
    }
    assert "definition" not in states.describe_state_machine(stateMachineArn=ARN, includedData="METADATA_ONLY")
    assert states.list_tags_for_resource(resourceArn=ARN)["tags"] == [{"key": "team", "value": "data"}]
    states.delete_state_machine(stateMachineArn=ARN)
    code, text = refusal(states.describe_state_machine, stateMachineArn=ARN)
    assert (code, text) == ("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{ARN}'")


def test_an_update_shows_a_revision_and_publishes_a_version(service: Service, states: Any) -> None:
    create(states)
    service.now_ms += 5000
    changed = states.update_state_machine(stateMachineArn=ARN, definition=definition("2"), publish=True)
    assert changed["updateDate"].timestamp() * 1000 == service.now_ms
    assert changed["stateMachineVersionArn"] == f"{ARN}:1"
    again = states.update_state_machine(stateMachineArn=ARN, definition=definition("2"))
    assert again["revisionId"] == changed["revisionId"]
    version = states.describe_state_machine(stateMachineArn=f"{ARN}:1")
    assert (version["stateMachineArn"], version["revisionId"]) == (f"{ARN}:1", changed["revisionId"])
    assert refusal(states.update_state_machine, stateMachineArn=ARN)[0] == "MissingRequiredParameter"


@pytest.mark.parametrize(
    ("members", "code", "text"),
    [
        ({"name": "a b"}, "InvalidName", "Invalid Name: 'a b'"),
        ({"name": "a" * 81}, "InvalidName", f"Invalid Name: '{'a' * 81}'"),
        ({"roleArn": "root"}, "InvalidArn", "Invalid Role Arn: 'root'"),
        (
            {"versionDescription": "x"},
            "ValidationException",
            "Version description can only be set when publish is true",
        ),
        ({"definition": READER}, "InvalidDefinition", "Batchyard has no S3: say where it is with s3_endpoint"),
        ({"definition": "{"}, "InvalidDefinition", "Invalid State Machine Definition: 'INVALID_JSON_DESCRIPTION"),
        ({"definition": '{"StartAt": "A"}'}, "InvalidDefinition", "These fields are required: [States] at /'"),
        ({"type": "QUICK"}, "ValidationException", "Member must satisfy enum value set: [STANDARD, EXPRESS]"),
        (
            {"loggingConfiguration": {"level": "ALL"}},
            "InvalidLoggingConfiguration",
            "Invalid Logging Configuration: Must specify exactly one Log Destination.",
        ),
        (
            {"encryptionConfiguration": {"type": "CUSTOMER_MANAGED_KMS_KEY", "kmsKeyId": "k"}},
            "InvalidEncryptionConfiguration",
            "keys of KMS are not built here",
        ),
    ],
)
def test_what_is_no_state_machine_is_refused(states: Any, members: dict[str, Any], code: str, text: str) -> None:
    request = {"name": "nightly", "definition": definition(), "roleArn": ROLE} | members
    found = refusal(states.create_state_machine, **request)
    assert found[0] == code
    assert text in found[1]


def test_parquet_is_refused_by_name(tmp_path: Path) -> None:
    service = Service(tmp_path, Settings(has_s3=True))
    try:
        states = service.client("stepfunctions")
        read = {"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "PARQUET"}}
        text = READER.replace('{"Resource": "arn:aws:states:::s3:getObject"}', json.dumps(read))
        found = refusal(states.create_state_machine, name="reads", definition=text, roleArn=ROLE)
        assert "does not read PARQUET files: convert them to JSONL or CSV. at /States/A/ItemReader" in found[1]
    finally:
        service.close()


def test_what_runs_elsewhere_is_accepted_where_the_owner_wants_it(tmp_path: Path) -> None:
    service = Service(tmp_path, Settings(accepts_unknown_integrations=True))
    try:
        states = service.client("stepfunctions")
        for number, resource in enumerate(
            ("arn:aws:lambda:us-east-1:1:function:f", "arn:aws:states:::sqs:sendMessage")
        ):
            state = {"Type": "Task", "Resource": resource, "End": True}
            text = json.dumps({"StartAt": "A", "States": {"A": state}})
            states.create_state_machine(name=f"m{number}", definition=text, roleArn=ROLE)
        states.create_state_machine(name="reads", definition=READER, roleArn=ROLE)
        unknown = definition().replace(
            '"Type": "Pass"', '"Type": "Task", "Resource": "arn:aws:states:::dynamodb:query"'
        )
        found = refusal(states.create_state_machine, name="none", definition=unknown, roleArn=ROLE)
        assert "arn:aws:states:::dynamodb:query is not recognized" in found[1]
    finally:
        service.close()


def test_logs_go_to_a_group_that_is_there(service: Service, states: Any) -> None:
    group = "arn:aws:logs:us-east-1:123456789012:log-group:flows:*"
    logging = {
        "level": "ERROR",
        "includeExecutionData": True,
        "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": group}}],
    }
    request = {"name": "nightly", "definition": definition(), "roleArn": ROLE, "loggingConfiguration": logging}
    assert refusal(states.create_state_machine, **request) == (
        "InvalidLoggingConfiguration",
        "Invalid Logging Configuration: Log Destination not found.",
    )
    service.client("logs").create_log_group(logGroupName="flows")
    states.create_state_machine(**request)
    assert states.describe_state_machine(stateMachineArn=ARN)["loggingConfiguration"] == logging


def test_machines_are_listed_by_pages_whose_tokens_are_of_one_request(service: Service, states: Any) -> None:
    for name in ("c", "a", "b"):
        service.now_ms += 1
        create(states, name)
    first = states.list_state_machines(maxResults=2)
    assert [one["name"] for one in first["stateMachines"]] == ["c", "a"]
    second = states.list_state_machines(maxResults=2, nextToken=first["nextToken"])
    assert [one["name"] for one in second["stateMachines"]] == ["b"]
    assert "nextToken" not in second
    token = ("InvalidToken", "Invalid Token: 'Invalid token'")
    assert refusal(states.list_state_machines, nextToken="made up") == token
    assert refusal(states.list_activities, nextToken=first["nextToken"]) == token
    code, text = refusal(states.list_state_machines, maxResults=1001)
    assert (code, text.endswith(f"Value '1001' at 'maxResults' failed to satisfy constraint: {AT_MOST} 1000")) == (
        "ValidationException",
        True,
    )


def test_aliases_are_made_changed_listed_and_deleted(states: Any) -> None:
    create(states, publish=True)
    states.update_state_machine(stateMachineArn=ARN, definition=definition("2"), publish=True)
    routes = [
        {"stateMachineVersionArn": f"{ARN}:1", "weight": 90},
        {"stateMachineVersionArn": f"{ARN}:2", "weight": 10},
    ]
    made = states.create_state_machine_alias(name="live", routingConfiguration=routes, description="d")
    assert made["stateMachineAliasArn"] == f"{ARN}:live"
    shown = states.describe_state_machine_alias(stateMachineAliasArn=f"{ARN}:live")
    assert (shown["routingConfiguration"], shown["description"]) == (routes, "d")
    states.update_state_machine_alias(
        stateMachineAliasArn=f"{ARN}:live", routingConfiguration=[routes[1] | {"weight": 100}]
    )
    states.create_state_machine_alias(name="next", routingConfiguration=[routes[0] | {"weight": 100}])
    first = states.list_state_machine_aliases(stateMachineArn=ARN, maxResults=1)
    rest = states.list_state_machine_aliases(stateMachineArn=ARN, nextToken=first["nextToken"])
    names = [one["stateMachineAliasArn"] for one in first["stateMachineAliases"] + rest["stateMachineAliases"]]
    assert names == [f"{ARN}:live", f"{ARN}:next"]
    states.delete_state_machine_alias(stateMachineAliasArn=f"{ARN}:next")
    states.delete_state_machine_version(stateMachineVersionArn=f"{ARN}:1")
    shown = states.list_state_machine_versions(stateMachineArn=ARN)["stateMachineVersions"]
    assert [one["stateMachineVersionArn"] for one in shown] == [f"{ARN}:2"]


@pytest.mark.parametrize(
    ("name", "routes", "text"),
    [
        ("123", [1], r"satisfy regular expression pattern: ^(?=.*[a-zA-Z_\-\.])[a-zA-Z0-9_\-\.]+$"),
        ("a" * 81, [1], "Member must have length less than or equal to 80"),
        ("a", [101], "Value '101' at 'routingConfiguration.1.member.weight' failed"),
        (
            "a",
            [1, 2, 3],
            f"Value '[{LISTED(1)}, {LISTED(2)}, {LISTED(3)}]' at 'routingConfiguration' failed to satisfy constraint",
        ),
    ],
)
def test_constraints_are_refused_as_java_prints_values(states: Any, name: str, routes: list[int], text: str) -> None:
    configured = [{"stateMachineVersionArn": f"{ARN}:1", "weight": weight} for weight in routes]
    code, message = refusal(states.create_state_machine_alias, name=name, routingConfiguration=configured)
    assert (code, text in message) == ("ValidationException", True), message


def test_activities_are_made_once_described_listed_and_deleted(service: Service, states: Any) -> None:
    made = states.create_activity(name="walk", tags=[{"key": "a", "value": "1"}])
    service.now_ms += 1000
    again = states.create_activity(name="walk")
    assert (again["activityArn"], again["creationDate"]) == (made["activityArn"], made["creationDate"])
    arn = made["activityArn"]
    shown = states.describe_activity(activityArn=arn)
    assert (shown["name"], shown["encryptionConfiguration"]) == ("walk", {"type": "AWS_OWNED_KEY"})
    states.tag_resource(resourceArn=arn, tags=[{"key": "b", "value": "2"}])
    states.untag_resource(resourceArn=arn, tagKeys=["a", "none"])
    assert states.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "b", "value": "2"}]
    assert [one["name"] for one in states.list_activities()["activities"]] == ["walk"]
    states.delete_activity(activityArn=arn)
    states.delete_activity(activityArn=arn)
    gone = ("ActivityDoesNotExist", f"Activity Does Not Exist: '{arn}'")
    assert refusal(states.describe_activity, activityArn=arn) == gone
    assert refusal(states.get_activity_task, activityArn=arn) == gone
    assert refusal(states.describe_activity, activityArn="walk")[1] == "Invalid Arn: 'Invalid ARN prefix: walk'"


def test_a_definition_is_validated_without_an_error(states: Any) -> None:
    good = states.validate_state_machine_definition(definition=definition())
    assert (good["result"], good["diagnostics"], good["truncated"]) == ("OK", [], False)
    bad = states.validate_state_machine_definition(definition='{"StartAt": "A"}')
    assert bad["result"] == "FAIL"
    assert bad["diagnostics"][0]["message"] == "These fields are required: [States]"
