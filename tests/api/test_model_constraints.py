"""What a model does not allow is refused in one text, with all that is wrong, in the words of AWS's validation."""

from __future__ import annotations

from typing import Any

import pytest

from batchyard.api.services import SERVICES
from batchyard.core.model.refusal import Refused

NAME = r"[\.\-_A-Za-z0-9]+"
ENUM = "failed to satisfy constraint: Member must satisfy enum value set: "
LENGTH = "failed to satisfy constraint: Member must have length less than or equal to "
LEAST = "failed to satisfy constraint: Member must have value greater than or equal to "
MOST = "failed to satisfy constraint: Member must have value less than or equal to "
PATTERN = "failed to satisfy constraint: Member must satisfy regular expression pattern: "
STATES = "[ENABLED, DISABLED, ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS]"


@pytest.mark.parametrize(
    ("service", "operation", "document", "code", "faults"),
    [
        (
            "events",
            "PutRule",
            {"Name": "a b", "State": "ON", "ScheduleExpression": "rate(1 day)"},
            "ValidationException",
            [f"Value 'a b' at 'name' {PATTERN}{NAME}", f"Value 'ON' at 'state' {ENUM}{STATES}"],
        ),
        (
            "events",
            "PutTargets",
            {
                "Rule": "r",
                "Targets": [
                    {"Id": "a b", "Arn": "arn:aws:sns:r:1:t"},
                    {
                        "Id": "b",
                        "Arn": "a",
                        "RetryPolicy": {"MaximumRetryAttempts": 186, "MaximumEventAgeInSeconds": 1},
                    },
                ],
            },
            "ValidationException",
            [
                f"Value 'a b' at 'targets.1.member.id' {PATTERN}{NAME}",
                f"Value '186' at 'targets.2.member.retryPolicy.maximumRetryAttempts' {MOST}185",
                f"Value '1' at 'targets.2.member.retryPolicy.maximumEventAgeInSeconds' {LEAST}60",
            ],
        ),
        ("events", "ListRules", {"Limit": 0}, "ValidationException", [f"Value '0' at 'limit' {LEAST}1"]),
        (
            "scheduler",
            "ListSchedules",
            {"State": "ON", "MaxResults": 101, "NamePrefix": "a b"},
            "ValidationException",
            [
                f"Value 'a b' at 'namePrefix' {PATTERN}[0-9a-zA-Z-_.]+",
                f"Value 'ON' at 'state' {ENUM}[ENABLED, DISABLED]",
                f"Value '101' at 'maxResults' {MOST}100",
            ],
        ),
        (
            "logs",
            "DescribeLogStreams",
            {"logGroupName": "/g", "orderBy": "Size", "limit": 51},
            "InvalidParameterException",
            [f"Value 'Size' at 'orderBy' {ENUM}[LogStreamName, LastEventTime]", f"Value '51' at 'limit' {MOST}50"],
        ),
        (
            "monitoring",
            "DescribeAlarms",
            {"AlarmNamePrefix": "x" * 256, "MaxRecords": 101},
            "ValidationError",
            [f"Value '{'x' * 256}' at 'alarmNamePrefix' {LENGTH}255", f"Value '101' at 'maxRecords' {MOST}100"],
        ),
    ],
)
def test_all_that_is_wrong_with_a_request_is_in_one_refusal(
    service: str, operation: str, document: dict[str, Any], code: str, faults: list[str]
) -> None:
    with pytest.raises(Refused) as caught:
        SERVICES[service].checks[operation](document, "")
    assert caught.value.code == code
    noun = "error" if len(faults) == 1 else "errors"
    assert caught.value.message == f"{len(faults)} validation {noun} detected: {'; '.join(faults)}"


def test_secret_values_are_not_repeated() -> None:
    document = {"Name": "c", "AuthParameters": {"BasicAuthParameters": {"Username": "u", "Password": "x" * 600}}}
    with pytest.raises(Refused) as caught:
        SERVICES["events"].checks["CreateConnection"](document, "")
    path = "authParameters.basicAuthParameters.password"
    assert caught.value.message == f"1 validation error detected: Value at '{path}' {LENGTH}512"


def test_what_is_allowed_passes() -> None:
    SERVICES["events"].checks["PutRule"](
        {"Name": "a.b-c_D", "State": "DISABLED", "Tags": [{"Key": "k", "Value": ""}]}, ""
    )
